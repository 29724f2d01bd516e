//! A bundle as other tools see it: an ordinary tar with zstd that holds an OCI image layout; and the promises about
//! its bytes: the same lock gives the same, volumes are that file cut up, an earlier bundle saves the download.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use ferry_model::Digest;
use ferry_tests::corpus::Corpus;
use ferry_tests::parts::{self, skopeo};
use ferry_tests::process::Program;
use ferry_tests::registry::Kind;
use ferry_tests::workspace::Sample;

#[test]
fn plain_tar_and_zstd_read_it() -> Result<()> {
    if !parts::ready(&["zstd", "tar", "skopeo"]) {
        return Ok(());
    }
    let sample = Sample::built(Corpus::small(31, 300_000))?;
    let workspace = &sample.workspace;
    let bundle = workspace.path("bundle");
    Program::new("zstd").arg("-t").arg(&bundle).succeed()?;
    let out = workspace.path("out");
    fs::create_dir(&out)?;
    let tar = |mode: &str| Program::new("tar").args(["--zstd", mode]).arg(&bundle);
    tar("-xf").arg("-C").arg(&out).succeed()?;
    let names = tar("-tf").succeed()?.stdout;
    let ends: Vec<_> = names.lines().filter(|name| !name.starts_with("blobs/")).collect();
    ensure!(ends == ["oci-layout", "index.json", "bundle.json"], "{ends:?}");

    for blob in fs::read_dir(out.join("blobs/sha256"))? {
        let path = blob?.path();
        let name = path.file_name().context("a file has a name")?.to_string_lossy().into_owned();
        ensure!(Digest::of(&fs::read(&path)?).hex() == name, "{name} has another digest");
    }
    let catalog = workspace.catalog("bundle")?;
    for image in &catalog.images {
        // skopeo 1.9 finds no image by name in a layout when its media type is docker's.
        if image.repository == "team/web" {
            continue;
        }
        let source = format!("oci:{}:{}", out.display(), image.reference);
        let raw = skopeo().args(["inspect", "--raw", &source]).succeed()?.stdout;
        ensure!(Digest::of(raw.as_bytes()) == image.digest, "{source}");
        let copy = workspace.path("copy");
        skopeo().args(["copy", "--all", &source]).arg(format!("dir:{}", copy.display())).succeed()?;
        fs::remove_dir_all(copy)?;
    }
    Ok(())
}

#[test]
fn the_same_lock_gives_the_same_bytes() -> Result<()> {
    let sample = Sample::built(Corpus::small(32, 300_000))?;
    let first = sample.workspace.digest("bundle")?;
    for (bundle, jobs) in [("again", "1"), ("wide", "16")] {
        sample.workspace.build(bundle, &["--locked", "--jobs", jobs])?;
        ensure!(sample.workspace.digest(bundle)? == first, "--jobs {jobs} gives other bytes");
    }
    Ok(())
}

#[test]
fn a_signed_bundle_is_reproducible_and_minisign_agrees() -> Result<()> {
    if !parts::ready(&["minisign", "tar", "zstd"]) {
        return Ok(());
    }
    let sample = Sample::new(Corpus::small(33, 50_000))?;
    let workspace = &sample.workspace;
    workspace.builder().args(["keygen", "mine"]).succeed()?;
    workspace.builder().args(["keygen", "other"]).succeed()?;
    workspace.lock()?;
    workspace.build("bundle", &["--locked", "--key", "mine.key"])?;
    workspace.build("again", &["--locked", "--key", "mine.key"])?;
    ensure!(workspace.digest("bundle")? == workspace.digest("again")?);
    for program in [workspace.builder(), workspace.installer()] {
        let verify = program.args(["verify", "bundle", "--public-key"]);
        verify.clone().arg("mine.pub").succeed()?;
        verify.arg("other.pub").fail_with(3)?.says("signature")?;
    }
    let tar = Program::new("tar").args(["--zstd", "-xf", "bundle", "bundle.json", "bundle.json.minisig"]);
    tar.within(workspace.path("")).succeed()?;
    let check = Program::new("minisign").within(workspace.path("")).args(["-V", "-m", "bundle.json", "-p"]);
    check.clone().arg("mine.pub").succeed()?;
    check.arg("other.pub").fail_with(1)?;
    Ok(())
}

#[test]
fn volumes_are_the_file_cut_up() -> Result<()> {
    let sample = Sample::built(Corpus::small(34, 3_000_000))?;
    let workspace = &sample.workspace;
    workspace.build("cut", &["--locked", "--volume-size", "1MiB"])?;
    let mut volumes: Vec<_> = fs::read_dir(workspace.path(""))?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name.strip_prefix("cut.").is_some_and(|end| end.chars().all(|c| c.is_ascii_digit())))
        .collect();
    volumes.sort();
    ensure!(volumes.len() > 2, "{volumes:?}");
    let joined: Vec<u8> =
        volumes.iter().map(|name| fs::read(workspace.path(name))).collect::<Result<Vec<_>, _>>()?.concat();
    ensure!(Digest::of(&joined) == workspace.digest("bundle")?, "the volumes are not the file");
    for argument in ["cut.001", "cut.volumes.json"] {
        workspace.installer().args(["verify", argument]).succeed()?;
    }
    workspace.write("joined", &joined)?;
    workspace.installer().args(["verify", "joined"]).succeed()?;

    let second = fs::read(workspace.path(&volumes[1]))?;
    let mut damaged = second.clone();
    damaged.truncate(second.len() - 1);
    workspace.write(&volumes[1], &damaged)?;
    workspace.installer().args(["verify", "cut.001"]).fail_with(3)?.says(&volumes[1])?;
    damaged.push(second[second.len() - 1] ^ 1);
    workspace.write(&volumes[1], &damaged)?;
    let verify = workspace.installer().args(["verify", "cut.001"]).fail_with(3)?;
    ensure!(format!("{verify}").contains(&volumes[1]), "the damaged volume is not named: {verify}");
    fs::remove_file(workspace.path(&volumes[1]))?;
    let verify = workspace.installer().args(["verify", "cut.001"]).run()?;
    ensure!(matches!(verify.code, Some(1 | 3)), "{verify}");
    verify.says(&volumes[1])?;
    Ok(())
}

#[test]
fn an_earlier_bundle_saves_the_download() -> Result<()> {
    let sample = Sample::built(Corpus::small(35, 100_000))?;
    let workspace = &sample.workspace;
    sample.registry.reset_counts();
    workspace.build("again", &["--locked", "--reuse", "bundle"])?;
    ensure!(workspace.digest("again")? == workspace.digest("bundle")?);
    let counts = sample.registry.counts();
    ensure!(counts.of(Kind::BlobGet) == 0, "{counts:?}");
    Ok(())
}

#[test]
fn disk_written_is_the_bundle_and_little_else() -> Result<()> {
    // Not below /tmp, which may be memory.
    let sample = Sample::new(Corpus::small(36, 8_000_000))?;
    sample.workspace.lock()?;
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let bundle = folder.path().join("bundle");
    let build =
        sample.workspace.builder().args(["build", "spec.yaml", "--locked", "-o"]).arg(&bundle).succeed()?;
    let size = fs::metadata(&bundle)?.len();
    ensure!(
        build.bytes_written <= size + size / 50 + 256 * 1024,
        "{} bytes written for a bundle of {size}",
        build.bytes_written
    );
    ensure!(build.peak_memory < 64 << 10, "{} KiB of memory", build.peak_memory);
    Ok(())
}

#[test]
fn diff_tells_bundles_apart() -> Result<()> {
    let sample = Sample::built(Corpus::small(37, 20_000))?;
    let workspace = &sample.workspace;
    workspace.build("again", &["--locked"])?;
    workspace.builder().args(["diff", "bundle", "again"]).succeed()?;
    workspace.write("docs/more.md", "more")?;
    workspace.build("other", &[])?;
    workspace.builder().args(["diff", "bundle", "other"]).fail_with(4)?.prints("docs/more.md")?;
    Ok(())
}
