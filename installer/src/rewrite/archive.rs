//! Chart archives: repacked with the bytes of edited members changed and nothing else, so that the same archive gives the same
//! one again.

use std::collections::BTreeMap;
use std::io::{self, Read as _, Write as _};
use std::ops::Range;
use std::sync::Arc;

use ferry_references::format_of;
use flate2::read::MultiGzDecoder;
use flate2::{Compression, GzBuilder, GzHeader};

use super::chart::Chart;
use super::judge::Judge;
use super::known::Known;
use super::outcome::Outcome;
use super::remark::{Kind, Said};
use super::text::rewrite;

/// The largest archive, unpacked.
const MAX_UNPACKED: u64 = 256 << 20;
/// How deep charts may lie in charts.
const MAX_DEPTH: usize = 4;

/// Whether a file may be a chart's archive, by its name.
pub(super) fn is_archive(name: &str) -> bool {
    name.ends_with(".tgz") || name.ends_with(".tar.gz")
}

/// That an archive has more than `limit` bytes.
pub(super) fn too_large(limit: u64) -> io::Error {
    let message = format!("an archive of more than {} MiB is not looked at", limit >> 20);
    io::Error::new(io::ErrorKind::FileTooLarge, message)
}

/// The chart with its references rewritten; none where nothing changes, or where it is no chart.
pub(super) fn rewrite_archive(
    bytes: &[u8],
    name: &Arc<str>,
    known: &Known,
    depth: usize,
    outcome: &mut Outcome,
) -> io::Result<Option<Vec<u8>>> {
    let mut decoder = MultiGzDecoder::new(bytes);
    let mut tar = Vec::new();
    decoder.by_ref().take(MAX_UNPACKED + 1).read_to_end(&mut tar)?;
    if tar.len() as u64 > MAX_UNPACKED {
        return Err(too_large(MAX_UNPACKED));
    }
    let members = members(&tar)?;
    let charts = charts(&tar, &members);
    if !members.iter().any(|member| is_chart_file(&member.path)) {
        return Ok(None);
    }
    let mut packed = Vec::with_capacity(tar.len());
    let mut at = 0;
    for member in &members {
        let content = &tar[member.content.clone()];
        let path: Arc<str> = format!("{name}!{}", member.path).into();
        let folder = member.path.strip_suffix("/values.yaml");
        let judge = Judge { known, chart: folder.and_then(|folder| charts.get(folder)), ways: &[] };
        let Some(edited) = rewrite_member(content, member, &path, &judge, depth, outcome)? else { continue };
        packed.extend_from_slice(&tar[at..member.header]);
        packed.extend_from_slice(resized(&tar, member, edited.len() as u64)?.as_bytes());
        packed.extend_from_slice(&edited);
        packed.resize(packed.len().next_multiple_of(512), 0);
        at = member.content.start + member.content.len().next_multiple_of(512);
    }
    if at == 0 {
        return Ok(None);
    }
    packed.extend_from_slice(&tar[at.min(tar.len())..]);
    pack(&packed, decoder.header()).map(Some)
}

fn rewrite_member(
    content: &[u8],
    member: &Member,
    path: &Arc<str>,
    judge: &Judge<'_>,
    depth: usize,
    outcome: &mut Outcome,
) -> io::Result<Option<Vec<u8>>> {
    if is_archive(&member.path) {
        return if depth < MAX_DEPTH {
            rewrite_archive(content, path, judge.known, depth + 1, outcome)
        } else {
            Ok(None)
        };
    }
    let Ok(text) = std::str::from_utf8(content) else { return Ok(None) };
    let Some(format) = format_of(&member.path, text).filter(|_| !text.contains('\0')) else {
        return Ok(None);
    };
    if member.has_size_elsewhere {
        let message = "its size is not in its header, so it stays as it is";
        outcome.say(path, Said::problem(Kind::Unread, message));
        return Ok(None);
    }
    outcome.texts += 1;
    let mut seen = rewrite(text, format, judge, path, 0);
    let text = seen.text.take();
    outcome.take(seen);
    Ok(text.map(String::into_bytes))
}

/// A file in an archive.
#[derive(Debug)]
struct Member {
    path: String,
    /// Where its header begins.
    header: usize,
    content: Range<usize>,
    /// A record before its header says how large it is.
    has_size_elsewhere: bool,
}

fn members(tar: &[u8]) -> io::Result<Vec<Member>> {
    let mut archive = tar::Archive::new(tar);
    let mut members = Vec::new();
    let (mut long_path, mut has_size_elsewhere) = (None, false);
    for entry in archive.entries()?.raw(true) {
        let mut entry = entry?;
        let kind = entry.header().entry_type();
        let start = usize::try_from(entry.raw_file_position()).map_err(io::Error::other)?;
        let header = usize::try_from(entry.raw_header_position()).map_err(io::Error::other)?;
        let size = usize::try_from(entry.header().entry_size()?).map_err(io::Error::other)?;
        if kind.is_gnu_longname() {
            let mut name = String::new();
            entry.read_to_string(&mut name)?;
            long_path = Some(name.trim_end_matches('\0').to_owned());
        } else if kind.is_pax_local_extensions() {
            for record in entry.pax_extensions()?.into_iter().flatten() {
                let record = record?;
                match record.key_bytes() {
                    b"path" => long_path = Some(String::from_utf8_lossy(record.value_bytes()).into_owned()),
                    b"size" => has_size_elsewhere = true,
                    _ => {}
                }
            }
        } else {
            let short = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
            let path = long_path.take().unwrap_or(short);
            let path = path.trim_start_matches("./").to_owned();
            if kind.is_file() {
                members.push(Member { path, header, content: start..start + size, has_size_elsewhere });
            }
            has_size_elsewhere = false;
        }
    }
    Ok(members)
}

fn is_chart_file(path: &str) -> bool {
    path.split_once('/').is_some_and(|(_, name)| name == "Chart.yaml")
}

/// Each chart in the archive, by its folder.
fn charts(tar: &[u8], members: &[Member]) -> BTreeMap<String, Chart> {
    let charts = members.iter().filter_map(|member| {
        let folder = member.path.strip_suffix("/Chart.yaml")?;
        let text = std::str::from_utf8(&tar[member.content.clone()]).ok()?;
        Some((folder.to_owned(), Chart::read(text)))
    });
    charts.collect()
}

/// The header of a member that has another size.
fn resized(tar: &[u8], member: &Member, size: u64) -> io::Result<tar::Header> {
    let bytes = tar.get(member.header..member.header + 512).ok_or(io::ErrorKind::UnexpectedEof)?;
    let mut header = tar::Header::from_byte_slice(bytes).clone();
    header.set_size(size);
    header.set_cksum();
    Ok(header)
}

/// Compresses it, with what helm wrote into the head of the original.
fn pack(tar: &[u8], original: Option<&GzHeader>) -> io::Result<Vec<u8>> {
    let mut builder = GzBuilder::new();
    if let Some(original) = original {
        builder = builder.mtime(original.mtime()).operating_system(original.operating_system());
        if let Some(extra) = original.extra() {
            builder = builder.extra(extra);
        }
        if let Some(name) = original.filename() {
            builder = builder.filename(name);
        }
        if let Some(comment) = original.comment() {
            builder = builder.comment(comment);
        }
    }
    let mut encoder = builder.write(Vec::new(), Compression::default());
    encoder.write_all(tar)?;
    encoder.finish()
}
