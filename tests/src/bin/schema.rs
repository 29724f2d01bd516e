//! Prints the JSON Schema of a document that people write, for `cargo xtask gen`.
#![expect(clippy::print_stdout, reason = "this is what it is for")]

use anyhow::{Result, bail};
use ferry_model::site::Site;
use ferry_model::spec::Spec;

fn main() -> Result<()> {
    let document = std::env::args().nth(1).unwrap_or_default();
    let schema = match document.as_str() {
        "spec" => schemars::schema_for!(Spec),
        "site" => schemars::schema_for!(Site),
        other => bail!("there is no schema of `{other}`"),
    };
    println!("{}", serde_json::to_string_pretty(&schema)?);
    Ok(())
}
