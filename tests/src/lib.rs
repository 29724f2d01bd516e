//! Ferry's programs, tested from outside: the built binaries against servers and clients that people run, and
//! against fakes that misbehave on request. No other crate links this one.
//!
//! What the tests in `tests/tests/` are made of:
//!
//! 1. [`corpus`] makes sample images, charts and runtimes, the same bytes for the same seed;
//! 2. [`registry`], [`files`] and [`cluster`] are in-process servers that count what they are asked and lie on request;
//! 3. [`proxy`] stands in front of any HTTP server and injects seeded faults;
//! 4. [`parts`] starts real ones: docker-registry, dockerd, containerd, helm, skopeo, and whole machines
//!    under systemd, on an air-gapped network;
//! 5. [`process`] runs `ferry-builder` and `ferry-installer` and keeps what they said and used;
//! 6. [`workspace`] is the folder that a test works in;
//! 7. [`forge`] puts hostile bundles together;
//! 8. [`fuzz_targets`] holds the bodies of the fuzz targets in `tests/fuzz/`; [`samples`] is the data of `cargo xtask demo` and `bench`.
//!
//! Everything that is started here ends when its handle is dropped, and also when the test process is killed.

pub mod bkrepo;
pub mod chartmuseum;
pub mod cluster;
pub mod corpus;
pub mod cut_off;
pub mod files;
pub mod forge;
pub mod fuzz_targets;
pub mod harbor;
pub mod http;
pub mod marathon;
pub mod parts;
pub mod process;
pub mod proxy;
pub mod random;
pub mod registry;
pub mod samples;
pub mod server;
pub mod workspace;
