//! Charts at a site: uploaded to a ChartMuseum and to a helm repository of bkrepo, found there by real helms, and the settings
//! that BlueKing's scripts read.

use std::fs;

use anyhow::{Result, ensure};
use ferry_model::Digest;
use ferry_tests::bkrepo::{self, Bkrepo};
use ferry_tests::chartmuseum::{self, ChartMuseum};
use ferry_tests::corpus::Corpus;
use ferry_tests::parts::{helm, ready};
use ferry_tests::process::Outcome;
use ferry_tests::workspace::Sample;

/// As `helm package --sign` writes it, but for the signature.
const PROVENANCE: &str = "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\napiVersion: v2\nname: demo\nversion: 1.2.3\n\n...\nfiles:\n  demo-1.2.3.tgz: sha256:00\n-----BEGIN PGP SIGNATURE-----\n\nof the test\n-----END PGP SIGNATURE-----\n";

/// A site with two helm repositories, and a bundle with two charts for it.
struct Ground {
    sample: Sample,
    museum: ChartMuseum,
    bkrepo: Bkrepo,
}

impl Ground {
    fn new(depth: usize) -> Result<Self> {
        let sample = Sample::new(Corpus::small(91, 2000))?;
        let signed = &sample.corpus.charts[0];
        sample.files.add(&format!("charts/{}.prov", signed.file_name()), PROVENANCE);
        sample.workspace.lock_and_build()?;
        let basic = Some(("pusher".to_owned(), "of-the-museum".to_owned()));
        let setup = chartmuseum::Setup { basic, anonymous_get: true, depth, ..chartmuseum::Setup::default() };
        let bkrepo = Bkrepo::start(bkrepo::Setup::after_paas())?;
        let ground = Self { sample, museum: ChartMuseum::start(setup), bkrepo };
        ground.sample.workspace.write("museum", "of-the-museum\n")?;
        ground.sample.workspace.write("bkrepo", "blueking\n")?;
        ground.site(false)?;
        Ok(ground)
    }

    /// The URL that helm knows the ChartMuseum by, and what it calls the repository itself.
    fn place(&self) -> (String, &'static str) {
        (format!("{}/org/charts", self.museum.url()), "org/charts")
    }

    fn site(&self, overwrite: bool) -> Result<()> {
        let (place, _) = self.place();
        let text = format!(
            "apiVersion: ferry/v1\nkind: Site\nname: dc1\n\
             charts:\n  push: false\n  repositories:\n\
             \x20   - {{url: \"{place}\", login: {{user: pusher, password: {{file: museum}}}}, overwrite: {overwrite}}}\n\
             \x20   - {{bkrepo: blueking/charts, overwrite: {overwrite}}}\n\
             bkrepo: {{url: \"{}\", login: {{user: admin, password: {{file: bkrepo}}}}}}\n\
             blueking: {{domain: bkce7.example.com, settings: blueking}}\n",
            self.bkrepo.url()
        );
        self.sample.workspace.write("site.yaml", text).map(drop)
    }

    fn apply(&self) -> Result<Outcome> {
        self.sample.workspace.installer().args(["apply", "bundle"]).run()
    }

    /// Requests that changed something.
    fn writes(&self) -> usize {
        let museum = self.museum.requests();
        let at_museum = museum.iter().filter(|(method, ..)| method == "POST" || method == "DELETE").count();
        self.bkrepo.bodies().len() + at_museum
    }
}

#[test]
fn helm_finds_what_was_uploaded() -> Result<()> {
    let ground = Ground::new(2)?;
    let applied = ground.apply()?;
    ensure!(applied.code == Some(0), "{applied}");
    let (place, repository) = ground.place();
    let kept = ground.museum.files(repository);
    for chart in &ground.sample.corpus.charts {
        ensure!(kept.get(&chart.file_name()) == Some(&chart.digest()), "{kept:?}");
    }
    let signature = format!("{}.prov", ground.sample.corpus.charts[0].file_name());
    ensure!(kept.get(&signature) == Some(&Digest::of(PROVENANCE.as_bytes())), "{kept:?}");
    ensure!(
        ground.bkrepo.repositories().get(&("blueking".into(), "charts".into())).is_some_and(|it| it.1),
        "it is public"
    );

    let before = ground.writes();
    let again = ground.apply()?;
    again.prints("nothing to do")?;
    ensure!(ground.writes() == before, "a second apply changes nothing");

    let settings = ground.sample.workspace.path("blueking");
    let environment = fs::read_to_string(settings.join("blueking.env"))?;
    ensure!(environment.contains("BK_DOMAIN=bkce7.example.com\n"), "{environment}");
    ensure!(environment.contains(&format!("REPOSITORY={place}\n")), "{environment}");
    let values = fs::read_to_string(settings.join("custom-values.yaml"))?;
    ensure!(values.contains("  bkDomain: bkce7.example.com\n"), "{values}");

    if ready(&["helm3", "helm4"]) {
        for major in [3, 4] {
            pull_and_template(&ground, major, &place)?;
            pull_and_template(&ground, major, &format!("{}/helm/blueking/charts", ground.bkrepo.url()))?;
        }
    }
    ground.sample.workspace.installer().arg("rollback").succeed()?;
    ensure!(ground.museum.files(repository).is_empty(), "{:?}", ground.museum.files(repository));
    ensure!(!ground.bkrepo.repositories().contains_key(&("blueking".into(), "charts".into())));
    ensure!(!settings.exists());
    Ok(())
}

fn pull_and_template(ground: &Ground, major: u32, repository: &str) -> Result<()> {
    for chart in &ground.sample.corpus.charts {
        let home = tempfile::tempdir()?;
        let named = ["--repo", repository, "--version", &chart.version, &chart.name];
        let folder = home.path().as_os_str();
        helm(major, home.path())
            .args(["pull".as_ref(), "--destination".as_ref(), folder])
            .args(named)
            .succeed()?;
        let file = home.path().join(chart.file_name());
        ensure!(fs::read(&file)? == chart.archive, "helm {major} from {repository}");
        helm(major, home.path()).args(["template", "release"]).arg(&file).succeed()?.prints("kind:")?;
    }
    Ok(())
}

#[test]
fn another_chart_under_the_same_version_stays_unless_told() -> Result<()> {
    let ground = Ground::new(2)?;
    let (_, repository) = ground.place();
    let chart = &ground.sample.corpus.charts[0];
    let other = ferry_tests::corpus::Chart::new(&chart.name, &chart.version);
    let mut archive = other.archive.to_vec();
    archive.extend_from_slice(b"\0\0\0\0");
    ground.museum.put_raw(repository, &chart.file_name(), archive.clone());

    let plan = ground.sample.workspace.installer().args(["plan", "bundle"]).succeed()?;
    plan.prints("leave chart")?.prints("other content")?;
    let applied = ground.apply()?;
    ensure!(applied.code == Some(1), "{applied}");
    applied.prints("overwrite: true")?;
    let kept = ground.museum.files(repository);
    ensure!(kept.get(&chart.file_name()) == Some(&Digest::of(&archive)), "it stays");
    ensure!(kept.len() == 2, "the other chart came all the same: {kept:?}");

    ground.site(true)?;
    let applied = ground.apply()?;
    ensure!(applied.code == Some(0), "{applied}");
    ensure!(ground.museum.files(repository).get(&chart.file_name()) == Some(&chart.digest()));
    let back = ground.sample.workspace.installer().arg("rollback").run()?;
    ensure!(format!("{back}").contains("replaced another"), "{back}");
    Ok(())
}

/// Where ChartMuseum's interface is stands in its index, which may have tens of megabytes.
#[test]
fn the_index_is_not_read_for_each_chart() -> Result<()> {
    let ground = Ground::new(2)?;
    ensure!(ground.sample.corpus.charts.len() > 1, "one chart tells nothing");
    let read =
        || ground.museum.requests().iter().filter(|(_, path, _)| path.ends_with("/index.yaml")).count();
    ground.sample.workspace.installer().args(["plan", "bundle"]).succeed()?;
    ensure!(read() == 1, "{:?}", ground.museum.requests());
    let applied = ground.apply()?;
    ensure!(applied.code == Some(0), "{applied}");
    // Once for looks, which are brief, and once for uploads, which are patient.
    ensure!(read() == 1 + 2, "{:?}", ground.museum.requests());
    Ok(())
}

#[test]
fn a_refused_login_is_said() -> Result<()> {
    let ground = Ground::new(2)?;
    ground.sample.workspace.write("museum", "wrong\n")?;
    let applied = ground.apply()?;
    ensure!(applied.code == Some(1), "{applied}");
    applied.prints("check the login of this helm repository")?;
    ensure!(!format!("{applied}").contains("wrong"), "{applied}");
    Ok(())
}
