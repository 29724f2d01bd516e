//! Files out of the bundle's images.

use ferry_bundle::Bundle;
use ferry_model::failure::Class;
use ferry_model::report::Failed;
use ferry_model::{Digest, ImageReference, Platform};

use crate::Error;
use crate::desire::ImageFile;

/// The file at `path` of an image, whose bytes must have this digest.
pub(crate) fn read_file(
    _bundle: &Bundle,
    image: &ImageReference,
    path: &str,
    _digest: &Digest,
) -> Result<Vec<u8>, Failed> {
    Err(Failed::because(Class::Internal, format!("{path} of {image}: not written yet")))
}

/// The registry's program in an image.
pub(crate) fn find_program(
    _bundle: &Bundle,
    image: &ImageReference,
    _platform: &Platform,
) -> Result<ImageFile, Error> {
    Err(Failed::because(Class::Internal, format!("{image}: not written yet")).into())
}
