{{/*
Base name of all objects. At most 42 characters: the longest derived name is that of Triton's Service, a CronJob's may have
52, and KEDA puts keda-hpa- before the name of what it scales. A name that is cut gets a hash, so two stay apart.
*/}}
{{- define "labelwire.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- $full := printf "%s-%s" .Release.Name $name -}}
{{- if .Values.fullnameOverride -}}
{{- $full = .Values.fullnameOverride -}}
{{- else if contains $name .Release.Name -}}
{{- $full = .Release.Name -}}
{{- end -}}
{{/* A release may have dots in its name, a Service may not. */}}
{{- $full = replace "." "-" $full -}}
{{- if gt (len $full) 42 -}}
{{- $full = printf "%s-%s" (regexReplaceAll "-+$" (trunc 33 $full) "") (sha256sum $full | trunc 8) -}}
{{- end -}}
{{- $full -}}
{{- end -}}

{{/* Selector labels of a component: (list $ "worker"). They never change over a release's life. */}}
{{- define "labelwire.selectorLabels" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: {{ default $root.Chart.Name $root.Values.nameOverride | quote }}
app.kubernetes.io/instance: {{ $root.Release.Name | quote }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end -}}

{{/* Labels of an object of a component: (list $ "worker"). */}}
{{- define "labelwire.labels" -}}
{{- $root := index . 0 -}}
{{ include "labelwire.selectorLabels" . }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" | trunc 63 }}
{{- with $root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Labels of a component's pods: (list $ "worker"). */}}
{{- define "labelwire.podLabels" -}}
{{- $root := index . 0 -}}
{{- $values := index $root.Values (index . 1) -}}
{{ include "labelwire.selectorLabels" . }}
{{- with merge (dict) $values.podLabels $root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Labels of the pods of a command that runs once: (list $ "audit"). */}}
{{- define "labelwire.toolLabels" -}}
{{- $root := index . 0 -}}
{{ include "labelwire.selectorLabels" . }}
{{- with $root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* ServiceAccount of a component: (list $ "worker"). */}}
{{- define "labelwire.serviceAccountName" -}}
{{- $account := (index (index . 0).Values (index . 1)).serviceAccount -}}
{{- default (ternary (printf "%s-%s" (include "labelwire.fullname" (index . 0)) (index . 1)) "default" $account.create) $account.name -}}
{{- end -}}

{{/* The headless Service's name is as short as a search domain allows: one look-up resolves it. */}}
{{- define "labelwire.tritonService" -}}
{{- printf "%s-triton-headless" (include "labelwire.fullname" .) -}}
{{- end -}}

{{- define "labelwire.tritonUrl" -}}
{{- if and .Values.triton.enabled .Values.triton.coLocated -}}
localhost:8001
{{- else if .Values.triton.enabled -}}
{{- printf "dns:///%s:8001" (include "labelwire.tritonService" .) -}}
{{- else -}}
{{- required "triton.url is empty: with triton.enabled=false give the gRPC target of your Triton, e.g. dns:///triton-headless.models:8001" .Values.triton.url -}}
{{- end -}}
{{- end -}}

{{/* The components that have a Deployment, as JSON. */}}
{{- define "labelwire.components" -}}
{{- $components := list "worker" -}}
{{- if and .Values.triton.enabled (not .Values.triton.coLocated) -}}{{- $components = append $components "triton" -}}{{- end -}}
{{- toJson $components -}}
{{- end -}}

{{/* Image reference: (list $ "worker" IMAGE). A digest wins; "latest" is refused, for nobody could say what runs. */}}
{{- define "labelwire.imageReference" -}}
{{- $image := index . 2 -}}
{{- $tag := default (index . 0).Chart.AppVersion $image.tag -}}
{{- if $image.digest -}}
{{- printf "%s@%s" $image.repository $image.digest -}}
{{- else if eq $tag "latest" -}}
{{- fail (printf "%s.image.tag is latest: give a version or a digest, so that every pod runs the same code" (index . 1)) -}}
{{- else -}}
{{- printf "%s:%s" $image.repository $tag -}}
{{- end -}}
{{- end -}}

{{/* Image reference of a component: (list $ "worker"). */}}
{{- define "labelwire.image" -}}
{{- include "labelwire.imageReference" (list (index . 0) (index . 1) (index (index . 0).Values (index . 1)).image) -}}
{{- end -}}
