//! Why there is no plan.

use ferry_model::failure::{Class, Failure};
use ferry_model::plan::ResourceId;

/// Why there is no plan.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// Some of the site could not be looked at.
    #[error("the site cannot be planned for:{}", list(resources))]
    Unknown {
        /// What, and why.
        resources: Vec<(ResourceId, String)>,
    },
}

fn list(resources: &[(ResourceId, String)]) -> String {
    let mut reasons: Vec<(&str, usize, &ResourceId)> = Vec::new();
    for (id, reason) in resources {
        match reasons.iter_mut().find(|known| known.0 == reason) {
            Some(known) => known.1 += 1,
            None => reasons.push((reason, 1, id)),
        }
    }
    let shown = reasons.iter().map(|(reason, count, first)| match count {
        1 => format!("\n  {first}: {reason}"),
        more => format!("\n  {first} and {} more: {reason}", more - 1),
    });
    shown.collect()
}

impl Failure for PlanError {
    fn class(&self) -> Class {
        match self {
            Self::Unknown { .. } => Class::Local,
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Unknown { .. } => vec!["`preflight` looks at each of these more closely".into()],
        }
    }
}
