//! Images of this machine: OCI layouts in folders and archives, docker archives, the docker daemon.

mod docker;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use ferry_model::Digest;
use ferry_model::failure::Class;
use ferry_model::lock::BlobSource;
use ferry_model::spec::ImageSource;
use ferry_transfer::RawManifest;

use crate::Error;
use crate::archive::{self, Member};

pub(super) use docker::DockerArchive;

/// The annotation that names an image in a layout's index.
const NAME: &str = "org.opencontainers.image.ref.name";
/// The most bytes of a manifest.
const MAX_MANIFEST: u64 = 8 << 20;

/// An OCI image layout.
pub(super) enum Layout {
    /// In a folder; `path` as the spec spells it.
    Folder { folder: PathBuf, path: String },
    /// In a tar file; `name` as the spec spells the archive.
    Archive { name: String, members: HashMap<String, Member> },
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct Index {
    manifests: Vec<IndexEntry>,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct IndexEntry {
    digest: Digest,
    #[serde(default)]
    annotations: HashMap<String, String>,
}

/// What tells a manifest from an index.
#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct Typed {
    media_type: Option<String>,
    manifests: Option<serde::de::IgnoredAny>,
}

fn blob_path(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

/// Opens a layout and finds the image that the spec names.
pub(super) fn open(folder: &Path, source: &ImageSource) -> Result<(Layout, Digest), Error> {
    let (layout, name) = match source {
        ImageSource::OciLayout { path, name } => {
            (Layout::Folder { folder: folder.join(path), path: path.clone() }, name)
        }
        ImageSource::OciArchive { path, name } => {
            let file = folder.join(path);
            let stream = archive::open_file(&file).map_err(Error::io("opening", &file))?;
            let members = archive::scan(stream).map_err(Error::io("reading", &file))?;
            let members = members.into_iter().map(|member| (member.name.clone(), member)).collect();
            (Layout::Archive { name: format!("oci-archive:{path}"), members }, name)
        }
        _ => unreachable!("only layouts are opened as layouts"),
    };
    let index: Index =
        serde_json::from_slice(&layout.read("index.json", MAX_MANIFEST)?).map_err(|error| {
            Error::input(format!("{source}: index.json: {error}"), "make sure that it is an OCI image layout")
        })?;
    let entry = choose(source, &index, name.as_deref())?;
    Ok((layout, entry.digest))
}

fn choose<'a>(source: &ImageSource, index: &'a Index, name: Option<&str>) -> Result<&'a IndexEntry, Error> {
    let named = |entry: &&IndexEntry| {
        name.is_none_or(|name| entry.annotations.get(NAME).is_some_and(|has| has == name))
    };
    let fitting: Vec<&IndexEntry> = index.manifests.iter().filter(named).collect();
    match fitting[..] {
        [one] => Ok(one),
        _ => {
            let names: Vec<&str> = index
                .manifests
                .iter()
                .filter_map(|entry| entry.annotations.get(NAME))
                .map(String::as_str)
                .collect();
            Err(Error::Entry {
                problem: format!("{source} names {} images of the layout", fitting.len()),
                hint: Some(format!("write `oci:PATH:NAME` with one of: {}", names.join(", "))),
                class: Class::Input,
            })
        }
    }
}

impl Layout {
    fn shown(&self) -> String {
        match self {
            Self::Folder { folder, .. } => folder.display().to_string(),
            Self::Archive { name, .. } => name.clone(),
        }
    }

    fn read(&self, name: &str, limit: u64) -> Result<Bytes, Error> {
        let too_large = |size: u64| {
            let problem =
                format!("{}: {name} has {size} bytes, more than a document of its kind has", self.shown());
            Error::input(problem, "make sure that the layout is not damaged")
        };
        match self {
            Self::Folder { folder, .. } => {
                let path = folder.join(name);
                let size = std::fs::metadata(&path).map_err(Error::io("reading", &path))?.len();
                if size > limit {
                    return Err(too_large(size));
                }
                Ok(std::fs::read(&path).map_err(Error::io("reading", &path))?.into())
            }
            Self::Archive { members, .. } => {
                let member = members.get(name).ok_or_else(|| {
                    let problem = format!("{} has no `{name}`", self.shown());
                    Error::not_found(problem, "make sure that it is an OCI image layout, and whole")
                })?;
                member.content.clone().map(Bytes::from).ok_or_else(|| too_large(member.size))
            }
        }
    }

    /// A document by its digest, checked.
    pub(super) fn document(&self, digest: &Digest, limit: u64) -> Result<Bytes, Error> {
        let bytes = self.read(&blob_path(digest), limit)?;
        let actual = Digest::of(&bytes);
        if actual == *digest {
            Ok(bytes)
        } else {
            let problem = format!("{}: {} has digest {actual}", self.shown(), blob_path(digest));
            Err(Error::verification(problem, "the layout is damaged; make it again"))
        }
    }

    /// A manifest by its digest.
    pub(super) fn manifest(&self, reference: &str) -> Result<RawManifest, Error> {
        let digest: Digest = reference
            .parse()
            .map_err(|_| Error::input("layouts are read by digest", "please report this"))?;
        let bytes = self.document(&digest, MAX_MANIFEST)?;
        let typed: Typed = serde_json::from_slice(&bytes).map_err(|error| {
            Error::input(format!("{}: manifest {digest}: {error}", self.shown()), "the layout is damaged")
        })?;
        let guessed = if typed.manifests.is_some() {
            "application/vnd.oci.image.index.v1+json"
        } else {
            "application/vnd.oci.image.manifest.v1+json"
        };
        Ok(RawManifest { bytes, media_type: typed.media_type.unwrap_or_else(|| guessed.to_owned()), digest })
    }

    pub(super) fn source(&self, digest: &Digest) -> BlobSource {
        match self {
            Self::Folder { path, .. } => BlobSource::Path(format!("{path}/{}", blob_path(digest))),
            Self::Archive { name, .. } => {
                BlobSource::Member { archive: name.clone(), member: blob_path(digest) }
            }
        }
    }

    pub(super) fn order(&self, digest: &Digest) -> u64 {
        match self {
            Self::Folder { .. } => 0,
            Self::Archive { members, .. } => members.get(&blob_path(digest)).map_or(0, |member| member.order),
        }
    }
}
