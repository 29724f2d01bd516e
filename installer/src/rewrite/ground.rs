//! What all texts of a run are rewritten by.

use std::path::{Path, PathBuf};

use super::Resolving;
use super::known::Known;
use super::kustomized::Kustomized;
use super::pods::Pods;
use crate::Error;
use crate::context::Context;
use crate::desire::{ingress, virtual_settings};

/// What all texts are rewritten by.
pub(super) struct Ground {
    pub(super) known: Known,
    pub(super) pods: Option<Pods>,
    /// The site file and the bundle, which stay as they are.
    own: Vec<PathBuf>,
    pub(super) kustomized: Kustomized,
}

impl Ground {
    pub(super) async fn new(context: &Context, resolving: Resolving) -> Result<Self, Error> {
        let known = super::known(context, resolving).await?;
        let own = [context.site.path.as_path(), context.bundle()?.path()];
        let own = own.into_iter().filter_map(|path| path.canonicalize().ok()).collect();
        let configure = context.site.site.nodes.configure.as_ref();
        let Some(nodes) = configure.and_then(|configure| configure.virtual_nodes.clone()) else {
            return Ok(Self { known, pods: None, own, kustomized: Kustomized::default() });
        };
        let ingress = match resolving {
            Resolving::Asked => ingress(context).await?,
            Resolving::Offline => None,
        };
        let settings = virtual_settings(&context.site, ingress)?;
        let pods = settings.map(|settings| Pods { nodes, annotations: settings.annotations });
        Ok(Self { known, pods, own, kustomized: Kustomized::default() })
    }

    pub(super) fn is_own(&self, path: &Path) -> bool {
        path.canonicalize().is_ok_and(|path| self.own.iter().any(|own| path.starts_with(own)))
    }
}
