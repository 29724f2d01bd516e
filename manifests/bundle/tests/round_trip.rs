//! What goes in comes out: by us, by plain tar and zstd, by another seekable-format reader; whole, resumed, in volumes.

#![allow(clippy::unwrap_used, clippy::cast_precision_loss, clippy::cast_sign_loss, reason = "a test")]

mod common;

use std::io::Read as _;

use common::{Sample, key, open};
use ferry_bundle::verify::verify;
use ferry_bundle::{Bundle, Error, SignatureState, Trust};
use ferry_model::Digest;
use ferry_model::event::Events;
use proptest::prelude::*;

fn sample() -> Sample {
    Sample::new(
        &[0, 1, 511, 512, 131_072, 131_073, 4 << 20, (4 << 20) + 1, 9_000_001],
        &[2, 3_000_000, 1 << 20, 77],
    )
}

#[test]
fn everything_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let (secret, public) = key(folder.path());
    let path = folder.path().join("a.ferry.tar.zst");
    let sample = sample();
    let finished = sample.build(&path, None, Some(&secret));
    assert_eq!(finished.paths, std::slice::from_ref(&path));

    let bundle = Bundle::open(
        &path,
        &Trust { public_key: Some(public), catalog_digest: Some(finished.catalog_digest) },
    )
    .unwrap();
    sample.assert_in(&bundle);
    assert!(
        matches!(bundle.signature(), SignatureState::Verified { comment, .. } if comment.starts_with("sample 1 sha256:"))
    );
    let verification = verify(&bundle, 2, &Events::none()).unwrap();
    assert!(verification.is_good(), "{verification:?}");
    let left: Vec<_> =
        std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "the key and the bundle alone: {left:?}");
}

#[test]
fn plain_tools_read_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.ferry.tar.zst");
    let sample = sample();
    sample.build(&path, None, None);
    let bytes = std::fs::read(&path).unwrap();
    let tar_bytes = zstd::decode_all(&bytes[..]).unwrap();
    let mut names = Vec::new();
    for entry in tar::Archive::new(&tar_bytes[..]).entries().unwrap() {
        let mut entry = entry.unwrap();
        let name = entry.path().unwrap().to_string_lossy().into_owned();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        if let Some(hex) = name.strip_prefix("blobs/sha256/") {
            assert_eq!(Digest::of(&content).hex(), hex);
        }
        names.push(name);
    }
    assert_eq!(names.first().unwrap(), "oci-layout");
    assert_eq!(names[names.len() - 2..], ["index.json", "bundle.json"]);
    assert_eq!(names.len(), sample.blobs.len() + 3);
}

#[test]
fn another_seekable_reader_agrees() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.ferry.tar.zst");
    sample().build(&path, None, None);
    let tar_bytes = zstd::decode_all(&std::fs::read(&path).unwrap()[..]).unwrap();
    let mut decoder = zeekstd::Decoder::new(std::fs::File::open(&path).unwrap()).unwrap();
    for (start, end) in [(0, 512), (5_000_000, 5_100_000), (tar_bytes.len() - 2000, tar_bytes.len())] {
        decoder.set_offset(start as u64).unwrap();
        decoder.set_offset_limit(end as u64).unwrap();
        let mut part = Vec::new();
        decoder.read_to_end(&mut part).unwrap();
        assert!(part == tar_bytes[start..end]);
    }
}

#[test]
fn ranges_are_right() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.ferry.tar.zst");
    let sample = sample();
    sample.build(&path, None, None);
    let bundle = open(&path).unwrap();
    for (plan, content) in &sample.blobs {
        for (start, length) in [
            (0, 10),
            (1, 131_072),
            (131_071, 2),
            (plan.size / 2, u64::MAX),
            (plan.size, 5),
            (plan.size + 9, 1),
        ] {
            let mut part = Vec::new();
            bundle.range(&plan.digest, start, length).unwrap().read_to_end(&mut part).unwrap();
            let start = start.min(plan.size) as usize;
            let end = start + (length.min(plan.size - start as u64) as usize);
            assert!(part == content[start..end], "{start} {length} of {}", plan.size);
        }
    }
}

#[test]
fn the_same_lock_gives_the_same_bytes() {
    // Pinned: a change here is a change of the format, and needs a new version of it.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.ferry.tar.zst");
    let sample = Sample::new(&[1, 131_073], &[5000]);
    let finished = sample.build(&path, None, None);
    let digest = Digest::of(&std::fs::read(&path).unwrap());
    assert_pinned(&finished.catalog_digest, include_str!("pinned/catalog.digest"));
    assert_pinned(&digest, include_str!("pinned/bundle.digest"));
}

fn assert_pinned(found: &Digest, pinned: &str) {
    assert_eq!(found.to_string(), pinned.trim());
}

#[test]
fn volumes_read_like_one_file() {
    let folder = tempfile::tempdir().unwrap();
    let (whole, base) = (folder.path().join("whole.ferry.tar.zst"), folder.path().join("b.ferry.tar.zst"));
    let sample = sample();
    sample.build(&whole, None, None);
    let finished = sample.build(&base, Some(3_000_000), None);
    assert_eq!(finished.paths.len(), 8, "{finished:?}");
    let joined: Vec<u8> =
        (1..=7).flat_map(|n| std::fs::read(format!("{}.{n:03}", base.display())).unwrap()).collect();
    assert!(joined == std::fs::read(&whole).unwrap(), "volumes joined are the whole bundle");

    let list = folder.path().join("b.ferry.tar.zst.volumes.json");
    let first = folder.path().join("b.ferry.tar.zst.001");
    for path in [&list, &first, &base] {
        let bundle = open(path).unwrap();
        sample.assert_in(&bundle);
        assert!(verify(&bundle, 2, &Events::none()).unwrap().is_good());
    }
    std::fs::remove_file(&list).unwrap();
    sample.assert_in(&open(&first).unwrap());
}

#[test]
fn missing_and_short_volumes_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let base = folder.path().join("b.ferry.tar.zst");
    sample().build(&base, Some(3_000_000), None);
    let volume = |n: u32| folder.path().join(format!("b.ferry.tar.zst.{n:03}"));
    std::fs::remove_file(volume(3)).unwrap();
    std::fs::write(volume(5), b"short").unwrap();
    let error = open(&volume(1)).unwrap_err().to_string();
    assert!(error.contains("b.ferry.tar.zst.003 is missing"), "{error}");
    assert!(error.contains("b.ferry.tar.zst.005 has 5 bytes instead of 3000000"), "{error}");
}

#[test]
fn a_later_volume_is_told_from_a_bundle_whose_name_ends_so() {
    let folder = tempfile::tempdir().unwrap();
    let volume = |n: u32| folder.path().join(format!("b.{n:03}"));
    sample().build(&folder.path().join("b"), Some(3_000_000), None);
    for later in [2, 7] {
        let error = open(&volume(later)).unwrap_err();
        assert!(matches!(&error, Error::LaterVolume { first, .. } if *first == volume(1)), "{error}");
    }
    let whole = folder.path().join("b.026");
    sample().build(&whole, None, None);
    sample().assert_in(&open(&whole).unwrap());
}

/// A journal that speaks of data which is not there must not be believed.
#[test]
fn a_journal_without_its_data_is_not_believed() {
    for volume_size in [None, Some(1_000_000)] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let sample = Sample::new(&[2_500_000, 700_000], &[1_500_000, 10]);
        let assembly = sample.open(&path, volume_size);
        sample.fill(&assembly, 100_000);
        drop(assembly);
        let first = if volume_size.is_some() { "a.001.partial" } else { "a.partial" };
        std::fs::remove_file(folder.path().join(first)).unwrap();
        sample.build(&path, volume_size, None);
        let bundle = open(&path).unwrap();
        assert!(verify(&bundle, 2, &Events::none()).unwrap().is_good(), "{volume_size:?}");
    }
}

/// The same for data that may be wrong: after a restart of the machine, and after a write that failed late.
#[test]
fn doubtful_data_is_hashed_again() {
    for boot in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let sample = Sample::new(&[2_500_000, 700_000], &[1_500_000, 10]);
        let assembly = sample.open(&path, None);
        sample.fill(&assembly, 100_000);
        drop(assembly);
        let journal = folder.path().join("a.partial.journal");
        let text = std::fs::read_to_string(&journal).unwrap();
        let doubted =
            if boot { text.replacen("ferry-journal 1 ", "ferry-journal 1 x", 1) } else { text + "doubt\n" };
        std::fs::write(&journal, doubted).unwrap();
        let file = std::fs::OpenOptions::new().write(true).open(folder.path().join("a.partial")).unwrap();
        std::os::unix::fs::FileExt::write_all_at(&file, b"lost", 1_000_000).unwrap();
        let assembly = sample.open(&path, None);
        assert_eq!(assembly.state(0), ferry_bundle::BlobState::Begun(0));
        for good in 1..4 {
            assert_eq!(assembly.state(good), ferry_bundle::BlobState::Done, "{good}");
        }
        sample.fill(&assembly, 100_000);
        assembly.finish(sample.catalog(), None).unwrap();
        assert!(verify(&open(&path).unwrap(), 2, &Events::none()).unwrap().is_good());
    }
}

#[test]
fn volumes_of_an_earlier_bundle_do_not_remain() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("蓝鲸 (1).ferry.tar.zst");
    let (large, small) = (Sample::new(&[5_000_000], &[]), Sample::new(&[1_500_000], &[]));
    large.build(&path, Some(1_000_000), None);
    small.build(&path, Some(1_000_000), None);
    let first = folder.path().join("蓝鲸 (1).ferry.tar.zst.001");
    small.assert_in(&open(&first).unwrap());
    assert!(!folder.path().join("蓝鲸 (1).ferry.tar.zst.003").exists());
    std::fs::remove_file(folder.path().join("蓝鲸 (1).ferry.tar.zst.volumes.json")).unwrap();
    small.assert_in(&open(&first).unwrap());
}

#[test]
fn a_run_with_another_lock_is_salvaged() {
    use ferry_bundle::{Assembly, AssemblyOptions, Error, Salvage};
    for volume_size in [None, Some(1_000_000)] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let (old, new) = (Sample::new(&[5_000_000, 700_000], &[10]), Sample::new(&[5_000_000, 3], &[10]));
        let assembly = old.open(&path, volume_size);
        partly(&old, &assembly, 1, 0.4, 1000);
        let mut sink = assembly.stored(0);
        sink.write(&old.blobs[0].1).unwrap();
        sink.finish(old.blobs[0].0.digest).unwrap();
        drop(assembly);

        let options = AssemblyOptions { path: path.clone(), volume_size, lock: Digest::of(b"another") };
        assert!(matches!(Assembly::open(options.clone(), new.plans()), Err(Error::OtherPartial { .. })));
        Salvage::set_aside(&options).unwrap();
        let assembly = Assembly::open(options, new.plans()).unwrap();
        let salvage = Salvage::open(&path).unwrap().unwrap();
        assert!(salvage.holds(&old.blobs[0].0.digest) && !salvage.holds(&old.blobs[1].0.digest));
        for from in [0, 1, 131_072, 4_999_999] {
            let mut read = Vec::new();
            let mut take = |chunk: &[u8]| {
                read.extend_from_slice(chunk);
                Ok(())
            };
            salvage.read(&old.blobs[0].0.digest, from, &mut take).unwrap();
            assert!(read == old.blobs[0].1[usize::try_from(from).unwrap()..]);
        }
        salvage.remove().unwrap();
        new.fill(&assembly, 100_000);
        assembly.finish(new.catalog(), None).unwrap();
        let left = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
        assert!(left.into_iter().all(|name| !name.to_string_lossy().contains("salvage")));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// Cut anywhere, go on, and the bytes are those of an undisturbed run.
    #[test]
    fn a_cut_build_goes_on(cuts in proptest::collection::vec((0_usize..7, 0.0..1.0_f64, 1_usize..400_000), 0..6), volumes in proptest::bool::ANY) {
        let sample = Sample::new(&[700_000, 0, 5_000_000, 12_345], &[2_500_000, 10, 1_048_576]);
        let folder = tempfile::tempdir().unwrap();
        let volume_size = volumes.then_some(1_000_000);
        let (smooth, cut) = (folder.path().join("smooth"), folder.path().join("cut"));
        let expected = sample.build(&smooth, volume_size, None);
        for (index, fraction, step) in cuts {
            let assembly = sample.open(&cut, volume_size);
            partly(&sample, &assembly, index, fraction, step);
            // Dropped without a word, as by a kill: what is in buffers is lost.
        }
        let found = sample.build(&cut, volume_size, None);
        prop_assert_eq!(found.catalog_digest, expected.catalog_digest);
        for (a, b) in expected.paths.iter().zip(&found.paths).take(expected.paths.len() - usize::from(volumes)) {
            prop_assert!(std::fs::read(a).unwrap() == std::fs::read(b).unwrap());
        }
    }
}

/// Fills one blob up to a fraction of it.
fn partly(sample: &Sample, assembly: &ferry_bundle::Assembly, index: usize, fraction: f64, step: usize) {
    let content = &sample.blobs[index].1;
    if index < 4 {
        if assembly.state(index) == ferry_bundle::BlobState::Done {
            return;
        }
        let mut sink = assembly.stored(index);
        let _ = sink.resume();
        let end = ((content.len() as f64 * fraction) as usize).max(sink.position() as usize);
        for chunk in content[sink.position() as usize..end].chunks(step) {
            sink.write(chunk).unwrap();
        }
        if fraction > 0.5 {
            sink.checkpoint().unwrap();
        }
    } else if let Some(mut sink) = assembly.compressed() {
        let content = &sample.blobs[sink.index()].1;
        let _ = sink.resume().unwrap();
        let end = ((content.len() as f64 * fraction) as usize).max(sink.position() as usize);
        for chunk in content[sink.position() as usize..end].chunks(step) {
            sink.write(chunk).unwrap();
        }
    }
}
