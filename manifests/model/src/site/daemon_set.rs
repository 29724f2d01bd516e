//! Pods through which nodes are reached where there is no ssh.

use serde::Deserialize;

/// Pods through which nodes are reached where there is no ssh: one on each, of a DaemonSet.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DaemonSet {
    /// The image that they run; it has a shell and `chroot`, as busybox has. One of the bundle is pulled from the site's registry;
    /// any other name is one that nodes have already.
    pub image: String,
    /// Nodes have an image of this very name already, also where the bundle has it. Default: false.
    #[serde(default)]
    pub on_nodes: bool,
    /// The namespace that they are in. Default: ferry-system.
    #[serde(default = "namespace")]
    pub namespace: String,
    /// Leave them there, for later looks. Default: false, which removes them whenever a command is done.
    #[serde(default)]
    pub keep: bool,
}

fn namespace() -> String {
    "ferry-system".to_owned()
}

impl DaemonSet {
    /// Refuses what no cluster would take.
    pub(super) fn check(&self) -> Result<(), String> {
        if self.image.is_empty() || self.image.contains(char::is_whitespace) {
            return Err(format!("`{}` is no name of an image, such as `busybox:1.36`", self.image));
        }
        let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let is_name = (1..=63).contains(&self.namespace.len())
            && self.namespace.bytes().all(is_plain)
            && !self.namespace.starts_with('-')
            && !self.namespace.ends_with('-');
        if is_name { Ok(()) } else { Err(format!("`{}` is no name of a namespace", self.namespace)) }
    }
}
