//! The Kubernetes cluster of a site: how it is reached, what its DNS knows, and what of its objects is patched.

mod object;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use serde::Deserialize;

pub use object::{ObjectName, ObjectNameError, Workload, WorkloadKind};

use super::secret::SecretSource;
use crate::ImageReference;
use crate::host::Host;

/// The Kubernetes cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Cluster {
    /// The kubeconfig's file. Default: `KUBECONFIG`, then `~/.kube/config`.
    #[serde(default)]
    pub kubeconfig: Option<PathBuf>,
    /// The context in it. Default: its current one.
    #[serde(default)]
    pub context: Option<String>,
    /// What the cluster's own DNS (CoreDNS) answers. Absent: it is left alone.
    #[serde(default)]
    pub dns: Option<ClusterDns>,
    /// Keys of ConfigMaps and Secrets that are set.
    #[serde(default)]
    pub patches: Vec<Patch>,
    /// The registry's login for pods that pull from it.
    #[serde(default)]
    pub pull_secrets: Vec<PullSecrets>,
}

/// What the cluster's own DNS (CoreDNS) answers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClusterDns {
    /// Names, each with all its addresses: `{registry.corp: [10.0.0.5, 'fd00::5']}`.
    #[serde(default)]
    pub names: BTreeMap<Host, Vec<IpAddr>>,
    /// Which of BlueKing's names lead to the ingress: `base` for those of the base installation, `all`, or `none`. Default: base, where
    /// the site has a `blueking`.
    #[serde(default)]
    pub blueking: BluekingNames,
    /// The address that BlueKing's names lead to. Default: that of the cluster's ingress-nginx.
    #[serde(default)]
    pub ingress: Option<IpAddr>,
    /// The ConfigMap that holds the Corefile, as `NAMESPACE/NAME`. Default: the one that the cluster's DNS reads.
    #[serde(default)]
    pub config_map: Option<ObjectName>,
    /// Take the place of entries that others made for these names. Default: false; such a name is told, and nothing is changed.
    #[serde(default)]
    pub replace: bool,
}

/// Which of BlueKing's names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub enum BluekingNames {
    /// Those of the base installation.
    #[default]
    Base,
    /// Those of everything that BlueKing has.
    All,
    /// None.
    None,
}

impl BluekingNames {
    /// The names below the base domain; the domain itself is the empty one.
    pub fn labels(self) -> &'static [&'static str] {
        const BASE: usize = 12;
        // As BlueKing's setup script gives them to control_coredns.sh, those of the base installation first.
        const ALL: [&str; 28] = [
            "",
            "bkrepo",
            "docker",
            "bkapi",
            "bkpaas",
            "bkiam-api",
            "bkiam",
            "apps",
            "bknodeman",
            "job",
            "jobapi",
            "bcs",
            "helm",
            "apigw",
            "bkuser",
            "bkuser-api",
            "cmdb",
            "bcs-api",
            "bcs-cc",
            "bklog",
            "bkmonitor",
            "devops",
            "codecc",
            "bktbs",
            "lesscode",
            "bk-apicheck",
            "bscp",
            "bscp-api",
        ];
        match self {
            Self::Base => &ALL[..BASE],
            Self::All => &ALL,
            Self::None => &[],
        }
    }
}

/// Keys of a ConfigMap or a Secret that are set.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "PatchMapping")]
pub struct Patch {
    /// Whether it is a ConfigMap or a Secret.
    pub kind: PatchedKind,
    /// Which.
    pub object: ObjectName,
    /// What each key shall hold.
    pub set: BTreeMap<String, PatchValue>,
    /// Who takes it up.
    pub restart: Restart,
}

/// Whether it is a ConfigMap or a Secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, Deserialize)]
pub enum PatchedKind {
    /// A ConfigMap.
    ConfigMap,
    /// A Secret.
    Secret,
}

/// What a key shall hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PatchValue {
    /// This text.
    Text(String),
    /// What an image of the bundle is called at the site.
    Image(ImageReference),
    /// A secret.
    From(SecretSource),
}

/// Who takes a change up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Restart {
    /// All workloads that read the object.
    #[default]
    Readers,
    /// These.
    These(Vec<Workload>),
    /// Nobody.
    Nobody,
}

/// The registry's login for pods that pull from it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PullSecrets {
    /// The Secret's name.
    pub name: String,
    /// The namespaces that get it. They must be there.
    pub namespaces: Vec<String>,
    /// The service accounts there whose pods use it. Default: default.
    #[serde(default = "default_account")]
    pub service_accounts: Vec<String>,
}

fn default_account() -> Vec<String> {
    vec!["default".to_owned()]
}

/// Keys of a ConfigMap or a Secret that are set.
#[derive(Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct PatchMapping {
    /// A ConfigMap, as `NAMESPACE/NAME`.
    #[serde(default)]
    config_map: Option<ObjectName>,
    /// A Secret, as `NAMESPACE/NAME`.
    #[serde(default)]
    secret: Option<ObjectName>,
    /// What each key shall hold: a text, `{image: NAME}` for what an image of the bundle is called at the site, or `{from: SECRET}` for
    /// a secret by its place. A Secret takes no texts: they would stand in the site file.
    set: BTreeMap<String, PatchValue>,
    /// Workloads that take it up (`[deployment/web]`), or `false` for none. Default: all that read it.
    #[serde(default)]
    restart: Restart,
}

impl TryFrom<PatchMapping> for Patch {
    type Error = String;

    fn try_from(mapping: PatchMapping) -> Result<Self, String> {
        let (kind, object) = match (mapping.config_map, mapping.secret) {
            (Some(object), None) => (PatchedKind::ConfigMap, object),
            (None, Some(object)) => (PatchedKind::Secret, object),
            _ => {
                return Err(
                    "a patch names one of `configMap: NAMESPACE/NAME` and `secret: NAMESPACE/NAME`".into()
                );
            }
        };
        if mapping.set.is_empty() {
            return Err(format!("the patch of {object} sets nothing"));
        }
        for (key, value) in &mapping.set {
            let is_key = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
            if key.is_empty() || key.len() > 253 || !key.chars().all(is_key) {
                return Err(format!(
                    "patched key `{key}` is no key of a ConfigMap or Secret: letters, digits, `-`, `_` and `.`"
                ));
            }
            match (kind, value) {
                (PatchedKind::Secret, PatchValue::Text(_)) => {
                    return Err(format!(
                        "patched key {key} of a Secret is not written down here: `{{from: {{env: NAME}}}}` names where it is"
                    ));
                }
                (PatchedKind::ConfigMap, PatchValue::From(_)) => {
                    return Err(format!("patched key {key} is a secret, and everybody can read a ConfigMap"));
                }
                _ => {}
            }
        }
        Ok(Self { kind, object, set: mapping.set, restart: mapping.restart })
    }
}

impl std::fmt::Display for PatchedKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::ConfigMap => "ConfigMap",
            Self::Secret => "Secret",
        })
    }
}

/// What stands in a mapping instead of a text.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ValueMapping {
    #[serde(default)]
    image: Option<ImageReference>,
    #[serde(default)]
    from: Option<SecretSource>,
}

impl<'de> Deserialize<'de> for PatchValue {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = PatchValue;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(
                    "a text (in quotes, if it looks like a number), `{image: NAME}` or `{from: SECRET}`",
                )
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<PatchValue, E> {
                Ok(PatchValue::Text(text.to_owned()))
            }
            fn visit_map<A: serde::de::MapAccess<'de>>(self, map: A) -> Result<PatchValue, A::Error> {
                let mapping = ValueMapping::deserialize(serde::de::value::MapAccessDeserializer::new(map))?;
                match (mapping.image, mapping.from) {
                    (Some(image), None) => Ok(PatchValue::Image(image)),
                    (None, Some(source)) => Ok(PatchValue::From(source)),
                    _ => Err(serde::de::Error::custom(
                        "a value is a text, `{image: NAME}` or `{from: SECRET}`",
                    )),
                }
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

impl<'de> Deserialize<'de> for Restart {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Restart;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(
                    "workloads (`[deployment/web]`), `true` for all that read it, or `false` for none",
                )
            }
            fn visit_bool<E: serde::de::Error>(self, restarts: bool) -> Result<Restart, E> {
                Ok(if restarts { Restart::Readers } else { Restart::Nobody })
            }
            fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut items: A) -> Result<Restart, A::Error> {
                let mut workloads = Vec::new();
                while let Some(workload) = items.next_element()? {
                    workloads.push(workload);
                }
                Ok(if workloads.is_empty() { Restart::Nobody } else { Restart::These(workloads) })
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

#[cfg(feature = "schema")]
mod schema {
    use std::borrow::Cow;

    use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

    use super::{Patch, PatchMapping, PatchValue, Restart};
    use crate::ImageReference;
    use crate::site::SecretSource;

    impl JsonSchema for Patch {
        fn schema_name() -> Cow<'static, str> {
            "Patch".into()
        }
        fn json_schema(generator: &mut SchemaGenerator) -> Schema {
            PatchMapping::json_schema(generator)
        }
    }

    impl JsonSchema for PatchValue {
        fn schema_name() -> Cow<'static, str> {
            "PatchValue".into()
        }
        fn json_schema(generator: &mut SchemaGenerator) -> Schema {
            let (image, from) =
                (generator.subschema_for::<ImageReference>(), generator.subschema_for::<SecretSource>());
            json_schema!({"anyOf": [
                {"type": "string"},
                {"type": "object", "properties": {"image": image}, "required": ["image"], "additionalProperties": false},
                {"type": "object", "properties": {"from": from}, "required": ["from"], "additionalProperties": false},
            ]})
        }
    }

    impl JsonSchema for Restart {
        fn schema_name() -> Cow<'static, str> {
            "Restart".into()
        }
        fn json_schema(generator: &mut SchemaGenerator) -> Schema {
            let workload = generator.subschema_for::<super::Workload>();
            json_schema!({"anyOf": [{"type": "boolean"}, {"type": "array", "items": workload}]})
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(body: &str) -> Result<Cluster, crate::document::DocumentError> {
        let text = format!("apiVersion: ferry/v1\nkind: Site\nname: dc1\ncluster:\n{body}");
        crate::site::Site::parse(&text).map(|site| site.cluster.unwrap())
    }

    #[test]
    fn every_word_is_understood() {
        let cluster = parse(
            "  dns: {names: {registry.corp: [10.0.0.5, 'fd00::5']}, blueking: all, ingress: 10.96.0.9, configMap: kube-system/coredns, replace: true}\n  \
             patches:\n  \
             - {configMap: blueking/envs, set: {A: text, B: {image: 'blueking/slug-app:v1'}}, restart: [deployment/web, StatefulSet/db]}\n  \
             - {secret: blueking/login, set: {password: {from: {env: PW}}}, restart: false}\n  \
             - {configMap: a/b, set: {C: '1'}}\n  \
             pullSecrets: [{name: registry, namespaces: [blueking]}]\n",
        )
        .unwrap();
        let dns = cluster.dns.unwrap();
        assert_eq!(
            (dns.blueking, dns.replace, dns.config_map.unwrap().to_string().as_str()),
            (BluekingNames::All, true, "kube-system/coredns")
        );
        let [envs, login, plain] = cluster.patches.as_slice() else { panic!("{:?}", cluster.patches) };
        assert_eq!(
            (envs.kind, envs.object.namespace(), envs.object.name()),
            (PatchedKind::ConfigMap, "blueking", "envs")
        );
        assert_eq!(envs.set["A"], PatchValue::Text("text".into()));
        assert!(
            matches!(&envs.set["B"], PatchValue::Image(image) if image.to_string() == "docker.io/blueking/slug-app:v1")
        );
        let Restart::These(workloads) = &envs.restart else { panic!("{:?}", envs.restart) };
        assert_eq!(
            workloads.iter().map(ToString::to_string).collect::<Vec<_>>(),
            ["deployment/web", "statefulset/db"]
        );
        assert_eq!((login.kind, &login.restart), (PatchedKind::Secret, &Restart::Nobody));
        assert_eq!(plain.restart, Restart::Readers);
        assert_eq!(cluster.pull_secrets[0].service_accounts, ["default"]);
    }

    #[test]
    fn mistakes_are_named_and_secrets_are_not() {
        for (body, expected) in [
            ("  patches: [{set: {A: b}}]\n", "one of `configMap"),
            ("  patches: [{configMap: a/b, secret: a/b, set: {A: b}}]\n", "one of `configMap"),
            ("  patches:\n  - configMap: b\n    set: {A: b}\n", "NAMESPACE/NAME"),
            ("  patches: [{configMap: a/b, set: {}}]\n", "sets nothing"),
            ("  patches: [{configMap: a/b, set: {A: 1}}]\n", "in quotes"),
            ("  patches: [{configMap: a/b, set: {A: {from: {env: X}}}}]\n", "everybody can read"),
            ("  patches: [{configMap: a/b, set: {'A B': c}}]\n", "is no key"),
            ("  patches:\n  - configMap: a/b\n    restart: [pod/x]\n    set: {A: c}\n", "deployment/NAME"),
            ("  dns: {names: {'a b': [10.0.0.5]}}\n", "host name"),
            ("  dns: {names: {a: [10.0.0]}}\n", "IP address"),
        ] {
            let said = parse(body).unwrap_err().to_string();
            assert!(said.contains(expected), "{body}: {said}");
        }
        let said = parse("  patches: [{secret: a/b, set: {A: hunter2}}]\n").unwrap_err();
        assert!(
            said.to_string().contains("not written down") && !format!("{said:?}").contains("hunter2"),
            "{said:?}"
        );
    }

    #[test]
    fn bluekings_names_are_those_of_its_script() {
        assert_eq!(BluekingNames::Base.labels().last(), Some(&"bcs"));
        assert_eq!(BluekingNames::All.labels().last(), Some(&"bscp-api"));
        assert_eq!(BluekingNames::All.labels().len(), 28);
        assert!(BluekingNames::None.labels().is_empty());
    }
}
