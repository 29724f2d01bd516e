//! Unit files, in words that systemd 219 (CentOS 7) and its successors understand alike.

#[cfg(test)]
mod tests;

use std::path::Path;

use ferry_model::plan::{Content, Desired, Resource, ResourceId, Unit};

use super::files::{add_file, push};
use crate::Error;
use crate::desire::Desire;

const HARDENING: &str = include_str!("../../../../manifests/deploy/hardening.conf");
/// Where administrators' units lie. Every system with systemd has it.
const FOLDER: &str = "/etc/systemd/system";

/// What a unit file is made from.
pub(super) struct UnitFile<'a> {
    /// A file of `manifests/deploy`.
    pub(super) template: &'static str,
    /// The unit's name without its suffix.
    pub(super) name: &'a str,
    /// The program.
    pub(super) program: &'a Path,
    /// What it is started with.
    pub(super) arguments: Vec<String>,
    /// Where it writes.
    pub(super) storage: Option<&'a Path>,
    /// Files and folders that must be mounted before it starts.
    pub(super) mounts: Vec<&'a Path>,
}

impl UnitFile<'_> {
    /// Its text.
    pub(super) fn text(&self) -> Result<String, Error> {
        let mut command = vec![quoted(&path_for_all(self.program)?)?];
        for argument in &self.arguments {
            command.push(argument_quoted(argument)?);
        }
        let storage = self.storage.map(path_for_all).transpose()?;
        let storage = storage.map(|path| quoted(&path)).transpose()?.unwrap_or_default();
        // Whether a `%` means itself here depends on the version; such a path is not waited for.
        let mounts = self.mounts.iter().filter_map(|path| path.to_str()).filter(|path| !path.contains('%'));
        let mounts = mounts.map(quoted).collect::<Result<Vec<_>, _>>()?;
        let mounts = match &mounts[..] {
            [] => String::new(),
            mounts => format!("RequiresMountsFor={}\n", mounts.join(" ")),
        };
        let private_tmp = if self.lies_in_tmp() { "no" } else { "yes" };
        Ok(self
            .template
            .replace("{hardening}", &HARDENING.replace("{private_tmp}", private_tmp))
            .replace("{mounts}", &mounts)
            .replace("{storage}", &storage)
            .replace("{command}", &command.join(" ")))
    }

    /// Whether it needs something of `/tmp` or `/var/tmp`, which a private one would hide.
    pub(super) fn lies_in_tmp(&self) -> bool {
        let paths = self.mounts.iter().copied().chain([self.program]).chain(self.storage);
        paths.into_iter().any(|path| path.starts_with("/tmp") || path.starts_with("/var/tmp"))
    }

    /// Adds the file and the unit, which is restarted when the file or one of `follows` changes. Gives the unit.
    pub(super) fn add(&self, desire: &mut Desire, follows: Vec<ResourceId>) -> Result<ResourceId, Error> {
        let name = unit_name(self.name)?;
        let path = Path::new(FOLDER).join(&name);
        let content = Content::Text { text: self.text()? };
        let file = add_file(desire, &path, 0o644, content, "it tells systemd how to run the registry", []);
        let unit = Resource::new(
            Desired::Unit(Unit { name }),
            "the registry runs now and after each boot of this machine",
        );
        Ok(push(desire, unit.following([file]).following(follows)))
    }
}

/// A path where some versions of systemd replace `%` and others do not.
fn path_for_all(path: &Path) -> Result<String, Error> {
    match path.to_str() {
        Some(text) if !text.contains(['%', '$']) => Ok(text.to_owned()),
        _ => Err(unfit(&path.to_string_lossy())),
    }
}

/// `ferry-registry` and `ferry-registry.service` are the same unit.
fn unit_name(name: &str) -> Result<String, Error> {
    let stem = name.strip_suffix(".service").unwrap_or(name);
    let is_good = (1..=200).contains(&stem.len())
        && !stem.starts_with(['-', '.'])
        && stem.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
    if is_good {
        return Ok(format!("{stem}.service"));
    }
    Err(Error::Usage {
        problem: format!("`unit: {name}` is no name of a service"),
        hint: "use letters, digits, `-`, `_` and `.`: ferry-registry".into(),
    })
}

/// A word of a list of paths.
fn quoted(text: &str) -> Result<String, Error> {
    if text.chars().any(char::is_control) {
        return Err(unfit(text));
    }
    let is_plain = |c: char| c.is_alphanumeric() || "/.-_:=@+,[]".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        return Ok(text.to_owned());
    }
    Ok(format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")))
}

/// A word of a command, in which systemd replaces `%x` and `$x`.
fn argument_quoted(text: &str) -> Result<String, Error> {
    quoted(&text.replace('%', "%%").replace('$', "$$"))
}

fn unfit(text: &str) -> Error {
    Error::Usage {
        problem: format!("systemd cannot be told of the path `{}`", text.escape_debug()),
        hint: "move it to a path without `%`, `$` and control characters".into(),
    }
}
