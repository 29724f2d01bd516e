//! To come.
pub(crate) fn demo() -> anyhow::Result<()> {
    anyhow::bail!("not there yet")
}
