//! Sample data, made by code: images that share layers, charts, runtimes. The same seed gives the same bytes.

mod archive;
mod chart;
mod image;
mod layer;
mod smart;

pub use archive::{write_docker_archive, write_oci_archive, write_oci_layout};
pub use chart::{Chart, index_yaml, large_index_yaml};
pub use image::{Dialect, Document, Image, ImageSetup};
pub use layer::Layer;
pub use smart::{Mark, gzip, smart_package, smart_package_of, tar};

use std::sync::Arc;

use bytes::Bytes;

use crate::random::Random;

/// A few small images, charts and files, enough to meet every kind of entry in well under a megabyte.
#[derive(Clone, Debug)]
pub struct Corpus {
    /// Images: OCI and docker media types, one index of two platforms, shared layers, one layer that is not
    /// compressed.
    pub images: Vec<Image>,
    /// Charts.
    pub charts: Vec<Chart>,
    /// Runtimes: path below their repository, and content.
    pub runtimes: Vec<(String, Bytes)>,
}

impl Corpus {
    /// The small corpus of this seed; `layer_size` is the size of a typical layer.
    pub fn small(seed: u64, layer_size: usize) -> Self {
        let layer = |number: u64, size| Arc::new(Layer::gzip(seed * 1000 + number, size, 50));
        let base = layer(1, layer_size);
        let image = |repository: &str, tag: &str, layers: &[&Arc<Layer>], dialect| {
            Image::single(
                &ImageSetup { repository, tag, dialect, platform: "linux/amd64" },
                &layers.iter().map(|&layer| Arc::clone(layer)).collect::<Vec<_>>(),
            )
        };
        let plain = Arc::new(Layer::plain(seed * 1000 + 9, layer_size / 2, 80));
        let tools = image("team/tools", "7.1", &[&base, &plain], Dialect::Oci);
        let app = image("team/app", "1.0", &[&base, &layer(2, layer_size / 2)], Dialect::Oci);
        let web = image("team/web", "2.0", &[&base, &layer(3, layer_size / 3)], Dialect::Docker);
        let multi = Image::index(
            "library/multi",
            "3",
            &[("linux/amd64", vec![base, layer(4, 2000)]), ("linux/arm64", vec![layer(5, layer_size / 4)])],
        );
        let file = |number: u64, size| {
            let mut bytes = Vec::new();
            Random::new(seed * 1000 + 100 + number).fill(&mut bytes, size, 60);
            Bytes::from(bytes)
        };
        Self {
            images: vec![app, multi, tools, web],
            charts: vec![Chart::new("demo", "1.2.3"), Chart::new("other", "0.1.0+build.5")],
            runtimes: vec![
                ("runtimes/node/node-v16.16.0.tar.gz".to_owned(), file(1, layer_size / 3)),
                ("runtimes/python/python-3.10.5.bin".to_owned(), file(2, layer_size / 2)),
            ],
        }
    }

    /// The image of this repository.
    pub fn image(&self, repository: &str) -> &Image {
        self.images
            .iter()
            .find(|image| image.repository == repository)
            .expect("a test names a repository of the corpus")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_the_same_for_the_same_seed() {
        let (one, two, other) = (Corpus::small(1, 4000), Corpus::small(1, 4000), Corpus::small(2, 4000));
        for (one, two) in one.images.iter().zip(&two.images) {
            assert_eq!(one.root, two.root);
        }
        assert_eq!(one.charts[0].archive, two.charts[0].archive);
        assert_ne!(one.images[0].root, other.images[0].root);
    }

    #[test]
    fn images_share_their_base() {
        let corpus = Corpus::small(1, 4000);
        let (app, web) = (corpus.image("team/app"), corpus.image("team/web"));
        assert!(app.blobs.keys().any(|digest| web.blobs.contains_key(digest)));
    }
}
