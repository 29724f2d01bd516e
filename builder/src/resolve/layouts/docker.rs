//! What `docker save` writes: `manifest.json`, configs and layers, without an OCI manifest. Ferry makes one around
//! the config and the layers as they are, so that both keep their digests.
//!
//! Source: [image spec of docker](https://github.com/moby/docker-image-spec/blob/main/spec.md), "Combined image JSON".

use std::collections::HashMap;
use std::path::Path;

use ferry_model::catalog::{Encoding, Manifest};
use ferry_model::event::Task;
use ferry_model::failure::Class;
use ferry_model::lock::{BlobSource, LockedImage};
use ferry_model::{Digest, ImageReference};
use ferry_transfer::Daemon;

use crate::Error;
use crate::archive::{self, Member};
use crate::fetch::daemon_stream;
use crate::resolve::Found;
use crate::resolve::entry::{Entry, ImageWanted};
use crate::resolve::images::{check_platform, config_platform};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// A scanned docker archive, and the image in it.
pub(in crate::resolve) struct DockerArchive {
    /// As the spec spells it: `docker-archive:app.tar`.
    name: String,
    members: HashMap<String, Member>,
    image: SavedImage,
    reference: Option<ImageReference>,
}

/// An entry of `manifest.json`.
#[derive(Clone, serde::Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SavedImage {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

#[derive(serde::Deserialize)]
struct ImageConfig {
    rootfs: RootFilesystem,
}

#[derive(serde::Deserialize)]
struct RootFilesystem {
    diff_ids: Vec<Digest>,
}

impl DockerArchive {
    pub(in crate::resolve) fn file(
        folder: &Path,
        path: &str,
        reference: Option<&ImageReference>,
    ) -> Result<Self, Error> {
        let file = folder.join(path);
        let stream = archive::open_file(&file).map_err(Error::io("opening", &file))?;
        let members = archive::scan(stream).map_err(Error::io("reading", &file))?;
        Self::new(format!("docker-archive:{path}"), members, reference)
    }

    pub(in crate::resolve) async fn daemon(
        options: &ferry_transfer::Options,
        reference: &ImageReference,
        task: &Task,
    ) -> Result<Self, Error> {
        let daemon = Daemon::from_environment(options)?;
        let name = reference.raw().to_owned();
        if daemon.image_id(&name).await?.is_none() {
            let hint = format!("run `docker pull {name}`, or name one that `docker images` shows");
            return Err(Error::not_found(format!("the docker daemon has no image {name}"), hint));
        }
        let stream = daemon_stream(daemon, name.clone(), task.clone());
        let scanned = tokio::task::spawn_blocking(move || archive::scan(stream)).await;
        let members = scanned.map_err(|error| Error::input(error.to_string(), "please report this"))?;
        let members = members.map_err(Error::io("reading the docker daemon's image", &name))?;
        Self::new(format!("docker-daemon:{name}"), members, Some(reference))
    }

    fn new(name: String, members: Vec<Member>, reference: Option<&ImageReference>) -> Result<Self, Error> {
        let members: HashMap<String, Member> =
            members.into_iter().map(|member| (member.name.clone(), member)).collect();
        let images: Vec<SavedImage> = document(&name, &members, "manifest.json")?;
        let has_tag = |image: &&SavedImage, wanted: &ImageReference| {
            let tags = image.repo_tags.iter().flatten();
            tags.filter_map(|tag| tag.parse::<ImageReference>().ok()).any(|tag| tag == *wanted)
        };
        let image = match reference {
            Some(wanted) if images.len() > 1 => images.iter().find(|image| has_tag(image, wanted)),
            _ if images.len() == 1 => images.first(),
            _ => None,
        };
        let image = image.cloned().ok_or_else(|| {
            let tags: Vec<&str> = images
                .iter()
                .flat_map(|image| image.repo_tags.iter().flatten())
                .map(String::as_str)
                .collect();
            Error::input(
                format!("{name} holds {} images", images.len()),
                format!("name one of them, as in `docker-archive:FILE:TAG`: {}", tags.join(", ")),
            )
        })?;
        let tags = image.repo_tags.iter().flatten().filter_map(|tag| tag.parse().ok());
        let reference = reference.cloned().or_else(|| tags.into_iter().next());
        Ok(Self { name, members, image, reference })
    }

    fn member(&self, name: &str) -> Result<&Member, Error> {
        member(&self.name, &self.members, name)
    }

    fn add(&self, found: &mut Found, member: &Member, encoding: Encoding) {
        // Two names may be one file: the place in the order is that of the file itself.
        let original =
            self.members.values().filter(|other| other.order == member.order).map(|other| &other.name).min();
        let source = BlobSource::Member {
            archive: self.name.clone(),
            member: original.unwrap_or(&member.name).clone(),
        };
        found.blob(member.digest, member.size, encoding, source);
        found.blobs.last_mut().expect("just added").order = member.order;
    }

    /// The image as a lock has it.
    pub(in crate::resolve) fn resolve(&self, entry: &Entry, wanted: &ImageWanted) -> Result<Found, Error> {
        let site = wanted.entry.site_name.clone().or_else(|| self.reference.clone());
        let site = site.ok_or_else(|| {
            Error::input(format!("the image in {} has no name", self.name), "say `as: repository:tag`")
        })?;
        let reference = self.reference.clone().unwrap_or_else(|| site.clone());
        let config = self.member(&self.image.config)?;
        let content = config.content.as_deref().unwrap_or_default();
        let platform = config_platform(content);
        check_platform(&reference, platform.as_ref(), &wanted.platforms)?;
        let mut found = Found::default();
        self.add(&mut found, config, Encoding::Zstd);
        let layers = self.layers(content)?;
        let mut blobs = vec![config.digest];
        for (layer, _) in &layers {
            let encoding = if layer.magic == GZIP { Encoding::Stored } else { Encoding::Zstd };
            self.add(&mut found, layer, encoding);
            if !blobs.contains(&layer.digest) {
                blobs.push(layer.digest);
            }
        }
        let manifest = make_manifest(config, &layers);
        let digest = found.made(&manifest);
        let size = manifest.len() as u64;
        let manifests = vec![Manifest { digest, size, media_type: MANIFEST.to_owned(), platform, blobs }];
        found.images.push(LockedImage {
            repository: site.repository().to_owned(),
            tag: site.tag().map(str::to_owned),
            reference,
            origin: entry.origin.clone(),
            entries: vec![entry.fingerprint.clone()],
            required: entry.required,
            digest,
            source_index: None,
            manifests,
            attachments: Vec::new(),
        });
        Ok(found)
    }

    /// The layers with their media types, compared with the digests that the config names.
    fn layers(&self, config: &[u8]) -> Result<Vec<(&Member, String)>, Error> {
        let config: ImageConfig = serde_json::from_slice(config).map_err(|error| {
            Error::input(format!("{}: {}: {error}", self.name, self.image.config), "save the image again")
        })?;
        if config.rootfs.diff_ids.len() != self.image.layers.len() {
            let problem = format!(
                "{} has {} layers, its config names {}",
                self.name,
                self.image.layers.len(),
                config.rootfs.diff_ids.len()
            );
            return Err(Error::verification(problem, "save the image again"));
        }
        let mut layers = Vec::new();
        for (name, expected) in self.image.layers.iter().zip(&config.rootfs.diff_ids) {
            let layer = self.member(name)?;
            if layer.magic == GZIP {
                layers.push((layer, format!("{LAYER}+gzip")));
            } else if layer.digest == *expected {
                layers.push((layer, LAYER.to_owned()));
            } else {
                let problem = format!(
                    "{}: the layer {name} has digest {}, the config says {expected}",
                    self.name, layer.digest
                );
                return Err(Error::Entry {
                    problem,
                    hint: Some("save the image again".into()),
                    class: Class::Verification,
                });
            }
        }
        Ok(layers)
    }
}

fn member<'a>(archive: &str, members: &'a HashMap<String, Member>, name: &str) -> Result<&'a Member, Error> {
    let missing = || {
        Error::not_found(
            format!("{archive} has no `{name}`"),
            "make sure that `docker save` wrote it, and that it is whole",
        )
    };
    members.get(name).ok_or_else(missing)
}

fn document<T: serde::de::DeserializeOwned>(
    archive: &str,
    members: &HashMap<String, Member>,
    name: &str,
) -> Result<T, Error> {
    let content = member(archive, members, name)?.content.as_deref().unwrap_or_default();
    serde_json::from_slice(content)
        .map_err(|error| Error::input(format!("{archive}: {name}: {error}"), "save the image again"))
}

fn make_manifest(config: &Member, layers: &[(&Member, String)]) -> Vec<u8> {
    let descriptor = |member: &Member, media_type: &str| serde_json::json!({"digest": member.digest, "mediaType": media_type, "size": member.size});
    let layers: Vec<serde_json::Value> =
        layers.iter().map(|(layer, media_type)| descriptor(layer, media_type)).collect();
    let manifest = serde_json::json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": descriptor(config, CONFIG),
        "layers": layers,
    });
    manifest.to_string().into_bytes()
}
