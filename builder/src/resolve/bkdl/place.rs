//! Where a package lies at the site: what the official script would do with it, put into Ferry's words.
//!
//! The script puts everything below one folder, from where other scripts take it on: `paas-runtimes/` into bkrepo,
//! `saas/` into PaaS, `gse2/` into node management. So a package's local folder says what it is:
//!
//! | there | here |
//! |---|---|
//! | `paas-runtimes/BUCKET/PATH` | a runtime, `PATH` in repository `bkpaas/BUCKET` |
//! | `saas/FILE` | a SaaS package |
//! | anything else | a file at that path |
//!
//! What is copied is carried as it is. What the script unpacks is carried packed, byte for byte as the site has it and
//! under its own name, beside where its content would lie: who unpacks it there gets what the script gets. Runtimes are
//! the exception, for nobody unpacks in bkrepo: of an archive that holds them every member is carried as a file.

use ferry_bundle::tarball::member_name;
use ferry_model::SitePath;
use ferry_model::catalog::FileKind;

use super::index::Package;

/// The folder that is taken on into bkrepo, and the project there.
const RUNTIMES: &str = "paas-runtimes";
const PROJECT: &str = "bkpaas";

/// How a package is carried.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Place {
    /// As it is.
    Whole(Carried),
    /// Each of its members.
    Members(Unpacking),
}

/// What a path says.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Carried {
    pub(super) kind: FileKind,
    pub(super) repository: Option<String>,
    pub(super) path: SitePath,
}

/// How an archive is unpacked.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Unpacking {
    folder: String,
    strip: usize,
    only: Vec<String>,
}

/// Where a package goes whose URL ends in `file_name`. `has_below` says whether something else lies below a path.
pub(super) fn place(
    package: &Package,
    file_name: &str,
    channel: &str,
    has_below: impl Fn(&str) -> bool,
) -> Result<Place, String> {
    let folder = member_name(&package.folder);
    let is_folder = package.folder.ends_with(['/', '.']) || folder.is_empty() || has_below(&folder);
    let holds_runtimes = below(&folder, RUNTIMES) || channel.rsplit('/').next() == Some(RUNTIMES);
    let path = match package.processor.as_str() {
        "copy" | "print" | "noop" if is_folder => join(&folder, file_name),
        "copy" | "print" | "noop" => folder,
        "untar" if holds_runtimes => return Unpacking::new(folder, &package.arguments).map(Place::Members),
        packed @ ("unzip" | "ungz" | "unxz") if holds_runtimes => {
            return Err(format!(
                "its runtimes are packed for `{packed}`, and only `untar` is done here: unpack it and list the files"
            ));
        }
        "untar" | "unzip" => join(&folder, file_name),
        "ungz" | "unxz" if is_folder => join(&folder, file_name),
        "ungz" | "unxz" => join(folder.rsplit_once('/').map_or("", |(parent, _)| parent), file_name),
        other => return Err(format!("its processor `{other}` is not known to this program")),
    };
    carried(&path).map(Place::Whole)
}

fn below(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn join(folder: &str, name: &str) -> String {
    if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") }
}

/// What a path below the script's folder says.
pub(super) fn carried(path: &str) -> Result<Carried, String> {
    let parse = |path: &str| path.parse::<SitePath>().map_err(|error| error.to_string());
    let (top, rest) = path.split_once('/').unwrap_or((path, ""));
    if top == RUNTIMES
        && let Some((bucket, path)) = rest.split_once('/')
    {
        let repository = Some(format!("{PROJECT}/{bucket}"));
        return Ok(Carried { kind: FileKind::Runtime, repository, path: parse(path)? });
    }
    let kind = if top == "saas" && !rest.is_empty() { FileKind::Saas } else { FileKind::File };
    Ok(Carried { kind, repository: None, path: parse(path)? })
}

impl Unpacking {
    /// From the arguments that the script would hand to `tar xf`.
    fn new(folder: String, arguments: &[String]) -> Result<Self, String> {
        let mut unpacking = Self { folder, strip: 0, only: Vec::new() };
        let mut arguments = arguments.iter().map(String::as_str);
        while let Some(argument) = arguments.next() {
            let strip =
                argument.strip_prefix("--strip-components").or_else(|| argument.strip_prefix("--strip"));
            match (strip, argument) {
                (Some(count), _) => {
                    let count = if count.is_empty() { arguments.next() } else { count.strip_prefix('=') };
                    let count = count.and_then(|count| count.parse().ok());
                    unpacking.strip = count.ok_or_else(|| format!("`{argument}` has no number"))?;
                }
                (None, "--no-same-owner" | "--no-same-permissions" | "-z" | "-v" | "-m") => {}
                (None, option) if option.starts_with('-') => {
                    return Err(format!("tar's option `{option}` is not known to this program"));
                }
                (None, member) => unpacking.only.push(member_name(member)),
            }
        }
        Ok(unpacking)
    }

    /// Where a member of this name goes; `None` for one that is not unpacked.
    pub(super) fn place(&self, member: &str) -> Result<Option<Carried>, String> {
        let wanted = self.only.is_empty() || self.only.iter().any(|only| below(member, only));
        let rest = member.splitn(self.strip + 1, '/').nth(self.strip).filter(|rest| !rest.is_empty());
        match rest.filter(|_| wanted) {
            Some(rest) => carried(&join(&self.folder, rest)).map(Some),
            None => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(folder: &str, processor: &str) -> Package {
        let mut words = processor.split(' ').map(str::to_owned);
        Package {
            name: "p".into(),
            line: 1,
            version: "1".into(),
            folder: folder.into(),
            processor: words.next().unwrap(),
            arguments: words.collect(),
            url: "u".into(),
        }
    }

    fn at(folder: &str, processor: &str, channel: &str) -> Result<Place, String> {
        place(&package(folder, processor), "file-1.tgz", channel, |folder| folder == "gse2")
    }

    fn whole(kind: FileKind, repository: Option<&str>, path: &str) -> Place {
        let repository = repository.map(str::to_owned);
        Place::Whole(Carried { kind, repository, path: path.parse().unwrap() })
    }

    #[test]
    fn the_folder_says_what_it_is() {
        const ASSETS: Option<&str> = Some("bkpaas/bkpaas3-platform-assets");
        for (folder, processor, expected) in [
            ("bin/", "copy", whole(FileKind::File, None, "bin/file-1.tgz")),
            ("bin/jq", "copy", whole(FileKind::File, None, "bin/jq")),
            ("gse2", "copy", whole(FileKind::File, None, "gse2/file-1.tgz")),
            ("./", "untar", whole(FileKind::File, None, "file-1.tgz")),
            ("./blueking/", "untar --strip-components=1", whole(FileKind::File, None, "blueking/file-1.tgz")),
            ("bin/yq", "ungz", whole(FileKind::File, None, "bin/file-1.tgz")),
            ("bin/", "unxz", whole(FileKind::File, None, "bin/file-1.tgz")),
            ("yq", "ungz", whole(FileKind::File, None, "file-1.tgz")),
            ("cache/", "noop", whole(FileKind::File, None, "cache/file-1.tgz")),
            ("saas/bk_itsm.tgz", "copy", whole(FileKind::Saas, None, "saas/bk_itsm.tgz")),
            ("saas/", "copy", whole(FileKind::Saas, None, "saas/file-1.tgz")),
            ("../../etc/", "copy", whole(FileKind::File, None, "etc/file-1.tgz")),
            (
                "paas-runtimes/bkpaas3-platform-assets/runtimes/golang/",
                "copy",
                whole(FileKind::Runtime, ASSETS, "runtimes/golang/file-1.tgz"),
            ),
            ("paas-runtimes/bkpaas3-platform-assets/x", "copy", whole(FileKind::Runtime, ASSETS, "x")),
            ("paas-runtimes/x", "copy", whole(FileKind::File, None, "paas-runtimes/x")),
        ] {
            assert_eq!(at(folder, processor, "ce7/7.1-stable"), Ok(expected), "{folder} {processor}");
        }
    }

    #[test]
    fn archives_of_runtimes_are_unpacked() {
        let members = |folder: &str, processor: &str, channel: &str| match at(folder, processor, channel) {
            Ok(Place::Members(unpacking)) => unpacking,
            other => panic!("{other:?}"),
        };
        let runtime = |path: &str| {
            let repository = Some("bkpaas/assets".to_owned());
            Ok(Some(Carried { kind: FileKind::Runtime, repository, path: path.parse().unwrap() }))
        };
        let all = members("./", "untar", "ce7/paas-runtimes");
        assert_eq!(all.place("paas-runtimes/assets/common/a.sh"), runtime("common/a.sh"));
        assert_eq!(all.place("readme").unwrap().unwrap().kind, FileKind::File);
        let strip = members("paas-runtimes/", "untar --strip-components 1 top/assets", "c");
        assert_eq!(strip.place("top/assets/v7/stdlib.sh"), runtime("v7/stdlib.sh"));
        assert_eq!(strip.place("top/other/x"), Ok(None), "not among the members that are named");
        assert_eq!(strip.place("top"), Ok(None));
        assert_eq!(members("paas-runtimes/assets", "untar --strip=2 -z", "c").place("a/b"), Ok(None));
    }

    #[test]
    fn what_cannot_be_done_is_said() {
        for (processor, expect) in [
            ("unzip", "only `untar`"),
            ("ungz", "only `untar`"),
            ("untar --strip-components", "no number"),
            ("untar --transform=s/a/b/", "`--transform=s/a/b/`"),
            ("frobnicate", "not known"),
        ] {
            let error = at("paas-runtimes/assets/", processor, "c").unwrap_err();
            assert!(error.contains(expect), "{processor}: {error}");
        }
    }
}
