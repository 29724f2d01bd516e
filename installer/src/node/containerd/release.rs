//! Which containerd it is, told by the texts in the program itself. What it can do differs:
//!
//! - 1.4 knows no `config_path`; its registries stand in `config.toml` alone.
//! - 1.5 to 1.7 know it. A file that is imported replaces the whole section of a plug-in.
//! - 2.0 has the settings of images under a plug-in of their own (configuration version 3), and merges imported files.
//! - 2.2 has `/etc/containerd/certs.d` for its `config_path` where nothing else is said.

use std::path::Path;

use crate::node::Root;

/// What this containerd can do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Release {
    /// Before 1.5: `mirrors` and `configs` alone.
    Tables,
    /// It could not be told. What is written is right for 1.5 and all later ones.
    #[default]
    Unknown,
    /// 1.5 to 1.7.
    One,
    /// 2.0 and 2.1.
    Two,
    /// 2.2 and later.
    Default,
}

const CRI: &str = "io.containerd.grpc.v1";
const CONFIG_PATH: &str = "toml:\"config_path\"";
const IMAGES: &str = "io.containerd.cri.v1";
const DEFAULT: &str = "/etc/containerd/certs.d:/etc/docker/certs.d";

impl Release {
    /// Looks at the program.
    pub(super) fn of(root: &Root, program: Option<&Path>) -> Self {
        let Some(program) = program else { return Self::Unknown };
        match root.mentions(program, [CRI, CONFIG_PATH, IMAGES, DEFAULT]) {
            [_, true, true, true] => Self::Default,
            [_, true, true, false] => Self::Two,
            [true, true, false, _] => Self::One,
            [true, false, false, false] => Self::Tables,
            _ => Self::Unknown,
        }
    }

    /// Whether what an earlier file says of a plug-in counts beside what a later one says.
    pub(super) fn merges(self) -> bool {
        !matches!(self, Self::Tables | Self::One)
    }

    /// The version of a configuration that is made anew. Version 2 is read by every containerd since 1.3.
    pub(super) fn version(self) -> i64 {
        if self >= Self::Two { 3 } else { 2 }
    }
}
