//! The connected side: from a spec to a bundle.
//!
//! 1. [`document`] reads the spec and the lock beside it.
//! 2. [`resolve`] finds out what each entry of the spec is, exactly: a [`Lock`](ferry_model::lock::Lock).
//! 3. [`fetch`] fills a bundle that is laid out from the lock, from many connections at once.
//! 4. [`assemble`] ties these together and writes the catalog.
//! 5. [`check`] proves that nothing was forgotten.
//!
//! [`commands`] translate the command line into calls of these. Nothing here prints but they.
#![cfg_attr(not(test), warn(missing_docs))]

pub mod archive;
pub mod assemble;
pub mod check;
pub mod commands;
pub mod document;
mod error;
pub mod fetch;
pub mod resolve;

pub use error::{Error, Failed};
