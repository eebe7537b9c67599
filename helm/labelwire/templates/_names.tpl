{{- define "labelwire.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* Selector labels of a component: (list $ "worker"). They never change over a release's life. */}}
{{- define "labelwire.selectorLabels" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: {{ default $root.Chart.Name $root.Values.nameOverride | trunc 63 }}
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end -}}

{{- define "labelwire.labels" -}}
{{- $root := index . 0 -}}
{{ include "labelwire.selectorLabels" . }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "labelwire.serviceAccountName" -}}
{{- $account := .Values.worker.serviceAccount -}}
{{- default (ternary (printf "%s-worker" (include "labelwire.fullname" .)) "default" $account.create) $account.name -}}
{{- end -}}

{{/* The headless Service's name is as short as a search domain allows: one look-up resolves it. */}}
{{- define "labelwire.tritonService" -}}
{{- printf "%s-triton-headless" (include "labelwire.fullname" .) -}}
{{- end -}}

{{- define "labelwire.tritonUrl" -}}
{{- if .Values.triton.enabled -}}
{{- printf "dns:///%s:8001" (include "labelwire.tritonService" .) -}}
{{- else -}}
{{- required "triton.url is empty: with triton.enabled=false give the gRPC target of your Triton, e.g. dns:///triton-headless.models:8001" .Values.triton.url -}}
{{- end -}}
{{- end -}}

{{/* Image reference: (list $ "worker"). A digest wins; "latest" is refused, for nobody could say what runs. */}}
{{- define "labelwire.image" -}}
{{- $root := index . 0 -}}
{{- $image := (index $root.Values (index . 1)).image -}}
{{- $tag := default $root.Chart.AppVersion $image.tag -}}
{{- if $image.digest -}}
{{- printf "%s@%s" $image.repository $image.digest -}}
{{- else if eq $tag "latest" -}}
{{- fail (printf "%s.image.tag is latest: give a version or a digest, so that every pod runs the same code" (index . 1)) -}}
{{- else -}}
{{- printf "%s:%s" $image.repository $tag -}}
{{- end -}}
{{- end -}}
