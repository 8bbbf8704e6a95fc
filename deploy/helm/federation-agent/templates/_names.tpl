{{- define "federation-agent.name" -}}
{{- include "federation-agent.value" (dict "root" . "key" "nameOverride") | default .Chart.Name | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "federation-agent.fullname" -}}
{{- $full := include "federation-agent.value" (dict "root" . "key" "fullnameOverride") -}}
{{- $name := include "federation-agent.name" . -}}
{{- if not $full -}}
{{- $full = ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) -}}
{{- end -}}
{{- $full | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "federation-agent.selector" -}}
app.kubernetes.io/name: {{ include "federation-agent.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: federation-agent
{{- end -}}

{{- define "federation-agent.labels" -}}
{{ include "federation-agent.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "federation-agent.serviceAccountName" -}}
{{- $account := include "federation-agent.serviceAccount" . | fromYaml -}}
{{- if $account.name -}}
{{- tpl $account.name . -}}
{{- else if $account.create -}}
{{- include "federation-agent.fullname" . -}}
{{- else -}}
default
{{- end -}}
{{- end -}}

{{/* The image. The names of Gravitee's own images stand in values files for its chart, and could not run here. */}}
{{- define "federation-agent.image" -}}
{{- $given := include "federation-agent.foreignImage" . | fromYaml -}}
{{- $image := .Values.image -}}
{{- $repository := $image.repository | default "" -}}
{{- if and $repository $image.name -}}
{{- $repository = printf "%s/%s" $repository $image.name -}}
{{- end -}}
{{- $tag := $image.tag | default "" -}}
{{- if and (not $repository) $given.repository -}}
{{- $repository = $given.repository -}}
{{- $tag = $tag | default $given.tag -}}
{{- end -}}
{{- $repository = $repository | default "registry.example.com/federation-agent" -}}
{{- if $image.digest -}}
{{- printf "%s@%s" $repository $image.digest -}}
{{- else -}}
{{- printf "%s:%s" $repository ($tag | default .Chart.AppVersion | toString) -}}
{{- end -}}
{{- end -}}

{{/* The image that stands under `kubernetes`, as {repository, tag}; {ignored} when it is one of Gravitee's. */}}
{{- define "federation-agent.foreignImage" -}}
{{- $kubernetes := .Values.kubernetes | default dict -}}
{{- $deployment := $kubernetes.deployment | default dict -}}
{{- $image := mergeOverwrite (dict) (deepCopy ($kubernetes.image | default dict)) (deepCopy ($deployment.image | default dict)) -}}
{{- if or $image.repository $image.name -}}
{{- $whole := list $image.repository $image.name | compact | join "/" -}}
{{- if regexMatch "(^|/)federation-agent-(apigee|aws-api-gateway|azure-api-management|confluent-platform|edge-stack|ibm-api-connect|mulesoft|sap-api-management|solace)$" $whole -}}
ignored: {{ $whole | quote }}
{{- else -}}
repository: {{ $whole | quote }}
tag: {{ $image.tag | default "" | toString | quote }}
{{- end -}}
{{- end -}}
{{- end -}}
