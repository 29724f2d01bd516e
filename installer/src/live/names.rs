//! What names in the cluster mean at the site: its own registries, the bundle's images, what nodes mirror.

use std::path::PathBuf;

use ferry_model::report::Failed;
use ferry_model::site::Configure;

use crate::Error;
use crate::context::{Context, Manner};
use crate::rewrite::Resolving;
use crate::rewrite::known::{Known, Match, Name, Target};

/// What names mean at a site.
#[derive(Debug)]
pub(super) struct Names {
    /// The site's registry, and how commands name the bundle. Absent where the site has no registry, or no bundle was named.
    known: Option<(Known, PathBuf)>,
    /// The site's registry; empty where it has none.
    address: String,
    /// Other registries of the site.
    further: Vec<String>,
    /// Registries that nodes pull from another one.
    mirrored: Vec<String>,
    /// Whether nodes are configured at all.
    configured: bool,
}

/// Where an image is pulled from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Whose {
    /// From the site's registry.
    Site(Name),
    /// From another registry of the site.
    Further(Name),
    /// From somewhere else.
    Outside(Name),
    /// It is no image name.
    Nobodys,
}

/// What a registry said of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Presence {
    There,
    Missing,
    /// It did not answer, or not to us, and why.
    Unknown(String),
}

impl Names {
    /// Of this site; with a bundle, what that has.
    pub(super) async fn new(context: &Context) -> Result<Self, Error> {
        let site = &context.site.site;
        let configure = site.nodes.configure.as_ref();
        let registries = configure.map_or(&[][..], |configure| &configure.registries);
        let mut mirrored = configure.map_or_else(Vec::new, own_mirrors);
        mirrored
            .extend(registries.iter().flat_map(|further| further.mirrors.iter().map(ToString::to_string)));
        let known = match (&context.bundle, &site.registry) {
            (Some(bundle), Some(_)) => {
                Some((crate::rewrite::known(context, Resolving::Asked).await?, bundle.path().to_owned()))
            }
            _ => None,
        };
        Ok(Self {
            known,
            address: site.registry.as_ref().map_or_else(String::new, |registry| registry.address.to_string()),
            further: registries.iter().map(|further| further.address.to_string()).collect(),
            mirrored,
            configured: configure.is_some(),
        })
    }

    /// Where an image with this name is pulled from.
    pub(super) fn whose(&self, image: &str) -> Whose {
        let Some(name) = name(image) else { return Whose::Nobodys };
        let is_site = name.registry == self.address
            || self.known.as_ref().is_some_and(|(known, _)| known.is_site(&name.registry));
        if is_site {
            Whose::Site(name)
        } else if self.further.contains(&name.registry) {
            Whose::Further(name)
        } else {
            Whose::Outside(name)
        }
    }

    /// What the bundle has of a name; nothing is known without one.
    pub(super) fn find(&self, name: &Name) -> Option<Match> {
        self.known.as_ref().map(|(known, _)| known.find(name))
    }

    /// The site's registry.
    pub(super) fn address(&self) -> &str {
        &self.address
    }

    /// How commands name the bundle.
    pub(super) fn bundle(&self) -> String {
        self.known.as_ref().map_or_else(|| "BUNDLE".to_owned(), |(_, path)| path.display().to_string())
    }

    /// Whether nodes pull what is named after `registry` from elsewhere.
    pub(super) fn is_mirrored(&self, registry: &str) -> bool {
        self.mirrored.iter().any(|mirrored| mirrored == registry)
    }

    /// Whether the site file says what nodes shall be like.
    pub(super) fn are_nodes_configured(&self) -> bool {
        self.configured
    }

    /// What an image is called at the site.
    pub(super) fn at_site(&self, target: &Target) -> String {
        target.at(&self.address)
    }

    /// Whether the site's registry has it.
    pub(super) async fn presence(&self, context: &Context, repository: &str, reference: &str) -> Presence {
        let head = async {
            let client = context.client(Manner::Brief).await?;
            let repository = client.repository(&self.address, repository);
            repository.head(reference).await.map_err(|error| Failed::new(&error))
        };
        match head.await {
            Ok(Some(_)) => Presence::There,
            Ok(None) => Presence::Missing,
            Err(failed) => Presence::Unknown(failed.message),
        }
    }
}

/// An image's name, with its defaults.
fn name(image: &str) -> Option<Name> {
    let reference: ferry_model::ImageReference = image.parse().ok()?;
    let digest = reference.digest().map(|digest| digest.to_string());
    Name::new(Some(reference.registry()), reference.repository(), reference.tag(), digest.as_deref())
}

/// What a registry is asked by: the digest where there is one.
pub(super) fn reference(tag: Option<&str>, digest: Option<ferry_model::Digest>) -> String {
    digest.map_or_else(|| tag.unwrap_or("latest").to_owned(), |digest| digest.to_string())
}

fn own_mirrors(configure: &Configure) -> Vec<String> {
    configure.mirrors.iter().map(ToString::to_string).collect()
}

/// The lines of the site file with which nodes pull what is named after these registries from the site's own.
pub(super) fn mirror_lines(configure: Option<&Configure>, registries: &[String]) -> Vec<String> {
    let mut mirrors = configure.map_or_else(Vec::new, own_mirrors);
    for registry in registries {
        if !mirrors.contains(registry) {
            mirrors.push(registry.clone());
        }
    }
    vec!["nodes:".to_owned(), "  configure: true".to_owned(), format!("  mirrors: [{}]", mirrors.join(", "))]
}
