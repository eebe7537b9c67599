{{/* What values.schema.json cannot say: relations between values. Each refusal is one sentence. */}}
{{- define "labelwire.checks" -}}
{{- if not .Values.kafka.bootstrapServers -}}
{{- fail "kafka.bootstrapServers is empty: give your brokers as host:port,host:port" -}}
{{- end -}}
{{- include "labelwire.checkNames" . -}}
{{- include "labelwire.checkTopics" . -}}
{{- include "labelwire.checkEnvironment" . -}}
{{- include "labelwire.checkVolumes" . -}}
{{- include "labelwire.checkNetwork" . -}}
{{- include "labelwire.checkReplicas" . -}}
{{- include "labelwire.checkWorkerScaling" . -}}
{{- include "labelwire.checkTriton" . -}}
{{- include "labelwire.checkStrimzi" . -}}
{{- if and .Values.metrics.podMonitor.enabled .Values.metrics.serviceMonitor.enabled -}}
{{- fail "metrics.podMonitor.enabled and metrics.serviceMonitor.enabled are both true, so every pod would be scraped twice: leave one out" -}}
{{- end -}}
{{- end -}}

{{- define "labelwire.checkNames" -}}
{{- $account := .Values.triton.serviceAccount -}}
{{- if and $account.name (eq $account.name .Values.worker.serviceAccount.name) $account.create .Values.worker.serviceAccount.create -}}
{{- fail (printf "worker.serviceAccount.name and triton.serviceAccount.name are both %s, and both are to be made: set create to false for one" $account.name) -}}
{{- end -}}
{{- if regexMatch "^[0-9]" (include "labelwire.fullname" .) -}}
{{- fail (printf "the objects would be named %s, and a Service's name must begin with a letter: set fullnameOverride" (include "labelwire.fullname" .)) -}}
{{- end -}}
{{- $own := list "app.kubernetes.io/name" "app.kubernetes.io/instance" "app.kubernetes.io/component" "app.kubernetes.io/version" "app.kubernetes.io/managed-by" "helm.sh/chart" "strimzi.io/cluster" -}}
{{- range $path, $labels := dict "commonLabels" .Values.commonLabels "worker.podLabels" .Values.worker.podLabels "triton.podLabels" .Values.triton.podLabels "metrics.podMonitor.labels" .Values.metrics.podMonitor.labels "metrics.serviceMonitor.labels" .Values.metrics.serviceMonitor.labels "metrics.rules.labels" .Values.metrics.rules.labels "metrics.dashboards.labels" .Values.metrics.dashboards.labels -}}
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

{{/* A network that is closed to what the settings name would only be seen by jobs that wait. */}}
{{- define "labelwire.checkNetwork" -}}
{{- if and .Values.networkPolicy.enabled (not .Values.networkPolicy.workerEgress) -}}
{{- $given := dict -}}
{{- range $name, $value := .Values.worker.settings -}}{{- $_ := set $given $name (list (printf "worker.settings.%s" $name) $value) -}}{{- end -}}
{{- range .Values.worker.extraEnv -}}{{- $_ := set $given .name (list (printf "worker.extraEnv[%s]" .name) (default "" .value)) -}}{{- end -}}
{{- $far := dict -}}
{{- range $name, $pattern := dict "LABELWIRE_BLOB__ALLOWED_PREFIXES" "[a-z0-9]://" "LABELWIRE_CACHE__BACKEND" "^redis$" -}}
{{- if hasKey $given $name -}}
{{- if regexMatch $pattern (get $given $name | last | toString) -}}{{- $_ := set $far $name (get $given $name | first) -}}{{- end -}}
{{- end -}}
{{- end -}}
{{- $tokens := "sasl.oauthbearer.token.endpoint.url" -}}
{{- if hasKey .Values.kafka.client $tokens -}}{{- $_ := set $far $tokens (printf "kafka.client.%s" $tokens) -}}{{- end -}}
{{- range $_, $path := $far -}}
{{- fail (printf "networkPolicy.workerEgress is empty, but %s names what workers reach besides Kafka and Triton: add a rule that lets them" $path) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* In a pod with both, each needs names that the other has not. */}}
{{- define "labelwire.checkVolumes" -}}
{{- $triton := .Values.triton -}}
{{- $ofWorker := list "tmp" -}}
{{- $ofTriton := list "shm" "triton-tmp" -}}
{{- if ne $triton.models.source "image" -}}{{- $ofTriton = append $ofTriton "models" -}}{{- end -}}
{{- if $triton.plans.enabled -}}{{- $ofTriton = append $ofTriton "plans" -}}{{- end -}}
{{- if and $triton.enabled $triton.coLocated -}}
{{- include "labelwire.checkOnce" (list "worker.extraVolumes and triton.extraVolumes" (concat .Values.worker.extraVolumes $triton.extraVolumes) (concat $ofWorker $ofTriton)) -}}
{{- else -}}
{{- include "labelwire.checkOnce" (list "worker.extraVolumes" .Values.worker.extraVolumes $ofWorker) -}}
{{- include "labelwire.checkOnce" (list "triton.extraVolumes" $triton.extraVolumes $ofTriton) -}}
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

{{/* A worker without a partition never becomes ready. */}}
{{- define "labelwire.checkReplicas" -}}
{{- $partitions := int .Values.topics.jobsPartitions -}}
{{- $scaling := .Values.worker.autoscaling -}}
{{- $most := dict "worker.replicas" .Values.worker.replicas -}}
{{- if $scaling.enabled -}}{{- $most = dict "worker.autoscaling.maxReplicas" $scaling.maxReplicas -}}{{- end -}}
{{- range $path, $replicas := $most -}}
{{- if gt (int $replicas) $partitions -}}
{{- fail (printf "%s is %d, but topics.jobsPartitions is %d: a worker without a partition never becomes ready; lower the first or raise the topic's partitions" $path (int $replicas) $partitions) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "labelwire.checkWorkerScaling" -}}
{{- $scaling := .Values.worker.autoscaling -}}
{{- if $scaling.enabled -}}
{{- include "labelwire.checkScaling" (list "worker" .Values.worker) -}}
{{- if eq $scaling.type "keda" -}}
{{- include "labelwire.checkKeda" . -}}
{{- else if lt (int $scaling.minReplicas) 1 -}}
{{- fail "worker.autoscaling.minReplicas is 0, but worker.autoscaling.type is hpa, which needs a pod to measure: set it to 1 or more, or take keda" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* What holds for the autoscaling of each component: (list "worker" VALUES). */}}
{{- define "labelwire.checkScaling" -}}
{{- $component := index . 0 -}}
{{- $scaling := (index . 1).autoscaling -}}
{{- range $path, $replicas := dict "minReplicas" $scaling.minReplicas "fallback.replicas" $scaling.fallback.replicas -}}
{{- if gt (int $replicas) (int $scaling.maxReplicas) -}}
{{- fail (printf "%s.autoscaling.%s is %d, over maxReplicas %d: lower the first" $component $path (int $replicas) (int $scaling.maxReplicas)) -}}
{{- end -}}
{{- end -}}
{{- if and (eq $scaling.type "hpa") (not (dig "requests" "cpu" "" (index . 1).resources)) -}}
{{- fail (printf "%s.resources.requests.cpu is missing, and %s.autoscaling.type is hpa, which measures by it: set it" $component $component) -}}
{{- end -}}
{{- end -}}

{{- define "labelwire.checkStrimzi" -}}
{{- $strimzi := .Values.strimzi -}}
{{- if or $strimzi.topics.enabled $strimzi.user.enabled -}}
{{- if not $strimzi.cluster -}}
{{- fail "strimzi.cluster is empty: name the Kafka object that the topics and the user belong to" -}}
{{- end -}}
{{- end -}}
{{- if and $strimzi.topics.enabled (gt (int $strimzi.topics.minInsyncReplicas) (int $strimzi.topics.replicas)) -}}
{{- fail (printf "strimzi.topics.minInsyncReplicas is %d, over strimzi.topics.replicas %d: nothing could be written; lower the first" (int $strimzi.topics.minInsyncReplicas) (int $strimzi.topics.replicas)) -}}
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
