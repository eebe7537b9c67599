{{/* Seconds between two scrapes. */}}
{{- define "labelwire.scrapeSeconds" -}}
{{- $metrics := .Values.metrics -}}
{{- int (ternary $metrics.serviceMonitor $metrics.podMonitor $metrics.serviceMonitor.enabled).intervalSeconds -}}
{{- end -}}

{{/* Seconds in which Prometheus has at least four samples of a series: (list $ 120). */}}
{{- define "labelwire.window" -}}
{{- max (int (index . 1)) (mul 4 (include "labelwire.scrapeSeconds" (index . 0) | int)) -}}s
{{- end -}}

{{/* Where an alert's page is: (list $ "LabelwirePoison"). */}}
{{- define "labelwire.runbook" -}}
{{- $page := printf "%s.md" (index . 1) -}}
{{- $base := (index . 0).Values.metrics.rules.runbookUrl -}}
{{- ternary (printf "%s/%s" (trimSuffix "/" $base) $page) (printf "docs/runbooks/%s" $page) (ne $base "") | quote -}}
{{- end -}}
