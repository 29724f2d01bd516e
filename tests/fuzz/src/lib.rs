//! The fuzz targets' bodies, which are ferry-tests' own: an ordinary test runs them too.

#[path = "../../src/forge.rs"]
pub mod forge;
#[path = "../../src/fuzz_targets.rs"]
pub mod fuzz_targets;
