{{/* The server's container, as an entry of a list of containers. */}}
{{- define "labelwire.tritonContainer" -}}
{{- $triton := .Values.triton -}}
name: triton
image: {{ include "labelwire.image" (list $ "triton") | quote }}
imagePullPolicy: {{ $triton.image.pullPolicy }}
# No command: NVIDIA's entrypoint matches the driver's libraries, then becomes the server.
args:
  {{- with $triton.repositories }}
  # Becomes the server, with the first repository that fits this host in the place of {}.
  - python3
  - /opt/labelwire/choice.py
  {{- range . }}
  - {{ . | quote }}
  {{- end }}
  - "--"
  {{- end }}
  - tritonserver
  - {{ printf "--model-repository=%s" (ternary "{}" $triton.modelRepository (gt (len $triton.repositories) 0)) | quote }}
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
  {{- with $triton.extraVolumeMounts }}{{ toYaml . | nindent 2 }}{{ end }}
{{- end -}}

{{/* The volumes of the server's container. */}}
{{- define "labelwire.tritonVolumes" -}}
{{- $triton := .Values.triton -}}
- name: shm
  emptyDir: {medium: Memory, sizeLimit: {{ $triton.shmSize }}}
- name: triton-tmp
  emptyDir: {sizeLimit: {{ $triton.tmpSize }}}
{{- with $triton.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "labelwire.tritonResources" -}}
{{- $resources := deepCopy .Values.triton.resources -}}
{{- if gt (int .Values.triton.gpuCount) 0 -}}
{{- $_ := set $resources.limits "nvidia.com/gpu" (int .Values.triton.gpuCount) -}}
{{- end -}}
{{- toYaml $resources -}}
{{- end -}}
