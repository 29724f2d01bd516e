//! The one line that an event is worth, in bars and plain lines alike.

use std::time::Duration;

use ferry_model::event::Event;
use ferry_model::size::ByteSize;

use crate::choose::Verbosity;
use crate::tally::Tally;
use crate::text::{duration, printable};

/// What to say at once about `event`, which `tally` has not yet taken into account.
pub(crate) fn message(event: &Event, tally: &Tally, verbosity: Verbosity) -> Option<String> {
    let text = match event {
        Event::Warned { message } => format!("warning: {}", printable(message)),
        Event::Failed { task, cause } => format!("failed: {}: {}", tally.name(*task), printable(cause)),
        _ if verbosity == Verbosity::Quiet => return None,
        Event::Noted { message } => printable(message).into_owned(),
        Event::Retrying { task, attempt, delay_ms, cause } => {
            let pause = duration(Duration::from_millis(*delay_ms));
            format!("retrying {} in {pause} (attempt {attempt}): {}", tally.name(*task), printable(cause))
        }
        _ if verbosity != Verbosity::Verbose => return None,
        Event::Started { name, bytes: Some(bytes), .. } => {
            format!("started {} ({})", printable(name), ByteSize(*bytes))
        }
        Event::Started { name, bytes: None, .. } => format!("started {}", printable(name)),
        Event::Finished { task } => format!("finished {}", tally.name(*task)),
        Event::Skipped { name, reason, .. } => format!("skipped {}: {}", printable(name), printable(reason)),
        _ => return None,
    };
    Some(text)
}
