//! `bkdl` entries: what BlueKing's download script would fetch, and nothing else, with the checksums that it lacks.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use ferry_bundle::{Bundle, Trust};
use ferry_model::Digest;
use ferry_model::catalog::Catalog;
use ferry_model::lock::Lock;
use ferry_tests::corpus::{Corpus, gzip, smart_package, tar};
use ferry_tests::files::{Files, FilesSetup};
use ferry_tests::registry::{Registry, Setup};
use ferry_tests::workspace::{Workspace, expect_image, plain_http};

/// A release as the download site has it: groups, packages, needs of needs, all processors, CRLF and a comment.
const RELEASE: &str = "# NAME\tDESC\tDEPS\tVERSION\tDIR\tPROCESSOR\tURL\r\n\
base\tall of the base\tbkhelmfile tools\r\n\
tools\tcommands\thelm_cmd,yq_cmd jq_cmd\r\n\
saas\tall packages\tbk_itsm bk_sops\r\n\
nm_gse_full\tagents\tgse_agent,gse_plugins_freq\r\n\
bkhelmfile\tscripts\tjq_cmd\t7.1.3\t./\tuntar\tce7/files/bkhelmfile-%s.tgz\r\n\
helm_cmd\thelm\t\t3.7.2\tbin/\tuntar --strip-components=1 linux-amd64/helm\t{elsewhere}/helm-v%s-linux-amd64.tar.gz\r\n\
jq_cmd\tjq\t\t1.6\tbin/jq\tcopy\tce7/tools/jq-%s\r\n\
yq_cmd\tyq\t\t4.30.6\tbin/yq\tungz\tce7/tools/yq-%s.gz\r\n\
bk_itsm\titsm\t\t2.6.11\tsaas/bk_itsm.tgz\tcopy\tsaas-paas3/bk_itsm/bk_itsm-V%s.tar.gz\r\n\
bk_sops\tsops\t\t3.28.16\tsaas/bk_sops.tgz\tcopy\tsaas-paas3/bk_sops/bk_sops-V%s.tar.gz\r\n\
gse_agent\tagent\t\t2.1.5\tgse2/agents/\tcopy\tce7/gse/gse_agent-%s.tgz\r\n\
gse_plugins_freq\tplug-ins\tgse_agent\t20240625\tgse2/plugins/\tcopy\tce7/gse/plugins-%s.tgz\r\n\
chart-images\timages\t\t7.1.3\tblueking/chart-images.txt\tungz\tce7/files/chart-images-%s.txt.gz\r\n\
\r\n\
unused\tnobody asks for it\t\t1\tx/\tcopy\tce7/files/unused-%s\r\n";

/// The channel of runtimes: an archive of several, and one with a version to choose.
const RUNTIMES: &str = "common\tshared\t\t1\t./\tuntar\tce7/paas-runtimes/common-%s.tgz\n\
python\tpython\t\t3.10.5\tpaas-runtimes/bkpaas3-platform-assets/runtimes/python/heroku-18/runtimes/\tcopy\tce7/paas-runtimes/python-%s.tar.gz\n";

/// The download site, another one, and a spec beside them.
struct Site {
    files: Files,
    elsewhere: Files,
    workspace: Workspace,
    /// By path at the site, as the script's folder has it.
    contents: BTreeMap<&'static str, Bytes>,
}

impl Site {
    fn new() -> Result<Self> {
        let (files, elsewhere) = (Files::start(FilesSetup::default()), Files::start(FilesSetup::default()));
        let content = |number: u8| Bytes::from(vec![number; 3000 + usize::from(number)]);
        let itsm = smart_package("bk_itsm", "2.6.11", Some("slug-layers"), 40_000);
        let sops = smart_package("bk_sops", "3.28.16", Some("slug-layers"), 50_000);
        files.add("ce7/7.1-stable/list.txt", "7.1.0\r\n7.1.2\r\n7.1.3\r\n");
        files.add("ce7/7.1-stable/7.1.3.txt", RELEASE.replace("{elsewhere}", &elsewhere.url()));
        files.add("ce7/7.1-stable/7.1.2.txt", "base\told\t\t1\tbin/old\tcopy\tce7/tools/old\n");
        files.add("ce7/tools/old", content(9));
        let mut contents = BTreeMap::new();
        for (remote, local, bytes) in [
            ("ce7/files/bkhelmfile-7.1.3.tgz", "bkhelmfile-7.1.3.tgz", content(1)),
            ("ce7/tools/jq-1.6", "bin/jq", content(3)),
            ("ce7/tools/yq-4.30.6.gz", "bin/yq-4.30.6.gz", content(4)),
            ("saas-paas3/bk_itsm/bk_itsm-V2.6.11.tar.gz", "saas/bk_itsm.tgz", itsm),
            ("saas-paas3/bk_sops/bk_sops-V3.28.16.tar.gz", "saas/bk_sops.tgz", sops),
            ("ce7/gse/gse_agent-2.1.5.tgz", "gse2/agents/gse_agent-2.1.5.tgz", content(5)),
            ("ce7/gse/plugins-20240625.tgz", "gse2/plugins/plugins-20240625.tgz", content(6)),
        ] {
            files.add(remote, bytes.clone());
            contents.insert(local, bytes);
        }
        elsewhere.add("helm-v3.7.2-linux-amd64.tar.gz", content(2));
        contents.insert("bin/helm-v3.7.2-linux-amd64.tar.gz", content(2));
        Ok(Self { files, elsewhere, workspace: Workspace::new()?, contents })
    }

    /// A spec of `bkdl` entries, each the inside of a mapping.
    fn spec(&self, further: &str, entries: &[&str]) -> Result<()> {
        let base = format!("base: \"{}/\"", self.files.url());
        let line = |entry: &&str| format!("  - {{{base}, {entry}}}\n");
        let entries: String = entries.iter().map(line).collect();
        let hosts = plain_http(&[&self.files.host(), &self.elsewhere.host()]);
        self.workspace.spec(&format!("{hosts}{further}bkdl:\n{entries}")).map(drop)
    }

    fn expect(&self, catalog: &Catalog, local: &[&str]) -> Result<()> {
        let found: BTreeMap<String, Digest> =
            catalog.files.iter().map(|file| (file.served_path(), file.digest)).collect();
        let expected: BTreeMap<String, Digest> =
            local.iter().map(|path| ((*path).to_owned(), Digest::of(&self.contents[path]))).collect();
        ensure!(found == expected, "found {found:#?}\nexpected {expected:#?}");
        Ok(())
    }

    fn lock(&self) -> Result<Lock> {
        Ok(Lock::parse(&std::fs::read_to_string(self.workspace.path("spec.lock"))?)?)
    }

    /// How often this path was asked for with `GET`.
    fn gets(&self, path: &str) -> usize {
        let is_it = |(method, asked): &&(String, String)| method == "GET" && asked == path;
        self.files.requests().iter().filter(is_it).count()
    }
}

#[test]
fn it_mirrors_what_the_script_would_fetch() -> Result<()> {
    let site = Site::new()?;
    site.spec(
        "",
        &["channel: ce7/7.1-stable, release: latest, items: [base, saas, gse_agent, nm_gse_full]"],
    )?;
    let catalog = site.workspace.lock_and_build()?;
    site.expect(&catalog, &site.contents.keys().copied().collect::<Vec<_>>())?;
    let itsm = catalog.files.iter().find(|file| file.path.as_str() == "saas/bk_itsm.tgz").context("itsm")?;
    ensure!(itsm.kind.to_string() == "saas", "{itsm:?}");
    ensure!(itsm.name.as_deref() == Some("bk_itsm") && itsm.version.as_deref() == Some("2.6.11"), "{itsm:?}");
    // Each file is read once at lock, whoever asked for it, and once at build.
    for path in
        ["/ce7/gse/gse_agent-2.1.5.tgz", "/ce7/tools/jq-1.6", "/saas-paas3/bk_sops/bk_sops-V3.28.16.tar.gz"]
    {
        ensure!(site.gets(path) == 2, "{path} was fetched {} times", site.gets(path));
    }
    ensure!(site.gets("/ce7/7.1-stable/7.1.3.txt") == 1);
    ensure!(site.gets("/ce7/files/unused-1") == 0);
    let lock = site.lock()?;
    let [index] = &lock.indexes[..] else { anyhow::bail!("{:?}", lock.indexes) };
    ensure!(index.release == "7.1.3" && index.source.ends_with("/ce7/7.1-stable/7.1.3.txt"), "{index:?}");
    ensure!(index.digest == Digest::of(RELEASE.replace("{elsewhere}", &site.elsewhere.url()).as_bytes()));
    ensure!(index.entries.len() == 4, "{index:?}");
    Ok(())
}

#[test]
fn a_lock_stays_with_its_release_until_it_is_moved() -> Result<()> {
    let site = Site::new()?;
    site.spec("", &["channel: ce7/7.1-stable, items: [tools]"])?;
    site.workspace.lock()?;
    let first = site.lock()?;
    site.files.add("ce7/7.1-stable/list.txt", "7.1.3\n7.1.4\n");
    site.files.add("ce7/7.1-stable/7.1.4.txt", "tools\tnew\t\t2\tbin/new\tcopy\tce7/tools/old\n");
    let before = site.files.requests().len();
    site.workspace.lock()?.prints("up to date")?;
    ensure!(site.files.requests().len() == before, "nothing is asked when nothing changed");
    // A new item joins the release that the others are of, and they are not read again.
    site.spec("", &["channel: ce7/7.1-stable, items: [tools, gse_agent]"])?;
    site.workspace.lock()?;
    let second = site.lock()?;
    ensure!(second.indexes.len() == 1 && second.indexes[0].release == "7.1.3", "{:?}", second.indexes);
    ensure!(second.files.len() == first.files.len() + 1);
    ensure!(site.gets("/ce7/tools/jq-1.6") == 1);
    // What left the spec leaves the lock; and an update moves to the latest.
    site.spec("", &["channel: ce7/7.1-stable, items: [tools]"])?;
    site.workspace.lock()?;
    ensure!(site.lock()?.files == first.files);
    site.workspace.builder().args(["lock", "spec.yaml", "--update", "tools"]).succeed()?;
    let moved = site.lock()?;
    ensure!(moved.indexes[0].release == "7.1.4" && moved.files[0].path.as_str() == "bin/new", "{moved:?}");
    Ok(())
}

#[test]
fn runtimes_land_where_paas_asks_for_them() -> Result<()> {
    let site = Site::new()?;
    let assets = "paas-runtimes/bkpaas3-platform-assets";
    let members: Vec<(String, Vec<u8>)> = [
        ("common/buildpack-stdlib/v7/stdlib.sh", 70_000),
        ("buildpacks/bk-buildpack-apt-v2.tar", 600_000),
        ("buildpacks/bk-buildpack-go-v168.tar", 300_000),
    ]
    .iter()
    .map(|(path, size)| (format!("./{assets}/{path}"), path.bytes().cycle().take(*size).collect()))
    .collect();
    site.files.add("ce7/paas-runtimes/paas3-1.1.txt", RUNTIMES);
    site.files.add("ce7/paas-runtimes/common-1.tgz", gzip(&tar(&members)));
    for version in ["2.7.18", "3.10.5"] {
        site.files.add(&format!("ce7/paas-runtimes/python-{version}.tar.gz"), version.repeat(900));
    }
    site.spec("", &["channel: ce7/paas-runtimes, release: paas3-1.1, items: [common, python, python=3.10.5, \"python=2.7.18\"]"])?;
    let catalog = site.workspace.lock_and_build()?;
    let found: BTreeMap<String, Digest> =
        catalog.files.iter().map(|file| (file.served_path(), file.digest)).collect();
    let mut expected: BTreeMap<String, Digest> = members
        .iter()
        .map(|(name, content)| (name.replace("./paas-runtimes", "bkpaas"), Digest::of(content)))
        .collect();
    for version in ["2.7.18", "3.10.5"] {
        let path = format!(
            "bkpaas/bkpaas3-platform-assets/runtimes/python/heroku-18/runtimes/python-{version}.tar.gz"
        );
        expected.insert(path, Digest::of(version.repeat(900).as_bytes()));
    }
    ensure!(found == expected, "found {found:#?}\nexpected {expected:#?}");
    ensure!(catalog.files.iter().all(|file| file.kind.to_string() == "runtime"));
    // The archive is streamed once to learn what is in it, and once to carry that.
    ensure!(
        site.gets("/ce7/paas-runtimes/common-1.tgz") == 2,
        "{}",
        site.gets("/ce7/paas-runtimes/common-1.tgz")
    );
    let bundle = Bundle::open(&site.workspace.path("bundle"), &Trust::default())?;
    for (name, content) in &members {
        let mut read = Vec::new();
        let mut reader = bundle.reader(&Digest::of(content))?;
        while let Some(chunk) = reader.next_chunk()? {
            read.extend_from_slice(&chunk);
        }
        ensure!(read == *content, "{name}");
    }
    Ok(())
}

#[test]
fn images_of_charts_are_carried() -> Result<()> {
    let corpus = Corpus::small(31, 20_000);
    let (site, registry) = (Site::new()?, Registry::start(Setup::default()));
    for image in &corpus.images {
        registry.load(image);
    }
    let (app, web) = (corpus.image("team/app"), corpus.image("team/web"));
    let list = format!(
        "demo\t1.2.3\t{} {}/{}\r\nother 0.1 {}@{}  {}\n",
        app.name(),
        registry.host(),
        web.name(),
        web.repository,
        web.root,
        app.name()
    );
    site.files.add("ce7/files/chart-images-7.1.3.txt.gz", gzip(list.as_bytes()));
    let entry = format!(
        "channel: ce7/7.1-stable, release: 7.1.3, items: [jq_cmd], chartImages: true, registry: \"{}\"",
        registry.host()
    );
    let spec = |entry: &str| {
        let base = format!("base: \"{}\"", site.files.url());
        let hosts = plain_http(&[&site.files.host(), &registry.host()]);
        site.workspace.spec(&format!("{hosts}platforms: all\nbkdl:\n  - {{{base}, {entry}}}\n"))
    };
    spec(&entry)?;
    let catalog = site.workspace.lock_and_build()?;
    site.expect(&catalog, &["bin/jq"])?;
    expect_image(&catalog, "team/app", app)?;
    let tags: Vec<_> =
        catalog.images.iter().filter(|image| image.digest == web.root).map(|image| &image.tag).collect();
    ensure!(tags == [&None, &Some(web.tag.clone())], "by digest and by tag: {tags:?}");
    ensure!(catalog.images.len() == 3, "{:#?}", catalog.images);
    // A list with a wrong line says which.
    site.files.add("ce7/files/chart-images-7.1.3.txt.gz", "demo 1 a/b:1\nother 1 Wrong:1\n");
    let failed = site.workspace.builder().args(["lock", "spec.yaml", "--update"]).fail_with(1)?;
    failed.says("chart-images-7.1.3.txt.gz")?.says("line 2")?;
    Ok(())
}

#[test]
fn what_is_wrong_is_named_with_its_remedy() -> Result<()> {
    let site = Site::new()?;
    site.files.add("ce7/7.1-stable/bad.txt", "broken\ttwo columns\nloop\tx\tbroken\n");
    site.files.add("ce7/7.1-stable/page.txt", "<html>\n<body>hello</body>\n");
    site.files.add("ce7/empty/list.txt", "\n");
    for (entry, expected) in [
        ("channel: ce7/7.1-stable, items: [gse_agnt]", &["7.1.3.txt", "no `gse_agnt`", "gse_agent"][..]),
        (
            "channel: ce7/7.1-stable, release: 7.1.9, items: [base]",
            &["7.1.9.txt", "no release `7.1.9`", "7.1.3, 7.1.2, 7.1.0"],
        ),
        (
            "channel: ce7/7.1-stable, release: bad, items: [loop]",
            &["bad.txt:1", "2 columns, not 3 or 7", "another release"],
        ),
        ("channel: ce7/7.1-stable, release: page, items: [base]", &["page.txt", "no index"]),
        ("channel: ce7/7.1-stable, items: [base=1]", &["7.1.3.txt:2", "is a group", "write `base` alone"]),
        ("channel: ce7/7.1-stable, items: [unused]", &["unused 1", "/ce7/files/unused-1", "does not exist"]),
        ("channel: ce7/nowhere, items: [base]", &["ce7/nowhere/list.txt", "does not exist"]),
        ("channel: ce7/empty, items: [base]", &["lists no release", "check `base` and `channel`"]),
    ] {
        site.spec("", &[entry])?;
        let failed = site.workspace.builder().args(["lock", "spec.yaml"]).fail_with(1)?;
        for text in expected {
            failed.says(text).with_context(|| entry.to_owned())?;
        }
    }
    Ok(())
}

#[test]
fn what_is_optional_is_noted_one_by_one_and_tried_again() -> Result<()> {
    let site = Site::new()?;
    let entry = "channel: ce7/7.1-stable, release: 7.1.3, items: [gse_agent, unused], required: false";
    site.spec("", &[entry])?;
    let catalog = site.workspace.lock_and_build()?;
    site.expect(&catalog, &["gse2/agents/gse_agent-2.1.5.tgz"])?;
    ensure!(catalog.missing.len() == 1 && catalog.missing[0].name == "unused 1", "{:?}", catalog.missing);
    // As soon as it is there it comes along.
    site.files.add("ce7/files/unused-1", "here now");
    site.workspace.lock()?;
    ensure!(site.lock()?.missing.is_empty() && site.lock()?.files.len() == 2);
    ensure!(site.gets("/ce7/gse/gse_agent-2.1.5.tgz") == 2, "what was there is not read again");
    Ok(())
}

#[test]
fn what_changed_since_it_was_locked_is_not_carried() -> Result<()> {
    let site = Site::new()?;
    site.files.add("ce7/paas-runtimes/paas3-1.1.txt", RUNTIMES);
    let archive = |content: &str| gzip(&tar(&[("paas-runtimes/assets/a.sh", content)]));
    site.files.add("ce7/paas-runtimes/common-1.tgz", archive("one"));
    site.spec("", &["channel: ce7/paas-runtimes, release: paas3-1.1, items: [common]"])?;
    site.workspace.lock()?;
    site.files.add("ce7/paas-runtimes/common-1.tgz", archive("two"));
    let build = ["build", "spec.yaml", "-o", "bundle", "--locked"];
    site.workspace.builder().args(build).fail_with(3)?.says("common-1.tgz")?.says("a.sh")?;
    site.files.add("ce7/paas-runtimes/common-1.tgz", &b"<html>not today</html>"[..]);
    site.workspace.builder().args(build).fail_with(1)?.says("common-1.tgz")?;
    Ok(())
}

#[test]
fn saas_packages_must_be_what_the_spec_calls_them() -> Result<()> {
    let site = Site::new()?;
    let url = format!("{}/saas-paas3/bk_itsm/bk_itsm-V2.6.11.tar.gz", site.files.url());
    let hosts = plain_http(&[&site.files.host()]);
    let spec = |name: &str, version: &str, url: &str, further: &str| {
        let saas = format!("saas:\n  - {{name: {name}, version: \"{version}\", url: \"{url}\"}}\n");
        site.workspace.spec(&format!("{hosts}{saas}{further}"))
    };
    for (name, version) in [("bk_sops", "2.6.11"), ("bk_itsm", "2.6.6")] {
        spec(name, version, &url, "")?;
        let failed = site.workspace.builder().args(["lock", "spec.yaml"]).fail_with(1)?;
        failed.says("bk_itsm 2.6.11")?.says(&format!("{name} {version}"))?;
    }
    // A page in a package's place is no package, whatever the server calls it.
    site.files.add("saas/page.tar.gz", "<html>please log in</html>");
    spec("bk_itsm", "2.6.11", &format!("{}/saas/page.tar.gz", site.files.url()), "")?;
    site.workspace.builder().args(["lock", "spec.yaml"]).fail_with(3)?.says("no S-Mart package")?;
    spec("bk_itsm", "V2.6.11", &url, "")?;
    site.workspace.lock()?.says("blueking/slug-app")?.says("not among the images")?;
    Ok(())
}
