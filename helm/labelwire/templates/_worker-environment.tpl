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
  "LABELWIRE_TOPICS__JOBS" (list "topics.jobs" $values.topics.jobs)
  "LABELWIRE_TOPICS__RESULTS" (list "topics.results" $values.topics.results)
  "LABELWIRE_TOPICS__DEAD_LETTERS" (list "topics.deadLetters" $values.topics.deadLetters)
  "LABELWIRE_TRITON__URL" (list "triton.url" (include "labelwire.tritonUrl" .))
  "LABELWIRE_RUNTIME__DRAIN_SECONDS" (list "worker.drainSeconds" $values.worker.drainSeconds)
  "LABELWIRE_HTTP__HOST" (list "the chart" "::")
  "LABELWIRE_HTTP__PORT" (list "worker.httpPort" $values.worker.httpPort)
  "LABELWIRE_LOG__FORMAT" (list "the chart" "json")
-}}
{{- if $values.triton.enabled -}}
{{- $_ := set $own "LABELWIRE_TRITON__DEVICE" (list "triton.gpuCount" (ternary "gpu" "cpu" (gt (int $values.triton.gpuCount) 0))) -}}
{{- end -}}
{{- toJson $own -}}
{{- end -}}

{{/* The environment name of an option of librdkafka. */}}
{{- define "labelwire.clientSetting" -}}
LABELWIRE_KAFKA__CLIENT__{{ upper . | replace "." "_" }}
{{- end -}}

{{/* Refuses what the worker would refuse at its start, and credentials in plain text. files/worker.json is generated. */}}
{{- define "labelwire.checkSettings" -}}
{{- $worker := .Files.Get "files/worker.json" | fromJson -}}
{{- range $option, $_ := .Values.kafka.client -}}
{{- if regexMatch "password|secret|pem$|oauthbearer.config$" $option -}}
{{- fail (printf "kafka.client.%s is a credential: put it as %s into the Secret that kafka.existingSecret names" $option (include "labelwire.clientSetting" $option)) -}}
{{- end -}}
{{- if has $option $worker.reservedClientOptions -}}
{{- $instead := get (dict "bootstrap.servers" "set kafka.bootstrapServers" "group.id" "set kafka.groupId") $option | default "leave it out" -}}
{{- fail (printf "kafka.client.%s belongs to the worker and cannot be passed through: %s" $option $instead) -}}
{{- end -}}
{{- end -}}
{{- $own := include "labelwire.ownSettings" . | fromJson -}}
{{- range $name, $_ := .Values.worker.settings -}}
{{- if hasKey $own $name -}}
{{- fail (printf "worker.settings.%s follows from %s: leave it out here" $name (get $own $name | first)) -}}
{{- end -}}
{{- if or (has $name $worker.secretSettings) (regexMatch "__CLIENT__.*(PASSWORD|SECRET|TOKEN|PEM)" $name) -}}
{{- fail (printf "worker.settings.%s is a credential: put it into a Secret and name that in worker.envFrom" $name) -}}
{{- end -}}
{{- if hasPrefix "LABELWIRE_KAFKA__CLIENT__" $name -}}
{{- fail (printf "worker.settings.%s is an option of librdkafka: put it into kafka.client by its own name, %s" $name (trimPrefix "LABELWIRE_KAFKA__CLIENT__" $name | lower | replace "_" ".")) -}}
{{- end -}}
{{- include "labelwire.checkKnown" (list "worker.settings" $name $worker.settings) -}}
{{- end -}}
{{- end -}}

{{/* Refuses a name that is no setting, with those that are: (list "worker.settings" NAME KNOWN). */}}
{{- define "labelwire.checkKnown" -}}
{{- $name := index . 1 -}}
{{- if not (has $name (index . 2)) -}}
{{- $section := regexFind "^LABELWIRE_[A-Z]+__" $name -}}
{{- $near := list -}}
{{- $sections := list -}}
{{- range $known := index . 2 -}}
{{- $sections = append $sections (printf "%s…" (regexFind "^LABELWIRE_[A-Z]+__" $known)) -}}
{{- if and $section (hasPrefix $section $known) -}}{{- $near = append $near $known -}}{{- end -}}
{{- end -}}
{{- fail (printf "%s.%s is no setting of the worker: there are %s (docs/settings.md)" (index . 0) $name (join ", " (default (uniq $sections) $near))) -}}
{{- end -}}
{{- end -}}

{{/* The worker's settings as environment variables. Part of the pod template, so a change rolls the pods. */}}
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
{{- end -}}
{{- end -}}
