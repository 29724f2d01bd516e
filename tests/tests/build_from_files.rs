//! `ferry-builder` from files, archives and helm repositories: what comes out is, by digest, what went in.

use anyhow::{Context as _, Result, ensure};
use ferry_model::Digest;
use ferry_tests::corpus::{self, Chart, Corpus, large_index_yaml};
use ferry_tests::files::{Files, FilesSetup};
use ferry_tests::workspace::{Workspace, chart_entries, expect_image, offer, plain_http, runtime_entries};

#[test]
fn from_images_in_files() -> Result<()> {
    let corpus = Corpus::small(19, 30_000);
    let workspace = Workspace::new()?;
    corpus::write_oci_layout(&workspace.path("images"), &corpus.images)?;
    corpus::write_oci_archive(&workspace.path("one.tar"), &corpus.images[..1])?;
    let docker = [corpus.image("team/app").clone(), corpus.image("team/web").clone()];
    corpus::write_docker_archive(&workspace.path("saved.tar"), &docker)?;
    let first = &corpus.images[0];
    let layout = corpus.images.iter().map(|image| (format!("oci:images:{}", image.name()), "layout", image));
    let archive = [("oci-archive:one.tar".to_owned(), "archive", first)];
    let saved =
        docker.iter().map(|image| (format!("docker-archive:saved.tar:{}", image.name()), "saved", image));
    let entries: Vec<_> = layout
        .chain(archive)
        .chain(saved)
        .map(|(source, folder, image)| {
            format!("  - {{image: \"{source}\", as: \"{folder}/{}\"}}\n", image.name())
        })
        .collect();
    workspace.spec(&format!("platforms: all\nimages:\n{}", entries.concat()))?;
    let catalog = workspace.lock_and_build()?;
    for image in &corpus.images {
        expect_image(&catalog, &format!("layout/{}", image.repository), image)?;
    }
    expect_image(&catalog, &format!("archive/{}", first.repository), first)?;
    for image in &docker {
        let repository = format!("saved/{}", image.repository);
        let found = catalog.images.iter().find(|found| found.repository == repository);
        let manifest = found.and_then(|found| found.root()).context(repository)?;
        // Its manifest is made anew; the config is what identifies a docker image.
        ensure!(manifest.blobs.contains(&Digest::of(&image.config)));
        ensure!(manifest.blobs.len() == image.layers.len() + 1);
    }
    Ok(())
}

#[test]
fn from_helm_repositories() -> Result<()> {
    let corpus = Corpus::small(20, 10_000);
    let login = ("u".to_owned(), "p".to_owned());
    for setup in [
        FilesSetup::default(),
        FilesSetup { ranges: false, head: false, ..FilesSetup::default() },
        FilesSetup { basic: Some(login), ..FilesSetup::default() },
    ] {
        let workspace = Workspace::new()?;
        let files = Files::start(setup.clone());
        offer(&files, &corpus);
        if setup.basic.is_some() {
            workspace.login(&files.host(), "u", "p")?;
        }
        let charts = chart_entries(&format!("{}/charts", files.url()), &corpus.charts);
        let silenced = "check: {ignore: [{image: team/app, reason: the site has it}]}\n";
        workspace.spec(&format!("{}{charts}{silenced}", plain_http(&[&files.host()])))?;
        let catalog = workspace.lock_and_build().with_context(|| format!("{setup:?}"))?;
        let archives: Vec<_> = catalog.charts.iter().map(|chart| chart.archive).collect();
        ensure!(corpus.charts.iter().all(|chart| archives.contains(&chart.digest())), "{archives:?}");
        let tags: Vec<_> = catalog.charts.iter().map(|chart| chart.tag.as_str()).collect();
        ensure!(tags == ["1.2.3", "0.1.0_build.5"], "{tags:?}");
    }
    Ok(())
}

#[test]
fn a_chart_is_compared_with_what_the_repository_publishes() -> Result<()> {
    let (good, other) = (Chart::new("demo", "1.2.3"), Chart::new("demo", "1.2.4"));
    let files = Files::start(FilesSetup::default());
    files.add_charts("charts", std::slice::from_ref(&good));
    files.add(&format!("charts/{}", good.file_name()), other.archive);
    let workspace = Workspace::new()?;
    let charts = chart_entries(&format!("{}/charts", files.url()), &[good]);
    workspace.spec(&format!("{}{charts}", plain_http(&[&files.host()])))?;
    workspace.builder().args(["lock", "spec.yaml"]).fail_with(3)?.says("demo")?;
    Ok(())
}

#[test]
fn a_large_index_takes_reasonable_time() -> Result<()> {
    let charts = [Chart::new("demo", "1.2.3")];
    let files = Files::start(FilesSetup::default());
    files.add_charts("charts", &charts);
    files.add("charts/index.yaml", large_index_yaml(&charts, 20 << 20));
    let workspace = Workspace::new()?;
    let entries = chart_entries(&format!("{}/charts", files.url()), &charts);
    workspace.spec(&format!("{}{entries}", plain_http(&[&files.host()])))?;
    let locked = workspace.lock()?;
    ensure!(locked.elapsed.as_secs() < 30, "{locked}");
    Ok(())
}

#[test]
fn from_files_globs_and_saas() -> Result<()> {
    let corpus = Corpus::small(21, 20_000);
    let files = Files::start(FilesSetup::default());
    offer(&files, &corpus);
    files.add(
        "saas/bk_itsm-V2.6.6.tar.gz",
        corpus::smart_package("bk_itsm", "2.6.6", Some("slug-layers"), 5000),
    );
    files.add("tool.tgz", vec![2; 6000]);
    let workspace = Workspace::new()?;
    workspace.write("docs/a.md", "a")?;
    workspace.write("docs/deep/b.md", "b")?;
    workspace.write("notes/c.txt", "c")?;
    workspace.write("notes/d.md", "d")?;
    let url = files.url();
    workspace.spec(&format!(
        "{}{}saas:\n  - {{name: bk_itsm, version: 2.6.6, url: \"{url}/saas/bk_itsm-V2.6.6.tar.gz\"}}\nfiles:\n  - {{url: \"{url}/tool.tgz\", to: tools/tool.tgz, repository: blueking/tools}}\n  - {{path: docs, to: docs/}}\n  - {{path: \"notes/*.txt\", to: notes/}}\n",
        plain_http(&[&files.host()]),
        runtime_entries(&url, &corpus),
    ))?;
    let catalog = workspace.lock_and_build()?;
    let served: Vec<_> = catalog.files.iter().map(ferry_model::catalog::File::served_path).collect();
    for path in [
        "bkpaas/assets/runtimes/node/node-v16.16.0.tar.gz",
        "blueking/tools/tools/tool.tgz",
        "docs/a.md",
        "docs/deep/b.md",
        "notes/c.txt",
    ] {
        ensure!(served.iter().any(|found| found == path), "{path} is not in {served:?}");
    }
    ensure!(served.len() == 7, "{served:?}");
    Ok(())
}

#[test]
fn an_expected_digest_is_enforced() -> Result<()> {
    let files = Files::start(FilesSetup::default());
    files.add("tool.tgz", vec![2; 6000]);
    let workspace = Workspace::new()?;
    let wrong = Digest::of(b"").hex();
    workspace.spec(&format!(
        "{}files:\n  - {{url: \"{}/tool.tgz\", sha256: {wrong}, to: tool.tgz}}\n",
        plain_http(&[&files.host()]),
        files.url()
    ))?;
    workspace.builder().args(["build", "spec.yaml", "-o", "bundle"]).fail_with(3)?.says("tool.tgz")?;
    ensure!(!workspace.path("bundle").exists());
    Ok(())
}
