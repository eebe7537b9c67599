{{/* Seconds in which Prometheus has at least four samples of a series: (list $ 120). */}}
{{- define "labelwire.window" -}}
{{- $root := index . 0 -}}
{{- max (int (index . 1)) (mul 4 (int $root.Values.metrics.podMonitor.intervalSeconds)) -}}s
{{- end -}}

{{/* Where an alert's page is: (list $ "LabelwirePoison"). */}}
{{- define "labelwire.runbook" -}}
{{- $page := printf "%s.md" (index . 1) -}}
{{- $base := (index . 0).Values.metrics.rules.runbookUrl -}}
{{- ternary (printf "%s/%s" (trimSuffix "/" $base) $page) (printf "docs/runbooks/%s" $page) (ne $base "") | quote -}}
{{- end -}}
