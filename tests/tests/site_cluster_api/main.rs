//! Objects of a cluster, through the engine: made, changed, left alone, taken back. Against the API server in this process, and
//! with `cargo xtask test --cluster`, against a real one, and against the cluster that `FERRY_TEST_KUBECONFIG` names.

mod ground;
mod objects;
mod others;
mod real;
mod rollouts;
