//! The cluster that `cargo xtask test --cluster` also tests with: one that is there, named by its kubeconfig.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

/// Names the kubeconfig. The tests read it too.
const KUBECONFIG: &str = "FERRY_TEST_KUBECONFIG";

/// The kubeconfig to test with. That none is named is an error: who asks for a cluster must not believe that it was tested with.
pub(crate) fn kubeconfig() -> Result<PathBuf> {
    let named = std::env::var_os(KUBECONFIG).with_context(|| {
        format!(
            "--cluster needs {KUBECONFIG}=FILE, the kubeconfig of a cluster to test with; its tests make namespaces \
             ferry-test-… there and remove them. An API server with etcd is enough."
        )
    })?;
    checked(&named)
}

/// What is said about the cluster when it was not asked for.
pub(crate) fn skipped() -> &'static str {
    "no real cluster was tested with: --cluster does that"
}

/// The name of the variable, for those who start tests.
pub(crate) fn variable() -> &'static str {
    KUBECONFIG
}

fn checked(named: &OsStr) -> Result<PathBuf> {
    let path = Path::new(named);
    ensure!(path.is_file(), "{KUBECONFIG} names {}, which is no file", path.display());
    // Tests run in folders of their own.
    Ok(std::path::absolute(path)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kubeconfig_is_a_file() {
        let error = checked(OsStr::new("/no/such/file")).unwrap_err();
        assert!(error.to_string().contains("/no/such/file"), "{error}");
        assert!(
            checked(OsStr::new(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"))).unwrap().is_absolute()
        );
    }
}
