//! The command line as scripts and people meet it: help, exit codes, errors that name the thing, the cause and the
//! remedy; standard output for data and standard error for all else.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use ferry_tests::corpus::Corpus;
use ferry_tests::process::{Outcome, Program};
use ferry_tests::workspace::{Sample, Workspace};

#[test]
fn help_names_every_command_and_the_exit_codes() -> Result<()> {
    let workspace = Workspace::new()?;
    for (program, commands) in [
        (workspace.builder(), &["init", "lock", "build", "inspect", "verify", "diff", "keygen"][..]),
        (workspace.installer(), &["inspect", "verify", "push", "serve"][..]),
    ] {
        let help = program.clone().arg("--help").succeed()?;
        for command in commands {
            help.prints(command)?;
            let help = program.clone().args([command, "--help"]).succeed()?;
            help.prints("Usage:")?;
            ensure!(help.stderr.is_empty(), "{help}");
        }
        help.prints("Exit codes")?.prints("--plain-http")?.prints("--ca-file")?;
        program.clone().arg("--version").succeed()?.prints(env!("CARGO_PKG_VERSION"))?;
    }
    Ok(())
}

#[test]
fn wrong_usage_is_exit_code_2() -> Result<()> {
    let workspace = Workspace::new()?;
    for (program, arguments) in [
        (workspace.builder(), &[][..]),
        (workspace.builder(), &["biuld"][..]),
        (workspace.builder(), &["build"][..]),
        (workspace.builder(), &["build", "spec.yaml", "--no-such-flag"][..]),
        (workspace.builder(), &["build", "spec.yaml", "--volume-size", "much"][..]),
        (workspace.builder(), &["build", "spec.yaml", "--jobs", "0"][..]),
        (workspace.installer(), &["push", "bundle"][..]),
        (workspace.installer(), &["serve"][..]),
        (workspace.installer(), &["serve", "bundle", "--listen", "nowhere"][..]),
    ] {
        let outcome = program.args(arguments).fail_with(2)?;
        ensure!(!outcome.stderr.is_empty() && outcome.stdout.is_empty(), "{outcome}");
    }
    Ok(())
}

/// What is wrong with a spec, and what must be said about it.
const BAD_SPECS: [(&str, &str, &[&str]); 12] = [
    ("an unknown key", "imges: [a]\n", &["spec.yaml:5:", "imges", "did you mean `images`?"]),
    (
        "an unknown key of an entry",
        "files:\n  - {path: a, too: b}\n",
        &["spec.yaml:6:", "too", "did you mean `to`?"],
    ),
    ("no YAML", "images: [\n", &["spec.yaml:"]),
    ("a reference that is none", "images: [\"UPPER case\"]\n", &["UPPER case"]),
    ("an URL for an image", "images: [\"https://a.example.com/b\"]\n", &["without a scheme"]),
    ("a layout without a name", "images: [\"oci:folder\"]\n", &["as: repository:tag"]),
    ("a tag in a chart", "charts: [{chart: \"oci://a.example.com/b:1\", version: 1}]\n", &["version:"]),
    ("half a chart", "charts: [{repo: \"https://a.example.com\", version: 1}]\n", &["either"]),
    (
        "a password in a URL",
        "saas: [{name: a, version: 1, url: \"https://u:p@a.example.com/x\"}]\n",
        &["credentials"],
    ),
    (
        "a path upwards",
        "saas: [{name: a, version: 1, url: \"https://a.example.com/x\", to: ../x}]\n",
        &["`..`"],
    ),
    ("a platform that is none", "platforms: [amd64]\nimages: [a]\n", &["linux/amd64"]),
    ("a digest that is none", "files: [{path: a, to: b, sha256: abc}]\n", &["sha256"]),
];

#[test]
fn a_bad_spec_is_refused_with_its_place() -> Result<()> {
    for (what, entries, words) in BAD_SPECS {
        let workspace = Workspace::new()?;
        workspace.spec(entries)?;
        let outcome = workspace.builder().args(["lock", "spec.yaml"]).fail_with(1).context(what)?;
        for word in words {
            outcome.says(word).context(what)?;
        }
        ensure!(!workspace.path("spec.lock").exists() && outcome.stdout.is_empty(), "{outcome}");
        ensure!(!outcome.stderr.contains("p@a.example.com"), "the password is shown: {outcome}");
    }
    Ok(())
}

#[test]
fn a_missing_file_is_named() -> Result<()> {
    let workspace = Workspace::new()?;
    for arguments in [
        &["lock", "none.yaml"][..],
        &["build", "none.yaml", "-o", "bundle"],
        &["inspect", "none.tar.zst"],
        &["verify", "none.tar.zst"],
        &["diff", "none.lock", "none.too"],
    ] {
        let outcome = workspace.builder().args(arguments).fail_with(1)?;
        outcome.says("none")?.says("error")?;
    }
    workspace.spec("files: [{path: nowhere, to: x}]\n")?;
    workspace.builder().args(["lock", "spec.yaml"]).fail_with(1)?.says("nowhere")?;
    workspace.write("spec.yaml", "apiVersion: ferry/v1\nkind: Bundle\nname: a\nversion: 1\n")?;
    workspace
        .builder()
        .args(["build", "spec.yaml", "-o", "b", "--locked"])
        .fail_with(1)?
        .says("spec.lock")?;
    let build = workspace.builder().args(["build", "spec.yaml", "-o", "spec.yaml/bundle"]).fail_with(1)?;
    build.says("spec.yaml")?;
    workspace
        .builder()
        .args(["build", "spec.yaml", "-o", "b", "--key", "none.key"])
        .fail_with(1)?
        .says("none.key")?;
    Ok(())
}

#[test]
fn an_unreachable_host_is_named_with_a_remedy() -> Result<()> {
    let workspace = Workspace::new()?;
    // Port 9 of this machine: nothing listens there.
    workspace
        .spec("images: [\"127.0.0.1:9/team/app:1\"]\nregistries: {\"127.0.0.1:9\": {plainHttp: true}}\n")?;
    let outcome = workspace.builder().args(["lock", "spec.yaml"]).fail_with(1)?;
    outcome.says("127.0.0.1:9")?.says("hint")?;
    Ok(())
}

#[test]
fn the_spec_that_init_prints_is_one() -> Result<()> {
    let workspace = Workspace::new()?;
    let spec = workspace.builder().arg("init").succeed()?.stdout;
    ferry_model::spec::Spec::parse(&spec).context("the spec of `init` does not parse")?;
    Ok(())
}

#[test]
fn output_json_is_json_and_nothing_else() -> Result<()> {
    let sample = Sample::built(Corpus::small(101, 20_000))?;
    let workspace = &sample.workspace;
    let json = |program: Program, arguments: &[&str]| -> Result<serde_json::Value> {
        program.args(arguments).args(["--output", "json"]).succeed()?.json()
    };
    let lock = json(workspace.builder(), &["lock", "spec.yaml"])?;
    ensure!(lock.is_object(), "{lock}");
    let build = json(workspace.builder(), &["build", "spec.yaml", "--locked", "-o", "again"])?;
    let digest = build["catalogDigest"].as_str().context("`build` prints the catalog's digest")?.to_owned();
    for program in [workspace.builder(), workspace.installer()] {
        let inspect = json(program.clone(), &["inspect", "bundle"])?;
        ensure!(inspect.to_string().contains("team/app"), "{inspect}");
        json(program.clone(), &["verify", "bundle"])?;
        program.args(["verify", "again", "--catalog-digest", &digest]).succeed()?;
    }
    Ok(())
}

#[test]
fn inspect_shows_what_is_inside_at_once() -> Result<()> {
    let sample = Sample::built(Corpus::small(102, 2_000_000))?;
    let inspect =
        |flags: &[&str]| sample.workspace.installer().args(["inspect", "bundle"]).args(flags).succeed();
    let plain = inspect(&[])?;
    for text in ["team/app", "library/multi", "demo", "node-v16.16.0.tar.gz", "docs/readme.md"] {
        plain.prints(text)?;
    }
    inspect(&["--tree"])?.prints("sha256:")?;
    ensure!(plain.elapsed.as_millis() < 1000, "{plain}");
    Ok(())
}

#[test]
fn progress_goes_to_standard_error_and_can_be_silenced() -> Result<()> {
    let sample = Sample::new(Corpus::small(103, 20_000))?;
    let workspace = &sample.workspace;
    workspace.lock()?;
    let build = |name: &str, flags: &[&str]| -> Result<Outcome> {
        let build = workspace.builder().args(["build", "spec.yaml", "--locked", "-o", name]);
        build.args(flags).succeed()
    };
    ensure!(!build("a", &[])?.stderr.is_empty());
    let quiet = build("b", &["--quiet"])?;
    ensure!(quiet.stderr.is_empty(), "{quiet}");
    let events = build("c", &["--progress", "json"])?.stderr;
    for line in events.lines() {
        serde_json::from_str::<serde_json::Value>(line).with_context(|| line.to_owned())?;
    }
    ensure!(events.contains("\"event\":\"finished\""), "{events}");
    ensure!(!events.contains('\u{1b}'), "escape codes without a terminal");
    Ok(())
}

#[test]
fn keys_are_never_overwritten_and_are_private() -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let workspace = Workspace::new()?;
    workspace.builder().args(["keygen", "mine"]).succeed()?;
    let mode = |path: &Path| -> Result<u32> { Ok(fs::metadata(path)?.permissions().mode() & 0o777) };
    ensure!(mode(&workspace.path("mine.key"))? == 0o600);
    let key = fs::read(workspace.path("mine.key"))?;
    workspace.builder().args(["keygen", "mine"]).fail_with(1)?.says("mine.key")?;
    ensure!(fs::read(workspace.path("mine.key"))? == key);
    // An encrypted key needs its password.
    let locked = workspace.builder().env("FERRY_KEY_PASSWORD", "secret");
    locked.args(["keygen", "locked", "--encrypt"]).succeed()?;
    workspace.spec("files: [{path: spec.yaml, to: x}]\n")?;
    let build = workspace.builder().args(["build", "spec.yaml", "-o", "b", "--key", "locked.key"]);
    build.fail_with(1)?.says("locked.key")?;
    build.env("FERRY_KEY_PASSWORD", "secret").succeed()?;
    Ok(())
}

#[test]
fn closed_output_is_no_crash() -> Result<()> {
    let sample = Sample::built(Corpus::small(104, 10_000))?;
    let bundle = sample.workspace.path("bundle");
    let script = format!(
        "{} inspect --tree {} | head -n 1",
        sample.workspace.installer().command().get_program().to_string_lossy(),
        bundle.display()
    );
    let outcome = Program::new("sh").args(["-c", &script]).succeed()?;
    ensure!(outcome.stdout.lines().count() == 1 && !outcome.stderr.contains("panicked"), "{outcome}");
    Ok(())
}
