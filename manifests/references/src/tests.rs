//! Each way to name an image, as it stands in real files.

use crate::{Format, find};

const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// Every reference as `path how name`, with the object before it; its bytes checked.
fn found(text: &str, format: Format) -> Vec<String> {
    let text = text.replace("DIGEST", DIGEST);
    find(&text, format)
        .iter()
        .map(|found| {
            let spans = &found.spans;
            assert_eq!(text[spans.repository.clone()], found.named.repository, "{found:?}");
            for (span, part) in [(&spans.registry, &found.named.registry), (&spans.tag, &found.named.tag)] {
                if let (Some(span), Some(part)) = (span, part) {
                    assert_eq!(&text[span.clone()], part, "{found:?}");
                }
            }
            if let Some(whole) = &spans.whole {
                assert_eq!(text[whole.clone()], found.named.to_string());
            }
            let line = text.lines().nth(found.place.line - 1).unwrap();
            let column = line.char_indices().nth(found.place.column - 1).unwrap().0;
            let first = text[..spans.first()].rfind('\n').map_or(0, |feed| feed + 1) + column;
            assert_eq!(first, spans.first(), "{found:?}");
            let object = found.place.object.as_ref().map(|object| format!("{object}: ")).unwrap_or_default();
            let place = if spans.registry.is_some() && found.named.registry.is_none() { "…/" } else { "" };
            let how = serde_json::to_value(found.how).unwrap();
            format!("{object}{} {} {place}{}", found.place.path, how.as_str().unwrap(), found.named)
                .replace(DIGEST, "DIGEST")
        })
        .collect()
}

fn check(format: Format, table: &[(&str, &[&str])]) {
    for (text, expected) in table {
        assert_eq!(found(text, format), *expected, "{text}");
        let with_returns = text.replace('\n', "\r\n");
        assert_eq!(found(&with_returns, format), *expected, "with carriage returns: {text}");
    }
}

#[test]
fn manifests() {
    check(
        Format::Yaml,
        &[
            (
                "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: web\n  namespace: blueking\nspec:\n  template:\n    spec:\n      containers:\n      - name: redis\n        image: redis # the cache\n      initContainers:\n      - {name: a, image: \"a.b/c/d:1@DIGEST\"}\n",
                &[
                    "Deployment blueking/web: spec.template.spec.containers[0].image image redis",
                    "Deployment blueking/web: spec.template.spec.initContainers[0].image image a.b/c/d:1@DIGEST",
                ],
            ),
            (
                "kind: List\napiVersion: v1\nitems:\n- apiVersion: v1\n  kind: Pod\n  metadata: {name: p}\n  spec:\n    volumes:\n    - name: v\n      image:\n        reference: a/b:1\n",
                &["Pod p: items[0].spec.volumes[0].image.reference image a/b:1"],
            ),
            (
                "kind: Pod\napiVersion: v1\nspec:\n  containers:\n  - env:\n    - name: A\n      value: quay.io/a/b:v1\n    - {value: redis, name: C_IMAGE}\n    - name: HOST\n      value: a.b:80\n    - name: V\n      value: blueking/slug:v1.2\n    args: [--sidecar-image=x/y:z, \"--image\", busybox, --port=a.b/c, --to=http://x.y/z:1]\n    command:\n    - sh\n    - -c\n    - |\n      ctr pull quay.io/c/d:2\n      # quay.io/no/no:1\n",
                &[
                    "Pod: spec.containers[0].env[0].value environment quay.io/a/b:v1",
                    "Pod: spec.containers[0].env[1].value environment redis",
                    "Pod: spec.containers[0].env[3].value environment blueking/slug:v1.2",
                    "Pod: spec.containers[0].args[0] argument x/y:z",
                    "Pod: spec.containers[0].args[2] argument busybox",
                    "Pod: spec.containers[0].command[2] argument quay.io/c/d:2",
                ],
            ),
            (
                "apiVersion: monitoring.coreos.com/v1\nkind: Prometheus\nmetadata:\n  name: k8s\nspec:\n  image: quay.io/prometheus/prometheus:v2.1\n  thanos:\n    baseImage: quay.io/thanos/thanos\n    other: quay.io/x/y:z1\n",
                &[
                    "Prometheus k8s: spec.image custom-resource quay.io/prometheus/prometheus:v2.1",
                    "Prometheus k8s: spec.thanos.baseImage custom-resource quay.io/thanos/thanos",
                    "Prometheus k8s: spec.thanos.other custom-resource quay.io/x/y:z1",
                ],
            ),
            (
                "apiVersion: v1\nkind: Pod\nmetadata:\n  annotations:\n    sidecar.istio.io/proxyImage: istio/proxyv2:1.2\n    a: quay.io/a/b:1\n    kubectl.kubernetes.io/last-applied-configuration: '{\"image\":\"quay.io/no/no:1\"}'\n  labels:\n    x: quay.io/no/no:1\n",
                &[
                    "Pod: metadata.annotations[\"sidecar.istio.io/proxyImage\"] annotation istio/proxyv2:1.2",
                    "Pod: metadata.annotations.a annotation quay.io/a/b:1",
                ],
            ),
            (
                "name: x\nannotations:\n  artifacthub.io/images: |\n    - name: web\n      image: quay.io/a/web:1\n    - name: redis\n      image: redis\n",
                &[
                    "annotations[\"artifacthub.io/images\"][0].image annotation quay.io/a/web:1",
                    "annotations[\"artifacthub.io/images\"][1].image annotation redis",
                ],
            ),
        ],
    );
    let text = "{\"parameters\": [{\"key\": \"env\", \"value\": \"A=quay.io/a/b:1\"}]}";
    assert_eq!(found(text, Format::Yaml), ["parameters[0].value value quay.io/a/b:1"]);
    let text = "{\"id\": \"/web\", \"container\": {\"docker\": {\"image\": \"a.b/c/web:1\"}}}\n";
    assert_eq!(found(text, Format::Yaml), ["container.docker.image image a.b/c/web:1"]);
    let escaped = find("{\"image\": \"a.b\\/c:1\"}", Format::Yaml);
    assert_eq!(escaped[0].named.to_string(), "a.b/c:1");
}

#[test]
fn config_maps_and_secrets() {
    check(
        Format::Yaml,
        &[
            (
                "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: bkpaas3-apiserver-general-envs, namespace: blueking}\ndata:\n  PAAS_APP_IMAGE: hub.bktencent.com/blueking/slug-app:v1.1.0-beta.27\n  PAAS_HEROKU_BUILDER_IMAGE: \"blueking/bk-builder-heroku-bionic:v1.0.1\"\n  PLAIN: redis\n",
                &[
                    "ConfigMap blueking/bkpaas3-apiserver-general-envs: data.PAAS_APP_IMAGE config-map hub.bktencent.com/blueking/slug-app:v1.1.0-beta.27",
                    "ConfigMap blueking/bkpaas3-apiserver-general-envs: data.PAAS_HEROKU_BUILDER_IMAGE config-map blueking/bk-builder-heroku-bionic:v1.0.1",
                ],
            ),
            (
                "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata:\n  a.yaml: |\n    sidecar:\n      image: busybox:1.28\n      # image: no/no:1\n    list:\n    - repository: x/y\n      tag: v1\n  app.env: |\n    A_IMAGE=redis:7\n    URL=https://a.b/c:1\n  config.toml: |\n    sandbox_image = \"registry.k8s.io/pause:3.9\"\n",
                &[
                    "ConfigMap c: data[\"a.yaml\"].sidecar.image config-map busybox:1.28",
                    "ConfigMap c: data[\"a.yaml\"].list[0].repository config-map x/y:v1",
                    "ConfigMap c: data[\"app.env\"] config-map redis:7",
                    "ConfigMap c: data[\"config.toml\"] config-map registry.k8s.io/pause:3.9",
                ],
            ),
            (
                "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\ndata:\n  A_IMAGE: cXVheS5pby9hL2I6MQo=\nstringData:\n  B_IMAGE: a/b:1\n",
                &["Secret s: stringData.B_IMAGE config-map a/b:1"],
            ),
        ],
    );
    let json = "{\"kind\":\"ConfigMap\",\"apiVersion\":\"v1\",\"data\":{\"a.yaml\":\"b:\\n  image: quay.io/a/b:1\\n\"}}";
    assert_eq!(found(json, Format::Yaml), ["ConfigMap: data[\"a.yaml\"].b.image config-map quay.io/a/b:1"]);
}

#[test]
fn values() {
    check(
        Format::Yaml,
        &[
            (
                "image:\n  tag: \"1.0\"\n  repository: blueking/web\n  registry: hub.bktencent.com\n  pullPolicy: Always\n",
                &["image.repository value hub.bktencent.com/blueking/web:1.0"],
            ),
            ("a: {repository: x/y, tag: 1.10}\n", &["a.repository value x/y:1.10"]),
            ("image: {name: x/y, tag: v1}\n", &["image.name value x/y:v1"]),
            (
                "image:\n  registry: k8s.gcr.io\n  image: ingress-nginx/controller\n  tag: v1\n  digest: DIGEST\n",
                &["image.image value k8s.gcr.io/ingress-nginx/controller:v1@DIGEST"],
            ),
            ("image: x/y\nimageTag: v2\n", &["image value x/y:v2"]),
            ("imageRepository: quay.io/x/y\nimageTag: v2\n", &["imageRepository value quay.io/x/y:v2"]),
            (
                "sidecarImage: x/y:1\nbackgroundImage: logo.png\nuseImage: true\n",
                &["sidecarImage value x/y:1"],
            ),
            (
                "images:\n- x/y:1\n- redis:7\nwebImages: {a: nginx:1, pull: Always}\n",
                &["images[0] value x/y:1", "images[1] value redis:7", "webImages.a value nginx:1"],
            ),
            ("image:\n  repository: x/y\n  tag: \"\"\n", &["image.repository value x/y"]),
            ("a: &t v1\nimage:\n  repository: x/y\n  tag: *t\n", &["image.repository value x/y:v1"]),
            ("img: &i x/y:1\nimage: *i\n", &["image value x/y:1"]),
            (
                "dependencies:\n- name: redis\n  version: 1.0.0\n  repository: https://a.b/c\n- {name: a, repository: \"file://../a\", version: 1}\n",
                &[],
            ),
            ("image: \"{{ .Values.global.imageRegistry }}/x/y:1\"\n", &["image value …/x/y:1"]),
            ("repository: x/y\nbranch: main\n", &[]),
            ("web:\n  env:\n    A_IMAGE: a/b:1\n    B: c\n", &["web.env.A_IMAGE environment a/b:1"]),
            (
                "url: https://a.b/c:1\ntime: 12:30:00\nip: fe80::1/64\npath: /a/b:c\nversion: 1.2\nversion2: v1/a:b\n",
                &[],
            ),
        ],
    );
}

#[test]
fn templates() {
    check(
        Format::Template,
        &[
            (
                "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: {{ include \"x.name\" . }}\nspec:\n  {{- with .Values.a }}\n  {{- toYaml . | nindent 2 }}\n  {{- end }}\n  containers:\n  - image: {{ .Values.image }}\n  - image: \"{{ .Values.imageRegistry }}/blueking/bkrepo:{{ .Values.tag }}\"\n  - image: busybox\n  - image: {{ .Values.b | default \"alpine:3.11\" }}\n  - image: \"groundnuty/k8s-wait-for:{{ .Values.v }}\"\n",
                &[
                    "Deployment: spec.containers[1].image image …/blueking/bkrepo",
                    "Deployment: spec.containers[2].image image busybox",
                    "Deployment: spec.containers[3].image image alpine:3.11",
                    "Deployment: spec.containers[4].image image groundnuty/k8s-wait-for",
                ],
            ),
            (
                "image:\n  registry: {{ .Values.imageRegistry }}\n  repository: blueking/web\n  tag: v1\n",
                &["image.repository image …/blueking/web:v1"],
            ),
            (
                "image: {{ printf \"%s/groundnuty/k8s-wait-for:%s\" .Values.r .Values.t }}\n",
                &["image image …/groundnuty/k8s-wait-for"],
            ),
            (
                "node:\n  image:\n    repository: {{ .Values.imageRegistry }}/blueking/node-exporter\n    tag: v1\n",
                &["node.image.repository image …/blueking/node-exporter:v1"],
            ),
            (
                "{{- define \"a\" }}\n{{ .Values.registry }}/x/y:{{ .Values.tag }}\n{{- end }}\n",
                &[" image …/x/y"],
            ),
        ],
    );
}

#[test]
fn kustomizations() {
    check(
        Format::Kustomization,
        &[(
            "images:\n- name: nginx\n  newName: a.b/nginx\n  newTag: \"1.2\"\n- name: redis\n  newTag: 7\n- name: x/y\n  digest: DIGEST\npatches:\n- patch: |-\n    - op: replace\n      path: /spec/containers/0/image\n      value: redis:7\n",
            &[
                "images[0].newName kustomization a.b/nginx:1.2",
                "images[1].name kustomization redis:7",
                "images[2].name kustomization x/y@DIGEST",
                "patches[0].patch[0].value value redis:7",
            ],
        )],
    );
}

#[test]
fn compose_files() {
    check(
        Format::Compose,
        &[(
            "services:\n  web:\n    image: ${REGISTRY:-docker.io}/x/y:${TAG:-1.2}-alpine\n    environment:\n      - WORKER_IMAGE=a/b:1\n      - X=y\n    command: --sidecar-image quay.io/c/d:2\n    ports: [\"80:80\"]\n    volumes: [\"./a.b/c:/d:ro\"]\n  db:\n    image: mysql\n    build:\n      args:\n        BASE_IMAGE: alpine:3\n        X: y\n",
            &[
                "services.web.image image docker.io/x/y:1.2-alpine",
                "services.web.environment[0] environment a/b:1",
                "services.web.command argument quay.io/c/d:2",
                "services.db.image image mysql",
                "services.db.build.args.BASE_IMAGE argument alpine:3",
            ],
        )],
    );
}

#[test]
fn lists_and_environments() {
    check(
        Format::List,
        &[
            ("# all\nredis\na.b/c:1 # one\n\nNot one\n", &[" line redis", " line a.b/c:1"]),
            ("\"redis:7\",\n- 'a/b:1'\n", &[" line redis:7", " line a/b:1"]),
            ("redis:7, a/b,nginx:1\n", &[" line redis:7", " line a/b", " line nginx:1"]),
            ("docker pull -q alpine:3.19\ncrictl pull redis\n", &[" line alpine:3.19", " line redis"]),
            ("a/b:1 linux/amd64\ndocker run it\nNote: all, of them\n", &[" line a/b:1"]),
        ],
    );
    check(
        Format::Environment,
        &[(
            "# X_IMAGE=no\nPAAS_APP_IMAGE=\"a.b/c:1\"\nREGISTRY=a.b\nexport B=quay.io/c/d:1\n",
            &["PAAS_APP_IMAGE environment a.b/c:1", "B environment quay.io/c/d:1"],
        )],
    );
}

#[test]
fn images_by_other_names() {
    check(
        Format::Yaml,
        &[
            (
                "apiVersion: postgresql.cnpg.io/v1\nkind: Cluster\nmetadata: {name: db}\nspec:\n  imageName: bitnami/postgresql:16.1\n  diskImageName: ubuntu-20\n  web:\n    imageRef: redis:7\n",
                &[
                    "Cluster db: spec.imageName custom-resource bitnami/postgresql:16.1",
                    "Cluster db: spec.web.imageRef custom-resource redis:7",
                ],
            ),
            (
                "apiVersion: monitoring.coreos.com/v1\nkind: Prometheus\nspec:\n  baseImage: quay.io/prometheus/prometheus\n  version: v2.49.1\n",
                &["Prometheus: spec.baseImage custom-resource quay.io/prometheus/prometheus:v2.49.1"],
            ),
            (
                "{\"id\": \"/web\", \"containers\": [{\"name\": \"a\", \"image\": {\"kind\": \"DOCKER\", \"id\": \"redis:7\"}}]}\n",
                &["containers[0].image.id image redis:7"],
            ),
            (
                "kind: Pod\napiVersion: v1\nspec:\n  containers:\n  - args: [--helper, \"bitnami/helper:1.0.0\", --from=x, svc/web:80, -v, \"a/b:ro\"]\n",
                &["Pod: spec.containers[0].args[1] argument bitnami/helper:1.0.0"],
            ),
        ],
    );
}

#[test]
fn texts_within_config_maps() {
    check(
        Format::Yaml,
        &[(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata:\n  a.yaml: |\n    runner: bitnami/runner:1.2.0\n    link: svc/web:80\n  b.json: '{\"a\": {\"helper\": \"bitnami/helper:2.0\"}}'\n  c.toml: |\n    [plugins.\"io.containerd.grpc.v1.cri\"] # of containerd\n      sandbox_image = \"registry.k8s.io/pause:3.9\"\n",
            &[
                "ConfigMap c: data[\"a.yaml\"].runner config-map bitnami/runner:1.2.0",
                "ConfigMap c: data[\"b.json\"].a.helper config-map bitnami/helper:2.0",
                "ConfigMap c: data[\"c.toml\"] config-map registry.k8s.io/pause:3.9",
            ],
        )],
    );
}

#[test]
fn parameters_of_charts() {
    check(
        Format::Yaml,
        &[
            (
                "releases:\n- name: a\n  set:\n  - name: image.registry\n    value: docker.io\n  - name: image.repository\n    value: bitnami/redis\n  - {name: image.tag, value: \"7.2\"}\n  - {name: service.port, value: 80}\n",
                &["releases[0].set[1].value value docker.io/bitnami/redis:7.2"],
            ),
            (
                "releases:\n- name: a\n  set:\n  - {name: global.imageRegistry, value: h.c}\n  - {name: image.repository, value: bitnami/redis}\n",
                &["releases[0].set[1].value value h.c/bitnami/redis"],
            ),
            (
                "apiVersion: argoproj.io/v1alpha1\nkind: Application\nspec:\n  source:\n    helm:\n      parameters:\n      - {name: web.image.repository, value: a/b}\n      - {name: web.image.tag, value: v1}\n    kustomize:\n      images: [\"nginx=nginx:1.25.3\", \"redis:7\"]\n",
                &[
                    "Application: spec.source.helm.parameters[0].value custom-resource a/b:v1",
                    "Application: spec.source.kustomize.images[0] custom-resource nginx:1.25.3",
                    "Application: spec.source.kustomize.images[1] custom-resource redis:7",
                ],
            ),
            (
                "apiVersion: tekton.dev/v1\nkind: Task\nspec:\n  params:\n  - {name: builder-image, default: \"alpine:3.19\"}\n  - {name: path, default: a}\n",
                &["Task: spec.params[0].default custom-resource alpine:3.19"],
            ),
        ],
    );
    let set = "releases:\n- set:\n  - {name: global.imageRegistry, value: docker.io}\n";
    assert_eq!(crate::survey(set, Format::Yaml).registries[0].value, "docker.io");
    let both = format!("{set}  - {{name: image.repository, value: a/b}}\n");
    assert!(crate::survey(&both, Format::Yaml).registries.is_empty());
    let compose = "services:\n  web:\n    build:\n      additional_contexts:\n        base: docker-image://alpine\n      dockerfile_inline: |\n        FROM redis:7 AS a\n        COPY --from=a /a /b\n        COPY --from=x/y:1 /c /d\n";
    assert_eq!(
        found(compose, Format::Compose),
        [
            "services.web.build.additional_contexts.base image alpine",
            "services.web.build.dockerfile_inline dockerfile redis:7",
            "services.web.build.dockerfile_inline dockerfile x/y:1",
        ]
    );
}

#[test]
fn what_only_rendering_tells_is_told_so() {
    let places = |text: &str, format| -> Vec<String> {
        let survey = crate::survey(text, format);
        survey.unclear.iter().map(|place| format!("{}:{} {}", place.line, place.column, place.path)).collect()
    };
    let template = "apiVersion: v1\nkind: Pod\nspec:\n  containers:\n  - image: {{ include \"a.image\" . }}\n  - image: \"{{ .Values.a }}/b:1\"\n  - image: {{ printf \"%s/%s:%s\" \"quay.io\" (lower \"A\") \"v1\" }}\n  - image: redis\n";
    assert_eq!(
        places(template, Format::Template),
        ["5:12 spec.containers[0].image", "7:12 spec.containers[2].image"]
    );
    assert_eq!(
        places("services:\n  a: {image: \"${A_IMAGE}\"}\n", Format::Compose),
        ["2:15 services.a.image"]
    );
    assert!(places("image: redis:7\nuseImage: true\nimage2: \"{{ x }}\"\n", Format::Yaml).is_empty());
}

#[test]
fn what_no_container_can_run_is_told() {
    let malformed = |text: &str, format| -> Vec<String> {
        let survey = crate::survey(text, format);
        let told = |one: crate::Malformed| {
            format!("{}:{} {}: {}", one.place.line, one.place.column, one.place.path, one.reason)
        };
        survey.malformed.into_iter().map(told).collect()
    };
    let pod = "apiVersion: v1\nkind: Pod\nspec:\n  containers:\n  - image: redis:7\n  - image: Team/App:1.0\n  - image: \"nginx::1\"\n  - image: \"{{ .Values.A }}::1\"\n";
    let told = malformed(pod, Format::Template);
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].starts_with("6:12 spec.containers[1].image: `Team/App:1.0` is not"), "{told:?}");
    assert!(told[1].contains("7:13") && told[1].contains("`nginx::1`"), "{told:?}");
    assert_eq!(malformed("services:\n  a: {image: \"A B\"}\n", Format::Compose).len(), 1);
    // What no kubelet reads may be anything.
    for text in
        ["image: Logo Of Ours\n", "a: {image: 'https://x.y/z.svg'}\n", "containers: [{image: 'A B'}]\n"]
    {
        assert!(malformed(text, Format::Yaml).is_empty(), "{text}");
    }
}
