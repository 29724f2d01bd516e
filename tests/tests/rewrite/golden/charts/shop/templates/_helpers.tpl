{{- define "shop.image" -}}
{{- $registry := .Values.global.imageRegistry | default "docker.io" -}}
{{- printf "%s/%s:%s" $registry "library/nginx" "1.25.3" -}}
{{- end -}}
{{- define "shop.kubectl" -}}
image: registry.corp:5000/bitnami/kubectl:1.28.6
{{- end -}}
