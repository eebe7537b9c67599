{{/* A value as a string; whole numbers stay whole (Helm reads 10485760 as 1.048576e+07). */}}
{{- define "labelwire.scalar" -}}
{{- if and (kindIs "float64" .) (eq . (floor .)) -}}{{ int64 . }}{{- else -}}{{ . }}{{- end -}}
{{- end -}}

{{/* The worker's settings as environment variables. Part of the pod template, so a change rolls the pods. */}}
{{- define "labelwire.workerEnvironment" -}}
{{- $values := .Values -}}
{{- $environment := dict
  "LABELWIRE_KAFKA__BOOTSTRAP_SERVERS" (required "kafka.bootstrapServers is empty: give your brokers as host:port,host:port" $values.kafka.bootstrapServers)
  "LABELWIRE_KAFKA__GROUP_ID" $values.kafka.groupId
  "LABELWIRE_TOPICS__JOBS" $values.topics.jobs
  "LABELWIRE_TOPICS__RESULTS" $values.topics.results
  "LABELWIRE_TOPICS__DEAD_LETTERS" $values.topics.deadLetters
  "LABELWIRE_TRITON__URL" (include "labelwire.tritonUrl" .)
  "LABELWIRE_RUNTIME__DRAIN_SECONDS" $values.worker.drainSeconds
  "LABELWIRE_HTTP__HOST" "::"
  "LABELWIRE_HTTP__PORT" $values.worker.httpPort
  "LABELWIRE_LOG__FORMAT" "json"
-}}
{{- if $values.triton.enabled -}}
{{- $_ := set $environment "LABELWIRE_TRITON__DEVICE" (ternary "gpu" "cpu" (gt (int $values.triton.gpuCount) 0)) -}}
{{- end -}}
{{- range $option, $value := $values.kafka.client -}}
{{- if regexMatch "password|secret|pem$|oauthbearer.config$" $option -}}
{{- fail (printf "kafka.client.%s is a credential: put it as LABELWIRE_KAFKA__CLIENT__%s into the Secret that kafka.existingSecret names" $option ($option | upper | replace "." "_")) -}}
{{- end -}}
{{- if has $option (list "bootstrap.servers" "group.id" "enable.auto.commit" "enable.auto.offset.store" "enable.idempotence" "acks") -}}
{{- fail (printf "kafka.client.%s belongs to the worker and cannot be passed through" $option) -}}
{{- end -}}
{{- $_ := set $environment (printf "LABELWIRE_KAFKA__CLIENT__%s" ($option | upper | replace "." "_")) $value -}}
{{- end -}}
{{- range $name, $value := $values.worker.settings -}}
{{- if hasKey $environment $name -}}
{{- fail (printf "worker.settings.%s is set by the chart from a value of its own: set that value instead" $name) -}}
{{- end -}}
{{- if regexMatch "PASSWORD|SECRET|TOKEN|PEM$" $name -}}
{{- fail (printf "worker.settings.%s is a credential: put it into a Secret and name that in worker.envFrom" $name) -}}
{{- end -}}
{{- $_ := set $environment $name $value -}}
{{- end -}}
{{- range $name, $value := $environment }}
- name: {{ $name }}
  value: {{ include "labelwire.scalar" $value | quote }}
{{- end -}}
{{- end -}}
