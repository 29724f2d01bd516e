//! `cargo xtask bench`: Ferry against other tools on a corpus like a real one, in one run on one machine, so that the
//! ratios mean something elsewhere.

mod bkrepo;
mod rewrite;
mod site;
mod table;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};

use crate::demo::{free_address, wait_for};
use crate::run::{cargo, find, headline, output, run, target};
use table::{Cost, Table};

/// Each measurement is the best of this many.
const RUNS: usize = 3;

struct Bench {
    folder: PathBuf,
    samples: PathBuf,
    builder: PathBuf,
    installer: PathBuf,
    table: Table,
}

/// What can be measured alone.
const PARTS: [&str; 3] = ["images", "bkrepo", "rewrite"];

struct Options<'a> {
    megabytes: &'a str,
    only: Option<&'a str>,
}

impl<'a> Options<'a> {
    fn parse(arguments: &[&'a str]) -> Result<Self> {
        let mut options = Self { megabytes: "500", only: None };
        for pair in arguments.chunks(2) {
            match pair {
                ["--megabytes", number] => options.megabytes = number,
                ["--only", part] if PARTS.contains(part) => options.only = Some(part),
                _ => bail!(
                    "`cargo xtask bench` takes --megabytes N and --only PART, of {}, and nothing else",
                    PARTS.join(", ")
                ),
            }
        }
        Ok(options)
    }

    fn measures(&self, part: &str) -> bool {
        self.only.is_none_or(|only| only == part)
    }
}

pub(crate) fn bench(arguments: &[&str]) -> Result<()> {
    let options = Options::parse(arguments)?;
    ensure!(
        find("docker-registry").is_some(),
        "docker-registry is not installed: run `cargo xtask test` once"
    );
    headline("building for release");
    let packages = ["-p", "ferry-builder", "-p", "ferry-installer", "-p", "ferry-tests"];
    run(cargo(&["build", "--release", "--bins"]).args(packages))?;
    let release = target().join("release");
    let mut bench = Bench {
        folder: target().join("bench"),
        samples: release.join("ferry-samples"),
        builder: release.join("ferry-builder"),
        installer: release.join("ferry-installer"),
        table: Table::default(),
    };
    if bench.folder.exists() {
        fs::remove_dir_all(&bench.folder)?;
    }
    fs::create_dir_all(&bench.folder)?;
    if options.measures("images") {
        bench.images(options.megabytes)?;
    }
    if options.measures("bkrepo") {
        bench.bkrepo()?;
    }
    if options.measures("rewrite") {
        bench.rewrite()?;
    }
    println!("{}", bench.table);
    // Some gigabytes that nobody looks at.
    remove(&bench.folder)?;
    let missed = bench.table.missed();
    ensure!(missed.is_empty(), "aims were missed:\n  {}", missed.join("\n  "));
    Ok(())
}

impl Bench {
    fn images(&mut self, megabytes: &str) -> Result<()> {
        headline(&format!("filling a docker-registry with {megabytes} MB of images"));
        let source = Registry::start(&self.folder.join("source"))?;
        let filled = output(Command::new(&self.samples).args(["fill", &source.host, megabytes]))?;
        let images: Vec<_> = filled.lines().map(str::to_owned).collect();
        let spec = self.write_spec(&source.host, &images)?;
        run(Command::new(&self.builder).arg("lock").arg(&spec).arg("--quiet"))?;

        headline("building bundles");
        let bundle = self.folder.join("bench.ferry.tar.zst");
        let built = self.build(&spec, &bundle)?;
        let others = self.build_with_others(&source.host, &images)?;
        self.table.compare("build", built, others, 1.0);
        let size = fs::metadata(&bundle)?.len();

        headline("verifying and opening");
        self.verify(&bundle)?;
        let inspected = self.best(|_| Ok(()), &[path(&self.installer), "inspect", path(&bundle)])?;
        self.table.ours("open, inspect", inspected);

        headline("pushing into an empty docker-registry");
        self.push(&bundle, &images)?;
        let smallest = images.last().context("there are images")?;
        self.site(&source.host, smallest)?;
        println!(
            "\n{} images, bundle {:.1} MB; build wrote {:.3} of that to disk (aim 1.02)",
            images.len(),
            size as f64 / 1e6,
            built.written as f64 / size as f64
        );
        Ok(())
    }

    fn write_spec(&self, host: &str, images: &[String]) -> Result<PathBuf> {
        let list: String = images.iter().map(|image| format!("  - {image}\n")).collect();
        let spec = self.folder.join("bench.yaml");
        let head = "apiVersion: ferry/v1\nkind: Bundle\nname: bench\nversion: 1.0.0\n";
        fs::write(&spec, format!("{head}registries: {{\"{host}\": {{plainHttp: true}}}}\nimages:\n{list}"))?;
        Ok(spec)
    }

    fn build(&self, spec: &Path, bundle: &Path) -> Result<Cost> {
        let command = [path(&self.builder), "build", path(spec), "--locked", "--quiet", "-o", path(bundle)];
        self.best(|_| remove(bundle), &command)
    }

    /// The same images into one file or folder, by whichever tool is there.
    fn build_with_others(&self, host: &str, images: &[String]) -> Result<Vec<(String, Cost)>> {
        let mut costs = Vec::new();
        let out = self.folder.join("other");
        if let Some(skopeo) = find("skopeo") {
            let script = images.iter().map(|image| {
                let name = image.strip_prefix(host).unwrap_or(image).trim_start_matches('/');
                format!(
                    "{} --insecure-policy copy -q --src-tls-verify=false docker://{image} oci:{}:{name} >&2",
                    path(&skopeo),
                    path(&out)
                )
            });
            let script = script.collect::<Vec<_>>().join(" && ");
            costs.push((
                "skopeo copy to oci:".to_owned(),
                self.best(|_| remove(&out), &["sh", "-c", &script])?,
            ));
        }
        if let Some(imgpkg) = find("imgpkg") {
            let lock = self.folder.join("images.yml");
            let list: String = images.iter().map(|image| format!("- image: {image}\n")).collect();
            fs::write(
                &lock,
                format!("apiVersion: imgpkg.carvel.dev/v1alpha1\nkind: ImagesLock\nimages:\n{list}"),
            )?;
            let command =
                [path(&imgpkg), "copy", "--registry-insecure", "--lock", path(&lock), "--to-tar", path(&out)];
            costs.push(("imgpkg copy --to-tar".to_owned(), self.best(|_| remove(&out), &command)?));
        }
        if let Some(crane) = find("crane") {
            let command = [
                &[path(&crane), "pull", "--insecure", "--format", "oci"],
                &images.iter().map(String::as_str).collect::<Vec<_>>()[..],
                &[path(&out)],
            ]
            .concat();
            costs.push(("crane pull --format oci".to_owned(), self.best(|_| remove(&out), &command)?));
        }
        Ok(costs)
    }

    fn verify(&mut self, bundle: &Path) -> Result<()> {
        let verified = self.best(|_| Ok(()), &[path(&self.installer), "verify", "--quiet", path(bundle)])?;
        let copy = self.folder.join("copy");
        let copied = self.best(|_| remove(&copy), &["cp", path(bundle), path(&copy)])?;
        remove(&copy)?;
        let blobs = self.folder.join("extracted");
        fs::create_dir_all(&blobs)?;
        run(Command::new("tar").args(["--zstd", "-xf"]).arg(bundle).arg("-C").arg(&blobs))?;
        let cores = std::thread::available_parallelism()?.to_string();
        let script = format!(
            "find {}/blobs -type f -printf '%s %p\\n' | sort -rn | cut -d' ' -f2 | xargs -P {cores} -n 1 sha256sum >&2",
            path(&blobs)
        );
        let hashed = self.best(|_| Ok(()), &["sh", "-c", &script])?;
        remove(&blobs)?;
        self.table.compare("verify", verified, vec![(format!("sha256sum on {cores} cores"), hashed)], 1.2);
        self.table.other("copy the bundle", "cp", copied);
        Ok(())
    }

    fn push(&mut self, bundle: &Path, images: &[String]) -> Result<()> {
        let mut best: Option<(Cost, Cost)> = None;
        for run in 0..RUNS {
            let empty = Registry::start(&self.folder.join(format!("empty-{run}")))?;
            let command = [
                path(&self.installer),
                "push",
                path(bundle),
                "--quiet",
                "--registry",
                &empty.host,
                "--plain-http",
                &empty.host,
            ];
            let first = self.once(&command)?;
            let second = self.once(&command)?;
            let better = best.is_none_or(|(best, _)| first.seconds < best.seconds);
            let second =
                best.map_or(second, |(_, best)| if second.seconds < best.seconds { second } else { best });
            best = Some((if better { first } else { best.map_or(first, |(best, _)| best) }, second));
            empty.remove()?;
        }
        let (first, second) = best.context("there were runs")?;
        let others = self.push_with_others(images)?;
        self.table.compare("push", first, others, 0.8);
        self.table.ours("second push", second);
        Ok(())
    }

    /// Pushes what the build of the other tools left.
    fn push_with_others(&self, images: &[String]) -> Result<Vec<(String, Cost)>> {
        let Some(skopeo) = find("skopeo") else { return Ok(Vec::new()) };
        let layout = self.folder.join("layout");
        let name = |image: &str| image.split_once('/').map_or(image, |(_, name)| name).to_owned();
        for image in images {
            let copy = ["--insecure-policy", "copy", "-q", "--src-tls-verify=false"];
            let there = format!("oci:{}:{}", path(&layout), name(image));
            run(Command::new(&skopeo).args(copy).arg(format!("docker://{image}")).arg(there))?;
        }
        let mut best: Option<Cost> = None;
        for number in 0..RUNS {
            let empty = Registry::start(&self.folder.join(format!("empty-skopeo-{number}")))?;
            let copy = |image: &String| {
                let (skopeo, layout, name, host) = (path(&skopeo), path(&layout), name(image), &empty.host);
                format!(
                    "{skopeo} --insecure-policy copy -q --dest-tls-verify=false oci:{layout}:{name} docker://{host}/{name} >&2"
                )
            };
            let script = images.iter().map(copy);
            let cost = self.once(&["sh", "-c", &script.collect::<Vec<_>>().join(" && ")])?;
            best = Some(best.filter(|best| best.seconds < cost.seconds).unwrap_or(cost));
            empty.remove()?;
        }
        Ok(best.map(|cost| ("skopeo copy from oci:".to_owned(), cost)).into_iter().collect())
    }

    /// Runs a command several times, each after `prepare`, and keeps the quickest.
    fn best(&self, prepare: impl Fn(usize) -> Result<()>, command: &[&str]) -> Result<Cost> {
        let mut best: Option<Cost> = None;
        for run in 0..RUNS {
            prepare(run)?;
            let cost = self.once(command)?;
            best = Some(best.filter(|best| best.seconds < cost.seconds).unwrap_or(cost));
        }
        best.context("there were runs")
    }

    fn once(&self, command: &[&str]) -> Result<Cost> {
        let text = output(Command::new(&self.samples).arg("measure").args(command))?;
        let mut numbers = text.split_whitespace();
        let mut next = || numbers.next().context("`measure` prints three numbers");
        Ok(Cost { seconds: next()?.parse()?, memory: next()?.parse()?, written: next()?.parse()? })
    }
}

/// A docker-registry, ended with its handle.
struct Registry {
    host: String,
    folder: PathBuf,
    child: Child,
}

impl Registry {
    fn start(folder: &Path) -> Result<Self> {
        fs::create_dir_all(folder)?;
        let host = free_address()?;
        let configuration = folder.join("config.yml");
        fs::write(
            &configuration,
            format!(
                "version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\nstorage: {{filesystem: {{rootdirectory: {}/data}}}}\nhttp: {{addr: {host}}}\n",
                folder.display()
            ),
        )?;
        let mut command = Command::new("docker-registry");
        let command = command.arg("serve").arg(&configuration).stdout(Stdio::null()).stderr(Stdio::null());
        let registry = Self { host, folder: folder.to_owned(), child: command.spawn()? };
        wait_for(&registry.host)?;
        Ok(registry)
    }

    /// Ends it and removes what it holds.
    fn remove(self) -> Result<()> {
        let folder = self.folder.clone();
        drop(self);
        Ok(fs::remove_dir_all(folder)?)
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn path(path: &Path) -> &str {
    path.to_str().expect("the target folder's path is UTF-8")
}

fn remove(path: &Path) -> Result<()> {
    if path.is_dir() {
        fs::remove_dir_all(path)?;
    } else if path.exists() {
        fs::remove_file(path)?;
    }
    Ok(())
}
