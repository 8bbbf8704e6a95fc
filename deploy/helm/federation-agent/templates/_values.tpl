{{/*
A value from where it stands: at the top, under `kubernetes.deployment`, under `kubernetes`. The last two are where values files
for Gravitee's chart have it. A text comes back as it is, all else as YAML, nothing as nothing.
*/}}
{{- define "federation-agent.value" -}}
{{- $kubernetes := .root.Values.kubernetes | default dict -}}
{{- $deployment := $kubernetes.deployment | default dict -}}
{{- $found := coalesce (get .root.Values .key) (get $deployment .key) (get $kubernetes .key) -}}
{{- if kindIs "string" $found -}}
{{- $found -}}
{{- else if $found -}}
{{- toYaml $found -}}
{{- end -}}
{{- end -}}

{{/* The same of a list that may be written as a list or as a text; the text may be a template. As YAML, for `fromYamlArray`. */}}
{{- define "federation-agent.list" -}}
{{- $text := tpl (include "federation-agent.value" .) .root -}}
{{- if $text -}}
{{- $list := fromYamlArray $text -}}
{{- range $list -}}
{{- if kindIs "string" . -}}
{{- fail (printf "%s: a list is expected, as YAML or as a text that is one: %s" $.key .) -}}
{{- end -}}
{{- end -}}
{{- toYaml $list -}}
{{- else -}}
[]
{{- end -}}
{{- end -}}

{{- define "federation-agent.serviceAccount" -}}
{{- $kubernetes := .Values.kubernetes | default dict -}}
{{- $account := mergeOverwrite (deepCopy .Values.serviceAccount) (deepCopy ($kubernetes.serviceAccount | default dict)) -}}
{{- if hasKey $account "managed" -}}
{{- $_ := set $account "create" $account.managed -}}
{{- end -}}
{{- toYaml $account -}}
{{- end -}}

{{/* What is to be in gravitee-override.yml, word for word. */}}
{{- define "federation-agent.override" -}}
{{- $agent := .Values.agent | default dict -}}
{{- $given := coalesce .Values.config.graviteeYml ($agent.config | default dict).graviteeYml -}}
{{- if kindIs "string" $given -}}
{{- $given -}}
{{- else if $given -}}
{{- toYaml $given -}}
{{- end -}}
{{- end -}}

{{/* `services.core.http` as it is in force: {enabled, port, host, secured}. */}}
{{- define "federation-agent.http" -}}
{{- $override := include "federation-agent.override" . | fromYaml -}}
{{- if hasKey $override "Error" -}}
{{- fail (printf "config.graviteeYml is not YAML: %s" $override.Error) -}}
{{- end -}}
{{- $core := ($override.services | default dict).core | default dict -}}
{{- $http := $core.http | default dict -}}
{{- if not (regexMatch "^[0-9]+$" ($http.port | default 18084 | toString)) -}}
{{- fail (printf "config.graviteeYml: services.core.http.port is %v; probes and Service need the number itself" $http.port) -}}
{{- end -}}
enabled: {{ ternary $http.enabled true (hasKey $http "enabled") }}
port: {{ $http.port | default 18084 | int }}
secured: {{ $http.secured | default false }}
{{- end -}}

{{/*
The Secrets that the configuration refers to as secret://kubernetes/NAME:KEY?namespace=NAMESPACE: a map of namespaces to names.
*/}}
{{- define "federation-agent.secretReferences" -}}
{{- $text := printf "%s\n%s" (include "federation-agent.override" .) (include "federation-agent.list" (dict "root" . "key" "extraEnvs")) -}}
{{- $found := dict -}}
{{- range regexFindAll "secret://kubernetes/[a-z0-9][a-z0-9.-]*(:[^\\s\"'?]*)?(\\?[^\\s\"']*)?" $text -1 -}}
{{- $name := regexReplaceAll "^secret://kubernetes/([a-z0-9][a-z0-9.-]*).*$" . "${1}" -}}
{{- $namespace := $.Release.Namespace -}}
{{- if regexMatch "[?&]namespace=[a-z0-9-]+" . -}}
{{- $namespace = regexReplaceAll "^.*[?&]namespace=([a-z0-9-]+).*$" . "${1}" -}}
{{- end -}}
{{- $_ := set $found $namespace (append (get $found $namespace | default list) $name | uniq | sortAlpha) -}}
{{- end -}}
{{- toYaml $found -}}
{{- end -}}

{{/*
Those that are mounted where the agent looks first, /run/secrets/NAME/KEY: the namespace's own. Where two namespaces have one of
the same name, neither is, since the place does not tell them apart.
*/}}
{{- define "federation-agent.mountedSecrets" -}}
{{- $found := include "federation-agent.secretReferences" . | fromYaml -}}
{{- $elsewhere := list -}}
{{- range $namespace, $names := omit $found .Release.Namespace -}}{{- $elsewhere = concat $elsewhere $names -}}{{- end -}}
{{- $mounted := list -}}
{{- if eq .Values.secretReferences "mount" -}}
{{- range get $found .Release.Namespace | default list -}}
{{- if not (has . $elsewhere) -}}{{- $mounted = append $mounted . -}}{{- end -}}
{{- end -}}
{{- end -}}
{{- toYaml $mounted -}}
{{- end -}}

{{/* Those that the agent asks the cluster for, and needs a right to: a map of namespaces to names. */}}
{{- define "federation-agent.askedSecrets" -}}
{{- $found := include "federation-agent.secretReferences" . | fromYaml -}}
{{- $mounted := include "federation-agent.mountedSecrets" . | fromYamlArray -}}
{{- $asked := dict -}}
{{- if ne .Values.secretReferences "none" -}}
{{- range $namespace, $names := $found -}}
{{- range $names -}}
{{- if not (and (eq $namespace $.Release.Namespace) (has . $mounted)) -}}
{{- $_ := set $asked $namespace (append (get $asked $namespace | default list) .) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- toYaml $asked -}}
{{- end -}}

{{/* Whether the pod asks the cluster's API for anything. */}}
{{- define "federation-agent.asksCluster" -}}
{{- $account := include "federation-agent.serviceAccount" . | fromYaml -}}
{{- if or $account.roleRules (include "federation-agent.askedSecrets" . | fromYaml) -}}yes{{- end -}}
{{- end -}}

{{- define "federation-agent.logging" -}}
{{- $agent := .Values.agent | default dict -}}
{{- toYaml (mergeOverwrite (deepCopy .Values.config.logging) (deepCopy (($agent.config | default dict).logging | default dict))) -}}
{{- end -}}

{{- define "federation-agent.logFormat" -}}
{{- ternary "json" "text" (include "federation-agent.logging" . | fromYaml).json -}}
{{- end -}}

{{/* FEDERATION_AGENT_LOG of `config.logging`. Java's loggers become what corresponds to them, or nothing. */}}
{{- define "federation-agent.log" -}}
{{- $logging := include "federation-agent.logging" . | fromYaml -}}
{{- $levels := dict "off" "off" "error" "error" "warn" "warn" "info" "info" "debug" "debug" "trace" "trace" "all" "trace" -}}
{{- $names := list -}}
{{- $loggers := $logging.additionalLoggers -}}
{{- if kindIs "string" $loggers -}}{{- $loggers = fromYamlArray (tpl $loggers .) -}}{{- end -}}
{{- range $loggers -}}
{{- $level := get $levels (toString .level | lower) -}}
{{- if not $level -}}{{- fail (printf "config.logging.additionalLoggers: %v: the level is one of OFF, ERROR, WARN, INFO, DEBUG, TRACE" .) -}}{{- end -}}
{{- $own := list -}}
{{- if hasPrefix "federation_agent" .name -}}{{- $own = list .name -}}
{{- else if hasPrefix "io.gravitee.exchange" .name -}}{{- $own = list "federation_agent::link" "federation_agent::exchange" -}}
{{- else if hasPrefix "com.graviteesource.federationprovider" .name -}}{{- $own = list "federation_agent::provider" -}}
{{- end -}}
{{- range $own -}}{{- $names = append $names (printf "%s=%s" . $level) -}}{{- end -}}
{{- end -}}
{{- $level := get $levels (toString $logging.graviteeLevel | lower) -}}
{{- if not $level -}}{{- fail (printf "config.logging.graviteeLevel: %v: one of OFF, ERROR, WARN, INFO, DEBUG, TRACE" $logging.graviteeLevel) -}}{{- end -}}
{{- append $names $level | join "," -}}
{{- end -}}
