//! Images by the names that people write.

use ferry_model::catalog::{Catalog, Image};
use ferry_model::{Digest, ImageReference};

use super::ExportError;

/// How many names are shown to somebody who mistyped one.
const NEAREST: usize = 3;

/// The image that `name` means: its name in the world in any form that docker takes (`registry:2`,
/// `docker.io/library/registry:2`), its name at the site (`library/registry:2`), either with a digest, or the digest
/// alone. A name without a tag means `latest`, or the only tag that there is.
pub fn find_image<'a>(catalog: &'a Catalog, name: &str) -> Result<&'a Image, ExportError> {
    let wanted = Wanted::parse(name);
    let exact: Vec<_> = catalog.images.iter().filter(|image| wanted.is(image)).collect();
    let found = if exact.is_empty() && !has_tag(name) {
        catalog.images.iter().filter(|image| wanted.is_repository_of(image)).collect()
    } else {
        exact
    };
    match *found {
        [] => Err(unknown(catalog, name)),
        [first, ref others @ ..] if others.iter().all(|other| other.digest == first.digest) => Ok(first),
        _ => {
            let found = found.iter().map(|image| image.reference.to_string()).collect();
            Err(ExportError::Ambiguous { name: clip(name), found })
        }
    }
}

/// A name, read in each way that makes sense.
struct Wanted<'a> {
    name: &'a str,
    reference: Option<ImageReference>,
    digest: Option<Digest>,
}

impl<'a> Wanted<'a> {
    fn parse(name: &'a str) -> Self {
        Self { name, reference: name.parse().ok(), digest: name.parse().ok() }
    }

    fn is(&self, image: &Image) -> bool {
        if self.digest == Some(image.digest) || self.name == site_name(image) {
            return true;
        }
        let Some(reference) = &self.reference else { return false };
        match reference.digest() {
            Some(digest) => digest == image.digest && self.is_repository_of(image),
            None => reference.name() == image.reference.name() && reference.tag() == image.reference.tag(),
        }
    }

    fn is_repository_of(&self, image: &Image) -> bool {
        let name = self.name.split_once('@').map_or(self.name, |(name, _)| name);
        name == image.repository
            || self.reference.as_ref().is_some_and(|reference| reference.name() == image.reference.name())
    }
}

fn has_tag(name: &str) -> bool {
    name.contains('@') || name.rsplit('/').next().is_some_and(|last| last.contains(':'))
}

fn site_name(image: &Image) -> String {
    match &image.tag {
        Some(tag) => format!("{}:{tag}", image.repository),
        None => format!("{}@{}", image.repository, image.digest),
    }
}

fn unknown(catalog: &Catalog, name: &str) -> ExportError {
    let name = clip(name);
    let full = name.parse::<ImageReference>().map_or_else(|_| name.clone(), |name| name.to_string());
    let mut near: Vec<_> = catalog
        .images
        .iter()
        .map(|image| {
            let reference = image.reference.to_string();
            let world = strsim::jaro_winkler(&reference, &full);
            let site = strsim::jaro_winkler(&site_name(image), &name);
            (world.max(site), reference)
        })
        .filter(|(likeness, _)| *likeness > 0.7)
        .collect();
    near.sort_by(|(a, _), (b, _)| b.total_cmp(a));
    ExportError::Unknown { name, nearest: near.into_iter().take(NEAREST).map(|(_, name)| name).collect() }
}

fn clip(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).take(200).collect()
}
