//! The closed side: opens a bundle where it lies and puts everything where it belongs. Reaches for nothing but the
//! bundle and the site.
//!
//! 1. [`Bundle::open`](ferry_bundle::Bundle::open) authenticates the catalog.
//! 2. [`push`] brings images and charts into a registry.
//! 3. [`serve`] is a registry, a helm repository and a file server over the bundle itself.
//! 4. [`site`] reads what a datacenter looks like; [`desire`] says what shall stand there, as resources; [`observe`] looks at
//!    each; [`plan`] decides on the steps; [`apply`] takes them, noting each in the [`journal`]; [`rollback`] takes them back.
//!    How each kind of resource is looked at, changed and taken back is in `resources`.
//!
//! [`export`] writes one image as an archive. [`commands`] translate the command line into calls of these. Nothing here prints but they.
#![cfg_attr(not(test), warn(missing_docs))]

pub mod apply;
mod bkrepo;
pub mod cluster;
pub mod commands;
pub mod context;
mod corefile;
pub mod desire;
mod dns;
mod error;
pub mod export;
pub mod fleet;
mod helm;
pub mod htpasswd;
mod images;
pub mod journal;
pub mod live;
pub mod lock;
pub mod node;
pub mod observe;
mod paas;
pub mod plan;
pub mod preflight;
pub mod push;
mod replace;
pub mod report;
mod resources;
pub mod rewrite;
mod rights;
pub mod rollback;
pub mod runtimes;
pub mod serve;
pub mod session;
pub mod site;
pub mod starter;
pub mod virtual_nodes;
mod workloads;

pub use error::Error;
