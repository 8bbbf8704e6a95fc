{{- define "federation-agent.configPath" -}}/opt/graviteeio-federation-agent/config{{- end -}}

{{/* Whether there is a file of settings to mount. */}}
{{- define "federation-agent.configMounted" -}}
{{- $taken := false -}}
{{- range include "federation-agent.list" (dict "root" . "key" "extraVolumeMounts") | fromYamlArray -}}
{{- if eq .mountPath (include "federation-agent.configPath" $) -}}{{- $taken = true -}}{{- end -}}
{{- end -}}
{{- if not $taken -}}yes{{- end -}}
{{- end -}}

{{/* The variables: the user's, and those of ours that the user has not named. */}}
{{- define "federation-agent.env" -}}
{{- $http := include "federation-agent.http" . | fromYaml -}}
{{- $users := include "federation-agent.list" (dict "root" . "key" "extraEnvs") | fromYamlArray -}}
{{- $path := include "federation-agent.configPath" . -}}
{{- $own := list
  (dict "name" "FEDERATION_AGENT_LISTEN" "value" (ternary (printf "0.0.0.0:%d" (int $http.port)) "off" $http.enabled))
  (dict "name" "FEDERATION_AGENT_DATA_DIR" "value" "/var/lib/federation-agent")
  (dict "name" "FEDERATION_AGENT_LOG" "value" (include "federation-agent.log" .))
  (dict "name" "FEDERATION_AGENT_LOG_FORMAT" "value" (include "federation-agent.logFormat" .))
  (dict "name" "JDK_JAVA_OPTIONS" "value" (printf "-Dgravitee.conf=%s/gravitee.yml,%s/gravitee-override.yml" $path $path))
-}}
{{- $named := dict -}}
{{- range $users -}}{{- $_ := set $named .name true -}}{{- end -}}
{{- $all := list -}}
{{- range $own -}}{{- if not (hasKey $named .name) -}}{{- $all = append $all . -}}{{- end -}}{{- end -}}
{{- toYaml (concat $all $users) -}}
{{- end -}}

{{- define "federation-agent.envFrom" -}}
{{- $list := include "federation-agent.list" (dict "root" . "key" "envFrom") | fromYamlArray -}}
{{- with $list -}}
envFrom:
  {{- toYaml . | nindent 2 }}
{{- end -}}
{{- end -}}

{{- define "federation-agent.mounts" -}}
- name: federation-agent-data
  mountPath: /var/lib/federation-agent
{{- if include "federation-agent.configMounted" . }}
- name: federation-agent-config
  mountPath: {{ include "federation-agent.configPath" . }}
  readOnly: true
{{- end }}
{{- range $index, $name := include "federation-agent.mountedSecrets" . | fromYamlArray }}
- name: federation-agent-secret-{{ $index }}
  mountPath: /run/secrets/{{ $name }}
  readOnly: true
{{- end }}
{{- with include "federation-agent.list" (dict "root" . "key" "extraVolumeMounts") | fromYamlArray }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "federation-agent.volumes" -}}
- name: federation-agent-data
  {{- if .Values.persistence.enabled }}
  persistentVolumeClaim:
    claimName: {{ .Values.persistence.existingClaim | default (include "federation-agent.fullname" .) }}
  {{- else }}
  emptyDir:
    sizeLimit: 64Mi
  {{- end }}
{{- if include "federation-agent.configMounted" . }}
- name: federation-agent-config
  projected:
    defaultMode: 0440
    sources:
      - configMap:
          name: {{ include "federation-agent.fullname" . }}
          items:
            - key: gravitee.yml
              path: gravitee.yml
      - secret:
          name: {{ .Values.config.existingSecret | default (printf "%s-config" (include "federation-agent.fullname" .)) }}
          items:
            - key: {{ ternary .Values.config.existingSecretKey "gravitee-override.yml" (not (empty .Values.config.existingSecret)) }}
              path: gravitee-override.yml
{{- end }}
{{- range $index, $name := include "federation-agent.mountedSecrets" . | fromYamlArray }}
- name: federation-agent-secret-{{ $index }}
  secret:
    secretName: {{ $name }}
    defaultMode: 0440
{{- end }}
{{- with include "federation-agent.list" (dict "root" . "key" "extraVolumes") | fromYamlArray }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "federation-agent.resources" -}}
{{- include "federation-agent.value" (dict "root" . "key" "resources") | default (toYaml .Values.defaultResources) -}}
{{- end -}}

{{/* The Secrets to pull with: names, from one name, names, or objects with a name. */}}
{{- define "federation-agent.pullSecrets" -}}
{{- $kubernetes := .Values.kubernetes | default dict -}}
{{- $given := coalesce .Values.image.pullSecretsRef (($kubernetes.deployment | default dict).image | default dict).pullSecretsRef ($kubernetes.image | default dict).pullSecretsRef -}}
{{- if kindIs "string" $given -}}{{- $given = list $given -}}{{- end -}}
{{- $list := list -}}
{{- range $given -}}{{- $list = append $list (ternary (dict "name" .) . (kindIs "string" .)) -}}{{- end -}}
{{- with $list -}}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end -}}
{{- end -}}

{{- define "federation-agent.pullPolicy" -}}
{{- $kubernetes := .Values.kubernetes | default dict -}}
{{- coalesce .Values.image.pullPolicy (($kubernetes.deployment | default dict).image | default dict).pullPolicy "IfNotPresent" -}}
{{- end -}}
