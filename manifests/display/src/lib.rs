//! What a run says while it works: events to bars, plain lines or JSON lines; failures and tables to text. And what it
//! leaves behind: its report as HTML.
//!
//! 1. A program calls [`choose`] once, with what the command line asked for and what [`Environment`] allows, and gets
//!    an [`Events`](ferry_model::event::Events) for the libraries and a [`Guard`].
//! 2. Libraries send events; one renderer turns them into text on standard error.
//! 3. The guard is dropped before the final message: it stops the renderer's thread, clears the bars and prints the
//!    last stage's summary.
//! 4. After a run, [`report_html`] makes the file that is printed, signed and kept.
//! 5. A failure that ends the run goes through [`write_failure`], or [`write_failure_json`] with `--output json`.
//!
//! The renderers share one bookkeeper (`tally`), which alone knows what an event means for totals, rates and
//! estimates. It takes the time as an argument, so that tests need not wait.
//!
//! What this crate does not do: decide what is an error, or write to standard output.
#![deny(missing_docs)]

mod bars;
mod choose;
#[cfg(feature = "cli")]
pub mod cli;
mod failure;
mod html;
pub mod inspect;
mod json;
mod message;
mod plain;
mod table;
mod tally;
mod text;
mod ticker;

pub use choose::{Environment, Guard, ProgressMode, ProgressModeError, Verbosity, choose};
pub use failure::{failure_json, write_failure, write_failure_json};
pub use html::report_html;
pub use table::{Align, Table};
pub use text::{counted, duration, printable, rate};
