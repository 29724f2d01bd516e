//! The closed side: opens a bundle where it lies and puts everything where it belongs. Reaches for nothing but the
//! bundle and the site.
//!
//! 1. [`Bundle::open`](ferry_bundle::Bundle::open) authenticates the catalog.
//! 2. [`push`] brings images and charts into a registry.
//! 3. [`serve`] is a registry, a helm repository and a file server over the bundle itself.
//!
//! [`export`] writes one image as an archive. [`commands`] translate the command line into calls of these. Nothing here prints but they.
#![cfg_attr(not(test), warn(missing_docs))]

pub mod commands;
mod error;
pub mod export;
pub mod htpasswd;
pub mod preflight;
pub mod push;
pub mod serve;

pub use error::Error;
