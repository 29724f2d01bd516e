//! Looking into archives of the download site.

use std::io::Read as _;

use ferry_bundle::tarball::{Limits, MemberKind, TarballError, walk};
use ferry_model::Digest;
use ferry_model::digest::Hasher;
use ferry_model::event::Task;
use ferry_model::failure::Failure as _;
use ferry_transfer::Client;

use super::UNKNOWN;
use super::place::{Carried, Unpacking};
use crate::Error;
use crate::resolve::through::look_through;

/// The largest list of images, packed or not.
const MAX_TEXT: u64 = 8 << 20;
/// How much of an archive of runtimes is believed.
const LIMITS: Limits = Limits { members: 20_000, bytes: 16 << 30 };

/// A file of an archive that is carried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Member {
    /// Its name in the archive; for a link, that of the file that it leads to.
    pub(super) name: String,
    pub(super) carried: Carried,
    pub(super) order: u64,
    pub(super) size: u64,
    pub(super) digest: Digest,
}

/// All files of the archive at `url` that are unpacked, hashed in one pass.
pub(super) async fn list(
    client: &Client,
    url: &str,
    unpacking: Unpacking,
    task: &Task,
) -> Result<Vec<Member>, Error> {
    let seen = look_through(client, url, UNKNOWN, task, move |stream| scan(stream, &unpacking)).await?;
    let members = seen.sight.map_err(|wrong| wrong.at(url))?;
    if members.is_empty() {
        return Err(Error::input(
            format!("{url}: nothing of it is unpacked"),
            "look at what the URL really gives",
        ));
    }
    Ok(members)
}

/// Why an archive is of no use.
enum Wrong {
    Archive(TarballError),
    Place(String),
}

impl From<TarballError> for Wrong {
    fn from(error: TarballError) -> Self {
        Self::Archive(error)
    }
}

impl Wrong {
    fn at(self, url: &str) -> Error {
        match self {
            Self::Archive(error) => unreadable(url, &error),
            Self::Place(problem) => Error::input(
                format!("{url}: {problem}"),
                "unpack it, and list the files under `runtimes` with places of their own",
            ),
        }
    }
}

fn unreadable(url: &str, error: &TarballError) -> Error {
    let cause = std::error::Error::source(error).map(|cause| format!(": {cause}")).unwrap_or_default();
    Error::Entry {
        problem: format!("{url}: {error}{cause}"),
        hint: Some(
            "look at what the URL really gives: an error page and a cut-off upload look like this".into(),
        ),
        class: error.class(),
    }
}

/// A file that may yet be asked for, by its own name or through a link.
struct Hashed {
    name: String,
    order: u64,
    size: u64,
    digest: Digest,
}

fn scan(stream: &mut dyn std::io::Read, unpacking: &Unpacking) -> Result<Vec<Member>, Wrong> {
    let mut hashed: Vec<Hashed> = Vec::new();
    let mut links: Vec<(String, String)> = Vec::new();
    let mut order = 0;
    walk(stream, LIMITS, |member| -> Result<(), Wrong> {
        order += 1;
        match member.kind {
            MemberKind::File => {
                let (digest, size) = hash(member.content)?;
                hashed.push(Hashed { name: member.name, order, size, digest });
            }
            MemberKind::Link(target) => links.push((member.name, target)),
            MemberKind::Folder | MemberKind::Other => {}
        }
        Ok(())
    })?;
    // As when unpacking, a later member takes the place of an earlier one; and the one that is read is the first of
    // its name, so only names that stand alone are safe to carry.
    let mut members = Vec::new();
    let files = hashed.iter().map(|file| (file.name.as_str(), file.name.as_str()));
    let links = links.iter().map(|(name, target)| (name.as_str(), target.as_str()));
    for (name, target) in files.chain(links) {
        let Some(carried) = unpacking.place(name).map_err(Wrong::Place)? else { continue };
        let mut same = hashed.iter().filter(|file| file.name == target);
        let file = same.next().ok_or_else(|| Wrong::Place(format!("`{name}` is a link to nothing")))?;
        if same.any(|other| other.digest != file.digest) {
            return Err(Wrong::Place(format!("it has two different files called `{target}`")));
        }
        let (name, order, size, digest) = (file.name.clone(), file.order, file.size, file.digest);
        members.push(Member { name, carried, order, size, digest });
    }
    Ok(members)
}

fn hash(content: &mut dyn std::io::Read) -> Result<(Digest, u64), TarballError> {
    let mut hasher = Hasher::default();
    let mut buffer = vec![0; 256 << 10];
    let mut size = 0;
    loop {
        match content.read(&mut buffer)? {
            0 => return Ok((hasher.finish(), size)),
            count => {
                hasher.update(&buffer[..count]);
                size += count as u64;
            }
        }
    }
}

/// A text behind a URL: plain, gzip-compressed, or the only `.txt` file of a tar archive.
pub(super) async fn read_text(client: &Client, url: &str, task: &Task) -> Result<String, Error> {
    let seen = look_through(client, url, UNKNOWN, task, |stream| text_of(stream)).await?;
    seen.sight.map_err(|error| unreadable(url, &error))
}

fn text_of(stream: &mut dyn std::io::Read) -> Result<String, TarballError> {
    let over = |limit| TarballError::Limit { what: "bytes", limit };
    let mut raw = Vec::new();
    stream.take(MAX_TEXT + 1).read_to_end(&mut raw)?;
    if raw.len() as u64 > MAX_TEXT {
        return Err(over(MAX_TEXT));
    }
    let mut bytes = raw;
    if bytes.starts_with(&[0x1f, 0x8b]) {
        let mut plain = Vec::new();
        let decoder = flate2::read::MultiGzDecoder::new(&bytes[..]);
        decoder.take(MAX_TEXT + 1).read_to_end(&mut plain)?;
        if plain.len() as u64 > MAX_TEXT {
            return Err(over(MAX_TEXT));
        }
        bytes = plain;
    }
    if bytes.get(257..262) == Some(b"ustar") {
        let mut text = None;
        walk(&bytes[..], LIMITS, |member| -> Result<(), TarballError> {
            if member.kind == MemberKind::File && member.name.ends_with(".txt") && text.is_none() {
                let mut content = Vec::new();
                member.content.read_to_end(&mut content)?;
                text = Some(content);
            }
            Ok(())
        })?;
        bytes = text.unwrap_or_default();
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;
    use crate::resolve::bkdl::index::Package;
    use crate::resolve::bkdl::place::{Place, place};

    fn unpacking(processor: &str) -> Unpacking {
        let package = Package {
            name: "common".into(),
            line: 1,
            version: "1".into(),
            folder: "./".into(),
            processor: "untar".into(),
            arguments: processor.split_whitespace().map(str::to_owned).collect(),
            url: "u".into(),
        };
        match place(&package, "u", "ce7/paas-runtimes", |_| false) {
            Ok(Place::Members(unpacking)) => unpacking,
            other => panic!("{other:?}"),
        }
    }

    fn archive(members: &[(&str, &str)], links: &[(&str, &str)]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (name, content) in members {
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            builder.append_data(&mut header, name, content.as_bytes()).unwrap();
        }
        for (name, target) in links {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(tar::EntryType::Symlink);
            header.set_size(0);
            builder.append_link(&mut header, name, target).unwrap();
        }
        builder.into_inner().unwrap()
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn members_and_links_become_files() {
        let bytes = gzip(&archive(
            &[("./paas-runtimes/assets/common/v7/stdlib.sh", "one"), ("./readme.md", "two")],
            &[("paas-runtimes/assets/common/latest.sh", "v7/stdlib.sh")],
        ));
        let Ok(members) = scan(&mut &bytes[..], &unpacking("")) else { panic!("unreadable") };
        let listed: Vec<_> = members
            .iter()
            .map(|member| (member.carried.repository.as_deref(), member.carried.path.as_str(), member.digest))
            .collect();
        assert_eq!(
            listed,
            [
                (Some("bkpaas/assets"), "common/v7/stdlib.sh", Digest::of(b"one")),
                (None, "readme.md", Digest::of(b"two")),
                (Some("bkpaas/assets"), "common/latest.sh", Digest::of(b"one")),
            ]
        );
        assert_eq!(members[2].name, "paas-runtimes/assets/common/v7/stdlib.sh");
    }

    #[test]
    fn what_would_land_wrong_is_refused() {
        for (members, links, expect) in [
            (&[("a/x", "1"), ("a/x", "2")][..], &[][..], "two different files"),
            (&[("a/x", "1")], &[("a/y", "nowhere")], "link to nothing"),
        ] {
            let bytes = archive(members, links);
            let Err(wrong) = scan(&mut &bytes[..], &unpacking("")) else { panic!("{expect}") };
            assert!(wrong.at("http://h/a.tgz").to_string().contains(expect));
        }
        assert!(scan(&mut &b"<html>"[..], &unpacking("")).is_err());
    }

    #[test]
    fn texts_come_in_three_shapes() {
        let text = "bkrepo 1 blueking/bkrepo:1\n";
        let tar = archive(&[("blueking/readme.md", "x"), ("blueking/chart-images.txt", text)], &[]);
        for bytes in [text.as_bytes().to_vec(), gzip(text.as_bytes()), tar.clone(), gzip(&tar)] {
            assert_eq!(text_of(&mut &bytes[..]).unwrap(), text);
        }
        let bomb = gzip(&vec![b'a'; 9 << 20]);
        assert!(matches!(text_of(&mut &bomb[..]), Err(TarballError::Limit { .. })));
        assert!(text_of(&mut &bomb[..100]).is_err());
    }
}
