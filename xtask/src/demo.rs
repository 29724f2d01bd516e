//! `cargo xtask demo`: the whole way of a bundle on one machine, with samples made on the spot. Needs no server and
//! no internet beyond the crates.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use crate::run::{cargo, headline, output, root, run, since, target};

/// The demo's folder, and the programs.
struct Demo {
    folder: PathBuf,
    binaries: PathBuf,
}

pub(crate) fn demo() -> Result<()> {
    let begun = Instant::now();
    headline("building Ferry");
    let packages = ["-p", "ferry-builder", "-p", "ferry-installer", "-p", "ferry-tests"];
    run(cargo(&["build", "--bins"]).args(packages))?;
    let demo = Demo { folder: target().join("demo"), binaries: target().join("debug") };
    if demo.folder.exists() {
        fs::remove_dir_all(&demo.folder)?;
    }
    fs::create_dir_all(&demo.folder)?;

    headline("samples: four images that share layers, two charts, two runtimes, a document");
    let source = free_address()?;
    run(demo.program("ferry-samples").arg("make").arg(&demo.folder).arg(format!("http://{source}")))?;
    let mut samples = demo.program("ferry-samples");
    let samples = samples.arg("serve").arg(&demo.folder).arg(&source).stdin(Stdio::piped());
    let samples = Stopped(samples.stdout(Stdio::null()).spawn()?);
    wait_for(&source)?;

    headline("on the connected side: lock, build, verify");
    demo.show("ferry-builder", &["keygen", "demo"])?;
    demo.show("ferry-builder", &["lock", "demo.yaml"])?;
    demo.show(
        "ferry-builder",
        &["build", "demo.yaml", "--locked", "--key", "demo.key", "-o", "demo.ferry.tar.zst"],
    )?;
    drop(samples);

    headline("carried across: the samples' server is gone, and all there is is the bundle");
    let trusted = ["demo.ferry.tar.zst", "--public-key", "demo.pub"];
    demo.show("ferry-installer", &[&["verify"], &trusted[..]].concat())?;
    demo.show("ferry-installer", &[&["inspect"], &trusted[..]].concat())?;
    let site = free_address()?;
    let serve = [&["serve"], &trusted[..], &["--listen", &site]].concat();
    println!("$ ferry-installer {} &", serve.join(" "));
    let mut server = demo.program("ferry-installer");
    let server = server.args(&serve).stderr(fs::File::create(demo.folder.join("serve.log"))?);
    let server = Stopped(server.stdout(Stdio::null()).spawn()?);
    wait_for(&site)?;

    headline("pulled back over HTTP, and compared with the samples");
    let pulled = output(demo.program("ferry-samples").args(["check", &format!("http://{site}")]))?;
    print!("{pulled}");
    drop(server);

    let size = fs::metadata(demo.folder.join("demo.ferry.tar.zst"))?.len();
    headline(&format!(
        "all {} digests are right; the bundle has {:.1} MiB; {}",
        pulled.lines().count(),
        size as f64 / f64::from(1 << 20),
        since(begun)
    ));
    let folder = demo.folder.strip_prefix(root()).unwrap_or(&demo.folder).display();
    println!(
        "\nLook at it yourself:
  {folder}/demo.yaml            what was asked for
  {folder}/demo.lock            what exactly that is
  tar --zstd -tf {folder}/demo.ferry.tar.zst
  {}/ferry-installer serve {folder}/demo.ferry.tar.zst      then open http://127.0.0.1:5000/",
        demo.binaries.strip_prefix(root()).unwrap_or(&demo.binaries).display()
    );
    Ok(())
}

impl Demo {
    fn program(&self, name: &str) -> Command {
        let mut command = Command::new(self.binaries.join(name));
        command.current_dir(&self.folder);
        for name in ["http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"] {
            command.env_remove(name);
        }
        command
    }

    /// Runs a program in the demo's folder, showing the command and what it says.
    fn show(&self, name: &str, arguments: &[&str]) -> Result<()> {
        println!("$ {name} {}", arguments.join(" "));
        let mut command = self.program(name);
        let mut child = command.args(arguments).stdout(Stdio::piped()).spawn()?;
        for line in BufReader::new(child.stdout.take().context("a pipe was asked for")?).lines() {
            println!("  {}", line?);
        }
        ensure!(child.wait()?.success(), "{name} {} failed", arguments.join(" "));
        Ok(())
    }
}

/// A process that ends with its handle.
struct Stopped(Child);

impl Drop for Stopped {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// An address of this machine that nobody listened at a moment ago.
pub(crate) fn free_address() -> Result<String> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.to_string())
}

/// Waits until a server listens.
pub(crate) fn wait_for(address: &str) -> Result<()> {
    let begun = Instant::now();
    while TcpStream::connect(address).is_err() {
        ensure!(begun.elapsed() < Duration::from_secs(20), "nothing listens at {address}");
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}
