//! The tests' own machines: that they are as real as the tests on them take them to be, and that nothing stays.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use ferry_tests::parts::{self, Machine, MachineSetup, wait_for_port, wait_until};
use ferry_tests::process::Program;

/// Notes at which boot it ran.
const UNIT: &str = "[Service]
Type=oneshot
ExecStart=/bin/sh -c 'cat /proc/sys/kernel/random/boot_id >>/var/lib/boots'
[Install]
WantedBy=multi-user.target
";

/// Makes an image of a few of the machine's own programs.
const IMPORT: &str = r"
set -- bin/dash bin/systemd-socket-activate
tar --create --dereference --directory=/ $@ $(ldd /$1 /$2 | grep -o '/[^ ]* ' | sort -u) | docker import - machine:1";

/// Says hello to whoever connects.
const GREETER: [&str; 7] =
    ["/bin/systemd-socket-activate", "--listen=5000", "--accept", "--inetd", "/bin/dash", "-c", "echo hello"];

#[test]
fn a_machine_runs_programs_and_keeps_its_disk_over_a_reboot() -> Result<()> {
    if !parts::ready(&Machine::NEEDS) {
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    fs::write(folder.path().join("bundle"), "shared")?;
    let shared = vec![(folder.path().to_owned(), "/mnt/shared".into())];
    let mut machine = Machine::start(&MachineSetup { shared })?;

    let seen = machine.shell("id -u; echo $HOME; pwd; hostname; cat /proc/1/comm").succeed()?.stdout;
    ensure!(seen == format!("0\n/root\n/\n{}\nsystemd\n", machine.name()), "{seen}");
    machine.shell("exit 7").fail_with(7)?;
    ensure!(!machine.program("env").succeed()?.stdout.contains("CARGO"));
    ensure!(machine.program("env").env("GIVEN", "x").succeed()?.stdout.contains("GIVEN=x\n"));

    machine.write("/etc/systemd/system/boots.service", UNIT)?;
    machine.program("systemctl").args(["enable", "boots.service"]).succeed()?;
    machine.write("/tmp/lost", "")?;
    // An absolute symbolic link of the machine leads to the machine's file.
    machine.copy_in(&folder.path().join("bundle"), "/var/run/lost")?;
    ensure!(machine.read("/run/lost")? == "shared");
    machine.program("cat").arg("/var/lib/boots").fail_with(1)?;
    for boots in 1..=2 {
        machine.reboot()?;
        let noted = machine.read("/var/lib/boots")?;
        ensure!(noted.lines().count() == boots, "{noted}");
        ensure!(noted.ends_with(&machine.read("/proc/sys/kernel/random/boot_id")?), "{noted}");
        machine.program("ls").args(["/tmp/lost", "/run/lost"]).fail_with(2)?;
        ensure!(machine.read("/mnt/shared/bundle")? == "shared");
    }
    machine.shell("echo x >/mnt/shared/bundle").fail_with(2)?.says("Read-only file system")?;

    let is_there = |code| machine.shell("pgrep -f '[s]leep 4711'").fail_with(code);
    let sleep = machine.program("sleep").arg("4711").start()?;
    wait_until(Duration::from_secs(5), "it does not run", || is_there(0).is_ok())?;
    drop(sleep);
    wait_until(Duration::from_secs(5), "a killed program runs on", || is_there(1).is_ok())?;
    Ok(())
}

#[test]
fn a_machine_reaches_its_host_and_nothing_else() -> Result<()> {
    if !parts::ready(&Machine::NEEDS) {
        return Ok(());
    }
    let machine = Machine::start(&MachineSetup::default())?;
    wait_for_port(&format!("{}:22", machine.address()), Duration::from_secs(5))?;
    let listener = TcpListener::bind((machine.host_address(), 0))?;
    let address = listener.local_addr()?;
    let talk = format!("echo hello >/dev/tcp/{}/{}", address.ip(), address.port());
    machine.program("bash").args(["-c", &talk]).succeed()?;
    let (mut caller, from) = listener.accept()?;
    let mut said = String::new();
    caller.read_to_string(&mut said)?;
    ensure!(said == "hello\n" && from.ip() == machine.address(), "{from} said {said}");

    let routes = machine.program("ip").args(["route", "show"]).succeed()?.stdout;
    ensure!(routes.lines().count() == 1 && !routes.contains("default"), "{routes}");
    // An address for documentation (RFC 5737); asking for the way there sends nothing.
    machine.program("ip").args(["route", "get", "192.0.2.1"]).fail_with(2)?.says("Network is unreachable")?;
    ensure!(machine.read("/etc/resolv.conf")?.is_empty());
    Ok(())
}

#[test]
fn a_machine_runs_containers_once_docker_is_started() -> Result<()> {
    if !parts::ready(&Machine::NEEDS) {
        return Ok(());
    }
    let mut machine = Machine::start(&MachineSetup::default())?;
    for unit in ["docker.service", "docker.socket", "containerd.service"] {
        machine.program("systemctl").args(["is-active", unit]).fail_with(3)?.prints("inactive")?;
    }
    machine.program("systemctl").args(["enable", "--now", "docker.service"]).succeed()?;
    machine.shell(IMPORT).succeed()?;
    let run = |arguments: &[&str]| machine.program("docker").arg("run").args(arguments).succeed();
    run(&["--rm", "machine:1", "/bin/dash", "-c", "echo from a container"])?.prints("from a container\n")?;
    run(&[
        &["--detach", "--restart=always", "--stop-signal=KILL", "--publish=5000:5000", "machine:1"],
        &GREETER[..],
    ]
    .concat())?;
    machine.reboot()?;
    // By its restart policy, and through dockerd's own bridge and packet filter.
    let greeting = || -> Result<String> {
        let mut said = String::new();
        TcpStream::connect((machine.address(), 5000))?.read_to_string(&mut said)?;
        Ok(said)
    };
    wait_until(Duration::from_secs(20), "the container does not answer after a reboot", || {
        greeting().is_ok_and(|said| said == "hello\n")
    })
}

#[test]
fn machines_do_not_see_each_other_and_leave_nothing_behind() -> Result<()> {
    if !parts::ready(&Machine::NEEDS) {
        return Ok(());
    }
    let first = Machine::start(&MachineSetup::default())?;
    let second = Machine::start(&MachineSetup::default())?;
    ensure!(first.address() != second.address());
    for machine in [&first, &second] {
        machine.program("systemd-run").args(["--unit=same", "sleep", "1000"]).succeed()?;
    }
    first.program("systemctl").args(["stop", "same"]).succeed()?;
    second.program("systemctl").args(["is-active", "same"]).succeed()?;
    ensure!(!remains(second.name())?.is_empty(), "it would not be seen if something remained");

    let names = [first.name().to_owned(), second.name().to_owned()];
    drop(first);
    ensure!(remains(&names[0])?.is_empty(), "{:?}", remains(&names[0])?);
    second.program("systemctl").args(["is-active", "same"]).succeed()?;
    let panicking = std::thread::spawn(move || {
        let _machine = second;
        panic!("as a failed test does");
    });
    ensure!(panicking.join().is_err());
    ensure!(remains(&names[1])?.is_empty(), "{:?}", remains(&names[1])?);
    Ok(())
}

/// Makes `a_machine_of_a_killed_test` that test.
const HOLD: &str = "FERRY_HOLD_A_MACHINE";

#[test]
fn a_killed_test_leaves_no_machine_behind() -> Result<()> {
    if !parts::ready(&Machine::NEEDS) {
        return Ok(());
    }
    let mut test = Command::new(std::env::current_exe()?)
        .args(["--exact", "a_machine_of_a_killed_test", "--nocapture"])
        .env(HOLD, "1")
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?;
    let lines = BufReader::new(test.stderr.take().context("a pipe was asked for")?).lines();
    let name = lines.map_while(Result::ok).find(|line| line.starts_with("ferry-"));
    let had = name.as_deref().map(remains);
    test.kill()?;
    test.wait()?;
    let name = name.context("it started no machine")?;
    ensure!(!had.context("it has a name")??.is_empty());
    wait_until(Duration::from_secs(20), "the machine of a killed test is still there", || {
        remains(&name).is_ok_and(|remains| remains.is_empty())
    })
}

#[test]
fn a_machine_of_a_killed_test() -> Result<()> {
    if std::env::var_os(HOLD).is_some() {
        let machine = Machine::start(&MachineSetup::default())?;
        eprintln!("{}", machine.name());
        std::thread::sleep(Duration::from_secs(60));
    }
    Ok(())
}

/// What this host still has of a machine: processes, control groups, mounts, network, files.
fn remains(name: &str) -> Result<Vec<String>> {
    // Names of other machines may begin with this one.
    let script = r#"
for process in /proc/[0-9]*; do
  grep -qzFx -e "$1" -e "--machine=$1" "$process/cmdline" && ! grep -qzFx remains-of "$process/cmdline" && echo "$process"
done 2>/dev/null
find /sys/fs/cgroup -name "$1"
grep -F "$1 " /proc/mounts
ls -d "/run/netns/$1" "/run/systemd/nspawn/propagate/$1" "${TMPDIR:-/tmp}/$1-"* 2>/dev/null
ip -brief link | grep "^ferryh${1#ferry-}@"
true"#;
    let outcome = Program::new("sh").args(["-c", script, "remains-of", name]).succeed()?;
    Ok(outcome.stdout.lines().map(str::to_owned).collect())
}
