{{/* A value as a string; whole numbers stay whole (Helm reads 10485760 as 1.048576e+07). */}}
{{- define "labelwire.scalar" -}}
{{- if and (kindIs "float64" .) (eq . (floor .)) -}}{{ int64 . }}{{- else -}}{{ . }}{{- end -}}
{{- end -}}

{{/* The settings that follow from values: by environment name, the value's path and what it gives, as JSON. */}}
{{- define "labelwire.ownSettings" -}}
{{- $values := .Values -}}
{{- $own := dict
  "LABELWIRE_KAFKA__BOOTSTRAP_SERVERS" (list "kafka.bootstrapServers" $values.kafka.bootstrapServers)
  "LABELWIRE_KAFKA__GROUP_ID" (list "kafka.groupId" $values.kafka.groupId)
  "LABELWIRE_TRITON__URL" (list "triton.url" (include "labelwire.tritonUrl" .))
  "LABELWIRE_TRITON__MODEL_SET" (list "triton.modelSet" $values.triton.modelSet)
  "LABELWIRE_RUNTIME__DRAIN_SECONDS" (list "worker.drainSeconds" $values.worker.drainSeconds)
  "LABELWIRE_HTTP__HOST" (list "the chart" "::")
  "LABELWIRE_HTTP__PORT" (list "worker.httpPort" $values.worker.httpPort)
  "LABELWIRE_LOG__FORMAT" (list "the chart" "json")
-}}
{{- range $key, $topic := include "labelwire.namedTopics" . | fromJson -}}
{{- $_ := set $own (printf "LABELWIRE_TOPICS__%s" (snakecase $key | upper)) (list (printf "topics.%s" $key) $topic) -}}
{{- end -}}
{{- if $values.triton.enabled -}}
{{- $_ := set $own "LABELWIRE_TRITON__DEVICE" (list "triton.gpuCount" (ternary "gpu" "cpu" (gt (int $values.triton.gpuCount) 0))) -}}
{{- end -}}
{{- if $values.tracing.endpoint -}}
{{- $_ := set $own "LABELWIRE_TRACING__ENDPOINT" (list "tracing.endpoint" $values.tracing.endpoint) -}}
{{- $_ := set $own "LABELWIRE_TRACING__SAMPLE_RATIO" (list "tracing.sampleRatio" $values.tracing.sampleRatio) -}}
{{- end -}}
{{- toJson $own -}}
{{- end -}}

{{/* The topics that have a value, by its key, derived names filled in, as JSON. */}}
{{- define "labelwire.namedTopics" -}}
{{- $topics := .Values.topics -}}
{{- dict
  "jobs" $topics.jobs
  "results" $topics.results
  "deadLetters" $topics.deadLetters
  "replays" (default (printf "%s.replay" $topics.jobs) $topics.replays)
  "parked" (default (printf "%s.parked" $topics.jobs) $topics.parked)
  "replayRuns" (default (printf "%s.replay-runs" $topics.jobs) $topics.replayRuns)
  "rollouts" (default (printf "%s.rollouts" $topics.jobs) $topics.rollouts)
  | toJson -}}
{{- end -}}

{{/* The retry topics, in their order, as JSON. */}}
{{- define "labelwire.retryTopics" -}}
{{- $retries := list -}}
{{- range $level := list 1 2 3 -}}
{{- $retries = append $retries (printf "%s.retry.%d" $.Values.topics.jobs $level) -}}
{{- end -}}
{{- toJson $retries -}}
{{- end -}}

{{/* What kafka.secretKeys gives: by its key, the option of librdkafka and KEDA's parameter, as JSON. */}}
{{- define "labelwire.credentials" -}}
{{- dict
  "username" (dict "option" "sasl.username" "parameter" "username")
  "password" (dict "option" "sasl.password" "parameter" "password")
  "ca" (dict "option" "ssl.ca.pem" "parameter" "ca")
  "certificate" (dict "option" "ssl.certificate.pem" "parameter" "cert")
  "privateKey" (dict "option" "ssl.key.pem" "parameter" "key")
  "privateKeyPassword" (dict "option" "ssl.key.password" "parameter" "keyPassword")
  | toJson -}}
{{- end -}}

{{/* The environment name of an option of librdkafka. */}}
{{- define "labelwire.clientSetting" -}}
LABELWIRE_KAFKA__CLIENT__{{ upper . | replace "." "_" }}
{{- end -}}

{{/* The security protocol of the brokers, as librdkafka has it. */}}
{{- define "labelwire.protocol" -}}
{{- index .Values.kafka.client "security.protocol" | default "PLAINTEXT" | upper -}}
{{- end -}}

{{/* The worker's environment, as a list of variables. Part of the pod template, so a change rolls the pods. */}}
{{- define "labelwire.workerEnvironment" -}}
{{- $environment := dict -}}
{{- range $name, $setting := include "labelwire.ownSettings" . | fromJson -}}
{{- $_ := set $environment $name (last $setting) -}}
{{- end -}}
{{- range $option, $value := .Values.kafka.client -}}
{{- $_ := set $environment (include "labelwire.clientSetting" $option) $value -}}
{{- end -}}
{{- range $name, $value := .Values.worker.settings -}}
{{- $_ := set $environment $name $value -}}
{{- end -}}
{{- range $name, $value := $environment }}
- name: {{ $name }}
  value: {{ include "labelwire.scalar" $value | quote }}
{{- end }}
{{- range $key, $credential := include "labelwire.credentials" . | fromJson }}
{{- with get $.Values.kafka.secretKeys $key }}
- name: {{ include "labelwire.clientSetting" $credential.option }}
  valueFrom:
    secretKeyRef: {name: {{ .secret | quote }}, key: {{ .key | quote }}}
{{- end }}
{{- end }}
{{- with .Values.worker.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* The sources of the worker's environment; empty if there are none. */}}
{{- define "labelwire.workerEnvFrom" -}}
{{- with .Values.kafka.existingSecret }}
- secretRef: {name: {{ . | quote }}}
{{- end }}
{{- with .Values.worker.envFrom }}
{{ toYaml . }}
{{- end }}
{{- end -}}
