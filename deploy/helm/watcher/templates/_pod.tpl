{{/* The template of the pods of both workloads. */}}
{{- define "watcher.pod" -}}
{{- $tokenSecret := include "watcher.tokenSecret" . }}
{{- $database := include "watcher.database" . -}}
metadata:
  labels:
    {{- include "watcher.selector" . | nindent 4 }}
    {{- with .Values.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- if or .Values.podAnnotations .Values.tokens.values }}
  annotations:
    {{- with .Values.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
    {{- if .Values.tokens.values }}
    # The server reads its tokens when it starts.
    checksum/tokens: {{ .Values.tokens.values | toJson | sha256sum }}
    {{- end }}
  {{- end }}
spec:
  serviceAccountName: {{ include "watcher.serviceAccount" . }}
  # The server does not use the Kubernetes API; a role of AWS has a token of its own.
  automountServiceAccountToken: false
  # Kubernetes would set variables like WATCHER_PORT for services, which look like flags.
  enableServiceLinks: false
  terminationGracePeriodSeconds: {{ .Values.terminationGracePeriodSeconds }}
  {{- with .Values.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  {{- with .Values.imagePullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.podSecurityContext }}
  securityContext:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  containers:
    - name: watcher
      image: "{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}"
      imagePullPolicy: {{ .Values.image.pullPolicy }}
      args:
        - serve
        {{- range .Values.allow.directories }}
        - {{ printf "--allow-directory=%s" . | quote }}
        {{- end }}
        {{- range .Values.allow.buckets }}
        - {{ printf "--allow-bucket=%s" . | quote }}
        {{- end }}
        {{- range .Values.allow.endpoints }}
        - {{ printf "--allow-endpoint=%s" . | quote }}
        {{- end }}
        {{- range .Values.allow.queues }}
        - {{ printf "--allow-queue=%s" . | quote }}
        {{- end }}
        {{- if .Values.confirmSubscriptions }}
        - --confirm-subscriptions
        {{- end }}
        {{- if $tokenSecret }}
        - --token-file=/etc/watcher/tokens
        {{- end }}
        {{- with .Values.args }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      env:
        - name: WATCHER_NODE
          valueFrom:
            fieldRef:
              fieldPath: spec.nodeName
        {{- if $database }}
        - name: WATCHER_STATE
          valueFrom:
            secretKeyRef:
              name: {{ $database }}
              key: {{ .Values.state.postgresql.key | default "uri" }}
        {{- end }}
        {{- with .Values.extraEnv }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      {{- with .Values.envFrom }}
      envFrom:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      ports:
        - name: grpc
          containerPort: 8080
        - name: http
          containerPort: 8081
      {{- with .Values.startupProbe }}
      startupProbe:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with .Values.livenessProbe }}
      livenessProbe:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with include "watcher.readinessProbe" . | fromYaml }}
      readinessProbe:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with .Values.resources }}
      resources:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with .Values.securityContext }}
      securityContext:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- if or (not $database) $tokenSecret .Values.volumeMounts }}
      volumeMounts:
        {{- if not $database }}
        - name: state
          mountPath: /var/lib/watcher
        {{- end }}
        {{- if $tokenSecret }}
        - name: tokens
          mountPath: /etc/watcher
          readOnly: true
        {{- end }}
        {{- with .Values.volumeMounts }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      {{- end }}
  {{- if or (not $database) $tokenSecret .Values.volumes }}
  volumes:
    {{- if not $database }}
    - name: state
      {{- if .Values.persistence.enabled }}
      persistentVolumeClaim:
        claimName: {{ include "watcher.claim" . }}
      {{- else }}
      emptyDir: {}
      {{- end }}
    {{- end }}
    {{- if $tokenSecret }}
    - name: tokens
      secret:
        secretName: {{ $tokenSecret }}
        items:
          - key: {{ .Values.tokens.key }}
            path: tokens
    {{- end }}
    {{- with .Values.volumes }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- end }}
  {{- with .Values.topologySpreadConstraints }}
  topologySpreadConstraints:
    {{- toYaml . | nindent 4 }}
  {{- else }}
  {{- if $database }}
  # Where there is one node only, or the claim of one, all servers run there.
  topologySpreadConstraints:
    - maxSkew: 1
      topologyKey: kubernetes.io/hostname
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels:
          {{- include "watcher.selector" . | nindent 10 }}
      matchLabelKeys: [pod-template-hash]
  {{- end }}
  {{- end }}
  {{- with .Values.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}
