use std::io;

use ferry_model::Digest;
use ferry_model::failure::{Class, Failure};

/// Why an image cannot be exported.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// The bundle has no such image.
    #[error("the bundle has no image, chart or file `{name}`")]
    Unknown {
        /// What was asked for.
        name: String,
        /// Images that may have been meant.
        nearest: Vec<String>,
    },
    /// Several things go by the name.
    #[error("`{name}` names {} things of the bundle", found.len())]
    Ambiguous {
        /// What was asked for.
        name: String,
        /// All of them.
        found: Vec<String>,
    },
    /// The image is not there for the platform.
    #[error("{image} is not there for {wanted}")]
    Platform {
        /// The image.
        image: String,
        /// The platform that was asked for, or this host's.
        wanted: String,
        /// What there is.
        available: Vec<String>,
    },
    /// An archive of docker's format holds one platform.
    #[error("an archive for docker holds one platform")]
    OnePlatform,
    /// It is no container image: a chart, or another artifact.
    #[error("{image} is no container image: {reason}")]
    NotAnImage {
        /// The image.
        image: String,
        /// Why.
        reason: String,
    },
    /// A layer does not unpack to what the image's config says.
    #[error("the layer {digest} unpacks to {actual}, not to {expected}")]
    Layer {
        /// The layer.
        digest: Digest,
        /// What the config says.
        expected: Digest,
        /// What it is.
        actual: Digest,
    },
    /// A layer cannot be unpacked.
    #[error("unpacking the layer {digest}")]
    Unpack {
        /// The layer.
        digest: Digest,
        /// Why.
        source: io::Error,
    },
    /// The manifest lists a blob that the bundle lacks: a layer to be fetched from elsewhere.
    #[error("the bundle has no blob {0}")]
    NoBlob(Digest),
    /// The bundle cannot be read.
    #[error(transparent)]
    Bundle(#[from] ferry_bundle::Error),
    /// The archive cannot be written.
    #[error("writing the archive")]
    Write(#[source] io::Error),
}

impl Failure for ExportError {
    fn class(&self) -> Class {
        match self {
            Self::Unknown { .. } | Self::Platform { .. } | Self::NoBlob(_) => Class::NotFound,
            Self::Ambiguous { .. } | Self::OnePlatform => Class::Usage,
            Self::NotAnImage { .. } => Class::Input,
            Self::Layer { .. } => Class::Verification,
            Self::Unpack { source, .. } => match bundle_error(source) {
                Some(error) => error.class(),
                None => Class::Verification,
            },
            Self::Bundle(error) => error.class(),
            Self::Write(_) => Class::Local,
        }
    }

    fn hints(&self) -> Vec<String> {
        let hint = match self {
            Self::Unknown { nearest, .. } if nearest.is_empty() => "`inspect` lists what there is".to_owned(),
            Self::Unknown { nearest, .. } => {
                format!("`inspect` lists what there is; the nearest: {}", nearest.join(", "))
            }
            Self::Ambiguous { found, .. } => format!("name one in full: {}", found.join(", ")),
            Self::Platform { available, .. } => {
                format!("choose one with --platform: {}", available.join(", "))
            }
            Self::OnePlatform => "name it with --platform, or say --format oci-archive".to_owned(),
            Self::NotAnImage { .. } => "--format oci-archive takes any artifact".to_owned(),
            Self::Unpack { source, .. } => {
                return bundle_error(source).map(Failure::hints).unwrap_or_default();
            }
            Self::Bundle(error) => return error.hints(),
            Self::Layer { .. } | Self::NoBlob(_) | Self::Write(_) => return Vec::new(),
        };
        vec![hint]
    }
}

/// What the bundle said, where a decompressor handed it on.
fn bundle_error(error: &io::Error) -> Option<&ferry_bundle::Error> {
    error.get_ref()?.downcast_ref()
}
