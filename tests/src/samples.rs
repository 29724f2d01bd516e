//! Sample data for people to look at: what `cargo xtask demo` carries and `cargo xtask bench` measures with.

use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use ferry_model::Digest;
use ferry_model::size::ByteSize;

use crate::corpus::{Corpus, Dialect, Image, ImageSetup, Layer, index_yaml, write_oci_layout};
use crate::files::ranged;
use crate::http::{Reply, get, request};
use crate::parts::push;
use crate::server::Listening;

/// The name and content of the file that the spec takes from the disk.
const NOTE: (&str, &str) = ("docs/readme.md", "# Samples\n\nMade by code; every byte follows from a seed.\n");
/// Where runtimes lie at the site.
const REPOSITORY: &str = "bkpaas/assets";

/// The data that the demo carries: images that share layers, charts, runtimes; some 6 MiB.
fn corpus() -> Corpus {
    Corpus::small(71, 2 << 20)
}

/// Writes the samples into `folder`, with a spec that fetches charts and runtimes from below `url`.
pub fn make(folder: &Path, url: &str) -> Result<()> {
    let corpus = corpus();
    write_oci_layout(&folder.join("images"), &corpus.images)?;
    let write = |path: String, content: &[u8]| -> Result<()> {
        let path = folder.join(path);
        fs::create_dir_all(path.parent().context("a file has a folder")?)?;
        fs::write(&path, content).with_context(|| path.display().to_string())
    };
    for chart in &corpus.charts {
        write(format!("charts/{}", chart.file_name()), &chart.archive)?;
    }
    write("charts/index.yaml".to_owned(), index_yaml(&corpus.charts).as_bytes())?;
    for (path, content) in &corpus.runtimes {
        write(path.clone(), content)?;
    }
    write(NOTE.0.to_owned(), NOTE.1.as_bytes())?;
    write("demo.yaml".to_owned(), spec(&corpus, url)?.as_bytes())
}

/// The spec of the samples.
fn spec(corpus: &Corpus, url: &str) -> Result<String> {
    let host = url.strip_prefix("http://").context("the samples are offered over plain HTTP")?;
    let mut text = format!(
        "# Everything that this bundle shall carry.\napiVersion: ferry/v1\nkind: Bundle\nname: demo\nversion: 1.0.0\nplatforms: all\nregistries:\n  {host}: {{plainHttp: true}}\nimages:\n"
    );
    for image in &corpus.images {
        writeln!(text, "  - {{image: \"oci:images:{0}\", as: \"{0}\"}}", image.name())?;
    }
    text.push_str("charts:\n");
    for chart in &corpus.charts {
        writeln!(text, "  - {{repo: \"{url}/charts\", name: {}, version: {}}}", chart.name, chart.version)?;
    }
    writeln!(text, "runtimes:\n  - base: {url}/\n    repository: {REPOSITORY}\n    items:")?;
    for (path, content) in &corpus.runtimes {
        writeln!(text, "      - {{url: {path}, to: {path}, sha256: {}}}", Digest::of(content).hex())?;
    }
    text.push_str("files:\n  - {path: docs, to: docs/}\n");
    Ok(text)
}

/// Offers the files below `folder`, with ranges.
pub fn serve(folder: &Path, address: SocketAddr) -> Result<Listening> {
    let folder = folder.canonicalize()?;
    let router = axum::Router::new().fallback(move |request: axum::extract::Request| {
        let response = file(&folder, &request);
        async move { response }
    });
    Listening::router_at(address, router)
}

fn file(folder: &Path, request: &axum::extract::Request) -> axum::response::Response {
    let path: PathBuf = folder.join(request.uri().path().trim_start_matches('/'));
    let inside = path.canonicalize().is_ok_and(|path| path.starts_with(folder));
    match fs::read(&path) {
        Ok(content) if inside => {
            let range = request.headers().get("range").and_then(|value| value.to_str().ok());
            ranged(content.into(), range, request.method() == hyper::Method::HEAD)
        }
        _ => {
            let mut response = axum::response::Response::default();
            *response.status_mut() = hyper::StatusCode::NOT_FOUND;
            response
        }
    }
}

/// Pulls everything back from a bundle of the samples that is served at `url`, and returns what was compared, one
/// line each.
pub fn check(url: &str) -> Result<Vec<String>> {
    let corpus = corpus();
    let mut lines = Vec::new();
    let mut pulled = |what: &str, digest: Digest, size: u64| {
        lines.push(format!("{:<44} {:>9}  {}", what, ByteSize(size).to_string(), digest.short()));
    };
    for image in &corpus.images {
        let size = check_image(url, image).with_context(|| image.name())?;
        pulled(&format!("image {}", image.name()), image.root, size);
    }
    let index = get(&format!("{url}/charts/index.yaml"))?.text();
    for chart in &corpus.charts {
        let (name, digest) = (chart.file_name(), chart.digest());
        ensure!(index.contains(&digest.hex()), "index.yaml lacks {name}");
        let archive = get(&format!("{url}/charts/{}", name.replace('+', "%2B")))?;
        expect(&archive, digest, &name)?;
        pulled(&format!("chart {name}"), digest, archive.body.len() as u64);
    }
    let runtimes =
        corpus.runtimes.iter().map(|(path, content)| (format!("{REPOSITORY}/{path}"), &content[..]));
    for (path, content) in runtimes.chain([(NOTE.0.to_owned(), NOTE.1.as_bytes())]) {
        let digest = Digest::of(content);
        expect(&get(&format!("{url}/files/{path}"))?, digest, &path)?;
        let name = path.rsplit('/').next().unwrap_or(&path);
        pulled(&format!("file  {name}"), digest, content.len() as u64);
    }
    Ok(lines)
}

fn check_image(url: &str, image: &Image) -> Result<u64> {
    let base = format!("{url}/v2/{}", image.repository);
    let accept: Vec<_> = image.documents.iter().map(|document| ("accept", document.media_type)).collect();
    let by_tag = request(&hyper::Method::GET, &format!("{base}/manifests/{}", image.tag), &accept, "")?;
    ensure!(by_tag.status == 200, "{} {}", by_tag.status, by_tag.text());
    expect(&by_tag, image.root, "the manifest behind the tag")?;
    for document in &image.documents {
        let url = format!("{base}/manifests/{}", document.digest);
        expect(&request(&hyper::Method::GET, &url, &accept, "")?, document.digest, "a manifest")?;
    }
    for digest in image.blobs.keys() {
        expect(&get(&format!("{base}/blobs/{digest}"))?, *digest, "a blob")?;
    }
    Ok(image.size())
}

fn expect(reply: &Reply, digest: Digest, what: &str) -> Result<()> {
    let actual = Digest::of(&reply.body);
    ensure!(actual == digest, "{what} has digest {actual}, expected {digest}");
    Ok(())
}

/// Fills the registry at `host` with images of `megabytes` altogether, which share layers of 1 to 100 MB as real
/// ones do, and returns their references.
pub fn fill(host: &str, megabytes: usize) -> Result<Vec<String>> {
    // Sizes of layers in megabytes, made for a corpus of 500.
    const BASES: [usize; 3] = [100, 60, 30];
    const OWN: [usize; 12] = [80, 50, 40, 30, 25, 20, 15, 15, 12, 10, 8, 5];
    let size = |of_500: usize| (of_500 * megabytes / 500).max(1) * 1_000_000;
    // Little of it compresses further, as in layers full of binaries, so sizes are what they say.
    let layer = |seed: usize, of_500: usize| Arc::new(Layer::gzip(seed as u64, size(of_500), 5));
    let bases: Vec<_> = BASES.iter().enumerate().map(|(index, &of_500)| layer(index, of_500)).collect();
    let mut references = Vec::new();
    for (index, &of_500) in OWN.iter().enumerate() {
        let base = Arc::clone(&bases[index % bases.len()]);
        let layers = [base, layer(100 + index, of_500), layer(200 + index, 1)];
        let (repository, tag) = (format!("bench/app-{index:02}"), "1.0");
        let setup =
            ImageSetup { repository: &repository, tag, dialect: Dialect::Oci, platform: "linux/amd64" };
        push(&format!("http://{host}"), &Image::single(&setup, &layers))?;
        references.push(format!("{host}/{repository}:{tag}"));
    }
    Ok(references)
}
