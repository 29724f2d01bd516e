//! What a server block answers for.

use ferry_model::host::Host;

/// The port of a zone that names none.
pub(super) const USUAL_PORT: u16 = 53;

/// A zone of plain DNS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Zone {
    /// Without the dot at its end; empty for all names.
    domain: String,
    pub(super) port: u16,
}

impl Zone {
    /// Of a key: `.:53`, `dns://corp`, `:1053`. `None` for encrypted DNS and for networks (`10.0.0.0/8`).
    pub(super) fn parse(key: &str) -> Option<Self> {
        let key = match key.split_once("://") {
            Some(("dns", rest)) => rest,
            Some(_) => return None,
            None => key,
        };
        if key.contains('/') {
            return None;
        }
        let (domain, port) = match key.rsplit_once(':') {
            Some((domain, port)) => (domain, port.parse().ok()?),
            None => (key, USUAL_PORT),
        };
        Some(Self { domain: domain.trim_end_matches('.').to_ascii_lowercase(), port })
    }

    /// Whether it is that of all names.
    pub(super) fn is_root(&self) -> bool {
        self.domain.is_empty()
    }

    /// How many labels it has, if `name` lies in it.
    pub(super) fn labels_of(&self, name: &Host) -> Option<usize> {
        lies_in(name, &self.domain).then(|| self.domain.split('.').filter(|label| !label.is_empty()).count())
    }
}

/// Whether `name` is `domain` or below it; all names are below the empty one.
pub(super) fn lies_in(name: &Host, domain: &str) -> bool {
    let domain = domain.trim_end_matches('.').to_ascii_lowercase();
    let above = name.as_str().strip_suffix(&domain);
    above.is_some_and(|above| domain.is_empty() || above.is_empty() || above.ends_with('.'))
}
