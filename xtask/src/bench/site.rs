//! A site with a thousand images: how long `apply` takes to find that there is nothing to do.

use std::fs;
use std::process::Command;

use anyhow::Result;

use super::{Bench, Registry, path};
use crate::run::{headline, run};

const IMAGES: usize = 1000;

impl Bench {
    /// One image of the source under a thousand names, applied twice.
    pub(super) fn site(&mut self, source: &str, image: &str) -> Result<()> {
        headline(&format!("applying {IMAGES} images to a site, twice"));
        let names: String = (0..IMAGES)
            .map(|number| format!("  - {{image: \"{image}\", as: \"many/app-{number:04}:1\"}}\n"))
            .collect();
        let spec = self.folder.join("many.yaml");
        let head = "apiVersion: ferry/v1\nkind: Bundle\nname: many\nversion: 1.0.0\n";
        fs::write(
            &spec,
            format!("{head}registries: {{\"{source}\": {{plainHttp: true}}}}\nimages:\n{names}"),
        )?;
        let bundle = self.folder.join("many.ferry.tar.zst");
        run(Command::new(&self.builder).args(["build", "--quiet", "-o"]).arg(&bundle).arg(&spec))?;

        let registry = Registry::start(&self.folder.join("many"))?;
        let site = self.folder.join("site.yaml");
        let host = &registry.host;
        fs::write(
            &site,
            format!(
                "apiVersion: ferry/v1\nkind: Site\nname: many\nregistry:\n  address: {host}\n  existing: {{}}\n  plainHttp: true\n"
            ),
        )?;
        let apply = [path(&self.installer), "apply", path(&bundle), "--quiet", "--site", path(&site)];
        let first = self.once(&apply)?;
        let second = self.best(|_| Ok(()), &apply)?;
        self.table.ours("apply 1000", first);
        self.table.ours("second apply", second);
        registry.remove()
    }
}
