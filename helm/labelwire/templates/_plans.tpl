{{/* The pod that builds plans. */}}
{{- define "labelwire.plansPod" -}}
{{- $plans := .Values.triton.plans -}}
serviceAccountName: {{ include "labelwire.serviceAccountName" (list $ (ternary "worker" "triton" .Values.triton.coLocated)) }}
automountServiceAccountToken: false
enableServiceLinks: false
restartPolicy: Never
securityContext: {{- include "labelwire.podSecurity" (list $ "triton") | nindent 2 }}
{{- with .Values.imagePullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.triton.runtimeClassName }}
runtimeClassName: {{ . | quote }}
{{- end }}
# A plan loads on the GPU that built it, and on no other.
nodeSelector: {{- merge (dict "nvidia.com/gpu.product" $plans.gpu) .Values.triton.nodeSelector | toYaml | nindent 2 }}
{{- with .Values.triton.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
containers:
  - name: plans
    image: {{ include "labelwire.imageReference" (list $ "triton.plans" $plans.image) | quote }}
    imagePullPolicy: {{ $plans.image.pullPolicy }}
    command: [labelwire]
    args:
      - models
      - build
      - --profile=tensorrt
      - --output=/plans/{{ include "labelwire.planKey" . }}
      {{- range $plans.args }}
      - {{ . | quote }}
      {{- end }}
    env:
      # What TensorRT measured speeds the next build up.
      - {name: LABELWIRE_CACHE_DIR, value: /plans/cache}
      - {name: HOME, value: /tmp}
    resources: {{- include "labelwire.withGpus" (list $plans.resources 1) | nindent 6 }}
    securityContext: {{- include "labelwire.containerSecurity" (list $ "triton") | nindent 6 }}
    volumeMounts:
      - {name: tmp, mountPath: /tmp}
      - {name: plans, mountPath: /plans}
volumes:
  - name: tmp
    emptyDir: {sizeLimit: {{ .Values.triton.tmpSize }}}
  - name: plans
    persistentVolumeClaim: {claimName: {{ $plans.claim | quote }}}
{{- end -}}

{{/* A hash of what makes plans: the name of their folder. */}}
{{- define "labelwire.planKey" -}}
{{- $plans := .Values.triton.plans -}}
{{- list $plans.gpu $plans.models $plans.args (include "labelwire.imageReference" (list $ "triton.plans" $plans.image)) (include "labelwire.image" (list $ "triton")) | toJson | sha256sum | trunc 10 -}}
{{- end -}}
