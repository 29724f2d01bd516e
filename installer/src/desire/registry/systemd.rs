//! (being written)

use ferry_model::site::Systemd;

use super::{Brought, Ground};
use crate::Error;
use crate::desire::Desire;

pub(super) fn bring_up(
    _desire: &mut Desire,
    _ground: &Ground<'_>,
    _mode: &Systemd,
) -> Result<Brought, Error> {
    Err(Error::Usage { problem: "not written yet".into(), hint: String::new() })
}
