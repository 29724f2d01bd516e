//! Files out of the bundle's images.
//!
//! 1. `tree` lays an image's layers over each other, as a container runtime would, and finds what a path leads to.
//! 2. [`find_program`] finds the registry's program and sees that it runs on this machine; `elf` reads its header.
//! 3. [`read_file`] reads a file that was found, again and with its digest checked.

mod elf;
mod layer;
mod tree;

#[cfg(test)]
mod tests;

use std::path::Path;

use ferry_bundle::Bundle;
use ferry_model::catalog::Image;
use ferry_model::failure::Class;
use ferry_model::report::Failed;
use ferry_model::{Digest, ImageReference, Platform};
use serde::Deserialize;

use self::tree::{Found, Tree};
use crate::Error;
use crate::desire::ImageFile;
use crate::export::{choose, find_image, host_platform};

/// The largest program that is taken out of an image; the registry has some 20 MiB.
const MAX_FILE: u64 = 256 << 20;
/// Manifests and configs are small; one that is not is not read.
const MAX_DOCUMENT: u64 = 8 << 20;
/// Where images of the registry have its program: registry:2 and 3, Debian's package, what is built by hand.
const PLACES: [&str; 3] = ["/bin/registry", "/usr/bin/registry", "/usr/local/bin/registry"];

/// The file at `path` of an image for this machine, whose bytes must have this digest.
pub(crate) fn read_file(
    bundle: &Bundle,
    image: &ImageReference,
    path: &str,
    digest: &Digest,
) -> Result<Vec<u8>, Failed> {
    let opened = Opened::new(bundle, image, &host_platform())?;
    let bytes = opened.read(path)?.ok_or_else(|| opened.lacks(&format!("the file {path}")))?;
    if Digest::of(&bytes) != *digest {
        let message = format!("{path} of {image} is not the file that was planned");
        return Err(Failed::because(Class::Verification, message).hint("make a new plan"));
    }
    Ok(bytes)
}

/// The registry's program in an image. Fails if it would not run on this machine.
pub(crate) fn find_program(
    bundle: &Bundle,
    image: &ImageReference,
    platform: &Platform,
) -> Result<ImageFile, Error> {
    let opened = Opened::new(bundle, image, platform)?;
    for path in opened.candidates()? {
        let Some(bytes) = opened.read(&path)? else { continue };
        // An image's entry point is often a script that starts the program.
        let Some(header) = elf::Header::parse(&bytes) else { continue };
        if let Some(reason) = header.misfit(platform, |loader| Path::new(loader).exists()) {
            let message = format!("{path} of {image} does not run on this machine: {reason}");
            return Err(Failed::because(Class::Input, message)
                .hint("take the official image, `docker.io/library/registry:2`, whose program needs nothing but a kernel; or the registry's mode `docker`")
                .into());
        }
        let (digest, size) = (Digest::of(&bytes), bytes.len() as u64);
        return Ok(ImageFile { image: image.clone(), path, digest, size });
    }
    Err(opened.lacks(&format!("the registry's program; looked for {}", PLACES.join(", "))).into())
}

/// An image whose layers are laid over each other.
struct Opened<'a> {
    bundle: &'a Bundle,
    reference: &'a ImageReference,
    document: Document,
    tree: Tree,
}

#[derive(Deserialize)]
struct Document {
    config: Descriptor,
    layers: Vec<Descriptor>,
}

#[derive(Deserialize)]
struct Descriptor {
    digest: Digest,
}

/// What an image runs.
#[derive(Default, Deserialize)]
struct Config {
    #[serde(default)]
    config: Option<Process>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Process {
    #[serde(default)]
    entrypoint: Option<Vec<String>>,
    #[serde(default)]
    cmd: Option<Vec<String>>,
}

impl<'a> Opened<'a> {
    fn new(bundle: &'a Bundle, reference: &'a ImageReference, platform: &Platform) -> Result<Self, Failed> {
        let found = find_image(bundle.catalog(), &reference.to_string());
        let image: &Image = found.map_err(|error| Failed::new(&error))?;
        let manifest = choose(image, Some(platform).filter(|_| image.manifests.len() > 1))
            .map_err(|error| Failed::new(&error))?;
        let document =
            bundle.read_all(&manifest.digest, MAX_DOCUMENT).map_err(|error| Failed::new(&error))?;
        let document: Document = serde_json::from_slice(&document)
            .map_err(|error| damaged(reference, &format!("its manifest: {error}")))?;
        let mut tree = Tree::default();
        for (number, layer) in document.layers.iter().enumerate() {
            let entries =
                layer::open(bundle, &layer.digest).and_then(|reader| layer::entries(reader, number));
            tree.lay(
                entries.map_err(|reason| damaged(reference, &format!("layer {}: {reason}", layer.digest)))?,
            );
        }
        Ok(Self { bundle, reference, document, tree })
    }

    /// Paths that the program may have, the likeliest first.
    fn candidates(&self) -> Result<Vec<String>, Failed> {
        let text = self
            .bundle
            .read_all(&self.document.config.digest, MAX_DOCUMENT)
            .map_err(|error| Failed::new(&error))?;
        let config: Config = serde_json::from_slice(&text)
            .map_err(|error| damaged(self.reference, &format!("its config: {error}")))?;
        let process = config.config.unwrap_or_default();
        let first = |words: Option<Vec<String>>| words.and_then(|words| words.into_iter().next());
        let named = [first(process.entrypoint), first(process.cmd)].into_iter().flatten();
        let absolute = named.filter(|path| path.starts_with('/') && path.ends_with("registry"));
        let mut candidates: Vec<String> = absolute.collect();
        candidates.extend(PLACES.map(str::to_owned));
        Ok(candidates)
    }

    /// The bytes of a file, if the image has it.
    fn read(&self, path: &str) -> Result<Option<Vec<u8>>, Failed> {
        let found = self.tree.find(path).map_err(|reason| damaged(self.reference, &reason))?;
        let Some(Found { layer, member, size }) = found else { return Ok(None) };
        if size > MAX_FILE {
            return Err(damaged(self.reference, &format!("{path} has {size} bytes, more than is read")));
        }
        let digest = &self.document.layers[layer].digest;
        let failed = |reason: String| damaged(self.reference, &format!("layer {digest}: {reason}"));
        let reader = layer::open(self.bundle, digest).map_err(failed)?;
        let bytes = layer::member(reader, &member, size).map_err(failed)?;
        Ok(Some(bytes))
    }

    fn lacks(&self, what: &str) -> Failed {
        Failed::because(Class::NotFound, format!("{} lacks {what}", self.reference)).hint(
            "name an image of the CNCF distribution (`registry:2`) as the registry's `image` in the site file",
        )
    }
}

fn damaged(image: &ImageReference, reason: &str) -> Failed {
    Failed::because(Class::Input, format!("{image} cannot be read: {reason}"))
}
