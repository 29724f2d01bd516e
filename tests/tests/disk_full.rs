//! The disk fills up during a build: a clean error that names the path, and a build that goes on once there is
//! space.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::{Result, ensure};
use ferry_tests::corpus::Corpus;
use ferry_tests::parts;
use ferry_tests::proxy::Proxy;
use ferry_tests::registry::Setup;
use ferry_tests::workspace::Sample;

/// A small file system in memory, unmounted when dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(path: PathBuf, size: &str) -> Result<Self> {
        fs::create_dir_all(&path)?;
        let status = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"])
            .arg(&path)
            .status()?;
        ensure!(status.success(), "cannot mount a tmpfs");
        Ok(Self(path))
    }

    fn grow(&self, size: &str) -> Result<()> {
        let options = format!("remount,size={size}");
        let status = Command::new("mount").args(["-o", &options]).arg(&self.0).status()?;
        ensure!(status.success(), "cannot remount");
        Ok(())
    }

    /// Leaves no byte free.
    fn fill(&self) -> Result<()> {
        let mut filler = File::create(self.0.join("filler"))?;
        while filler.write_all(&[1; 4096]).is_ok() {}
        Ok(())
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_is_a_clean_error_and_the_build_goes_on_later() -> Result<()> {
    if !parts::ready(&["root", "mount"]) {
        return Ok(());
    }
    let mut proxies = Vec::new();
    let sample = Sample::through(Corpus::small(41, 2_000_000), Setup::default(), |host| {
        proxies.push(Proxy::start(&host));
        proxies[proxies.len() - 1].host()
    })?;
    let proxy = &proxies[0];
    let workspace = &sample.workspace;
    workspace.lock_and_build()?;
    let disk = SmallDisk::mount(workspace.path("disk"), "2m")?;
    let build = workspace.builder().args(["build", "spec.yaml", "--locked", "-o", "disk/bundle"]);

    // Seen before anything is fetched.
    sample.registry.reset_counts();
    build.fail_with(1)?.says("disk")?;
    ensure!(sample.registry.counts().bytes_sent == 0, "{:?}", sample.registry.counts());
    ensure!(!workspace.path("disk/bundle").exists());

    // Filled up by somebody else while the build is under way, which no check beforehand can know.
    disk.grow("16m")?;
    proxy.slow_down(Duration::from_millis(20));
    let running = build.start()?;
    thread::sleep(Duration::from_millis(400));
    disk.fill()?;
    let outcome = running.finish(Duration::from_secs(60))?;
    ensure!(outcome.code == Some(1), "{outcome}");
    outcome.says("disk/bundle")?.says("No space left")?;
    ensure!(!workspace.path("disk/bundle").exists());

    fs::remove_file(workspace.path("disk/filler"))?;
    proxy.slow_down(Duration::ZERO);
    let requests = proxy.requests();
    build.succeed()?;
    ensure!(proxy.requests() > requests, "the build had not begun to fetch");
    ensure!(workspace.digest("disk/bundle")? == workspace.digest("bundle")?);
    Ok(())
}
