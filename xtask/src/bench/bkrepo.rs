//! Two thousand files and a large one for bkrepo, against the loop of BlueKing's deployment guide without its pauses. bkrepo is the
//! stand-in of the tests, so the seconds are the client's and hardly the server's.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result};

use super::{Bench, Cost, RUNS, path};
use crate::run::{find, headline, run};

const FILES: usize = 2000;
/// Over the size from which files go in parts.
const LARGE: u64 = 300 << 20;
const REPOSITORY: &str = "bkpaas/bkpaas3-platform-assets";

impl Bench {
    /// Uploads everything, then looks again.
    pub(super) fn bkrepo(&mut self) -> Result<()> {
        headline(&format!("uploading {FILES} files and one of 300 MiB to bkrepo, twice"));
        let files = self.folder.join("runtimes");
        fs::create_dir_all(&files)?;
        for number in 0..FILES {
            // The first is of 1 KiB, the last of 32 KiB.
            let content = format!("{number:015}\n").repeat(64 + number);
            fs::write(files.join(format!("runtime-{number:04}.bin")), content)?;
        }
        fs::File::create(files.join("large.bin"))?.set_len(LARGE)?;
        let spec = self.folder.join("files.yaml");
        fs::write(
            &spec,
            format!(
                "apiVersion: ferry/v1\nkind: Bundle\nname: files\nversion: 1.0.0\nfiles:\n  - {{path: runtimes, to: runtimes/, repository: {REPOSITORY}}}\n"
            ),
        )?;
        let bundle = self.folder.join("files.ferry.tar.zst");
        run(Command::new(&self.builder).args(["build", "--quiet", "-o"]).arg(&bundle).arg(&spec))?;

        let site = self.folder.join("bkrepo.yaml");
        fs::write(self.folder.join("password"), "blueking\n")?;
        let apply = [path(&self.installer), "apply", path(&bundle), "--quiet", "--site", path(&site)];
        let mut best: Option<(Cost, Cost)> = None;
        for _ in 0..RUNS {
            let server = StandIn::start(&self.samples)?;
            fs::write(
                &site,
                format!(
                    "apiVersion: ferry/v1\nkind: Site\nname: files\nbkrepo:\n  url: {}\n  login: {{user: bkpaas3, password: {{file: password}}}}\n",
                    server.url
                ),
            )?;
            let state = self.folder.join("bkrepo.ferry");
            super::remove(&state)?;
            let costs = (self.once(&apply)?, self.once(&apply)?);
            best = Some(best.filter(|best| best.0.seconds < costs.0.seconds).unwrap_or(costs));
        }
        let (first, second) = best.context("there were runs")?;
        let others = self.upload_with_curl(&files)?;
        self.table.compare("upload", first, others, 0.5);
        self.table.ours("second upload", second);
        super::remove(&files)
    }

    /// The guide's loop: one curl for each file.
    fn upload_with_curl(&self, files: &Path) -> Result<Vec<(String, Cost)>> {
        if find("curl").is_none() {
            return Ok(Vec::new());
        }
        let server = StandIn::start(&self.samples)?;
        let script = format!(
            "cd {} && for file in *; do curl --silent --fail --user bkpaas3:blueking -H \"X-BKREPO-MD5: $(md5sum $file | cut -c1-32)\" -H 'X-BKREPO-OVERWRITE: true' -T $file {}/generic/{REPOSITORY}/runtimes/$file >&2 || exit 1; done",
            path(files),
            server.url
        );
        Ok(vec![("curl for each file".to_owned(), self.once(&["sh", "-c", &script])?)])
    }
}

/// The stand-in, in a process of its own so that its memory is not counted.
struct StandIn {
    url: String,
    child: Child,
}

impl StandIn {
    fn start(samples: &Path) -> Result<Self> {
        let mut command = Command::new(samples);
        let mut child = command.arg("bkrepo").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let mut url = String::new();
        BufReader::new(child.stdout.take().context("a pipe was asked for")?).read_line(&mut url)?;
        Ok(Self { url: url.trim().to_owned(), child })
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
