//! What runs in the cluster, and which images it names.
//!
//! 1. [`cluster_status`] finds the pods that wait for an image, and says why each waits and what to do: what the runtime said
//!    ([`Cause`]), held against the bundle, the site file and the registry.
//! 2. [`rewrite`] finds the workloads that name images outside the site's registries, and changes them as a run of its own. What is
//!    somebody else's ([`Owner`]) is left to them, with what to set.

mod cause;
mod explain;
mod hint;
mod names;
pub(crate) mod owner;
mod pulls;
mod references;
mod settings;
mod status;
mod text;
mod workload;

pub use cause::Cause;
pub use owner::Owner;
pub use references::{Becomes, Choice, Doing, LiveReference, LiveReferences, rewrite};
pub use settings::Setting;
pub use status::{ClusterStatus, Trouble, cluster_status};
