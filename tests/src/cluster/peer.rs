//! A cluster, be it the one in this process or a real one, and others who work on it.

use anyhow::Result;
use serde_json::Value;

use super::FakeCluster;
use crate::parts::ApiServer;

/// What a test does to a cluster, whichever it is.
pub trait Peer {
    /// Applies a manifest with force, as `manager`.
    fn apply_as(&self, manager: &str, manifest: &Value) -> Result<()>;

    /// The object at an API path, if there is one.
    fn object(&self, path: &str) -> Result<Option<Value>>;
}

impl Peer for FakeCluster {
    fn apply_as(&self, manager: &str, manifest: &Value) -> Result<()> {
        self.apply_as(manager, manifest)
    }

    fn object(&self, path: &str) -> Result<Option<Value>> {
        Ok(self.object(path))
    }
}

impl Peer for ApiServer {
    fn apply_as(&self, manager: &str, manifest: &Value) -> Result<()> {
        self.apply_as(manager, manifest)
    }

    fn object(&self, path: &str) -> Result<Option<Value>> {
        self.object(path)
    }
}
