{{/* A container's security context: nothing to gain, nothing to write. (list $ "worker") */}}
{{- define "labelwire.containerSecurity" -}}
{{- $ids := (index (index . 0).Values (index . 1)).podSecurity -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- range $id := list "runAsUser" "runAsGroup" }}
{{- if not (kindIs "invalid" (index $ids $id)) }}
{{ $id }}: {{ int64 (index $ids $id) }}
{{- end }}
{{- end }}
{{- end -}}

{{/* A pod's security context: (list $ "worker"). */}}
{{- define "labelwire.podSecurity" -}}
{{- $ids := (index (index . 0).Values (index . 1)).podSecurity -}}
runAsNonRoot: true
{{- if not (kindIs "invalid" $ids.fsGroup) }}
fsGroup: {{ int64 $ids.fsGroup }}
{{- end }}
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{/* Seconds and failures of a probe of values. */}}
{{- define "labelwire.probe" -}}
periodSeconds: {{ int .periodSeconds }}
timeoutSeconds: {{ int .timeoutSeconds }}
failureThreshold: {{ int .failureThreshold }}
{{- end -}}

{{/* Where a component's pods may run: (list $ "worker"). */}}
{{- define "labelwire.placement" -}}
{{- $root := index . 0 -}}
{{- $component := index . 1 -}}
{{- $values := index $root.Values $component -}}
{{- with $root.Values.imagePullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with $values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.topologySpread }}
topologySpreadConstraints:
  {{- range . }}
  - {{ toYaml . | nindent 4 | trim }}
    labelSelector:
      matchLabels: {{- include "labelwire.selectorLabels" (list $root $component) | nindent 8 }}
  {{- end }}
{{- end }}
{{- end -}}
