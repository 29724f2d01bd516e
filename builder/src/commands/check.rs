use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::ValueEnum;
use ferry_bundle::{Bundle, Trust};
use ferry_model::event::Events;
use ferry_model::failure::{Class, ExitCode};
use ferry_transfer::Client;

use super::lock::{network, resolve_spec, transfer_options};
use super::{Global, block_on};
use crate::Error;
use crate::check::fix::fix;
use crate::check::subject::{Access, Subject};
use crate::check::{Checker, Report, Settings, State, ValuesFile};
use crate::document::{SpecFile, read_lock, write_whole};
use crate::resolve::{self, Update};

/// Find every image that charts and other files name, and say whether it is carried
///
/// Charts are rendered by helm where it is on PATH, with the `values` that the spec gives them, and are read as they are
/// written too. What a chart names only where these values do not lead is `possible` and no failure.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The charts of a spec; and all that lies in two folders; and add what is missing:\n  ferry-builder check bundle.yaml\n  ferry-builder check bundle.yaml ./blueking ./deploy\n  ferry-builder check bundle.yaml --fix\n\nThe charts of a bundle, one of them with values of one's own:\n  ferry-builder check bundle.ferry.tar.zst --values bk-monitor=custom.yaml\n\nA false alarm is silenced in the spec:\n  check:\n    ignore:\n      - {image: \"busybox*\", in: \"charts/bk-monitor*\", reason: not deployed here}\n\nSo is a chart that does not render, or a subchart that is not there:\n      - {image: \"chart:mysql\", reason: the database is outside}\n\nExit codes: 0 nothing is missing, 1 something is"
)]
pub(super) struct Args {
    /// A spec (`*.yaml`), a lock (`*.lock`) or a bundle.
    subject: PathBuf,
    /// Charts, helmfiles, manifests, compose files, Dockerfiles, Marathon apps, environment files, lists, or folders of them.
    paths: Vec<PathBuf>,
    /// How to look into charts.
    #[arg(long, value_enum, default_value_t, value_name = "HOW")]
    charts: Charts,
    /// Values to render charts with, above those of the spec: for each chart, or for the one of this name.
    #[arg(long, value_name = "[CHART=]FILE")]
    values: Vec<Values>,
    /// Render for this version of Kubernetes. Default: 1.20.0, or what the chart asks for.
    #[arg(long, value_name = "VERSION")]
    kube_version: Option<String>,
    /// Take values and silenced alarms from this spec, for a lock or a bundle.
    #[arg(long, value_name = "SPEC")]
    spec: Option<PathBuf>,
    /// Add what is missing to the spec.
    #[arg(long)]
    fix: bool,
}

/// How to look into the charts of a spec, a lock or a bundle.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Charts {
    /// Render them where helm is there, and read what is written.
    #[default]
    All,
    /// Read what is written, and leave helm alone.
    Static,
    /// Look into the paths alone.
    None,
}

#[derive(Clone, Debug)]
struct Values(ValuesFile);

impl FromStr for Values {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (chart, path) = match text.split_once('=') {
            Some((chart, path)) if !chart.contains('/') => (Some(chart.to_owned()), path),
            _ => (None, text),
        };
        if path.is_empty() {
            Err("names no file".to_owned())
        } else {
            Ok(Self(ValuesFile { chart, path: path.into() }))
        }
    }
}

/// What the first argument is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Spec,
    Lock,
    Bundle,
}

impl Kind {
    fn of(path: &Path) -> Self {
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("yaml" | "yml") => Self::Spec,
            Some("lock") => Self::Lock,
            _ => Self::Bundle,
        }
    }
}

pub(super) fn run(args: &Args, global: &Global) -> Result<ExitCode, Error> {
    let kind = Kind::of(&args.subject);
    if args.fix && kind != Kind::Spec {
        let problem = format!("--fix writes into a spec, and {} is none", args.subject.display());
        return Err(Error::Entry { problem, hint: Some("name the spec".into()), class: Class::Usage });
    }
    let spec = spec(args, kind)?;
    let settings = Settings {
        only_static: args.charts == Charts::Static,
        kube_version: args.kube_version.clone(),
        values: args.values.iter().map(|values| values.0.clone()).collect(),
    };
    let (events, guard) = global.output.renderer();
    let (mut report, rules) = block_on(async {
        let subject = subject(args, kind, spec.as_ref(), global, &events).await?;
        let mut checker = Checker::new(settings);
        if args.charts != Charts::None {
            subject.look_into_charts(&mut checker, &events).await?;
        }
        for path in &args.paths {
            let skip = [args.subject.clone()];
            tokio::task::block_in_place(|| checker.path(path, &skip))?;
        }
        checker.prove_values()?;
        let report = checker.finish(&subject.holdings, &subject.rules);
        Ok((report, subject.rules))
    })?;
    drop(guard);
    if args.charts == Charts::None {
        // Nobody knows whether charts would have needed them.
        report.idle.clear();
    }
    if let Some(spec) = spec.filter(|_| args.fix) {
        write(&spec, &mut report)?;
    }
    global.output.print(&report, || text(&report, args, kind));
    Ok(if report.complete || !rules.fail { ExitCode::Done } else { ExitCode::Failed })
}

/// The spec that says values and silenced alarms: the subject, the one that is named, or the one beside the lock.
fn spec(args: &Args, kind: Kind) -> Result<Option<SpecFile>, Error> {
    let beside = || match kind {
        Kind::Spec => Some(args.subject.clone()),
        Kind::Lock => {
            let names = ["yaml", "yml"].map(|extension| args.subject.with_extension(extension));
            names.into_iter().find(|path| path.is_file())
        }
        Kind::Bundle => None,
    };
    args.spec
        .clone()
        .filter(|_| kind != Kind::Spec)
        .or_else(beside)
        .map(|path| SpecFile::read(&path))
        .transpose()
}

async fn subject(
    args: &Args,
    kind: Kind,
    spec: Option<&SpecFile>,
    global: &Global,
    events: &Events,
) -> Result<Subject, Error> {
    if kind == Kind::Bundle {
        return Subject::of_bundle(Bundle::open(&args.subject, &Trust::default())?, spec);
    }
    let transfer = spec.map_or_else(|| network(global), |spec| transfer_options(spec, global));
    let client = Client::new(transfer.clone())?;
    let access = Access { client: &client, transfer: &transfer, earlier: Vec::new(), events };
    match (kind, spec) {
        (Kind::Spec, Some(spec)) => {
            let known = read_lock(&spec.lock_path())?;
            let part = resolve::charts_of(spec);
            let way = (&client, &transfer);
            let resolved =
                resolve_spec(&part, known.as_ref(), Update::Nothing, way, global.network.jobs, events)
                    .await?;
            Subject::of_spec(spec, &resolved.lock, known.as_ref(), access)
        }
        _ => {
            let path = &args.subject;
            let missing =
                || Error::not_found(format!("{} is not there", path.display()), "run `ferry-builder lock`");
            let lock = read_lock(path)?.ok_or_else(missing)?;
            let folder = path.parent().unwrap_or(Path::new("."));
            Subject::of_lock(&lock, spec, folder, access)
        }
    }
}

fn write(spec: &SpecFile, report: &mut Report) -> Result<(), Error> {
    // A link stays one.
    let path = spec.path.canonicalize().map_err(Error::io("reading", &spec.path))?;
    let text = std::fs::read_to_string(&path).map_err(Error::io("reading", &path))?;
    let fixed = fix(&text, report).map_err(|reason| {
        let lines: Vec<&str> =
            report.in_state(State::Missing).filter_map(|image| image.line.as_deref()).collect();
        let problem = format!("{} cannot be edited: {reason}", path.display());
        Error::input(problem, format!("add these lines to `images` by hand:\n  {}", lines.join("\n  ")))
    })?;
    write_whole(&path, &fixed.text)?;
    report.added(fixed.added);
    Ok(())
}

fn text(report: &Report, args: &Args, kind: Kind) -> String {
    let mut text = report.to_string();
    let subject = args.subject.display();
    for image in &report.added {
        text.push_str(&format!("added     {image}\n"));
    }
    if !report.added.is_empty() {
        text.push_str(&format!("{subject} written; lock and build it again\n"));
    }
    let first = report.in_state(State::Missing).next();
    let Some(first) = first else { return text };
    text.push_str("\nThe spec lines that bring what is missing:\n");
    for line in report.in_state(State::Missing).filter_map(|image| image.line.as_ref()) {
        text.push_str(&format!("  {line}\n"));
    }
    let place = first.places.first().map(|place| place.source.clone()).unwrap_or_default();
    if kind == Kind::Spec && !args.fix {
        let paths: String = args.paths.iter().map(|path| format!(" {}", path.display())).collect();
        text.push_str(&format!("Add them: ferry-builder check {subject}{paths} --fix\n"));
    }
    text.push_str(&format!(
        "Silence a false alarm, in the spec:\n  check:\n    ignore:\n      - {{image: \"{}\", in: \"{place}*\", reason: \"…\"}}\n",
        first.image
    ));
    text
}
