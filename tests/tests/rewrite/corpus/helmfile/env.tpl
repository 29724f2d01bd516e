REGISTRY={{ .Values.imageRegistry }}
IMAGE=quay.io/coreos/etcd:v3.5.12
