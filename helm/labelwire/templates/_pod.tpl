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

{{/* Where a component's pods may run: (list $ "worker"). A worker with Triton beside it needs what both need. */}}
{{- define "labelwire.placement" -}}
{{- $root := index . 0 -}}
{{- $component := index . 1 -}}
{{- $values := index $root.Values $component -}}
{{- $triton := $root.Values.triton -}}
{{- if and (eq $component "worker") $triton.enabled $triton.coLocated -}}
{{- $values = dict
  "priorityClassName" (default $triton.priorityClassName $values.priorityClassName)
  "runtimeClassName" $triton.runtimeClassName
  "nodeSelector" (merge (dict) $values.nodeSelector $triton.nodeSelector)
  "tolerations" (concat $values.tolerations $triton.tolerations)
  "affinity" (default $triton.affinity $values.affinity)
  "topologySpread" $values.topologySpread
-}}
{{- end -}}
{{- with $root.Values.imagePullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.priorityClassName }}
priorityClassName: {{ . | quote }}
{{- end }}
{{- with $values.runtimeClassName }}
runtimeClassName: {{ . | quote }}
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

{{/* The ports of each component's pods that have metrics, as JSON. */}}
{{- define "labelwire.metricsPorts" -}}
{{- $ports := dict "worker" (list "http") -}}
{{- if has "triton" (include "labelwire.components" . | fromJsonArray) -}}
{{- $_ := set $ports "triton" (list "metrics") -}}
{{- else if .Values.triton.enabled -}}
{{- $_ := set $ports "worker" (list "http" "metrics") -}}
{{- end -}}
{{- toJson $ports -}}
{{- end -}}

{{/*
The pod of a command that runs once, with the workers' image, settings and credentials:
(dict "root" $ "component" "audit" "args" (list …) "resources" RESOURCES), with "space" for a volume other than the
workers' /tmp, and "stateClaim" for a claim to mount at /state.
*/}}
{{- define "labelwire.toolPod" -}}
{{- $root := .root -}}
{{- $worker := $root.Values.worker -}}
serviceAccountName: {{ include "labelwire.serviceAccountName" (list $root "worker") }}
automountServiceAccountToken: false
enableServiceLinks: false
restartPolicy: Never
securityContext: {{- include "labelwire.podSecurity" (list $root "worker") | nindent 2 }}
{{- with $root.Values.imagePullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $worker.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $worker.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
containers:
  - name: {{ .component }}
    image: {{ include "labelwire.image" (list $root "worker") | quote }}
    imagePullPolicy: {{ $worker.image.pullPolicy }}
    args: {{- toYaml .args | nindent 6 }}
    env: {{- include "labelwire.workerEnvironment" $root | trim | nindent 6 }}
    {{- with include "labelwire.workerEnvFrom" $root }}
    envFrom: {{- trim . | nindent 6 }}
    {{- end }}
    resources: {{- toYaml .resources | nindent 6 }}
    securityContext: {{- include "labelwire.containerSecurity" (list $root "worker") | nindent 6 }}
    volumeMounts:
      - {name: tmp, mountPath: /tmp}
      {{- if .stateClaim }}
      - {name: state, mountPath: /state}
      {{- end }}
      {{- with $worker.extraVolumeMounts }}{{ toYaml . | nindent 6 }}{{ end }}
volumes:
  {{- with .stateClaim }}
  - name: state
    persistentVolumeClaim: {claimName: {{ . | quote }}}
  {{- end }}
  - name: tmp
    {{- default (dict "emptyDir" (dict "sizeLimit" $worker.tmpSize)) .space | toYaml | nindent 4 }}
  {{- with $worker.extraVolumes }}{{ toYaml . | nindent 2 }}{{ end }}
{{- end -}}
