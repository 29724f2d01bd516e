//! What is in a bundle, as a summary for programs and as text for people.

use std::collections::HashMap;
use std::fmt::Write as _;

use ferry_model::Digest;
use ferry_model::catalog::{Catalog, Chart, FileKind, Image, Missing};
use ferry_model::report::Signer;
use ferry_model::size::ByteSize;
use serde::Serialize;

use crate::{Align, Table, counted, printable};

/// Layers that are listed as the largest.
const LARGEST: usize = 5;

/// What is known of a bundle besides its catalog.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Facts {
    /// Its first file.
    pub path: String,
    /// Bytes of all its files.
    pub file_size: u64,
    /// The digest of its catalog.
    pub catalog_digest: Digest,
    /// About its signature, as a sentence.
    pub signature: String,
    /// The same for programs.
    pub signer: Signer,
}

/// What is in a bundle.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary<'a> {
    /// What is known besides the catalog.
    pub bundle: Facts,
    /// The bundle's name.
    pub name: &'a str,
    /// Its version.
    pub version: &'a str,
    /// Whether everything that the lock asked for is there.
    pub complete: bool,
    /// What is not.
    pub missing: &'a [Missing],
    /// Images, with what each takes.
    pub images: Vec<ImageSummary<'a>>,
    /// Charts.
    pub charts: Vec<ChartSummary<'a>>,
    /// Files of all kinds.
    pub files: Vec<FileSummary<'a>>,
    /// Blobs.
    pub blobs: usize,
    /// Bytes of their content, each once.
    pub content_size: u64,
    /// Bytes that more blobs would take if each entry had its own.
    pub shared_size: u64,
    /// The largest blobs.
    pub largest: Vec<BlobSummary>,
    #[serde(skip)]
    sizes: HashMap<Digest, u64>,
}

/// An image.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageSummary<'a> {
    /// Its name in the world.
    pub reference: String,
    /// Its repository at the site.
    pub repository: &'a str,
    /// Its tag at the site.
    pub tag: Option<&'a str>,
    /// Its digest.
    pub digest: Digest,
    /// Its platforms.
    pub platforms: Vec<String>,
    /// Bytes of all its blobs.
    pub size: u64,
    /// Signatures, SBOMs and the like.
    pub attachments: usize,
    #[serde(skip)]
    image: &'a Image,
}

/// A chart.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ChartSummary<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its version.
    pub version: &'a str,
    /// Where it came from.
    pub source: &'a str,
    /// The digest of its archive.
    pub digest: Digest,
    /// Bytes of its archive.
    pub size: u64,
}

/// A file.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FileSummary<'a> {
    /// What it is.
    pub kind: FileKind,
    /// Its repository and path at the site.
    pub path: String,
    /// The name that the spec gives it.
    pub name: Option<&'a str>,
    /// The version that the spec gives it.
    pub version: Option<&'a str>,
    /// Its digest.
    pub digest: Digest,
    /// Its bytes.
    pub size: u64,
}

/// A blob.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BlobSummary {
    /// Its digest.
    pub digest: Digest,
    /// Bytes of its content.
    pub size: u64,
    /// Bytes that it takes in the bundle.
    pub stored_size: u64,
    /// The entries that need it.
    pub needed_by: Vec<String>,
}

/// Sums up a catalog.
pub fn summarize(catalog: &Catalog, bundle: Facts) -> Summary<'_> {
    let sizes: HashMap<Digest, u64> = catalog.blobs.iter().map(|blob| (blob.digest, blob.size)).collect();
    let mut largest = largest(catalog);
    let mut separate = 0;
    // Owners are kept for the largest blobs alone: a large catalog has a hundred thousand others.
    let mut own = |mut digests: Vec<Digest>, owner: &dyn Fn() -> String| {
        digests.sort_unstable();
        digests.dedup();
        for blob in largest.iter_mut().filter(|blob| digests.binary_search(&blob.digest).is_ok()) {
            blob.needed_by.push(owner());
        }
        let size = digests.iter().filter_map(|digest| sizes.get(digest)).sum::<u64>();
        separate += size;
        size
    };
    let images = catalog.images.iter().map(|image| ImageSummary {
        reference: image.reference.to_string(),
        repository: &image.repository,
        tag: image.tag.as_deref(),
        digest: image.digest,
        platforms: platforms(image),
        size: own(image_blobs(image), &|| image.reference.to_string()),
        attachments: image.attachments.len(),
        image,
    });
    let images: Vec<ImageSummary<'_>> = images.collect();
    let charts = catalog.charts.iter().map(|chart| {
        own(chart_blobs(chart), &|| format!("chart {}", chart.name));
        let size = sizes.get(&chart.archive).copied().unwrap_or(0);
        ChartSummary {
            name: &chart.name,
            version: &chart.version,
            source: &chart.source,
            digest: chart.archive,
            size,
        }
    });
    let charts: Vec<ChartSummary<'_>> = charts.collect();
    let files = catalog.files.iter().map(|file| FileSummary {
        kind: file.kind,
        path: file.served_path(),
        name: file.name.as_deref(),
        version: file.version.as_deref(),
        digest: file.digest,
        size: own(vec![file.digest], &|| file.served_path()),
    });
    let files: Vec<FileSummary<'_>> = files.collect();
    let content_size = catalog.blobs.iter().map(|blob| blob.size).sum();
    Summary {
        bundle,
        name: catalog.name.as_str(),
        version: catalog.version.as_str(),
        complete: catalog.is_complete(),
        missing: &catalog.missing,
        images,
        charts,
        files,
        blobs: catalog.blobs.len(),
        content_size,
        shared_size: separate.saturating_sub(content_size),
        largest,
        sizes,
    }
}

fn platforms(image: &Image) -> Vec<String> {
    let mut platforms: Vec<String> = image.platforms().map(ToString::to_string).collect();
    platforms.sort();
    platforms.dedup();
    platforms
}

fn image_blobs(image: &Image) -> Vec<Digest> {
    let below = image
        .all_manifests()
        .flat_map(|manifest| std::iter::once(manifest.digest).chain(manifest.blobs.iter().copied()));
    below.chain(image.source_index).collect()
}

fn chart_blobs(chart: &Chart) -> Vec<Digest> {
    let manifest = &chart.manifest;
    let other = [chart.archive, manifest.digest].into_iter().chain(chart.provenance);
    manifest.blobs.iter().copied().chain(other).collect()
}

fn largest(catalog: &Catalog) -> Vec<BlobSummary> {
    let mut blobs: Vec<_> = catalog.blobs.iter().collect();
    blobs.sort_by_key(|blob| std::cmp::Reverse(blob.size));
    let summary = |blob: &ferry_model::catalog::Blob| BlobSummary {
        digest: blob.digest,
        size: blob.size,
        stored_size: blob.stored_size,
        needed_by: Vec::new(),
    };
    blobs.into_iter().take(LARGEST).map(summary).collect()
}

impl Summary<'_> {
    /// The summary for people; with `tree`, down to manifests and layers.
    pub fn text(&self, tree: bool) -> String {
        let mut out = self.head();
        for missing in self.missing {
            let _ = writeln!(
                out,
                "MISSING  {} {}: {}",
                missing.kind,
                printable(&missing.name),
                printable(&missing.reason)
            );
        }
        self.images_text(&mut out, tree);
        self.charts_text(&mut out);
        for (kind, title) in
            [(FileKind::Runtime, "Runtimes"), (FileKind::Saas, "SaaS packages"), (FileKind::File, "Files")]
        {
            self.files_text(&mut out, kind, title);
        }
        self.largest_text(&mut out);
        out
    }

    fn head(&self) -> String {
        let incomplete = if self.complete { "" } else { "  INCOMPLETE" };
        let mut table = Table::new([Align::Left, Align::Left]);
        table.row(["Bundle", &format!("{} {}{incomplete}", self.name, self.version)]);
        table.row([
            "File",
            &format!("{} ({})", printable(&self.bundle.path), ByteSize(self.bundle.file_size)),
        ]);
        table.row(["Catalog", &self.bundle.catalog_digest.to_string()]);
        table.row(["Signature", &self.bundle.signature]);
        let shared = if self.shared_size > 0 {
            format!("; sharing saves {}", ByteSize(self.shared_size))
        } else {
            String::new()
        };
        table.row([
            "Content",
            &format!("{} in {}{shared}", ByteSize(self.content_size), counted(self.blobs, "blob")),
        ]);
        table.to_string()
    }

    fn images_text(&self, out: &mut String, tree: bool) {
        if self.images.is_empty() {
            return;
        }
        let _ = write!(out, "\nImages ({})\n", self.images.len());
        let mut table = Table::new([Align::Left, Align::Right, Align::Left, Align::Left]).indented(2);
        for image in &self.images {
            let own_name = image
                .reference
                .split_once('/')
                .is_some_and(|(_, rest)| rest == format!("{}:{}", image.repository, image.tag.unwrap_or("")));
            let place = if own_name {
                String::new()
            } else {
                format!(
                    "as {}{}",
                    image.repository,
                    image.tag.map(|tag| format!(":{tag}")).unwrap_or_default()
                )
            };
            let attached = if image.attachments > 0 {
                format!(" +{} attached", image.attachments)
            } else {
                String::new()
            };
            let reference = image.reference.clone();
            table.row([
                reference,
                ByteSize(image.size).to_string(),
                image.platforms.join(","),
                format!("{place}{attached}"),
            ]);
            if tree {
                tree_rows(&mut table, image.image, &self.sizes);
            }
        }
        out.push_str(&table.to_string());
    }

    fn charts_text(&self, out: &mut String) {
        if self.charts.is_empty() {
            return;
        }
        let _ = write!(out, "\nCharts ({})\n", self.charts.len());
        let mut table = Table::new([Align::Left, Align::Left, Align::Right, Align::Left]).indented(2);
        for chart in &self.charts {
            table.row([
                chart.name.to_owned(),
                chart.version.to_owned(),
                ByteSize(chart.size).to_string(),
                printable(chart.source).into_owned(),
            ]);
        }
        out.push_str(&table.to_string());
    }

    fn files_text(&self, out: &mut String, kind: FileKind, title: &str) {
        let files: Vec<_> = self.files.iter().filter(|file| file.kind == kind).collect();
        if files.is_empty() {
            return;
        }
        let total: u64 = files.iter().map(|file| file.size).sum();
        let _ = write!(out, "\n{title} ({}, {})\n", files.len(), ByteSize(total));
        let mut table = Table::new([Align::Left, Align::Right]).indented(2);
        for file in files {
            table.row([printable(&file.path).into_owned(), ByteSize(file.size).to_string()]);
        }
        out.push_str(&table.to_string());
    }

    fn largest_text(&self, out: &mut String) {
        if self.largest.is_empty() {
            return;
        }
        out.push_str("\nLargest\n");
        let mut table = Table::new([Align::Left, Align::Right, Align::Left]).indented(2);
        for blob in &self.largest {
            let more = blob.needed_by.len().saturating_sub(1);
            let first = blob.needed_by.first().map(String::as_str).unwrap_or_default();
            let owners = if more > 0 { format!("{first} and {more} more") } else { first.to_owned() };
            table.row([
                blob.digest.short(),
                ByteSize(blob.size).to_string(),
                printable(&owners).into_owned(),
            ]);
        }
        out.push_str(&table.to_string());
    }
}

/// The manifests of an image and the blobs that each names.
fn tree_rows(table: &mut Table, image: &Image, sizes: &HashMap<Digest, u64>) {
    for manifest in image.all_manifests() {
        let platform = manifest.platform.as_ref().map(ToString::to_string).unwrap_or_default();
        let name = format!("  {} {}", manifest.digest.short(), manifest.media_type);
        table.row([name, ByteSize(manifest.size).to_string(), platform]);
        for blob in &manifest.blobs {
            let size = sizes.get(blob).map(|size| ByteSize(*size).to_string());
            table.row([format!("    {blob}"), size.unwrap_or_default()]);
        }
    }
}
