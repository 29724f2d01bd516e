//! `/etc/hosts`: a block of Ferry's own. All other lines stay as they are.

use std::net::IpAddr;
use std::path::Path;

use ferry_model::failure::Class;
use ferry_model::node::{Name, NodeDesired, Resolver, Takeup};
use ferry_model::report::Failed;

use super::{Edit, Edits, Root};

#[cfg(test)]
mod tests;

const PATH: &str = "/etc/hosts";
const BEGIN: &str = "# BEGIN ferry";
const END: &str = "# END ferry";
const MARKED: &str = "# BEGIN ferry: `ferry-installer node undo` takes these lines back";

/// What the block needs to say, where names are resolved by this file; that it goes where they are not.
pub fn edits(root: &Root, desired: &NodeDesired) -> Result<Edits, Failed> {
    let before = root.read(PATH)?;
    let mut edits = Edits::default();
    let file = File::read(before.as_deref().unwrap_or_default())?;
    let names: &[Name] = match desired.resolver {
        Resolver::HostsFile => &desired.names,
        Resolver::Dns => &[],
    };
    let mut lines = Vec::new();
    // What is an address needs no resolving.
    for name in names.iter().filter(|name| name.name.ip().is_none()) {
        match file.verdict(name) {
            Verdict::Missing => {
                lines.extend(name.addresses.iter().map(|address| format!("{address}\t{}", name.name)));
            }
            Verdict::TheirOwn => {}
            Verdict::Other { line, address } => edits.failures.push(other(name, line, address)),
        }
    }
    lines.dedup();
    if !lines.is_empty() {
        edits.notes.extend(caveats(root)?);
    }
    let after = file.with(&lines);
    if after != before.clone().unwrap_or_default() {
        edits.files.push(Edit {
            path: PATH.into(),
            before,
            after: Some(after),
            mode: 0o644,
            units: Vec::new(),
            takeup: Takeup::Nothing,
            reason: "names are looked up in it each time".into(),
        });
    }
    Ok(edits)
}

/// The file around the block.
struct File<'a> {
    above: &'a [u8],
    /// With its markers; empty where there is none.
    block: &'a [u8],
    below: &'a [u8],
}

/// What the lines of others say about a name.
enum Verdict {
    Missing,
    TheirOwn,
    Other { line: usize, address: IpAddr },
}

impl<'a> File<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self, Failed> {
        let (mut begin, mut end, mut at) = (None, None, 0);
        for (number, line) in bytes.split_inclusive(|byte| *byte == b'\n').enumerate() {
            let is = |marker: &str| line.trim_ascii().starts_with(marker.as_bytes());
            match (is(BEGIN), is(END), begin, end) {
                (true, _, None, _) => begin = Some(at),
                (_, true, Some(_), None) => end = Some(at + line.len()),
                (false, false, ..) => {}
                _ => return Err(torn(number + 1)),
            }
            at += line.len();
        }
        match (begin, end) {
            (None, _) => Ok(Self { above: bytes, block: b"", below: b"" }),
            (Some(begin), Some(end)) => {
                Ok(Self { above: &bytes[..begin], block: &bytes[begin..end], below: &bytes[end..] })
            }
            (Some(begin), None) => {
                Err(torn(bytes[..begin].split_inclusive(|byte| *byte == b'\n').count() + 1))
            }
        }
    }

    fn verdict(&self, name: &Name) -> Verdict {
        let mut verdict = Verdict::Missing;
        let above = self.above.split(|byte| *byte == b'\n');
        let count = |bytes: &[u8]| bytes.split_inclusive(|byte| *byte == b'\n').count();
        let behind = count(self.above) + count(self.block);
        let below = self.below.split(|byte| *byte == b'\n').enumerate();
        let below = below.map(|(number, line)| (number + behind, line));
        for (number, line) in above.enumerate().chain(below) {
            let Some(address) = address_of(line, name) else { continue };
            if !name.addresses.contains(&address) {
                return Verdict::Other { line: number + 1, address };
            }
            verdict = Verdict::TheirOwn;
        }
        verdict
    }

    /// With these lines in the block.
    fn with(&self, lines: &[String]) -> Vec<u8> {
        let newline = if self.ends_lines_with_returns() { "\r\n" } else { "\n" };
        let mut bytes = self.above.to_vec();
        if !lines.is_empty() {
            if bytes.last().is_some_and(|last| *last != b'\n') {
                bytes.extend_from_slice(newline.as_bytes());
            }
            let all = [MARKED].into_iter().chain(lines.iter().map(String::as_str)).chain([END]);
            all.for_each(|line| bytes.extend_from_slice(format!("{line}{newline}").as_bytes()));
        }
        bytes.extend_from_slice(self.below);
        bytes
    }

    fn ends_lines_with_returns(&self) -> bool {
        // The block goes on as it was begun, whatever is above it.
        let like = if self.block.is_empty() { self.above } else { self.block };
        let lines = || like.split_inclusive(|byte| *byte == b'\n');
        lines().filter(|line| line.ends_with(b"\r\n")).count() * 2 > lines().count()
    }
}

/// The address that a line gives to a name.
fn address_of(line: &[u8], name: &Name) -> Option<IpAddr> {
    let line = String::from_utf8_lossy(line);
    let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
    let address = words.next()?.split('%').next()?.parse().ok()?;
    words.any(|word| word.eq_ignore_ascii_case(name.name.as_str())).then_some(address)
}

fn torn(line: usize) -> Failed {
    Failed::because(Class::Input, format!("{PATH}, line {line}: a marker of Ferry's block without the other"))
        .hint(format!("remove what is left of the block from `{BEGIN}` to `{END}`, then run this again"))
}

fn other(name: &Name, line: usize, address: IpAddr) -> Failed {
    let wanted: Vec<String> = name.addresses.iter().map(ToString::to_string).collect();
    let (name, wanted) = (&name.name, wanted.join(", "));
    let message = format!("{PATH}, line {line}: {name} is {address} there, and shall be {wanted}");
    Failed::because(Class::Input, message)
        .hint("correct or remove that line; a second one for the same name would make either count")
}

/// What may be in the way of this file.
fn caveats(root: &Root) -> Result<Vec<String>, Failed> {
    let mut notes = Vec::new();
    let services = root.read("/etc/nsswitch.conf")?.unwrap_or_default();
    let services = String::from_utf8_lossy(&services).into_owned();
    let hosts = services.lines().find_map(|line| line.trim().strip_prefix("hosts:"));
    if hosts.is_some_and(|hosts| !hosts.split_whitespace().any(|service| service == "files")) {
        notes.push(format!("/etc/nsswitch.conf does not have names looked up in {PATH}"));
    }
    let folder = Path::new("/etc/cloud/cloud.cfg.d");
    let parts = root.list(folder)?.into_iter().map(|name| folder.join(name));
    for path in std::iter::once("/etc/cloud/cloud.cfg".into()).chain(parts) {
        let text = root.read(&path)?.unwrap_or_default();
        let text = String::from_utf8_lossy(&text).into_owned();
        let manages = |line: &str| {
            let value = line.trim().strip_prefix("manage_etc_hosts:").unwrap_or_default();
            matches!(value.trim().to_lowercase().as_str(), "true" | "template")
        };
        if text.lines().any(manages) {
            notes.push(format!("cloud-init writes {PATH} anew at each boot: {} says so", path.display()));
        }
    }
    Ok(notes)
}
