//! What Ferry has installed through PaaS, kept in BlueKing's namespace: PaaS can be asked which version of an application runs, but
//! not which bytes it was made from.

use ferry_model::Digest;
use ferry_model::plan::Platform;
use ferry_model::report::Failed;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::cluster::{Cluster, MANAGER, Place};

/// The ConfigMap.
pub(crate) const NAME: &str = "ferry-installer";

/// A package that PaaS has taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Package {
    pub(crate) version: String,
    pub(crate) digest: Digest,
}

/// A module that was deployed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Module {
    pub(crate) revision: String,
    /// The content of the package that it came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) package: Option<Digest>,
    /// The variables that were imported before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) variables: Option<Digest>,
}

/// Redis entries that were added, or were to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Redis {
    pub(crate) entries: u32,
    pub(crate) server: String,
    pub(crate) stage: Stage,
}

/// How far a change came that cannot be taken twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Stage {
    Begun,
    Done,
}

/// Package of plug-ins that node management has taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Plugin {
    pub(crate) digest: Digest,
}

fn place(platform: &Platform) -> Place {
    Place::core("ConfigMap", &platform.namespace, NAME)
}

/// What is kept under `key`. What somebody has made unreadable is not there.
pub(crate) async fn read<T: DeserializeOwned>(
    cluster: &Cluster,
    platform: &Platform,
    key: &str,
) -> Result<Option<T>, Failed> {
    let found = cluster.get(&place(platform)).await?;
    let text = found.as_ref().and_then(|found| found["data"][allowed(key)].as_str());
    Ok(text.and_then(|text| serde_json::from_str(text).ok()))
}

/// Keeps `value` under `key`.
pub(crate) async fn write(
    cluster: &Cluster,
    platform: &Platform,
    key: &str,
    value: &impl Serialize,
) -> Result<(), Failed> {
    let text = serde_json::to_string(value).expect("records are plain data");
    let place = place(platform);
    let data = json!({ allowed(key): text });
    if cluster.get(&place).await?.is_none() {
        let labels = json!({"app.kubernetes.io/managed-by": MANAGER});
        let new = json!({"apiVersion": "v1", "kind": "ConfigMap", "data": data,
            "metadata": {"name": NAME, "namespace": platform.namespace, "labels": labels}});
        if cluster.put(&new).await?.is_some() {
            return Ok(());
        }
        // Another step was faster.
    }
    cluster.merge(&place, &json!({ "data": data })).await.map(drop)
}

/// Keeps nothing under `key` any more.
pub(crate) async fn forget(cluster: &Cluster, platform: &Platform, key: &str) -> Result<(), Failed> {
    let place = place(platform);
    if cluster.get(&place).await?.is_none() {
        return Ok(());
    }
    cluster.merge(&place, &json!({"data": {allowed(key): Value::Null}})).await.map(drop)
}

/// Keys of a ConfigMap are letters, digits, `-`, `_` and `.`.
fn allowed(key: &str) -> String {
    let letter = |letter: char| match letter {
        '-' | '_' | '.' => letter,
        letter if letter.is_ascii_alphanumeric() => letter,
        _ => '-',
    };
    key.chars().map(letter).collect()
}
