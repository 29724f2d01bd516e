//! Names of objects of a cluster, as people write them.

use std::fmt;
use std::str::FromStr;

/// An object of a known kind: `NAMESPACE/NAME`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectName {
    namespace: String,
    name: String,
}

/// A workload of a known namespace: `deployment/NAME`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Workload {
    /// Its kind.
    pub kind: WorkloadKind,
    /// Its name.
    pub name: String,
}

/// A kind of workload whose pods are started anew when its template changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum WorkloadKind {
    /// `Deployment`.
    Deployment,
    /// `StatefulSet`.
    StatefulSet,
    /// `DaemonSet`.
    DaemonSet,
}

/// A text is no [`ObjectName`] or no [`Workload`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no {expected}")]
pub struct ObjectNameError {
    text: String,
    expected: &'static str,
}

impl ObjectName {
    pub(crate) const EXPECTING: &'static str = "name of an object in a namespace: NAMESPACE/NAME";

    /// The namespace.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The name in it.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl Workload {
    pub(crate) const EXPECTING: &'static str =
        "workload: deployment/NAME, statefulset/NAME or daemonset/NAME";
}

impl WorkloadKind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Deployment, Self::StatefulSet, Self::DaemonSet];

    /// As the API spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Deployment => "Deployment",
            Self::StatefulSet => "StatefulSet",
            Self::DaemonSet => "DaemonSet",
        }
    }
}

/// What the API takes for a name: labels of lower-case letters, digits and `-`, with dots between.
fn is_name(text: &str) -> bool {
    let is_label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
    };
    text.len() <= 253 && text.split('.').all(is_label)
}

impl FromStr for ObjectName {
    type Err = ObjectNameError;

    fn from_str(text: &str) -> Result<Self, ObjectNameError> {
        match text.split_once('/') {
            Some((namespace, name)) if is_name(namespace) && is_name(name) => {
                Ok(Self { namespace: namespace.to_owned(), name: name.to_owned() })
            }
            _ => Err(ObjectNameError { text: text.chars().take(100).collect(), expected: Self::EXPECTING }),
        }
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

impl FromStr for Workload {
    type Err = ObjectNameError;

    fn from_str(text: &str) -> Result<Self, ObjectNameError> {
        let found = text.split_once('/').filter(|(_, name)| is_name(name)).and_then(|(kind, name)| {
            let kind =
                WorkloadKind::ALL.into_iter().find(|known| known.as_str().eq_ignore_ascii_case(kind))?;
            Some(Self { kind, name: name.to_owned() })
        });
        found.ok_or_else(|| ObjectNameError {
            text: text.chars().take(100).collect(),
            expected: Self::EXPECTING,
        })
    }
}

/// As kubectl takes it.
impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind.as_str().to_ascii_lowercase(), self.name)
    }
}

crate::serde_as_string!(ObjectName);
crate::serde_as_string!(Workload);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_and_written() {
        for good in ["blueking/bkpaas3-apiserver-general-envs", "kube-system/coredns", "a/b.c"] {
            assert_eq!(good.parse::<ObjectName>().unwrap().to_string(), good);
        }
        for bad in
            ["a", "a/", "/b", "a/b/c", "A/b", "a/b_c", "a/-b", "a/b.", &format!("a/{}", "b".repeat(254))]
        {
            assert!(bad.parse::<ObjectName>().is_err(), "{bad}");
        }
        for (text, shown) in [("Deployment/web", "deployment/web"), ("daemonset/a", "daemonset/a")] {
            assert_eq!(text.parse::<Workload>().unwrap().to_string(), shown);
        }
        for bad in ["web", "pod/web", "deployment/", "deployment/Web"] {
            assert!(bad.parse::<Workload>().is_err(), "{bad}");
        }
    }
}
