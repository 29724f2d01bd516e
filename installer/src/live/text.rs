//! What was found of references, for people.

use std::fmt::Write as _;

use ferry_display::printable;

use super::references::{Becomes, LiveReference, LiveReferences};

impl LiveReferences {
    /// Whether nothing points outside that nodes do not pull from the site anyway.
    pub fn is_good(&self) -> bool {
        let open = |reference: &&LiveReference| match reference.becomes {
            Becomes::Changed => false,
            Becomes::LeftToOwner | Becomes::Immutable => !reference.mirrored,
            _ => true,
        };
        !self.references.iter().any(|reference| open(&reference)) && self.unasked.is_empty()
    }

    /// For people.
    pub fn text(&self) -> String {
        let mut text = String::new();
        let mut last = None;
        for reference in &self.references {
            let workload = (&reference.kind, &reference.namespace, &reference.name);
            if last != Some(workload) {
                let owner = reference
                    .owner
                    .as_ref()
                    .map_or_else(String::new, |owner| format!(": belongs to {owner}"));
                let name = format!("{} {}/{}{owner}", reference.kind, reference.namespace, reference.name);
                let _ = writeln!(text, "{}", printable(&name));
                last = Some(workload);
            }
            describe(&mut text, reference);
        }
        if !self.mirrors.is_empty() {
            text.push_str("for what cannot be changed here, nodes can pull from the site's registry under the old names; in the site file:\n");
            for line in &self.mirrors {
                let _ = writeln!(text, "  {}", printable(line));
            }
        }
        for line in &self.unasked {
            let _ = writeln!(text, "not looked at: {}", printable(line));
        }
        let _ = writeln!(text, "{}", self.sum());
        if let Some(run) = &self.run {
            let _ = writeln!(text, "run {run}: `ferry-installer rollback {run}` takes it back");
        } else if self.count(Becomes::Changeable) > 0 {
            text.push_str("next: the same command with --apply changes what can be changed here\n");
        }
        text
    }

    fn count(&self, becomes: Becomes) -> usize {
        self.references.iter().filter(|reference| reference.becomes == becomes).count()
    }

    fn sum(&self) -> String {
        let mut sum = format!(
            "{} workloads looked at, {} images outside the site's registries",
            self.workloads,
            self.references.len()
        );
        for (becomes, what) in [
            (Becomes::Changed, "changed"),
            (Becomes::Changeable, "can be changed"),
            (Becomes::Failed, "failed"),
            (Becomes::LeftToOwner, "left to their owners"),
            (Becomes::Immutable, "cannot be changed"),
            (Becomes::NotPushed, "not pushed yet"),
            (Becomes::NotInBundle, "not in the bundle"),
        ] {
            let count = self.count(becomes);
            if count > 0 {
                let _ = write!(sum, "; {count} {what}");
            }
        }
        sum
    }
}

fn describe(text: &mut String, reference: &LiveReference) {
    let what = match reference.becomes {
        Becomes::Changed => "changed to",
        Becomes::Changeable => "becomes",
        Becomes::Failed => "not changed to",
        Becomes::LeftToOwner | Becomes::Immutable => "should be",
        Becomes::NotPushed => "would be",
        Becomes::NotInBundle => "",
    };
    let _ = writeln!(text, "  {}: {}", printable(&reference.path), printable(&reference.image));
    if let Some(at_site) = &reference.at_site {
        let _ = writeln!(text, "    {what} {}", printable(at_site));
    }
    if let Some(why) = &reference.why {
        let _ = writeln!(text, "    {}", printable(why));
    }
    for setting in &reference.set {
        let _ = writeln!(text, "    set {}: {}", printable(&setting.path), printable(&setting.value));
    }
    if let Some(hint) = &reference.hint {
        let _ = writeln!(text, "    {}", printable(hint));
    }
    if reference.mirrored && reference.becomes != Becomes::Changed {
        text.push_str("    nodes pull it from the site's registry anyway\n");
    }
}
