//! The fuzz targets without a fuzzer: over their seeds, over every input that once made one fail, and over
//! mutations of both.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use ferry_model::Digest;
use ferry_model::catalog::Catalog;
use ferry_tests::forge::{Forgery, empty_catalog};
use ferry_tests::fuzz_targets::TARGETS;
use ferry_tests::random::Random;

const MUTATIONS: u64 = 3000;

fn inputs(target: &str) -> Result<Vec<(PathBuf, Vec<u8>)>> {
    let mut inputs = Vec::new();
    for kind in ["seeds", "regressions"] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz").join(kind).join(target);
        let Ok(files) = fs::read_dir(&folder) else { continue };
        for file in files {
            let path = file?.path();
            inputs.push((path.clone(), fs::read(&path).with_context(|| path.display().to_string())?));
        }
    }
    inputs.sort();
    Ok(inputs)
}

/// Good bundles, behind the byte that says what the input is.
fn good_bundles() -> Vec<Vec<u8>> {
    let mut forgery = Forgery::new();
    let blob = forgery.add_stored(b"some content");
    forgery.set_catalog(&Catalog { blobs: vec![blob], ..empty_catalog() });
    let text = b"text ".repeat(100);
    let frames = zstd::bulk::compress(&text, 3).expect("compressing memory");
    let size = u32::try_from(text.len()).expect("a short text").to_be_bytes();
    vec![
        [&[0], &forgery.put_together()[..]].concat(),
        [&[1], &forgery.catalog[..]].concat(),
        [&[2], &size[..], &frames].concat(),
    ]
}

#[test]
fn seeds_and_regressions_hold() -> Result<()> {
    for (name, target) in TARGETS {
        for (path, input) in inputs(name)? {
            // A panic names the target; the path says which input.
            let outcome = std::panic::catch_unwind(|| target(&input));
            ensure!(outcome.is_ok(), "{name} fails on {}", path.display());
        }
    }
    for input in good_bundles() {
        ferry_tests::fuzz_targets::bundle(&input);
    }
    Ok(())
}

#[test]
fn mutations_hold() -> Result<()> {
    for (name, target) in TARGETS {
        let mut good: Vec<_> = inputs(name)?.into_iter().map(|(_, input)| input).collect();
        if name == "bundle" {
            good.extend(good_bundles());
        }
        ensure!(!good.is_empty(), "{name} has no seeds");
        for seed in 0..MUTATIONS {
            let input = mutated(&good, seed);
            let outcome = std::panic::catch_unwind(|| target(&input));
            ensure!(outcome.is_ok(), "{name} fails on mutation {seed}, {}", Digest::of(&input));
        }
    }
    Ok(())
}

/// One of the inputs, changed in a few places as the seed has it.
fn mutated(good: &[Vec<u8>], seed: u64) -> Vec<u8> {
    let mut random = Random::new(seed);
    let mut input = good[random.below(good.len() as u64) as usize].clone();
    for _ in 0..=random.below(4) {
        let at = random.below(input.len() as u64 + 1) as usize;
        match random.below(5) {
            0 => input.truncate(at.max(1)),
            1 => input.insert(at, random.bits() as u8),
            2 if at < input.len() => input[at] ^= 1 << random.below(8),
            3 if at < input.len() => input[at] = b"0:/\"{}\n-9"[random.below(9) as usize],
            _ => {
                let from = random.below(input.len() as u64 + 1) as usize;
                let part = input[from..input.len().min(from + 40)].to_vec();
                input.splice(at..at, part);
            }
        }
        if input.is_empty() {
            input.push(0);
        }
    }
    input
}
