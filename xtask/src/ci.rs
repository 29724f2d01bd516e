//! `cargo xtask ci`: what must hold before a change lands, cheapest first.

use anyhow::Result;

use crate::run::{cargo, headline, run};
use crate::test;

pub(crate) fn ci() -> Result<()> {
    headline("format");
    run(&mut cargo(&["fmt", "--all", "--check"]))?;
    headline("lints");
    run(&mut cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]))?;
    headline("documentation");
    // The programs' documentation is for those who read their code, so it may name what is private.
    let flags = "-D warnings -A rustdoc::private-intra-doc-links";
    run(cargo(&["doc", "--workspace", "--no-deps"]).env("RUSTDOCFLAGS", flags))?;
    test::test(&[])
}
