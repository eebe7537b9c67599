{{/* The server's container, as an entry of a list of containers. */}}
{{- define "labelwire.tritonContainer" -}}
{{- $triton := .Values.triton -}}
name: triton
image: {{ include "labelwire.image" (list $ "triton") | quote }}
imagePullPolicy: {{ $triton.image.pullPolicy }}
# No command: NVIDIA's entrypoint matches the driver's libraries, then becomes the server.
args:
  {{- $served := include "labelwire.servedRepositories" . | fromJson }}
  {{- with $served.choices }}
  # Becomes the server, with the first repository that fits this host in the place of {}.
  - python3
  - /opt/labelwire/choice.py
  {{- range . }}
  - {{ . | quote }}
  {{- end }}
  - "--"
  {{- end }}
  - tritonserver
  {{- range $served.repositories }}
  - {{ printf "--model-repository=%s" . | quote }}
  {{- end }}
  - --model-control-mode=none
  - --disable-auto-complete-config
  - --strict-readiness=true
  - --exit-timeout-secs={{ int $triton.exitTimeoutSeconds }}
  - --grpc-port=8001
  - --grpc-max-connection-age={{ mul $triton.maxConnectionAgeSeconds 1000 }}
  # The worker pings every 30 s while calls run; a stricter server would hang up on it.
  - --grpc-keepalive-permit-without-calls=1
  - --grpc-http2-min-recv-ping-interval-without-data=20000
  # What the worker does not need answers only to who may read the pod's uid.
  - --grpc-restricted-protocol=shared-memory,model-repository,trace,logging:labelwire-operator=$(POD_UID)
  # HTTP is for health only.
  - --http-port=8000
  - --http-restricted-api=metadata,inference,shared-memory,model-config,model-repository,statistics,trace,logging:labelwire-operator=$(POD_UID)
  - --metrics-port=8002
  {{- if $triton.ipv6Only }}
  # gRPC listens on both families by itself. HTTP and metrics take one; libevhtp wants the prefix.
  - "--http-address=ipv6:::"
  - "--metrics-address=ipv6:::"
  {{- end }}
  - --allow-gpu-metrics={{ gt (int $triton.gpuCount) 0 }}
  - --log-format=ISO8601
  {{- with $.Values.tracing.endpoint }}
  # Continues the traces of requests that carry one, and begins none.
  - --trace-config=mode=opentelemetry
  - --trace-config=rate=0
  - --trace-config=level=TIMESTAMPS
  - {{ printf "--trace-config=opentelemetry,url=%s/v1/traces" (trimSuffix "/" .) | quote }}
  {{- end }}
  {{- range $triton.extraArgs }}
  - {{ . | quote }}
  {{- end }}
env:
  - name: POD_UID
    valueFrom:
      fieldRef: {fieldPath: metadata.uid}
  # Caches go where the pod may write.
  - {name: HOME, value: /tmp}
  {{- with $triton.extraEnv }}{{ toYaml . | nindent 2 }}{{ end }}
{{- with $triton.envFrom }}
envFrom: {{- toYaml . | nindent 2 }}
{{- end }}
ports:
  - {name: health, containerPort: 8000, protocol: TCP}
  - {name: grpc, containerPort: 8001, protocol: TCP}
  - {name: metrics, containerPort: 8002, protocol: TCP}
startupProbe:
  httpGet: {path: /v2/health/ready, port: health}
  periodSeconds: {{ int $triton.probes.readiness.periodSeconds }}
  timeoutSeconds: {{ int $triton.probes.readiness.timeoutSeconds }}
  failureThreshold: {{ div (add $triton.startupSeconds (sub $triton.probes.readiness.periodSeconds 1)) $triton.probes.readiness.periodSeconds }}
livenessProbe:
  httpGet: {path: /v2/health/live, port: health}
  {{- include "labelwire.probe" $triton.probes.liveness | nindent 2 }}
readinessProbe:
  httpGet: {path: /v2/health/ready, port: health}
  {{- include "labelwire.probe" $triton.probes.readiness | nindent 2 }}
resources: {{- include "labelwire.tritonResources" . | nindent 2 }}
securityContext: {{- include "labelwire.containerSecurity" (list $ "triton") | nindent 2 }}
volumeMounts:
  - {name: shm, mountPath: /dev/shm}
  - {name: triton-tmp, mountPath: /tmp}
  {{- if ne $triton.models.source "image" }}
  - {name: models, mountPath: /models, readOnly: true}
  {{- end }}
  {{- if $triton.plans.enabled }}
  - {name: plans, mountPath: /plans, readOnly: true}
  {{- end }}
  {{- with $triton.extraVolumeMounts }}{{ toYaml . | nindent 2 }}{{ end }}
{{- end -}}

{{/*
What the server serves, as JSON: `repositories` are served, and the first of `choices` that fits the host takes the place
of {} among them.
*/}}
{{- define "labelwire.servedRepositories" -}}
{{- $triton := .Values.triton -}}
{{- $repositories := list $triton.modelRepository -}}
{{- if eq $triton.models.source "registry" -}}
{{- $repositories = list -}}
{{- range $triton.models.registry.versions -}}{{- $repositories = append $repositories (printf "/models/%s" .) -}}{{- end -}}
{{- end -}}
{{- $choices := $triton.repositories -}}
{{- if $triton.plans.enabled -}}
{{- $choices = prepend (default (list (first $repositories)) $choices) (printf "/plans/%s" (include "labelwire.planKey" .)) -}}
{{- end -}}
{{- if $choices -}}
{{- $others := list -}}
{{- range rest $repositories -}}{{- $others = append $others . -}}{{- end -}}
{{- $repositories = concat (list "{}") $others -}}
{{- end -}}
{{- dict "choices" $choices "repositories" (concat $repositories $triton.extraModelRepositories) | toJson -}}
{{- end -}}

{{/* What runs before the server: models are fetched, plans are waited for. Empty if nothing does. */}}
{{- define "labelwire.tritonInitContainers" -}}
{{- $triton := .Values.triton -}}
{{- $registry := $triton.models.registry -}}
{{- if eq $triton.models.source "registry" }}
{{- range $number, $version := $registry.versions }}
- name: fetch-{{ $number }}
  image: {{ include "labelwire.image" (list $ "worker") | quote }}
  imagePullPolicy: {{ $.Values.worker.image.pullPolicy }}
  # The whole id is the checksum of the version: any other content is refused.
  args: [models, fetch, {{ $version | quote }}, {{ printf "--registry=%s" $registry.url | quote }}, --output=/models/{{ $version }}]
  {{- with $registry.extraEnv }}
  env: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $registry.envFrom }}
  envFrom: {{- toYaml . | nindent 4 }}
  {{- end }}
  resources: {{- toYaml $registry.resources | nindent 4 }}
  securityContext: {{- include "labelwire.containerSecurity" (list $ "triton") | nindent 4 }}
  volumeMounts:
    - {name: models, mountPath: /models}
    - {name: triton-tmp, mountPath: /tmp}
{{- end }}
{{- end }}
{{- if and $triton.plans.enabled (gt (int $triton.plans.waitSeconds) 0) }}
- name: wait-for-plans
  image: {{ include "labelwire.image" (list $ "triton") | quote }}
  imagePullPolicy: {{ $triton.image.pullPolicy }}
  # A build renames the whole repository into its place. Where none comes in time, Triton serves its next choice.
  command:
    - python3
    - -c
    - |
      import os, time
      deadline = time.monotonic() + {{ int $triton.plans.waitSeconds }}
      while not os.path.exists("/plans/{{ include "labelwire.planKey" . }}/labelwire.json") and time.monotonic() < deadline:
          time.sleep(2)
  resources:
    requests: {cpu: 50m, memory: 64Mi}
    limits: {memory: 64Mi}
  securityContext: {{- include "labelwire.containerSecurity" (list $ "triton") | nindent 4 }}
  volumeMounts:
    - {name: plans, mountPath: /plans, readOnly: true}
{{- end }}
{{- end -}}

{{/* The volumes of the server's container. */}}
{{- define "labelwire.tritonVolumes" -}}
{{- $triton := .Values.triton -}}
- name: shm
  emptyDir: {medium: Memory, sizeLimit: {{ $triton.shmSize }}}
- name: triton-tmp
  emptyDir: {sizeLimit: {{ $triton.tmpSize }}}
{{- if eq $triton.models.source "claim" }}
- name: models
  persistentVolumeClaim: {claimName: {{ $triton.models.claim | quote }}, readOnly: true}
{{- else if eq $triton.models.source "imageVolume" }}
- name: models
  image: {reference: {{ $triton.models.imageVolume | quote }}, pullPolicy: IfNotPresent}
{{- else if eq $triton.models.source "registry" }}
- name: models
  emptyDir: {sizeLimit: {{ $triton.models.registry.size }}}
{{- end }}
{{- if $triton.plans.enabled }}
- name: plans
  persistentVolumeClaim: {claimName: {{ $triton.plans.claim | quote }}}
{{- end }}
{{- with $triton.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "labelwire.tritonResources" -}}
{{- include "labelwire.withGpus" (list .Values.triton.resources .Values.triton.gpuCount) -}}
{{- end -}}

{{/* Resources with GPUs: (list RESOURCES COUNT). */}}
{{- define "labelwire.withGpus" -}}
{{- $resources := deepCopy (index . 0) -}}
{{- if gt (int (index . 1)) 0 -}}
{{- $limits := merge (dict "nvidia.com/gpu" (int (index . 1))) (default (dict) $resources.limits) -}}
{{- $_ := set $resources "limits" $limits -}}
{{- end -}}
{{- toYaml $resources -}}
{{- end -}}

{{/* How long a pod of Triton may take until it is ready, with a margin for images. */}}
{{- define "labelwire.tritonStartSeconds" -}}
{{- add .Values.triton.startupSeconds (ternary .Values.triton.plans.waitSeconds 0 .Values.triton.plans.enabled) 120 -}}
{{- end -}}
