//! What runs on a node: it makes the node resolve the registry's name, trust it and pull from it, and takes that back.
//!
//! 1. Each editor (`docker`, `containerd`, `crio`, `k3s`, `hosts`, `trust`) looks at the files that are there and says which
//!    bytes they shall have ([`Edits`]). That is pure but for reading, so it runs on any folder as its root.
//! 2. The edits of all are written, each file atomically and with what stood there kept, and services take them up in the
//!    gentlest way that will do.
//! 3. What was kept takes everything back.

pub mod apply;
#[cfg(test)]
mod cases;
pub mod check;
pub mod containerd;
pub mod crio;
pub mod dcos;
mod diff;
pub mod docker;
pub mod edit;
mod endpoint;
mod gather;
mod hands;
pub mod hosts;
mod json;
pub mod k3s;
mod look;
pub mod report;
mod services;
mod state;
#[cfg(test)]
mod testing;
mod text;
pub mod trust;
pub mod undo;

pub use edit::{Edit, Edits, Root};
