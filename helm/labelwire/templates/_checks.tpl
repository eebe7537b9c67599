{{/* What values.schema.json cannot say: relations between values. Each refusal is one sentence. */}}
{{- define "labelwire.checks" -}}
{{- if not .Values.kafka.bootstrapServers -}}
{{- fail "kafka.bootstrapServers is empty: give your brokers as host:port,host:port" -}}
{{- end -}}
{{- include "labelwire.checkNames" . -}}
{{- include "labelwire.checkTopics" . -}}
{{- include "labelwire.checkEnvironment" . -}}
{{- include "labelwire.checkReplicas" . -}}
{{- if .Values.worker.autoscaling.enabled -}}
{{- include "labelwire.checkKeda" . -}}
{{- end -}}
{{- if .Values.triton.enabled -}}
{{- include "labelwire.checkSharedMemory" . -}}
{{- end -}}
{{- end -}}

{{- define "labelwire.checkNames" -}}
{{- if regexMatch "^[0-9]" (include "labelwire.fullname" .) -}}
{{- fail (printf "the objects would be named %s, and a Service's name must begin with a letter: set fullnameOverride" (include "labelwire.fullname" .)) -}}
{{- end -}}
{{- $own := list "app.kubernetes.io/name" "app.kubernetes.io/instance" "app.kubernetes.io/component" "app.kubernetes.io/version" "app.kubernetes.io/managed-by" "helm.sh/chart" -}}
{{- range $path, $labels := dict "commonLabels" .Values.commonLabels "worker.podLabels" .Values.worker.podLabels "triton.podLabels" .Values.triton.podLabels "metrics.podMonitor.labels" .Values.metrics.podMonitor.labels "metrics.rules.labels" .Values.metrics.rules.labels -}}
{{- range $label, $_ := $labels -}}
{{- if has $label $own -}}
{{- fail (printf "%s has %s, by which the chart selects its objects: choose another name" $path $label) -}}
{{- end -}}
{{- if and (ne $path "commonLabels") (hasKey $.Values.commonLabels $label) -}}
{{- fail (printf "%s has %s, which stands in commonLabels too: leave one out" $path $label) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "labelwire.checkTopics" -}}
{{- $taken := dict -}}
{{- range $level, $topic := include "labelwire.retryTopics" . | fromJsonArray -}}
{{- $_ := set $taken $topic (printf "retry topic %d of topics.jobs" (add1 $level)) -}}
{{- end -}}
{{- range $key, $topic := include "labelwire.namedTopics" . | fromJson -}}
{{- if hasKey $taken $topic -}}
{{- fail (printf "topics.%s is %s, which is %s as well: each needs a topic of its own" $key $topic (get $taken $topic)) -}}
{{- end -}}
{{- $_ := set $taken $topic (printf "topics.%s" $key) -}}
{{- end -}}
{{- end -}}

{{- define "labelwire.checkReplicas" -}}
{{- $partitions := int .Values.topics.jobsPartitions -}}
{{- $scaling := .Values.worker.autoscaling -}}
{{- if not $scaling.enabled -}}
{{- if gt (int .Values.worker.replicas) $partitions -}}
{{- fail (printf "worker.replicas is %d, but topics.jobsPartitions is %d: a worker without a partition never becomes ready; lower the first or raise the topic's partitions" (int .Values.worker.replicas) $partitions) -}}
{{- end -}}
{{- else -}}
{{- if gt (int $scaling.maxReplicas) $partitions -}}
{{- fail (printf "worker.autoscaling.maxReplicas is %d, but topics.jobsPartitions is %d: a worker without a partition never becomes ready; lower the first or raise the topic's partitions" (int $scaling.maxReplicas) $partitions) -}}
{{- end -}}
{{- if gt (int $scaling.minReplicas) (int $scaling.maxReplicas) -}}
{{- fail (printf "worker.autoscaling.minReplicas is %d, over maxReplicas %d: lower the first" (int $scaling.minReplicas) (int $scaling.maxReplicas)) -}}
{{- end -}}
{{- if gt (int $scaling.fallback.replicas) (int $scaling.maxReplicas) -}}
{{- fail (printf "worker.autoscaling.fallback.replicas is %d, over maxReplicas %d: lower the first" (int $scaling.fallback.replicas) (int $scaling.maxReplicas)) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "labelwire.checkSharedMemory" -}}
{{- $limit := required "triton.resources.limits.memory is missing: /dev/shm lies in memory and needs a limit around it" (dig "limits" "memory" "" .Values.triton.resources) -}}
{{- $shm := include "labelwire.mebibytes" (list "triton.shmSize" .Values.triton.shmSize) | int -}}
{{- if ge (mul 2 $shm) (include "labelwire.mebibytes" (list "triton.resources.limits.memory" $limit) | int) -}}
{{- fail (printf "triton.shmSize is %s, half or more of triton.resources.limits.memory %s: it counts in that limit; raise the limit" .Values.triton.shmSize $limit) -}}
{{- end -}}
{{- end -}}

{{/* Mebibytes of (list "value's name" "4Gi"). */}}
{{- define "labelwire.mebibytes" -}}
{{- $quantity := index . 1 | toString -}}
{{- if regexMatch "^[0-9]+Gi$" $quantity -}}
{{- mul 1024 (trimSuffix "Gi" $quantity | int) -}}
{{- else if regexMatch "^[0-9]+Mi$" $quantity -}}
{{- trimSuffix "Mi" $quantity | int -}}
{{- else -}}
{{- fail (printf "%s is %s: write it in whole Mi or Gi" (index . 0) $quantity) -}}
{{- end -}}
{{- end -}}
