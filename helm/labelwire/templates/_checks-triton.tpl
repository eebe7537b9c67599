{{/* Refuses a Triton that could not start, or that nobody would ask. */}}
{{- define "labelwire.checkTriton" -}}
{{- $triton := .Values.triton -}}
{{- if $triton.enabled -}}
{{- if $triton.url -}}
{{- fail (printf "triton.url is %s, but triton.enabled is true: leave the address out, or set triton.enabled to false to use that server" $triton.url) -}}
{{- end -}}
{{- include "labelwire.checkSharedMemory" . -}}
{{- include "labelwire.checkArguments" . -}}
{{- include "labelwire.checkModels" . -}}
{{- $rolling := $triton.strategy.rollingUpdate -}}
{{- if and (eq $triton.strategy.type "RollingUpdate") (has (toString $rolling.maxSurge) (list "0" "0%")) (has (toString $rolling.maxUnavailable) (list "0" "0%")) -}}
{{- fail "triton.strategy.rollingUpdate has maxSurge and maxUnavailable 0, so no pod could ever be replaced: raise one of them" -}}
{{- end -}}
{{- if $triton.plans.enabled -}}{{- include "labelwire.checkPlans" . -}}{{- end -}}
{{- if $triton.coLocated -}}
{{- include "labelwire.checkCoLocated" . -}}
{{- else if $triton.autoscaling.enabled -}}
{{- include "labelwire.checkScaling" (list "triton" $triton) -}}
{{- if and (eq $triton.autoscaling.type "keda") (not $triton.autoscaling.prometheusUrl) -}}
{{- fail "triton.autoscaling.prometheusUrl is empty: give the address of a Prometheus that scrapes Triton, such as http://prometheus.monitoring:9090" -}}
{{- end -}}
{{- end -}}
{{- else -}}
{{- range $path, $isSet := dict "coLocated" $triton.coLocated "autoscaling.enabled" $triton.autoscaling.enabled "plans.enabled" $triton.plans.enabled -}}
{{- if $isSet -}}
{{- fail (printf "triton.%s is true, but triton.enabled is false, so there is no Triton: set one of them otherwise" $path) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Triton takes the last of two, so one here would open what the chart closes, or leave the probes without a port. */}}
{{- define "labelwire.checkArguments" -}}
{{- range $argument := .Values.triton.extraArgs -}}
{{- $flag := regexFind "^[^=]+" $argument -}}
{{- if has $flag (list "--model-repository" "--model-store" "--model-control-mode" "--disable-auto-complete-config" "--strict-readiness" "--exit-timeout-secs" "--grpc-port" "--grpc-max-connection-age" "--grpc-keepalive-permit-without-calls" "--grpc-http2-min-recv-ping-interval-without-data" "--grpc-restricted-protocol" "--http-port" "--http-restricted-api" "--http-address" "--metrics-port" "--metrics-address" "--allow-gpu-metrics" "--log-format") -}}
{{- fail (printf "triton.extraArgs has %s, which the chart sets: leave it out" $flag) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "labelwire.checkCoLocated" -}}
{{- if semverCompare "<1.29.0-0" .Capabilities.KubeVersion.Version -}}
{{- fail (printf "triton.coLocated is true, but Kubernetes %s has no sidecars: use 1.29 or newer, or set triton.coLocated to false" .Capabilities.KubeVersion.Version) -}}
{{- end -}}
{{- if .Values.triton.autoscaling.enabled -}}
{{- fail "triton.autoscaling.enabled is true, but triton.coLocated is true, so it scales with the workers: set worker.autoscaling instead" -}}
{{- end -}}
{{- $port := int .Values.worker.httpPort -}}
{{- if and (ge $port 8000) (le $port 8002) -}}
{{- fail (printf "worker.httpPort is %d, which Triton has in the same pod: take another one, such as 8080" $port) -}}
{{- end -}}
{{- end -}}

{{- define "labelwire.checkModels" -}}
{{- $triton := .Values.triton -}}
{{- $models := $triton.models -}}
{{- $isBucket := false -}}
{{- range prepend $triton.extraModelRepositories $triton.modelRepository -}}
{{- if not (hasPrefix "/" .) -}}{{- $isBucket = true -}}{{- end -}}
{{- end -}}
{{- if has $models.source (list "claim" "imageVolume") -}}
{{- if not (get $models $models.source) -}}
{{- fail (printf "triton.models.%s is empty, but triton.models.source is %s: name what holds the repository" $models.source $models.source) -}}
{{- end -}}
{{- if not (regexMatch "^/models(/|$)" $triton.modelRepository) -}}
{{- fail (printf "triton.modelRepository is %s, but triton.models.source is %s, which is mounted at /models: give a folder there" $triton.modelRepository $models.source) -}}
{{- end -}}
{{- end -}}
{{- if eq $models.source "imageVolume" -}}
{{- if semverCompare "<1.31.0-0" .Capabilities.KubeVersion.Version -}}
{{- fail (printf "triton.models.source is imageVolume, but Kubernetes %s mounts no images: use 1.31 or newer, or another source" .Capabilities.KubeVersion.Version) -}}
{{- end -}}
{{- if eq (splitList ":" $models.imageVolume | last) "latest" -}}
{{- fail "triton.models.imageVolume ends in latest: give a version or a digest, so that every pod serves the same models" -}}
{{- end -}}
{{- end -}}
{{- if eq $models.source "registry" -}}
{{- if not $models.registry.url -}}
{{- fail "triton.models.registry.url is empty, but triton.models.source is registry: give its folder, such as s3://bucket/registry" -}}
{{- end -}}
{{- if not $models.registry.versions -}}
{{- fail "triton.models.registry.versions is empty, but triton.models.source is registry: give the whole id of a version, which labelwire models list shows" -}}
{{- end -}}
{{- if ne $triton.modelRepository "/models" -}}
{{- fail (printf "triton.modelRepository is %s, but triton.models.source is registry, whose versions are served: leave it out" $triton.modelRepository) -}}
{{- end -}}
{{- end -}}
{{- if and .Values.networkPolicy.enabled (or $isBucket (eq $models.source "registry")) (not .Values.networkPolicy.tritonEgress) -}}
{{- fail "networkPolicy.tritonEgress is empty, but Triton's models come from elsewhere: add a rule that lets its pods reach the bucket" -}}
{{- end -}}
{{- end -}}

{{- define "labelwire.checkPlans" -}}
{{- $plans := .Values.triton.plans -}}
{{- if lt (int .Values.triton.gpuCount) 1 -}}
{{- fail "triton.plans.enabled is true, but triton.gpuCount is 0: a plan needs a GPU; set triton.gpuCount, or leave plans out" -}}
{{- end -}}
{{- range $name, $value := dict "image.repository" $plans.image.repository "gpu" $plans.gpu "models" $plans.models "claim" $plans.claim -}}
{{- if not $value -}}
{{- fail (printf "triton.plans.%s is empty, but triton.plans.enabled is true: set it, or leave plans out" $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
