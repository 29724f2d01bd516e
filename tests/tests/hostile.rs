//! Bundles that are damaged, or made by somebody who means harm: each is refused with an error that says what is
//! wrong, before memory is spent on it, and nothing of it is handed on.

use std::fs;
use std::ops::Range;

use anyhow::{Context as _, Result, ensure};
use ferry_bundle::locator::{LOCATOR_SIZE, Locator};
use ferry_bundle::{Bundle, PublicKey, Trust, layout, seek_table};
use ferry_model::Digest;
use ferry_model::catalog::{Catalog, Encoding};
use ferry_tests::corpus::Corpus;
use ferry_tests::forge::{Forgery, empty_catalog};
use ferry_tests::process::{Outcome, Program};
use ferry_tests::registry::{Registry, Setup};
use ferry_tests::workspace::{Sample, Workspace};
use serde_json::{Value, json};

/// No refusal may take more, in KiB.
const MEMORY: u64 = 64 << 10;

/// Refused by `inspect` and by `verify`, with these words.
fn refused(workspace: &Workspace, bytes: &[u8], words: &str) -> Result<()> {
    workspace.write("hostile", bytes)?;
    for program in [workspace.builder(), workspace.installer()] {
        for command in ["inspect", "verify"] {
            let outcome = program.clone().args([command, "hostile"]).run()?;
            expect_refusal(&outcome, words)?;
        }
    }
    Ok(())
}

fn expect_refusal(outcome: &Outcome, words: &str) -> Result<()> {
    ensure!(matches!(outcome.code, Some(1 | 3)), "{outcome}");
    let said = format!("{}{}", outcome.stdout, outcome.stderr);
    ensure!(said.contains(words), "`{words}` is not said: {outcome}");
    ensure!(!said.contains("panicked"), "{outcome}");
    ensure!(outcome.peak_memory < MEMORY, "{} KiB: {outcome}", outcome.peak_memory);
    Ok(())
}

fn signed_sample(seed: u64) -> Result<Sample> {
    let sample = Sample::new(Corpus::small(seed, 30_000))?;
    let workspace = &sample.workspace;
    workspace.builder().args(["keygen", "mine"]).succeed()?;
    workspace.lock()?;
    workspace.build("bundle", &["--locked", "--key", "mine.key"])?;
    Ok(sample)
}

fn verify(workspace: &Workspace, bundle: &str) -> Program {
    workspace.installer().args(["verify", bundle, "--public-key", "mine.pub"])
}

/// Where a flipped bit may change nothing that anybody reads: compressed frames have bits that no decoder looks at,
/// and a reader takes every minor version. What comes out of them is checked all the same.
fn lenient(good: &[u8], catalog: &Catalog) -> Result<Vec<Range<u64>>> {
    let table = seek_table::size_from_footer(&good[good.len() - 9..]).context("a seek table")??;
    let at = good.len() as u64 - table - LOCATOR_SIZE;
    let locator =
        Locator::decode(&good[at as usize..(at + LOCATOR_SIZE) as usize]).context("a locator")??;
    let parts = Forgery::take_apart(good);
    let index = parts.front.len() as u64 + layout::joint_size(Some(parts.last_size));
    let index_end = locator.catalog.offset - layout::joint_size(Some(parts.index.len() as u64));
    // Behind the frame's header, the name and the major version.
    let minor = at + 8 + 8 + 2;
    let members =
        [locator.catalog, locator.signature].map(|place| place.offset..place.offset + place.stored_size);
    let compressed = catalog.blobs.iter().filter(|blob| blob.encoding == Encoding::Zstd);
    let blobs = compressed.map(|blob| blob.offset..blob.offset + blob.stored_size);
    Ok(blobs.chain(members).chain([index..index_end, minor..minor + 2]).collect())
}

#[test]
fn one_flipped_bit_anywhere_is_found() -> Result<()> {
    let sample = signed_sample(91)?;
    let workspace = &sample.workspace;
    let good = fs::read(workspace.path("bundle"))?;
    verify(workspace, "bundle").succeed()?;
    let catalog = workspace.catalog("bundle")?;
    let lenient = lenient(&good, &catalog)?;
    // The beginning and the middle of every blob, what stands before it, and every seventh byte of the end.
    let blobs = catalog.blobs.iter().flat_map(|blob| {
        [
            blob.offset - 20,
            blob.offset - 300,
            blob.offset,
            blob.offset + 11,
            blob.offset + blob.stored_size / 2,
        ]
    });
    let last = catalog.blobs.last().context("it has blobs")?;
    let tail = (last.offset + last.stored_size..good.len() as u64).step_by(7);
    let mut places: Vec<_> = blobs.chain([0, 5, 100, 500, 530, 560]).chain(tail).collect();
    places.dedup();
    let mut missed = Vec::new();
    for place in places {
        let mut bytes = good.clone();
        bytes[place as usize] ^= 1 << (place % 8);
        workspace.write("flipped", &bytes)?;
        let outcome = verify(workspace, "flipped").run()?;
        if outcome.code != Some(0) {
            expect_refusal(&outcome, "flipped")?;
        } else if !lenient.iter().any(|range| range.contains(&place)) {
            missed.push(place);
        }
    }
    ensure!(missed.is_empty(), "of {} bytes, flips went unnoticed at {missed:?}", good.len());
    Ok(())
}

#[test]
fn every_bit_of_the_signature_counts() -> Result<()> {
    let sample = signed_sample(97)?;
    let workspace = &sample.workspace;
    let key = PublicKey::read(&workspace.path("mine.pub"))?;
    let trust = Trust { public_key: Some(key), ..Trust::default() };
    let good = Forgery::take_apart(&fs::read(workspace.path("bundle"))?);
    let signature = good.signature.clone().context("the sample is signed")?;
    for bit in 0..signature.len() * 8 {
        let mut flipped = good.clone();
        let mut bytes = signature.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        flipped.signature = Some(bytes);
        let path = workspace.write("flipped", flipped.put_together())?;
        ensure!(Bundle::open(&path, &trust).is_err(), "bit {bit} of {} may be flipped", signature.len() * 8);
    }
    Ok(())
}

#[test]
fn truncated_and_extended_files_are_refused() -> Result<()> {
    let sample = signed_sample(92)?;
    let workspace = &sample.workspace;
    let good = fs::read(workspace.path("bundle"))?;
    for length in [0, 1, 8, 9, 100, good.len() / 2, good.len() - 200, good.len() - 10, good.len() - 1] {
        refused(workspace, &good[..length], "not a Ferry bundle")?;
    }
    refused(workspace, &[&good[..], b"\0"].concat(), "not a Ferry bundle")?;
    refused(workspace, &[&good[..100], &good[..]].concat(), "bytes")?;
    refused(workspace, &[&good[..good.len() / 2], &good[good.len() / 2 + 1..]].concat(), "bytes")?;
    refused(workspace, b"PK\x03\x04 another kind of file", "not a Ferry bundle")?;
    Ok(())
}

#[test]
fn spliced_and_reordered_files_are_refused() -> Result<()> {
    let (one, two) = (signed_sample(93)?, signed_sample(94)?);
    let workspace = &one.workspace;
    let (first, second) = (fs::read(workspace.path("bundle"))?, fs::read(two.workspace.path("bundle"))?);
    // The body of one under the catalog of the other, with all sizes made to fit.
    let mut spliced = Forgery::take_apart(&first);
    let other = Forgery::take_apart(&second);
    spliced.catalog = other.catalog.clone();
    spliced.signature = other.signature;
    workspace.write("spliced", spliced.put_together())?;
    expect_refusal(&verify(workspace, "spliced").run()?, "signature")?;
    let unsigned = workspace.installer().args(["verify", "spliced"]).run()?;
    expect_refusal(&unsigned, "lies out of the file")?;

    // Two blobs of one size change places, in the file alone.
    let mut forgery = Forgery::new();
    let blobs = vec![forgery.add_stored(&[1; 5000]), forgery.add_stored(&[2; 5000])];
    let (a, b) = (blobs[0].offset as usize, blobs[1].offset as usize);
    let size = blobs[0].stored_size as usize;
    forgery.set_catalog(&Catalog { blobs, ..empty_catalog() });
    let (head, tail) = forgery.front.split_at_mut(b);
    head[a..a + size].swap_with_slice(&mut tail[..size]);
    workspace.write("swapped", forgery.put_together())?;
    let swapped = workspace.installer().args(["verify", "swapped"]).fail_with(3)?;
    expect_refusal(&swapped, &Digest::of(&[1; 5000]).short())?;
    expect_refusal(&swapped, &Digest::of(&[2; 5000]).short())
}

#[test]
fn a_catalog_that_was_changed_does_not_pass_the_signature() -> Result<()> {
    let sample = signed_sample(95)?;
    let workspace = &sample.workspace;
    let good = fs::read(workspace.path("bundle"))?;
    let digest = Digest::of(&Forgery::take_apart(&good).catalog);

    let mut tampered = Forgery::take_apart(&good);
    tampered.change_catalog(|catalog| catalog["version"] = json!("9.9.9"));
    workspace.write("tampered", tampered.put_together())?;
    verify(workspace, "tampered").fail_with(3)?.says("signature")?;
    let by_digest =
        workspace.installer().args(["verify", "tampered", "--catalog-digest", &digest.to_string()]);
    by_digest.fail_with(3)?.says("digest")?;

    let mut stripped = Forgery::take_apart(&good);
    stripped.signature = None;
    workspace.write("stripped", stripped.put_together())?;
    verify(workspace, "stripped").fail_with(3)?.says("not signed")?;

    workspace.builder().args(["keygen", "other"]).succeed()?;
    workspace.build("resigned", &["--locked", "--key", "other.key"])?;
    verify(workspace, "resigned").fail_with(3)?.says("signature")?;
    // Without a key to check with, what an honest `inspect` can say is that it was not checked.
    workspace.installer().args(["inspect", "resigned"]).succeed()?;
    // Nothing is pushed or served from it either.
    let registry = Registry::start(Setup::default());
    let host = registry.host();
    let push = ["push", "resigned", "--registry", &host, "--plain-http", &host, "--public-key", "mine.pub"];
    workspace.installer().args(push).fail_with(3)?;
    ensure!(registry.content().is_empty());
    workspace.installer().args(["serve", "resigned", "--public-key", "mine.pub"]).fail_with(3)?;
    Ok(())
}

/// Changes to a good catalog, each with words of its refusal.
type Change = (&'static str, fn(&mut Value), &'static str);

#[test]
fn catalogs_that_lie_are_refused() -> Result<()> {
    let sample = Sample::built(Corpus::small(96, 30_000))?;
    let workspace = &sample.workspace;
    let good = fs::read(workspace.path("bundle"))?;
    let changes: [Change; 21] = [
        (
            "overlapping blobs",
            |c| c["blobs"][1]["offset"] = c["blobs"][0]["offset"].clone(),
            "not consistent",
        ),
        ("a blob behind the end", |c| c["blobs"][0]["offset"] = json!(1_u64 << 60), "not consistent"),
        ("a blob twice", |c| c["blobs"][1] = c["blobs"][0].clone(), "not consistent"),
        ("re-ordered blobs", |c| c["blobs"].as_array_mut().expect("a list").swap(0, 1), "not consistent"),
        ("an absurd size", |c| c["blobs"][0]["size"] = json!(u64::MAX), "limit"),
        ("an absurd stored size", |c| c["blobs"][0]["storedSize"] = json!(1_u64 << 62), "limit"),
        ("a negative size", |c| c["blobs"][0]["size"] = json!(-1), "catalog"),
        ("sizes that cannot be", |c| c["blobs"][0]["size"] = json!(1), "not consistent"),
        ("an unknown encoding", |c| c["blobs"][0]["encoding"] = json!("quantum"), "quantum"),
        ("a newer version", |c| c["formatVersion"] = json!("2.0"), "2.0"),
        ("no version", |c| c["formatVersion"] = json!("latest"), "catalog"),
        (
            "a missing blob",
            |c| {
                c["images"][0]["manifests"][0]["blobs"][0] = json!(Digest::of(b"none"));
            },
            "not there",
        ),
        ("an image without its manifest", |c| c["images"][0]["digest"] = json!(Digest::of(b"none")), "lacks"),
        ("a path upwards", |c| c["files"][0]["path"] = json!("../../etc/passwd"), "`..`"),
        ("an absolute path", |c| c["files"][0]["path"] = json!("/etc/passwd"), "absolute"),
        ("a NUL", |c| c["files"][0]["path"] = json!("a\0b"), "control character"),
        ("a deep path", |c| c["files"][0]["path"] = json!("a/".repeat(10_000)), "limit"),
        ("a repository upwards", |c| c["files"][0]["repository"] = json!("../secrets"), "repository"),
        ("an image upwards", |c| c["images"][0]["repository"] = json!("../../etc"), "impossible place"),
        ("a chart upwards", |c| c["charts"][0]["name"] = json!("../../etc/cron.d/x"), "impossible name"),
        (
            "a media type with a new line",
            |c| c["images"][0]["manifests"][0]["mediaType"] = json!("a\r\nX: y"),
            "media type",
        ),
    ];
    for (what, change, words) in changes {
        let mut forgery = Forgery::take_apart(&good);
        forgery.change_catalog(change);
        refused(workspace, &forgery.put_together(), words).with_context(|| what)?;
    }
    Ok(())
}

/// Changes to a good locator, each with words of its refusal.
type LocatorChange = (fn(&mut Locator), &'static str);

#[test]
fn locators_that_lie_are_refused() -> Result<()> {
    let workspace = Workspace::new()?;
    let changes: [LocatorChange; 6] = [
        (|locator| locator.catalog.offset = 1 << 60, "points out of the file"),
        (|locator| locator.catalog.stored_size = u64::MAX, "points out of the file"),
        (|locator| locator.catalog.size = 1 << 50, "limit"),
        (|locator| locator.catalog.offset = 0, "frame is damaged"),
        (|locator| locator.file_size += 1, "bytes, but was written with"),
        (|locator| locator.catalog_digest = Digest::of(b"another"), "has digest"),
    ];
    for (number, (locator, words)) in changes.into_iter().enumerate() {
        let forgery = Forgery { locator, ..Forgery::new() };
        refused(&workspace, &forgery.put_together(), words).with_context(|| format!("change {number}"))?;
    }
    Ok(())
}

#[test]
fn bombs_do_not_go_off() -> Result<()> {
    let workspace = Workspace::new()?;
    // 4 GiB of zeros in some 130 KiB, as a blob that says it is small, and as one that says what it is.
    let bomb = zeros(4 << 30)?;
    for size in [1000, 4 << 30] {
        let mut forgery = Forgery::new();
        let blob = forgery.add_frames(Digest::of(b"x"), size, Encoding::Zstd, &bomb);
        forgery.set_catalog(&Catalog { blobs: vec![blob], ..empty_catalog() });
        workspace.write("bomb", forgery.put_together())?;
        let verify = workspace.installer().args(["verify", "bomb"]).run()?;
        ensure!(verify.code == Some(3), "{verify}");
        expect_refusal(&verify, "over the limit")?;
    }
    // A catalog that is one: valid JSON behind a gigabyte of spaces.
    let mut forgery = Forgery::new();
    let mut catalog = vec![b' '; 300 << 20];
    catalog.extend_from_slice(&forgery.catalog);
    forgery.catalog = catalog;
    refused(&workspace, &forgery.put_together(), "limit")?;
    // And one that nests without end.
    let mut forgery = Forgery::new();
    forgery.catalog = b"[".repeat(1 << 20);
    refused(&workspace, &forgery.put_together(), "catalog")
}

/// A single zstd frame that declares and holds this many zeros.
fn zeros(size: u64) -> Result<Vec<u8>> {
    use std::io::Write as _;
    let mut encoder = zstd::stream::Encoder::new(Vec::new(), 1)?;
    encoder.set_pledged_src_size(Some(size))?;
    encoder.include_contentsize(true)?;
    let block = vec![0; 1 << 20];
    for _ in 0..size >> 20 {
        encoder.write_all(&block)?;
    }
    Ok(encoder.finish()?)
}
