{{/* Refuses what the worker would refuse at its start, and credentials in plain text. files/worker.json is generated. */}}
{{- define "labelwire.checkEnvironment" -}}
{{- $worker := .Files.Get "files/worker.json" | fromJson -}}
{{- include "labelwire.checkClient" (list . $worker) -}}
{{- include "labelwire.checkSettings" (list . $worker) -}}
{{- include "labelwire.checkExtraEnv" (list . $worker) -}}
{{- include "labelwire.checkOnce" (list "triton.extraEnv" .Values.triton.extraEnv (list "POD_UID" "HOME")) -}}
{{- include "labelwire.checkOnce" (list "triton.models.registry.extraEnv" .Values.triton.models.registry.extraEnv list) -}}
{{- end -}}

{{/* Refuses a name that stands twice in a list, or that the chart gives itself: (list "triton.extraEnv" ENTRIES NAMES). */}}
{{- define "labelwire.checkOnce" -}}
{{- $path := index . 0 -}}
{{- $own := index . 2 -}}
{{- $seen := list -}}
{{- range index . 1 -}}
{{- if has .name $own -}}
{{- fail (printf "%s has %s, which the chart sets: leave it out, or choose another name" $path .name) -}}
{{- end -}}
{{- if has .name $seen -}}
{{- fail (printf "%s has %s twice: leave one out" $path .name) -}}
{{- end -}}
{{- $seen = append $seen .name -}}
{{- end -}}
{{- end -}}

{{/* "true" for an option of librdkafka that holds a credential, or what a credential is read from. */}}
{{- define "labelwire.isCredential" -}}
{{- if regexMatch "password|passphrase|secret|pem$|(oauthbearer|jaas)\\.config$" . -}}true{{- end -}}
{{- end -}}

{{/* The option of librdkafka that a variable sets. */}}
{{- define "labelwire.clientOption" -}}
{{- trimPrefix "LABELWIRE_KAFKA__CLIENT__" . | lower | replace "_" "." -}}
{{- end -}}

{{- define "labelwire.checkClient" -}}
{{- $values := (index . 0).Values -}}
{{- $worker := index . 1 -}}
{{- $credentials := include "labelwire.credentials" (index . 0) | fromJson -}}
{{- range $option, $_ := $values.kafka.client -}}
{{- if include "labelwire.isCredential" $option -}}
{{- $where := printf "put it as %s into the Secret that kafka.existingSecret names" (include "labelwire.clientSetting" $option) -}}
{{- range $key, $credential := $credentials -}}
{{- if eq $credential.option $option -}}{{- $where = printf "put it into a Secret and name that in kafka.secretKeys.%s" $key -}}{{- end -}}
{{- end -}}
{{- fail (printf "kafka.client.%s is a credential: %s" $option $where) -}}
{{- end -}}
{{- if has $option $worker.reservedClientOptions -}}
{{- $instead := get (dict "bootstrap.servers" "set kafka.bootstrapServers" "group.id" "set kafka.groupId" "group.instance.id" "set worker.staticMembership") $option | default "leave it out" -}}
{{- fail (printf "kafka.client.%s belongs to the worker and cannot be passed through: %s" $option $instead) -}}
{{- end -}}
{{- end -}}
{{- range $key, $credential := $credentials -}}
{{- if and (get $values.kafka.secretKeys $key) (hasKey $values.kafka.client $credential.option) -}}
{{- fail (printf "kafka.secretKeys.%s and kafka.client.%s are the same option: leave one out" $key $credential.option) -}}
{{- end -}}
{{- end -}}
{{- $protocol := include "labelwire.protocol" (index . 0) -}}
{{- range $key := list "ca" "certificate" "privateKey" -}}
{{- if and (get $values.kafka.secretKeys $key) (not (hasSuffix "SSL" $protocol)) -}}
{{- fail (printf "kafka.secretKeys.%s is set, but kafka.client.\"security.protocol\" is %s: set it to SSL or SASL_SSL" $key $protocol) -}}
{{- end -}}
{{- end -}}
{{- range $key := list "username" "password" -}}
{{- if and (get $values.kafka.secretKeys $key) (not (hasPrefix "SASL_" $protocol)) -}}
{{- fail (printf "kafka.secretKeys.%s is set, but kafka.client.\"security.protocol\" is %s: set it to SASL_SSL or SASL_PLAINTEXT" $key $protocol) -}}
{{- end -}}
{{- end -}}
{{- if ne (empty $values.kafka.secretKeys.certificate) (empty $values.kafka.secretKeys.privateKey) -}}
{{- fail "kafka.secretKeys has one of certificate and privateKey: a client needs both for mutual TLS, or neither" -}}
{{- end -}}
{{- end -}}

{{- define "labelwire.checkSettings" -}}
{{- $worker := index . 1 -}}
{{- $own := include "labelwire.ownSettings" (index . 0) | fromJson -}}
{{- range $name, $_ := (index . 0).Values.worker.settings -}}
{{- if hasKey $own $name -}}
{{- fail (printf "worker.settings.%s follows from %s: leave it out here" $name (get $own $name | first)) -}}
{{- end -}}
{{- include "labelwire.checkTracing" (list (printf "worker.settings.%s" $name) $name) -}}
{{- if eq $name "LABELWIRE_KAFKA__GROUP_INSTANCE_ID" -}}
{{- fail (printf "worker.settings.%s would be the same for all workers, and each must have its own: set worker.staticMembership" $name) -}}
{{- end -}}
{{- $option := include "labelwire.clientOption" $name -}}
{{- $isOption := hasPrefix "LABELWIRE_KAFKA__CLIENT__" $name -}}
{{- if or (has $name $worker.secretSettings) (and $isOption (include "labelwire.isCredential" $option)) -}}
{{- fail (printf "worker.settings.%s is a credential: put it into a Secret and name that in worker.extraEnv" $name) -}}
{{- end -}}
{{- if $isOption -}}
{{- fail (printf "worker.settings.%s is an option of librdkafka: put it into kafka.client by its own name, %s" $name $option) -}}
{{- end -}}
{{- include "labelwire.checkKnown" (list (printf "worker.settings.%s" $name) $name $worker.settings) -}}
{{- end -}}
{{- end -}}

{{- define "labelwire.checkExtraEnv" -}}
{{- $worker := index . 1 -}}
{{- $values := (index . 0).Values -}}
{{- $own := include "labelwire.ownSettings" (index . 0) | fromJson -}}
{{- $elsewhere := dict -}}
{{- range $name, $_ := $values.worker.settings -}}{{- $_ := set $elsewhere $name "worker.settings" -}}{{- end -}}
{{- range $option, $_ := $values.kafka.client -}}{{- $_ := set $elsewhere (include "labelwire.clientSetting" $option) "kafka.client" -}}{{- end -}}
{{- range $key, $credential := include "labelwire.credentials" (index . 0) | fromJson -}}
{{- if get $values.kafka.secretKeys $key -}}{{- $_ := set $elsewhere (include "labelwire.clientSetting" $credential.option) "kafka.secretKeys" -}}{{- end -}}
{{- end -}}
{{- include "labelwire.checkOnce" (list "worker.extraEnv" $values.worker.extraEnv list) -}}
{{- range $values.worker.extraEnv -}}
{{- $path := printf "worker.extraEnv[%s]" .name -}}
{{- if hasKey $own .name -}}
{{- fail (printf "%s follows from %s: leave it out here" $path (get $own .name | first)) -}}
{{- end -}}
{{- if hasKey $elsewhere .name -}}
{{- fail (printf "%s stands in %s too: leave one out" $path (get $elsewhere .name)) -}}
{{- end -}}
{{- include "labelwire.checkTracing" (list $path .name) -}}
{{- if eq .name "LABELWIRE_KAFKA__GROUP_INSTANCE_ID" -}}
{{- fail (printf "%s would name members of the group, and each pod must have a name of its own: set worker.staticMembership" $path) -}}
{{- end -}}
{{- if hasPrefix "LABELWIRE_" .name -}}
{{- $option := include "labelwire.clientOption" .name -}}
{{- $isOption := hasPrefix "LABELWIRE_KAFKA__CLIENT__" .name -}}
{{- if and .value (or (has .name $worker.secretSettings) (and $isOption (include "labelwire.isCredential" $option))) -}}
{{- fail (printf "%s is a credential: give it by valueFrom.secretKeyRef, not by value" $path) -}}
{{- end -}}
{{- if $isOption -}}
{{- if has $option $worker.reservedClientOptions -}}
{{- fail (printf "%s belongs to the worker and cannot be passed through: leave it out" $path) -}}
{{- end -}}
{{- else -}}
{{- include "labelwire.checkKnown" (list $path .name $worker.settings) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Refuses a receiver of traces that only the workers would know: (list "worker.settings.NAME" NAME). */}}
{{- define "labelwire.checkTracing" -}}
{{- if eq (index . 1) "LABELWIRE_TRACING__ENDPOINT" -}}
{{- fail (printf "%s would tell neither Triton nor the networks: set tracing.endpoint" (index . 0)) -}}
{{- end -}}
{{- end -}}

{{/* Refuses a name that is no setting, with those that are: (list "worker.settings.NAME" NAME KNOWN). */}}
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
{{- fail (printf "%s is no setting of the worker: there are %s (docs/settings.md)" (index . 0) (join ", " (default (uniq $sections) $near))) -}}
{{- end -}}
{{- end -}}
