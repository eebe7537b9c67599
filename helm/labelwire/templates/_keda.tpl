{{/*
The triggers of the workers, as JSON: one for each topic that they read, because KEDA takes the largest of its triggers.
A trigger without a topic would not see a topic on which the group has not committed yet. "earliest" counts such a topic's
records; with "latest" it would count one record a partition for ever.
*/}}
{{- define "labelwire.kedaTriggers" -}}
{{- $scaling := .Values.worker.autoscaling -}}
{{- $common := dict
  "bootstrapServers" .Values.kafka.bootstrapServers
  "offsetResetPolicy" "earliest"
  "limitToPartitionsWithLag" "true"
-}}
{{- $protocol := include "labelwire.protocol" . -}}
{{- if hasPrefix "SASL_" $protocol -}}{{- $_ := set $common "sasl" (include "labelwire.kedaSasl" .) -}}{{- end -}}
{{- if hasSuffix "SSL" $protocol -}}{{- $_ := set $common "tls" "enable" -}}{{- end -}}
{{- $common = merge (dict) $scaling.triggerMetadata $common -}}
{{- $topics := include "labelwire.namedTopics" . | fromJson -}}
{{- $jobs := dict "topic" $topics.jobs "lagThreshold" $scaling.lagThreshold "activationLagThreshold" $scaling.activationLagThreshold "excludePersistentLag" $scaling.excludePersistentLag -}}
{{- $read := list (dict "name" "jobs" "metadata" $jobs) -}}
{{/* The offset of a retry topic stands still until its records are due, and they have to count until then. */}}
{{- range $level, $topic := include "labelwire.retryTopics" . | fromJsonArray -}}
{{- $retry := dict "topic" $topic "lagThreshold" $scaling.retryLagThreshold "activationLagThreshold" 0 "excludePersistentLag" false -}}
{{- $read = append $read (dict "name" (printf "retry-%d" (add1 $level)) "metadata" $retry) -}}
{{- end -}}
{{- $replays := dict "topic" $topics.replays "lagThreshold" $scaling.lagThreshold "activationLagThreshold" 0 "excludePersistentLag" $scaling.excludePersistentLag -}}
{{- $read = append $read (dict "name" "replays" "metadata" $replays) -}}
{{- $triggers := list -}}
{{- range $trigger := $read -}}
{{/* KEDA's metadata is a map of strings. */}}
{{- $metadata := dict "consumerGroup" $.Values.kafka.groupId -}}
{{- range $name, $value := merge (dict) $trigger.metadata $common -}}
{{- $_ := set $metadata $name (include "labelwire.scalar" $value) -}}
{{- end -}}
{{- $triggers = append $triggers (dict "name" $trigger.name "metadata" $metadata) -}}
{{- end -}}
{{- toJson $triggers -}}
{{- end -}}

{{/* KEDA's credentials, as JSON: its parameter and the workers' variable that may hold it. */}}
{{- define "labelwire.kedaParameters" -}}
{{- $kafka := .Values.kafka -}}
{{- $protocol := include "labelwire.protocol" . -}}
{{- $wanted := list -}}
{{- if hasPrefix "SASL_" $protocol -}}{{- $wanted = concat $wanted (list "username" "password") -}}{{- end -}}
{{- if hasSuffix "SSL" $protocol -}}{{- $wanted = concat $wanted (list "ca" "certificate" "privateKey" "privateKeyPassword") -}}{{- end -}}
{{- $given := list -}}
{{- range .Values.worker.extraEnv -}}{{- $given = append $given .name -}}{{- end -}}
{{/* What the keys of these Secrets are is not known here. */}}
{{- $open := or $kafka.existingSecret .Values.worker.envFrom -}}
{{- $parameters := dict -}}
{{- $credentials := include "labelwire.credentials" . | fromJson -}}
{{- range $key := $wanted -}}
{{- $credential := get $credentials $key -}}
{{- $variable := include "labelwire.clientSetting" $credential.option -}}
{{- if or $open (get $kafka.secretKeys $key) (hasKey $kafka.client $credential.option) (has $variable $given) -}}
{{- $_ := set $parameters $credential.parameter $variable -}}
{{- end -}}
{{- end -}}
{{- toJson $parameters -}}
{{- end -}}

{{- define "labelwire.kedaSasl" -}}
{{- $known := dict "PLAIN" "plaintext" "SCRAM-SHA-256" "scram_sha256" "SCRAM-SHA-512" "scram_sha512" "OAUTHBEARER" "oauthbearer" -}}
{{- $client := .Values.kafka.client -}}
{{- $mechanism := index $client "sasl.mechanism" | default (index $client "sasl.mechanisms") | default "" | upper -}}
{{- if not (hasKey $known $mechanism) -}}
{{- fail (printf "kafka.client.\"sasl.mechanism\" is %q: for KEDA it must be one of %s" $mechanism (keys $known | sortAlpha | join ", ")) -}}
{{- end -}}
{{- get $known $mechanism -}}
{{- end -}}

{{/* Refuses what leaves KEDA without a way to the brokers. */}}
{{- define "labelwire.checkKeda" -}}
{{- $scaling := .Values.worker.autoscaling -}}
{{- $protocol := include "labelwire.protocol" . -}}
{{- range $owned := list "topic" "consumerGroup" "lagThreshold" -}}
{{- if hasKey $scaling.triggerMetadata $owned -}}
{{- fail (printf "worker.autoscaling.triggerMetadata.%s follows from other values: leave it out" $owned) -}}
{{- end -}}
{{- end -}}
{{- if not $scaling.authenticationRef -}}
{{- $parameters := include "labelwire.kedaParameters" . | fromJson -}}
{{- if hasPrefix "SASL_" $protocol -}}
{{- if eq (include "labelwire.kedaSasl" .) "oauthbearer" -}}
{{- fail "kafka.client.\"sasl.mechanism\" is OAUTHBEARER: name an existing TriggerAuthentication in worker.autoscaling.authenticationRef" -}}
{{- end -}}
{{- range $key := list "username" "password" -}}
{{- if not (hasKey $parameters $key) -}}
{{- fail (printf "KEDA needs the SASL %s too: name its Secret in kafka.secretKeys.%s, or a TriggerAuthentication in worker.autoscaling.authenticationRef" $key $key) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range $key, $option := dict "ca" "ssl.ca.location" "certificate" "ssl.certificate.location" "privateKey" "ssl.key.location" -}}
{{- if hasKey $.Values.kafka.client $option -}}
{{- fail (printf "kafka.client.%s is a file, which KEDA cannot read: name the Secret in kafka.secretKeys.%s, or a TriggerAuthentication in worker.autoscaling.authenticationRef" $option $key) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
