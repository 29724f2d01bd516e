//! Secrets by reference: the site file says where a password is, never what it is.

use std::fmt;
use std::path::PathBuf;

use serde::de::{Error, MapAccess, Visitor, value::MapAccessDeserializer};
use serde::{Deserialize, Deserializer, Serialize};

const FORM: &str =
    "a secret is named by one of `{env: NAME}`, `{file: PATH}` and `{secret: namespace/name/key}`";

/// Who logs in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Login {
    /// The user.
    pub user: String,
    /// Where the password is.
    pub password: SecretSource,
}

/// Where a secret is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(into = "SecretMapping")]
pub enum SecretSource {
    /// An environment variable.
    Environment(String),
    /// A file; a line break at its end does not count.
    File(PathBuf),
    /// A key of a Kubernetes Secret.
    Kubernetes {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
        /// The key.
        key: String,
    },
}

/// Where a secret is: one of the three.
#[derive(Clone, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct SecretMapping {
    /// The name of an environment variable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    env: Option<String>,
    /// A file's path, relative to the site file's folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    file: Option<PathBuf>,
    /// A key of a Kubernetes Secret: namespace/name/key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
}

impl TryFrom<SecretMapping> for SecretSource {
    type Error = String;

    fn try_from(mapping: SecretMapping) -> Result<Self, String> {
        match (mapping.env, mapping.file, mapping.secret) {
            (Some(name), None, None) if !name.is_empty() => Ok(Self::Environment(name)),
            (None, Some(path), None) => Ok(Self::File(path)),
            (None, None, Some(text)) => {
                let parts: Vec<&str> = text.split('/').collect();
                match parts[..] {
                    [namespace, name, key] if parts.iter().all(|part| !part.is_empty()) => {
                        Ok(Self::Kubernetes {
                            namespace: namespace.to_owned(),
                            name: name.to_owned(),
                            key: key.to_owned(),
                        })
                    }
                    // What stands there is not repeated: it may be the secret itself.
                    _ => Err(FORM.to_owned()),
                }
            }
            _ => Err(FORM.to_owned()),
        }
    }
}

impl From<SecretSource> for SecretMapping {
    fn from(source: SecretSource) -> Self {
        let none = Self::default();
        match source {
            SecretSource::Environment(name) => Self { env: Some(name), ..none },
            SecretSource::File(path) => Self { file: Some(path), ..none },
            SecretSource::Kubernetes { namespace, name, key } => {
                Self { secret: Some(format!("{namespace}/{name}/{key}")), ..none }
            }
        }
    }
}

impl<'de> Deserialize<'de> for SecretSource {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Form)
    }
}

/// Reads a mapping. Whoever writes the secret itself there is told the form; it is not repeated.
struct Form;

impl<'de> Visitor<'de> for Form {
    type Value = SecretSource;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(FORM)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<SecretSource, A::Error> {
        let mapping = SecretMapping::deserialize(MapAccessDeserializer::new(map))?;
        mapping.try_into().map_err(A::Error::custom)
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<SecretSource, E> {
        Err(E::custom(FORM))
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<SecretSource, E> {
        Err(E::custom(FORM))
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<SecretSource, E> {
        Err(E::custom(FORM))
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<SecretSource, E> {
        Err(E::custom(FORM))
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<SecretSource, E> {
        Err(E::custom(FORM))
    }

    fn visit_unit<E: Error>(self) -> Result<SecretSource, E> {
        Err(E::custom(FORM))
    }
}

impl fmt::Display for SecretSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Environment(name) => write!(f, "environment variable {name}"),
            Self::File(path) => write!(f, "file {}", path.display()),
            Self::Kubernetes { namespace, name, key } => write!(f, "key {key} of secret {namespace}/{name}"),
        }
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for SecretSource {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "SecretSource".into()
    }
    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        SecretMapping::json_schema(generator)
    }
}
