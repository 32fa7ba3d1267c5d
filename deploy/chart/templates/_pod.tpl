{{/* What all pods have in common. Each takes a dict of `root` (the chart's context) and `part` (web, worker, engine, envoy). */}}

{{- define "plm.name" -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- end }}

{{- define "plm.selector" -}}
app.kubernetes.io/name: {{ .root.Chart.Name }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .part }}
{{- end }}

{{- define "plm.labels" -}}
{{ include "plm.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ .root.Chart.Name }}-{{ .root.Chart.Version }}
{{- end }}

{{- define "plm.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}
{{- end }}

{{/* The head of a pod: an ordinary user, nothing of the cluster's own, spread over machines and zones. */}}
{{- define "plm.pod" -}}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .root.Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  seccompProfile: { type: RuntimeDefault }
topologySpreadConstraints:
  {{- range list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
  - maxSkew: 1
    topologyKey: {{ . }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels: {{- include "plm.selector" $ | nindent 8 }}
  {{- end }}
{{- end }}

{{- define "plm.hardened" -}}
securityContext:
  readOnlyRootFilesystem: true
  allowPrivilegeEscalation: false
  capabilities: { drop: [ALL] }
{{- end }}

{{/* Settings: the secret's, then the chart's own, which win. */}}
{{- define "plm.environment" -}}
envFrom:
  - secretRef: { name: {{ .Values.secret }} }
  - configMapRef: { name: {{ include "plm.name" . }} }
{{- end }}

{{/* A container that answers nobody until the library's folder is built, and the volumes of it and its successor. */}}
{{- define "plm.library" -}}
- name: library
  image: {{ include "plm.image" . }}
  imagePullPolicy: {{ .Values.image.pullPolicy }}
  args: [library, build]
  {{- include "plm.environment" . | nindent 2 }}
  resources: {{- toYaml .Values.library.resources | nindent 4 }}
  {{- include "plm.hardened" . | nindent 2 }}
  volumeMounts: {{- include "plm.mounts" . | nindent 4 }}
{{- end }}

{{- define "plm.mounts" -}}
- { name: data, mountPath: /var/lib/personal-lm }
- { name: tmp, mountPath: /tmp }
{{- end }}

{{- define "plm.volumes" -}}
- name: data
  emptyDir: { sizeLimit: {{ .Values.library.size }} }
- name: tmp
  emptyDir: { sizeLimit: 64Mi }
{{- end }}
