use ferry_model::plan::Desired;
use serde_json::Value;

use super::quantity;
use crate::desire::Desire;
use crate::desire::registry::tests::desire_of;

/// A site whose registry is on the cluster, with more lines of `kubernetes` and of `registry`.
fn on_cluster(kubernetes: &str, registry: &str) -> String {
    format!("registry:\n  address: registry.corp:30500\n{registry}  kubernetes:\n{kubernetes}")
}

const CLAIM: &str = "    storage: {size: 500GiB}\n";
const S3: &str = "    storage: {s3: {endpoint: 'http://minio:9000', bucket: images, login: {user: AK, password: {env: SK}}}}\n";

fn objects(desire: &Desire) -> Vec<&Value> {
    desire
        .resources
        .iter()
        .filter_map(|resource| match &resource.desired {
            Desired::Object(object) => Some(&object.manifest),
            _ => None,
        })
        .collect()
}

fn object<'a>(desire: &'a Desire, kind: &str) -> &'a Value {
    objects(desire).into_iter().find(|object| object["kind"] == kind).unwrap_or_else(|| panic!("no {kind}"))
}

#[test]
fn the_configuration_is_where_the_program_looks_for_it() {
    let desire = desire_of(&on_cluster(CLAIM, "")).unwrap();
    let config = object(&desire, "ConfigMap");
    let text = config["data"]["config.yml"].as_str().unwrap();
    assert!(text.contains("/etc/ferry/tls/tls.crt") && text.contains("/var/lib/registry"), "{text}");
    let pod = &object(&desire, "Deployment")["spec"]["template"]["spec"];
    let volume = &pod["volumes"][0]["configMap"];
    assert_eq!(volume["name"], config["metadata"]["name"]);
    // The key is one that the ConfigMap has, and becomes the file that the program is started with.
    let (key, path) =
        (volume["items"][0]["key"].as_str().unwrap(), volume["items"][0]["path"].as_str().unwrap());
    assert!(config["data"].get(key).is_some());
    let container = &pod["containers"][0];
    let folder = container["volumeMounts"][0]["mountPath"].as_str().unwrap();
    assert!(container["volumeMounts"][0].get("subPath").is_none());
    // An image whose entrypoint is the program itself must be told what to do, too.
    assert_eq!(container["args"], serde_json::json!(["serve", format!("{folder}/{path}")]));
    // All that is mounted is a volume of the pod, and each file that the configuration names lies in one.
    let names: Vec<&Value> =
        pod["volumes"].as_array().unwrap().iter().map(|volume| &volume["name"]).collect();
    for mount in container["volumeMounts"].as_array().unwrap() {
        assert!(names.contains(&&mount["name"]), "{mount}");
    }
}

#[test]
fn what_the_registry_asks_for_changes_with_its_configuration() {
    let digest = |sections: &str| {
        let desire = desire_of(sections).unwrap();
        let template = &object(&desire, "Deployment")["spec"]["template"];
        template["metadata"]["annotations"]["ferry/config-digest"].as_str().unwrap().to_owned()
    };
    let login = "  login: {user: ferry, password: {env: PW}}\n";
    assert_eq!(digest(&on_cluster(CLAIM, "")), digest(&on_cluster(CLAIM, "")));
    assert_ne!(digest(&on_cluster(CLAIM, "")), digest(&on_cluster(CLAIM, login)));
}

#[test]
fn several_pods_need_a_bucket_and_share_a_secret() {
    let several = format!("    replicas: 3\n{CLAIM}");
    let error = desire_of(&on_cluster(&several, "")).unwrap_err().to_string();
    assert!(error.contains("3 replicas cannot share one volume"), "{error}");
    let desire = desire_of(&on_cluster(&format!("    replicas: 3\n{S3}"), "")).unwrap();
    let deployment = object(&desire, "Deployment");
    assert_eq!(deployment["spec"]["strategy"]["type"], "RollingUpdate");
    let environment = deployment["spec"]["template"]["spec"]["containers"][0]["env"].to_string();
    for name in ["REGISTRY_STORAGE_S3_ACCESSKEY", "REGISTRY_STORAGE_S3_SECRETKEY", "REGISTRY_HTTP_SECRET"] {
        assert!(environment.contains(name), "{environment}");
    }
    let made_up = desire.resources.iter().filter_map(|resource| match &resource.desired {
        Desired::Object(object) if !object.data_random.is_empty() => Some(object.name()),
        _ => None,
    });
    assert_eq!(made_up.collect::<Vec<_>>(), ["Secret ferry-registry/registry-http"]);
    let single = desire_of(&on_cluster(CLAIM, "")).unwrap();
    let deployment = object(&single, "Deployment");
    assert_eq!(deployment["spec"]["strategy"]["type"], "Recreate");
    assert!(!deployment.to_string().contains("REGISTRY_HTTP_SECRET"));
}

#[test]
fn a_folder_of_a_node_needs_that_node() {
    let folder = "    storage: {hostPath: /data/registry}\n";
    let error = desire_of(&on_cluster(folder, "")).unwrap_err().to_string();
    assert!(error.contains("images lie on one node"), "{error}");
    let placed = format!("{folder}    nodeSelector: {{kubernetes.io/hostname: n1}}\n");
    let desire = desire_of(&on_cluster(&placed, "")).unwrap();
    let pod = &object(&desire, "Deployment")["spec"]["template"]["spec"];
    assert_eq!(pod["nodeSelector"]["kubernetes.io/hostname"], "n1");
    assert_eq!(pod["securityContext"]["runAsUser"], 0);
}

#[test]
fn the_service_is_what_the_address_says() {
    let service = |address: &str, kubernetes: &str| {
        let sections =
            on_cluster(&format!("{CLAIM}{kubernetes}"), "").replace("registry.corp:30500", address);
        desire_of(&sections).map(|desire| object(&desire, "Service")["spec"].clone())
    };
    let spec = service("registry.corp:30500", "").unwrap();
    assert_eq!((&spec["type"], &spec["ports"][0]["nodePort"]), (&"NodePort".into(), &30500.into()));
    let spec = service("registry.corp", "").unwrap();
    assert_eq!((&spec["type"], &spec["ports"][0]["port"]), (&"ClusterIP".into(), &443.into()));
    let spec = service("10.96.0.50:5000", "").unwrap();
    assert_eq!((&spec["clusterIP"], &spec["ports"][0]["port"]), (&"10.96.0.50".into(), &5000.into()));
    let spec = service("10.0.0.9", "    service: LoadBalancer\n").unwrap();
    assert_eq!(spec["loadBalancerIP"], "10.0.0.9");
    let error = service("registry.corp", "    service: NodePort\n").unwrap_err().to_string();
    assert!(error.contains("a NodePort needs a port"), "{error}");
}

#[test]
fn an_ingress_lets_layers_through() {
    let ingress = |address: &str, ingress: &str| {
        let sections = on_cluster(&format!("{CLAIM}    ingress: {ingress}\n"), "");
        desire_of(&sections.replace("registry.corp:30500", address))
    };
    let desire = ingress("registry.corp", "{}").unwrap();
    let object_of = object(&desire, "Ingress");
    let annotations = &object_of["metadata"]["annotations"];
    assert_eq!(annotations["nginx.ingress.kubernetes.io/proxy-body-size"], "0");
    assert_eq!(object_of["spec"]["ingressClassName"], "nginx");
    assert_eq!(object_of["spec"]["tls"][0]["secretName"], "registry-tls");
    // It is the Ingress that ends TLS; the registry behind it speaks HTTP.
    assert_eq!(
        object(&desire, "Deployment")
            .pointer("/spec/template/spec/containers/0/readinessProbe/httpGet/scheme")
            .unwrap(),
        "HTTP"
    );
    for (issuer, key) in [("cluster/ca", "cluster-issuer"), ("ca", "issuer")] {
        let desire =
            ingress("registry.corp", &format!("{{issuer: {issuer}, annotations: {{a/b: c}}}}")).unwrap();
        let annotations = &object(&desire, "Ingress")["metadata"]["annotations"];
        assert_eq!(
            (&annotations[format!("cert-manager.io/{key}")], &annotations["a/b"]),
            (&"ca".into(), &"c".into())
        );
        assert!(objects(&desire).iter().all(|object| object["kind"] != "Secret"), "cert-manager makes it");
    }
    assert!(ingress("10.0.0.1", "{}").unwrap_err().to_string().contains("found by its name"));
}

#[test]
fn nodes_get_the_image_before_there_is_a_registry() {
    let nodes = "nodes:\n  hosts: [{name: n1, address: 10.0.0.11}, {name: n2}]\n  ssh: {user: root, port: 2222, identityFile: key, options: [ProxyJump=bastion]}\n";
    let images = |desire: &Desire| {
        let image = |desired: &Desired| match desired {
            Desired::NodeImage(image) => {
                Some((image.node.to_string(), image.name.clone(), image.ssh.join(" ")))
            }
            _ => None,
        };
        desire.resources.iter().filter_map(|resource| image(&resource.desired)).collect::<Vec<_>>()
    };
    let desire = desire_of(&format!("{}{nodes}", on_cluster(CLAIM, ""))).unwrap();
    let found = images(&desire);
    let ssh = "-o ProxyJump=bastion -o BatchMode=yes -o ConnectTimeout=10 -o ServerAliveInterval=15 -l root -p 2222 -i /site/key -- 10.0.0.11";
    assert_eq!(found[0], ("n1".into(), "docker.io/library/registry:2".into(), ssh.into()));
    assert_eq!(found.len(), 2);
    let image = &object(&desire, "Deployment")["spec"]["template"]["spec"]["containers"][0]["image"];
    assert_eq!(*image, found[0].1.as_str(), "kubelet looks for the name that the node knows");
    let one = format!("{CLAIM}    preload: [n2]\n");
    assert_eq!(images(&desire_of(&format!("{}{nodes}", on_cluster(&one, ""))).unwrap()).len(), 1);
    let other = format!("{CLAIM}    preload: [n3]\n");
    assert!(desire_of(&format!("{}{nodes}", on_cluster(&other, ""))).is_err());
    // One that has it is enough.
    let deployment = desire.resources.iter().find(|resource| {
        matches!(&resource.desired, Desired::Object(object) if object.manifest["kind"] == "Deployment")
    });
    let deployment = deployment.unwrap();
    assert_eq!(deployment.one_of.len(), 2);
    assert!(deployment.one_of.iter().all(|image| !deployment.needs.contains(image)));
    let by_hand = desire_of(&on_cluster(CLAIM, "")).unwrap().by_hand.join("\n");
    assert!(by_hand.contains("ctr -n k8s.io images import -"), "{by_hand}");
}

#[test]
fn secrets_are_named_and_never_held() {
    let login = "  login: {user: ferry, password: {env: PW}}\n";
    let desire = desire_of(&on_cluster(&format!("    replicas: 2\n{S3}"), login)).unwrap();
    for object in objects(&desire).into_iter().filter(|object| object["kind"] == "Secret") {
        assert!(object.get("data").is_none() && object.get("stringData").is_none(), "{object}");
    }
}

#[test]
fn sizes_as_kubernetes_writes_them() {
    for (bytes, expected) in
        [(500 << 30, "500Gi"), (1 << 40, "1Ti"), (1_500_000_000, "1500000000"), (3 << 29, "1536Mi")]
    {
        assert_eq!(quantity(bytes), expected);
    }
}
