//! Plans for tests of what carries them out.

use std::collections::BTreeMap;

use ferry_model::Digest;
use ferry_model::plan::{Identity, PLAN_VERSION, Plan, Step};

/// A plan of these steps.
pub(crate) fn of(steps: Vec<Step>) -> Plan {
    let digest = Digest::of(b"");
    let name = "demo".parse().expect("it is a name");
    let identity = Identity {
        bundle: name,
        version: "1".parse().expect("it is a name"),
        catalog: digest,
        site: "dc1".parse().expect("it is a name"),
        site_file: digest,
    };
    Plan {
        format_version: PLAN_VERSION,
        identity,
        observed: BTreeMap::new(),
        steps,
        space: Vec::new(),
        by_hand: Vec::new(),
        waiting: Vec::new(),
    }
}
