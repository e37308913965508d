{{/* Name of all objects: the release's, with the chart's unless it is part of it. */}}
{{- define "watcher.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" }}
{{- else if contains .Chart.Name .Release.Name }}
{{- .Release.Name | trunc 52 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 52 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "watcher.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "watcher.labels" -}}
{{ include "watcher.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "watcher.serviceAccount" -}}
{{- if .Values.serviceAccount.create }}
{{- .Values.serviceAccount.name | default (include "watcher.fullname" .) }}
{{- else }}
{{- .Values.serviceAccount.name | default "default" }}
{{- end }}
{{- end }}

{{- define "watcher.claim" -}}
{{- .Values.persistence.existingClaim | default (printf "%s-state" (include "watcher.fullname" .)) }}
{{- end }}

{{/* Name of the secret with the token file; empty if no token is required. */}}
{{- define "watcher.tokenSecret" -}}
{{- if .Values.tokens.values }}
{{- printf "%s-tokens" (include "watcher.fullname" .) }}
{{- else }}
{{- .Values.tokens.existingSecret }}
{{- end }}
{{- end }}

{{/*
Secret with the URL of a database; empty for a volume. `helm upgrade --reuse-values` of a release that
was made before there were databases has no such value.
*/}}
{{- define "watcher.database" -}}
{{- ((.Values.state).postgresql).existingSecret | default "" }}
{{- end }}

{{/* Number of servers: one with files, since one at a time uses them; by default two with a database. */}}
{{- define "watcher.replicas" -}}
{{- if kindIs "invalid" .Values.replicas }}
{{- ternary 2 1 (ne (include "watcher.database" .) "") }}
{{- else }}
{{- .Values.replicas }}
{{- end }}
{{- end }}

{{/* With a database, a server that is about to stop, or cut off from it, is not sent clients. */}}
{{- define "watcher.readinessProbe" -}}
{{- $probe := .Values.readinessProbe }}
{{- if and (include "watcher.database" .) $probe.grpc }}
{{- $probe = merge (dict "httpGet" (dict "path" "/readyz" "port" "http")) (omit $probe "grpc") }}
{{- end }}
{{- toYaml $probe }}
{{- end }}

{{/* Refuses mistakes for which the schema has no hint. */}}
{{- define "watcher.validate" -}}
{{- if not (or .Values.allow.directories .Values.allow.buckets) }}
{{- fail "\n\nNothing may be watched. Set allow.directories, for example --set 'allow.directories={/data}', or allow.buckets: the server does not listen beyond loopback without one.\n" }}
{{- end }}
{{- if and .Values.tokens.values .Values.tokens.existingSecret }}
{{- fail "\n\nTokens are given twice. Set tokens.existingSecret or tokens.values, not both.\n" }}
{{- end }}
{{- if include "watcher.database" . }}
{{- if .Values.persistence.existingClaim }}
{{- fail "\n\nThe state is given twice. Set state.postgresql.existingSecret or persistence.existingClaim, not both.\n" }}
{{- end }}
{{- else if gt (int (include "watcher.replicas" .)) 1 }}
{{- fail "\n\nSeveral servers need a database, since one at a time uses a state directory. Set state.postgresql.existingSecret, or leave replicas out.\n" }}
{{- end }}
{{- end }}
