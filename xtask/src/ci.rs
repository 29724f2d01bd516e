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
    let arguments = ["doc", "--workspace", "--no-deps", "--document-private-items"];
    run(cargo(&arguments).env("RUSTDOCFLAGS", "-D warnings"))?;
    test::test(&[])
}
