{{- define "always-online.name" -}}
{{ default .Chart.Name .Values.nameOverride | trunc 50 | trimSuffix "-" }}
{{- end -}}

{{- define "always-online.fullname" -}}
{{- $name := include "always-online.name" . -}}
{{- if .Values.fullnameOverride -}}
{{ .Values.fullnameOverride | trunc 50 | trimSuffix "-" }}
{{- else if contains $name .Release.Name -}}
{{ .Release.Name | trunc 50 | trimSuffix "-" }}
{{- else -}}
{{ printf "%s-%s" .Release.Name $name | trunc 50 | trimSuffix "-" }}
{{- end -}}
{{- end -}}

{{- define "always-online.selector" -}}
app.kubernetes.io/name: {{ include "always-online.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "always-online.labels" -}}
{{ include "always-online.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "always-online.image" -}}
{{ .Values.image.repository }}:{{ default .Chart.AppVersion .Values.image.tag }}
{{- end -}}

{{/* The secret with the environment; empty if there is none. */}}
{{- define "always-online.secret" -}}
{{- if .Values.secrets.existingSecret -}}
{{ .Values.secrets.existingSecret }}
{{- else if .Values.secrets.values -}}
{{ include "always-online.fullname" . }}
{{- end -}}
{{- end -}}

{{/* A setting as TOML. Numbers of values are floats, and a large one would be written with an exponent. JSON's strings are TOML's, too. */}}
{{- define "always-online.setting" -}}
{{- if kindIs "slice" . -}}
{{ toJson . }}
{{- else if kindIs "bool" . -}}
{{ . }}
{{- else if kindIs "float64" . -}}
{{ printf "%.0f" . }}
{{- else -}}
{{ toString . | toJson }}
{{- end -}}
{{- end -}}

{{/* The settings of the chart, and those of the values. An endpoint of webhooks is a section below its section. */}}
{{- define "always-online.toml" -}}
{{- $own := dict
  "websocket" (dict "listen" "0.0.0.0:3000")
  "api" (dict "listen" "0.0.0.0:4000")
  "admin" (dict "listen" "0.0.0.0:4001")
  "metrics" (dict "listen" "0.0.0.0:9090")
  "demo" (dict "listen" "")
  "store" (dict "path" "/data")
  "shutdown" (dict "deadline" (printf "%ds" (int .Values.shutdownSeconds)))
-}}
{{- if .Values.gotapi.enabled }}{{ $_ := set $own "gotapi" (dict "listen" "0.0.0.0:8080") }}{{ end -}}
{{- if .Values.wechat.enabled }}{{ $_ := set $own "wechat" (dict "listen" "0.0.0.0:3002") }}{{ end -}}
{{- if .Values.tinode.enabled }}{{ $_ := set $own "tinode" (dict "listen" "0.0.0.0:6060" "grpc_listen" (ternary "0.0.0.0:16060" "" .Values.tinode.grpc)) }}{{ end -}}
{{- $all := mergeOverwrite (deepCopy .Values.settings) $own -}}
# Made by the chart, of its values.
{{- range $key, $value := $all }}
{{- if not (kindIs "map" $value) }}
{{ $key }} = {{ include "always-online.setting" $value }}
{{- end }}
{{- end }}
{{- range $section, $settings := $all }}
{{- if kindIs "map" $settings }}

[{{ $section }}]
{{- range $key, $value := $settings }}
{{- if not (kindIs "map" $value) }}
{{ $key }} = {{ include "always-online.setting" $value }}
{{- end }}
{{- end }}
{{- range $name, $below := $settings }}
{{- if kindIs "map" $below }}

[{{ $section }}.{{ $name }}]
{{- range $key, $value := $below }}
{{ $key }} = {{ include "always-online.setting" $value }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{/* A way in from outside: `of`, as ingress of the values is; its `name`, which is that of its service; the `port` of that; the `paths` that are for clients. */}}
{{- define "always-online.ingress" -}}
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: {{ .name }}
  labels: {{ include "always-online.labels" .root | nindent 4 }}
  {{- with .of.annotations }}
  annotations: {{ toYaml . | nindent 4 }}
  {{- end }}
spec:
  {{- with .of.className }}
  ingressClassName: {{ . }}
  {{- end }}
  {{- with .of.tlsSecret }}
  tls:
    - secretName: {{ . }}
      hosts: {{ toYaml $.of.hosts | nindent 8 }}
  {{- end }}
  rules:
    {{- range .of.hosts }}
    - host: {{ . | quote }}
      http:
        paths:
          {{- range $.paths }}
          - path: {{ . }}
            pathType: Prefix
            backend:
              service: { name: {{ $.name }}, port: { name: {{ $.port }} } }
          {{- end }}
    {{- end }}
{{- end -}}

{{/* Whether an instance sends its clients elsewhere before it ends. */}}
{{- define "always-online.drains" -}}
{{- if and (eq .Values.store "servers") .Values.drain.credentialSecret -}}yes{{- end -}}
{{- end -}}

{{/* Time from preStop to the end: `drain --wait` waits 10 s longer than clients are given, the end has half a second for the store; and some seconds to spare. */}}
{{- define "always-online.grace" -}}
{{- if include "always-online.drains" . -}}
{{ add .Values.drain.seconds 10 .Values.shutdownSeconds 5 }}
{{- else -}}
{{ add 5 .Values.shutdownSeconds 5 }}
{{- end -}}
{{- end -}}

{{/* The pod of the Deployment and of the StatefulSet. */}}
{{- define "always-online.pod" -}}
{{- $tls := dig "websocket" "tls_certificate" "" .Values.settings -}}
metadata:
  labels:
    {{- include "always-online.selector" . | nindent 4 }}
    {{- with .Values.podLabels }}{{ toYaml . | nindent 4 }}{{ end }}
  annotations:
    # Other settings or secrets, other pods.
    checksum/settings: {{ include "always-online.toml" . | sha256sum }}
    checksum/secrets: {{ .Values.secrets.values | toJson | sha256sum }}
    {{- with .Values.podAnnotations }}{{ toYaml . | nindent 4 }}{{ end }}
spec:
  {{- with .Values.imagePullSecrets }}
  imagePullSecrets: {{ toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.serviceAccount.name }}
  serviceAccountName: {{ . }}
  {{- end }}
  automountServiceAccountToken: false
  enableServiceLinks: false
  terminationGracePeriodSeconds: {{ include "always-online.grace" . }}
  securityContext:
    runAsNonRoot: true
    runAsUser: 65532
    runAsGroup: 65532
    fsGroup: 65532
    fsGroupChangePolicy: OnRootMismatch
    seccompProfile: { type: RuntimeDefault }
  containers:
    - name: always-online
      image: {{ include "always-online.image" . | quote }}
      imagePullPolicy: {{ .Values.image.pullPolicy }}
      args: [--config, /etc/always-online/always-online.toml]
      {{- with include "always-online.secret" . }}
      envFrom:
        - secretRef: { name: {{ . }} }
      {{- end }}
      ports:
        - { name: websocket, containerPort: 3000 }
        - { name: api, containerPort: 4000 }
        - { name: admin, containerPort: 4001 }
        - { name: metrics, containerPort: 9090 }
        {{- if .Values.gotapi.enabled }}
        - { name: gotapi, containerPort: 8080 }
        {{- end }}
        {{- if .Values.wechat.enabled }}
        - { name: wechat, containerPort: 3002 }
        {{- end }}
        {{- if .Values.tinode.enabled }}
        - { name: tinode, containerPort: 6060 }
        {{- if .Values.tinode.grpc }}
        - { name: tinode-grpc, containerPort: 16060 }
        {{- end }}
        {{- end }}
      # The store is opened, and brought up to date, before anything listens.
      startupProbe:
        httpGet: { path: /livez, port: websocket, scheme: {{ ternary "HTTPS" "HTTP" (ne $tls "") }} }
        periodSeconds: 2
        failureThreshold: 150
      # The store is asked, and may take some time to answer.
      readinessProbe:
        httpGet: { path: /readyz, port: websocket, scheme: {{ ternary "HTTPS" "HTTP" (ne $tls "") }} }
        periodSeconds: 2
        timeoutSeconds: 2
        failureThreshold: 2
      livenessProbe:
        httpGet: { path: /livez, port: websocket, scheme: {{ ternary "HTTPS" "HTTP" (ne $tls "") }} }
        periodSeconds: 10
        timeoutSeconds: 5
        failureThreshold: 6
      lifecycle:
        preStop:
          {{- if include "always-online.drains" . }}
          exec:
            command:
              - /usr/local/bin/always-online
              - --config
              - /etc/always-online/always-online.toml
              - drain
              - --credential
              - /etc/always-online-drain/credential
              - --over
              - {{ .Values.drain.seconds | quote }}
              - --wait
          {{- else }}
          # Until nobody sends newcomers here any more.
          sleep: { seconds: 5 }
          {{- end }}
      resources: {{ toYaml .Values.resources | nindent 8 }}
      securityContext:
        allowPrivilegeEscalation: false
        readOnlyRootFilesystem: true
        capabilities: { drop: [ALL] }
      volumeMounts:
        - { name: settings, mountPath: /etc/always-online, readOnly: true }
        {{- if include "always-online.drains" . }}
        - { name: drain, mountPath: /etc/always-online-drain, readOnly: true }
        {{- end }}
        - { name: data, mountPath: /data }
        {{- if .Values.tinode.enabled }}
        - { name: uploads, mountPath: /data/tinode-uploads }
        {{- end }}
        {{- with .Values.extraVolumeMounts }}{{ toYaml . | nindent 8 }}{{ end }}
  volumes:
    - name: settings
      secret: { secretName: {{ include "always-online.fullname" . }}-settings, defaultMode: 0440 }
    {{- if include "always-online.drains" . }}
    - name: drain
      secret: { secretName: {{ .Values.drain.credentialSecret }}, defaultMode: 0440 }
    {{- end }}
    {{- if eq .Values.store "servers" }}
    # Nothing is kept here.
    - name: data
      emptyDir: { sizeLimit: 64Mi }
    {{- end }}
    {{- if .Values.tinode.enabled }}
    # Files on their way to S3.
    - name: uploads
      emptyDir: { sizeLimit: 1Gi }
    {{- end }}
    {{- with .Values.extraVolumes }}{{ toYaml . | nindent 4 }}{{ end }}
  {{- with .Values.nodeSelector }}
  nodeSelector: {{ toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.tolerations }}
  tolerations: {{ toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.affinity }}
  affinity: {{ toYaml . | nindent 4 }}
  {{- end }}
  {{- if eq .Values.store "servers" }}
  topologySpreadConstraints:
    - maxSkew: 1
      topologyKey: kubernetes.io/hostname
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels: {{ include "always-online.selector" . | nindent 10 }}
  {{- end }}
{{- end -}}
