//! To come.
pub(crate) fn bench(_: &[&str]) -> anyhow::Result<()> {
    anyhow::bail!("not there yet")
}
