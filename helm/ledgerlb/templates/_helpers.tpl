{{/* The name that everything begins with: the release's, which says ledgerlb in any case. */}}
{{- define "ledgerlb.name" -}}
{{- $name := ternary .Release.Name (printf "%s-ledgerlb" .Release.Name) (contains "ledgerlb" .Release.Name) -}}
{{- $name | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- define "ledgerlb.serviceAccount" -}}
{{- default (printf "%s-watcher" (include "ledgerlb.name" .)) .Values.serviceAccount.name -}}
{{- end -}}

{{/* Labels of every object; takes (dict "root" $ "component" "ipam"). */}}
{{- define "ledgerlb.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
{{ include "ledgerlb.selector" . }}
{{- end -}}

{{- define "ledgerlb.selector" -}}
app.kubernetes.io/name: ledgerlb
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{/* An image; takes (dict "root" $ "image" "ipam"). */}}
{{- define "ledgerlb.image" -}}
{{- $image := .root.Values.image -}}
{{- with $image.registry }}{{ . }}/{{ end }}{{ $image.prefix }}/{{ .image }}:{{ default .root.Chart.AppVersion $image.tag }}
{{- end -}}

{{/* A component's own entry of kafka.users over what all share; takes (dict "root" $ "component" "ipam"). */}}
{{- define "ledgerlb.kafkaUser" -}}
{{- $kafka := .root.Values.kafka -}}
{{- $own := index ($kafka.users | default dict) .component | default dict -}}
username: {{ default $kafka.sasl.username $own.username | quote }}
secretName: {{ default $kafka.sasl.secretName $own.secretName | quote }}
tlsSecretName: {{ default $kafka.tls.secretName $own.tlsSecretName | quote }}
{{- end -}}

{{/* How a process reaches Kafka; takes (dict "root" $ "component" "ipam"). */}}
{{- define "ledgerlb.kafkaEnvironment" -}}
{{- $kafka := .root.Values.kafka -}}
{{- $user := include "ledgerlb.kafkaUser" . | fromYaml -}}
- {name: LEDGERLB_LOG, value: {{ printf "kafka://%s" (join "," $kafka.bootstrapServers) | quote }}}
- {name: LEDGERLB_LOG_INSECURE, value: {{ $kafka.insecure | quote }}}
{{- if $user.tlsSecretName }}
- {name: LEDGERLB_LOG_TLS_CA, value: /etc/ledgerlb-kafka/tls/ca.crt}
{{- if $kafka.tls.clientCertificate }}
- {name: LEDGERLB_LOG_TLS_CERT, value: /etc/ledgerlb-kafka/tls/tls.crt}
- {name: LEDGERLB_LOG_TLS_KEY, value: /etc/ledgerlb-kafka/tls/tls.key}
{{- end }}
{{- end }}
{{- if $kafka.sasl.mechanism }}
- {name: LEDGERLB_LOG_SASL_MECHANISM, value: {{ $kafka.sasl.mechanism | quote }}}
- {name: LEDGERLB_LOG_SASL_USERNAME, value: {{ required (printf "kafka.sasl.username or kafka.users.%s.username is needed with kafka.sasl.mechanism" .component) $user.username | quote }}}
- {name: LEDGERLB_LOG_SASL_PASSWORD_FILE, value: /etc/ledgerlb-kafka/sasl/password}
{{- end }}
{{- end -}}

{{/* The Secrets of the connection to Kafka, as volumes and as mounts; empty where there are none. Both take
     (dict "root" $ "component" "ipam"). */}}
{{- define "ledgerlb.kafkaVolumes" -}}
{{- $user := include "ledgerlb.kafkaUser" . | fromYaml -}}
{{- if $user.tlsSecretName }}
- name: kafka-tls
  secret: {secretName: {{ $user.tlsSecretName | quote }}, defaultMode: 0444}
{{- end }}
{{- if .root.Values.kafka.sasl.mechanism }}
- name: kafka-sasl
  secret: {secretName: {{ required (printf "kafka.sasl.secretName or kafka.users.%s.secretName is needed with kafka.sasl.mechanism" .component) $user.secretName | quote }}, defaultMode: 0444}
{{- end }}
{{- end -}}

{{- define "ledgerlb.kafkaMounts" -}}
{{- $user := include "ledgerlb.kafkaUser" . | fromYaml -}}
{{- if $user.tlsSecretName }}
- {name: kafka-tls, mountPath: /etc/ledgerlb-kafka/tls, readOnly: true}
{{- end }}
{{- if .root.Values.kafka.sasl.mechanism }}
- {name: kafka-sasl, mountPath: /etc/ledgerlb-kafka/sasl, readOnly: true}
{{- end }}
{{- end -}}

{{/* The keys that a process signs with and trusts: environment, volumes and mounts. All take
     (dict "root" $ "component" "ipam"). */}}
{{- define "ledgerlb.keyEnvironment" -}}
{{- if index .root.Values.signing.secrets .component }}
- {name: LEDGERLB_SIGNING_KEY_FILE, value: /etc/ledgerlb-keys/signing/signing.pem}
{{- end }}
{{- if .root.Values.signing.trustedConfigMap }}
- {name: LEDGERLB_TRUSTED_KEYS_FILE, value: /etc/ledgerlb-keys/trusted/trusted.json}
{{- end }}
{{- end -}}

{{- define "ledgerlb.keyVolumes" -}}
{{- with index .root.Values.signing.secrets .component }}
- name: signing-key
  secret: {secretName: {{ . | quote }}, defaultMode: 0440}
{{- end }}
{{- with .root.Values.signing.trustedConfigMap }}
- name: trusted-keys
  configMap: {name: {{ . | quote }}}
{{- end }}
{{- end -}}

{{- define "ledgerlb.keyMounts" -}}
{{- if index .root.Values.signing.secrets .component }}
- {name: signing-key, mountPath: /etc/ledgerlb-keys/signing, readOnly: true}
{{- end }}
{{- if .root.Values.signing.trustedConfigMap }}
- {name: trusted-keys, mountPath: /etc/ledgerlb-keys/trusted, readOnly: true}
{{- end }}
{{- end -}}

{{/* Environment that all processes share; takes (dict "root" $ "component" "ipam"). */}}
{{- define "ledgerlb.environment" -}}
{{ include "ledgerlb.kafkaEnvironment" . }}
{{- include "ledgerlb.keyEnvironment" . }}
- {name: LEDGERLB_LOG_PROVISION, value: "false"}
- {name: LEDGERLB_LOG_REPLICATION, value: {{ .root.Values.kafka.replication | quote }}}
- {name: LEDGERLB_LOG_LEVEL, value: {{ .root.Values.log.level | quote }}}
- {name: LEDGERLB_LOG_FORMAT, value: {{ .root.Values.log.format | quote }}}
- {name: LEDGERLB_SETTINGS, value: /etc/ledgerlb/settings.yaml}
{{- end -}}

{{/* What every pod's spec says but for its containers; takes (dict "root" $ "component" …). */}}
{{- define "ledgerlb.pod" -}}
enableServiceLinks: false
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .root.Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .root.Values.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
volumes:
  - name: settings
    configMap: {name: {{ include "ledgerlb.name" .root }}-settings}
  - name: tmp
    emptyDir: {}
  {{- include "ledgerlb.kafkaVolumes" . | nindent 2 }}
  {{- include "ledgerlb.keyVolumes" . | nindent 2 }}
{{- end -}}

{{- define "ledgerlb.podAnnotations" -}}
checksum/settings: {{ toYaml .root.Values.settings | sha256sum }}
prometheus.io/scrape: "true"
prometheus.io/path: /metrics
prometheus.io/port: {{ .port | default 8080 | quote }}
{{- with .root.Values.podAnnotations }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "ledgerlb.mounts" -}}
- {name: settings, mountPath: /etc/ledgerlb, readOnly: true}
- {name: tmp, mountPath: /tmp}
{{ include "ledgerlb.kafkaMounts" . }}
{{- include "ledgerlb.keyMounts" . }}
{{- end -}}

{{/* Alive: answers at all. Ready: has read the log to its end, and follows it. */}}
{{- define "ledgerlb.probes" -}}
startupProbe:
  httpGet: {path: /healthz, port: http}
  periodSeconds: 2
  failureThreshold: 30
livenessProbe:
  httpGet: {path: /healthz, port: http}
  periodSeconds: 10
  failureThreshold: 6
readinessProbe:
  httpGet: {path: /readyz, port: http}
  periodSeconds: 5
{{- end -}}

{{- define "ledgerlb.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- define "ledgerlb.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}

{{/* A service as a Deployment; takes (dict "root" $ "component" "ipam" "image" "ipam" "values" .Values.ipam
     and, where wanted, "environment" (dict "NAME" "value" …), "serviceAccount" "…", "strategy" "Recreate"). */}}
{{- define "ledgerlb.deployment" -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ include "ledgerlb.name" .root }}-{{ .component }}
  namespace: {{ .root.Release.Namespace }}
  labels: {{- include "ledgerlb.labels" . | nindent 4 }}
spec:
  replicas: {{ .values.replicas }}
  strategy: {type: {{ .strategy | default "RollingUpdate" }}}
  selector:
    matchLabels: {{- include "ledgerlb.selector" . | nindent 6 }}
  template:
    metadata:
      labels:
        {{- include "ledgerlb.labels" . | nindent 8 }}
        {{- with .root.Values.podLabels }}{{ toYaml . | nindent 8 }}{{ end }}
      annotations: {{- include "ledgerlb.podAnnotations" . | nindent 8 }}
    spec:
      {{- if .serviceAccount }}
      serviceAccountName: {{ .serviceAccount }}
      automountServiceAccountToken: true
      {{- else }}
      automountServiceAccountToken: false
      {{- end }}
      securityContext: {{- include "ledgerlb.podSecurity" . | nindent 8 }}
      terminationGracePeriodSeconds: 30
      {{- with .root.Values.nodeSelector }}
      nodeSelector: {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with .root.Values.tolerations }}
      tolerations: {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- include "ledgerlb.pod" . | nindent 6 }}
      containers:
        - name: {{ .component }}
          image: {{ include "ledgerlb.image" . | quote }}
          imagePullPolicy: {{ .root.Values.image.pullPolicy }}
          env: {{- include "ledgerlb.environment" . | nindent 12 }}
            - {name: LEDGERLB_HTTP_HOST, value: "0.0.0.0"}
            - {name: LEDGERLB_HTTP_PORT, value: "8080"}
            {{- range $name, $value := .environment }}
            - {name: {{ $name }}, value: {{ $value | quote }}}
            {{- end }}
          ports:
            - {name: http, containerPort: 8080}
          {{- include "ledgerlb.probes" . | nindent 10 }}
          resources: {{- toYaml .values.resources | nindent 12 }}
          securityContext: {{- include "ledgerlb.containerSecurity" . | nindent 12 }}
          volumeMounts: {{- include "ledgerlb.mounts" . | nindent 12 }}
{{- end -}}
