//! `serve`: a read-only OCI registry, helm repository and file server over bundles, reading straight from them.
//!
//! What a request passes through:
//!
//! 1. `listen`: the accept loop, with TLS (`tls`) where asked for, time-outs and limits;
//! 2. `login`, where a file of users is given: nothing is answered to anybody else;
//! 3. one of `registry` (`/v2/`), `helm` (`/charts/`), `files` (`/files/`) and `page` (`/`, for a browser),
//!    which find what is asked for in the `library`, the merged view over all bundles;
//! 4. `content`: the answer's head, with `range`s and conditions;
//! 5. `stream`: the answer's body, pulled out of a bundle chunk by chunk. The one bridge between blocking reads and
//!    async writes, and the one place that bounds memory.
//!
//! Nothing is ever written, and the same bundles give the same answers, so any number of these may run side by side.

mod content;
mod error;
mod files;
mod helm;
mod library;
mod listen;
mod login;
mod options;
mod page;
mod range;
mod registry;
mod router;
mod stream;
#[cfg(test)]
pub(crate) mod testing;
mod text;
pub(crate) mod tls;

pub use error::ServeError;
pub use listen::{Server, serve};
pub use options::{AccessLog, ServeOptions, Tls};
