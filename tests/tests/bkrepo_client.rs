//! The client for bkrepo and helm repositories against the stand-in of bkrepo: block uploads that are cut and go on, in this process
//! and in the next; faults at random; what each release answers.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use axum::http::Method;
use bytes::Bytes;
use ferry_model::Digest;
use ferry_model::event::{Events, Task};
use ferry_model::failure::{Class, Failure as _};
use ferry_model::site::RepositoryName;
use ferry_tests::bkrepo::{Bkrepo as StandIn, Fault, Release, RepositorySetup, Setup};
use ferry_tests::corpus::Chart;
use ferry_transfer::{
    Bkrepo, BkrepoLogin, BkrepoProblem, BlobSource, Blocks, ChartArchive, ChunkReader, Client, Created,
    Error, FileUpload, HelmRepositoryProblem, NewRepository, Options, Overwrite, RetryPolicy, SourceError,
    Uploaded,
};

const MIB: u64 = 1 << 20;
const RELEASES: [Release; 2] = [Release::V1_3_16, Release::V3_3];

/// Content in memory.
struct Memory(Bytes);

impl Memory {
    fn new(seed: u64, size: u64) -> Arc<Self> {
        let mut random = ferry_tests::random::Random::new(seed);
        let words = size.div_ceil(8);
        let mut bytes: Vec<u8> = (0..words).flat_map(|_| random.bits().to_le_bytes()).collect();
        bytes.truncate(size as usize);
        Arc::new(Self(bytes.into()))
    }

    fn digest(&self) -> Digest {
        Digest::of(&self.0)
    }
}

struct Chunks(Bytes);

impl BlobSource for Memory {
    fn open(&self, from: u64) -> Result<Box<dyn ChunkReader>, SourceError> {
        Ok(Box::new(Chunks(self.0.slice(from as usize..))))
    }
}

impl ChunkReader for Chunks {
    fn next_chunk(&mut self) -> Result<Option<Bytes>, SourceError> {
        let chunk = self.0.split_to(self.0.len().min(256 << 10));
        Ok(Some(chunk).filter(|chunk| !chunk.is_empty()))
    }
}

fn client() -> Result<Client> {
    let retry = RetryPolicy {
        base: Duration::from_millis(5),
        cap: Duration::from_millis(20),
        ..RetryPolicy::default()
    };
    Ok(Client::new(Options { retry, stall_timeout: Duration::from_secs(5), ..Options::default() })?)
}

/// Somebody who may do everything, with small blocks.
fn bkrepo(server: &StandIn) -> Result<Bkrepo> {
    let login = BkrepoLogin::Basic { user: "admin".into(), password: "blueking".into() };
    Ok(client()?.bkrepo(&server.url(), login)?.with_blocks(Blocks { from: 4 * MIB, part: MIB }))
}

/// Servers of tests have a runtime of their own, which cannot be waited for within another.
fn start_with(setup: Setup) -> Result<StandIn> {
    std::thread::spawn(|| StandIn::start(setup)).join().expect("it does not panic")
}

fn start(release: Release) -> Result<StandIn> {
    start_with(Setup { release, ..Setup::after_paas() })
}

fn assets() -> RepositoryName {
    "bkpaas/bkpaas3-platform-assets".parse().expect("a name")
}

fn task() -> Task {
    Events::none().start("upload", None)
}

fn file<'a>(repository: &'a RepositoryName, path: &'a str, memory: &Arc<Memory>) -> FileUpload<'a> {
    let source: Arc<dyn BlobSource> = Arc::<Memory>::clone(memory);
    FileUpload::new(repository, path, memory.digest(), memory.0.len() as u64, source)
}

fn problem(error: &Error) -> Result<BkrepoProblem> {
    match error {
        Error::Bkrepo(error) => Ok(error.problem),
        other => bail!("another error: {other}"),
    }
}

/// Bodies of parts and files that arrived, in bytes.
fn received(server: &StandIn) -> u64 {
    server.bodies().values().sum()
}

fn is_stored(server: &StandIn, path: &str, memory: &Memory) -> bool {
    let repository = assets();
    server.content(&repository.project, &repository.name, path).is_some_and(|stored| memory.0 == stored)
}

fn is_part(method: &Method, path: &str) -> bool {
    *method == Method::PUT && path.starts_with("/generic/") && !path.starts_with("/generic/block")
}

fn is_finish(method: &Method, path: &str) -> bool {
    *method == Method::PUT && path.starts_with("/generic/block")
}

#[tokio::test]
async fn after_a_cut_only_the_missing_parts_are_sent() -> Result<()> {
    for release in RELEASES {
        for fault in [Fault::CutAfter(300 << 10), Fault::Gateway(502), Fault::LoseAnswer] {
            let (server, memory, repository) = (start(release)?, Memory::new(1, 6 * MIB + 17), assets());
            // The fifth part fails.
            let parts = AtomicU64::new(0);
            server.fail_next(fault, move |method, path| {
                is_part(method, path) && parts.fetch_add(1, Ordering::Relaxed) == 4
            });
            let uploaded = bkrepo(&server)?.upload(&file(&repository, "/big.tar", &memory), &task()).await?;
            ensure!(uploaded == Uploaded::Sent && is_stored(&server, "/big.tar", &memory));
            let again = received(&server) - memory.0.len() as u64;
            let most = if fault == Fault::LoseAnswer { 0 } else { MIB };
            ensure!(again <= most, "{fault:?}: {again} bytes were sent again");
            ensure!(server.open_uploads() == 0);
        }
    }
    Ok(())
}

#[tokio::test]
async fn an_upload_goes_on_in_the_next_process() -> Result<()> {
    for release in RELEASES {
        let (server, memory, repository) = (start(release)?, Memory::new(2, 6 * MIB), assets());
        let id: Mutex<Option<String>> = Mutex::default();
        let keep = |new: Option<&str>| *id.lock().expect("not poisoned") = new.map(str::to_owned);
        // The process is killed while it sends the fourth part.
        let parts = Arc::new(AtomicU64::new(0));
        let seen = Arc::clone(&parts);
        server.fail_next(Fault::Slow(Duration::from_secs(60)), move |method, path| {
            is_part(method, path) && seen.fetch_add(1, Ordering::Relaxed) == 3
        });
        {
            let upload = FileUpload { on_upload_id: Some(&keep), ..file(&repository, "/big.tar", &memory) };
            let (bkrepo, task) = (bkrepo(&server)?, task());
            let fourth = async {
                while parts.load(Ordering::Relaxed) < 4 {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            };
            tokio::select! {
                ended = bkrepo.upload(&upload, &task) => bail!("it should hang: {ended:?}"),
                () = fourth => {}
            }
        }
        server.forget_requests();
        let upload_id = id.lock().expect("not poisoned").clone();
        ensure!(upload_id.is_some());
        let upload =
            FileUpload { upload_id, on_upload_id: Some(&keep), ..file(&repository, "/big.tar", &memory) };
        bkrepo(&server)?.upload(&upload, &task()).await?;
        ensure!(is_stored(&server, "/big.tar", &memory));
        ensure!(received(&server) <= 3 * MIB, "{} bytes", received(&server));
        ensure!(id.lock().expect("not poisoned").is_none(), "it is over");
    }
    Ok(())
}

/// The id may be of a bundle before this one, whose file was another.
#[tokio::test]
async fn parts_of_another_file_are_never_put_together() -> Result<()> {
    for release in RELEASES {
        let (server, repository) = (start(release)?, assets());
        let (before, memory) = (Memory::new(3, 8 * MIB), Memory::new(4, 5 * MIB));
        let id: Mutex<Option<String>> = Mutex::default();
        let keep = |new: Option<&str>| {
            if let Some(new) = new {
                *id.lock().expect("not poisoned") = Some(new.to_owned());
            }
        };
        server.fail_times(1000, Fault::Forbidden, is_finish);
        let upload = FileUpload { on_upload_id: Some(&keep), ..file(&repository, "/big.tar", &before) };
        let error = bkrepo(&server)?.upload(&upload, &task()).await.err().context("it may not finish")?;
        ensure!(problem(&error)? == BkrepoProblem::Denied);
        server.heal();
        let upload_id = id.lock().expect("not poisoned").clone();
        let upload = FileUpload { upload_id, ..file(&repository, "/big.tar", &memory) };
        bkrepo(&server)?.upload(&upload, &task()).await?;
        ensure!(is_stored(&server, "/big.tar", &memory));
        ensure!(server.open_uploads() == 0, "what was mixed up is taken back");
    }
    Ok(())
}

#[tokio::test]
async fn an_upload_that_bkrepo_forgot_begins_anew() -> Result<()> {
    for release in RELEASES {
        let (server, memory, repository) = (start(release)?, Memory::new(5, 5 * MIB), assets());
        server.fail_next(Fault::UploadExpired, is_finish);
        let upload = FileUpload { upload_id: Some("gone".into()), ..file(&repository, "/big.tar", &memory) };
        bkrepo(&server)?.upload(&upload, &task()).await?;
        ensure!(is_stored(&server, "/big.tar", &memory));
        ensure!(server.count(&Method::POST, "/generic/block") == 2);
    }
    Ok(())
}

#[tokio::test]
async fn what_is_not_to_be_replaced_costs_no_body() -> Result<()> {
    for release in RELEASES {
        let (server, memory, repository) = (start(release)?, Memory::new(6, 5 * MIB), assets());
        server.put_raw("bkpaas", "bkpaas3-platform-assets", "/big.tar", b"other")?;
        server.put_raw("bkpaas", "bkpaas3-platform-assets", "/dir.tar/dir.tar", b"left by the loop")?;
        let bkrepo = bkrepo(&server)?;
        for (path, overwrite, expected) in [
            ("/big.tar", Overwrite::No, BkrepoProblem::Exists),
            ("/dir.tar", Overwrite::Yes, BkrepoProblem::InTheWay),
        ] {
            let upload = FileUpload { overwrite, ..file(&repository, path, &memory) };
            let error = bkrepo.upload(&upload, &task()).await.err().context("it is in the way")?;
            ensure!(problem(&error)? == expected, "{error}");
        }
        ensure!(received(&server) == 0);
        ensure!(
            problem(&bkrepo.delete(&repository, "/dir.tar").await.unwrap_err())? == BkrepoProblem::NotEmpty
        );
        bkrepo.delete_folder(&repository, "/dir.tar").await?;
        ensure!(!bkrepo.delete(&repository, "/dir.tar").await?, "it is gone");
        for path in ["/big.tar", "/dir.tar"] {
            let upload = FileUpload { overwrite: Overwrite::Yes, ..file(&repository, path, &memory) };
            ensure!(bkrepo.upload(&upload, &task()).await? == Uploaded::Sent);
            ensure!(bkrepo.upload(&upload, &task()).await? == Uploaded::WasThere);
        }
        // Small ones are sent first; what they meet is told the same way.
        let small = Memory::new(7, 1000);
        server.put_raw("bkpaas", "bkpaas3-platform-assets", "/folder/x", b"x")?;
        for path in ["/folder", "/folder/x/y"] {
            let upload = FileUpload { overwrite: Overwrite::Yes, ..file(&repository, path, &small) };
            let error = bkrepo.upload(&upload, &task()).await.err().context("it is in the way")?;
            ensure!(problem(&error)? == BkrepoProblem::InTheWay, "{path}: {error}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn faults_at_random_change_nothing_in_the_end() -> Result<()> {
    let faults = [
        Fault::CutAfter(1000),
        Fault::CutAfter(700 << 10),
        Fault::CutAnswerAfter(10),
        Fault::LoseAnswer,
        Fault::Gateway(500),
        Fault::Gateway(502),
        Fault::Gateway(503),
    ];
    for release in RELEASES {
        let (server, repository) = (start(release)?, assets());
        server.fail_seeded(17, 20, &faults, |_, _| true);
        let bkrepo = bkrepo(&server)?;
        let mut expected = BTreeMap::new();
        for number in 0..40 {
            let size = if number % 8 == 0 { 4 * MIB + number } else { number * 5000 };
            let (path, memory) = (format!("/d{}/f{number}", number % 3), Memory::new(100 + number, size));
            bkrepo.upload(&file(&repository, &path, &memory), &task()).await.with_context(|| path.clone())?;
            expected.insert(path, (memory.digest(), size));
        }
        let listed = bkrepo.list(&repository, "/")?.all().await?;
        let listed: BTreeMap<_, _> = listed
            .into_iter()
            .filter(|node| !node.folder)
            .map(|node| Ok((node.path, (node.digest.context("a digest")?, node.size))))
            .collect::<Result<_>>()?;
        ensure!(listed == expected);
    }
    Ok(())
}

#[tokio::test]
async fn a_login_that_ends_midway_ends_the_upload() -> Result<()> {
    let (server, memory, repository) = (start(Release::V1_3_16)?, Memory::new(8, 6 * MIB), assets());
    let parts = AtomicU64::new(0);
    server.fail_next(Fault::Unauthorized, move |method, path| {
        is_part(method, path) && parts.fetch_add(1, Ordering::Relaxed) == 2
    });
    let bkrepo = bkrepo(&server)?;
    let error = bkrepo.upload(&file(&repository, "/big.tar", &memory), &task()).await.err().context("401")?;
    ensure!(problem(&error)? == BkrepoProblem::Unauthenticated && error.class() == Class::Denied, "{error}");
    ensure!(server.requests().iter().filter(|asked| asked.status == 401).count() == 1, "asked once");
    ensure!(!server.files(&repository.project, &repository.name).contains_key("/big.tar"));
    Ok(())
}

#[tokio::test]
async fn projects_and_repositories_are_made_once() -> Result<()> {
    for release in RELEASES {
        let server = start_with(Setup { release, ..Setup::default() })?;
        let bkrepo = bkrepo(&server)?;
        let repository: RepositoryName = "bkpaas/assets".parse().expect("a name");
        let new =
            NewRepository { repository: &repository, kind: "GENERIC", public: true, description: "runtimes" };
        ensure!(!bkrepo.project_exists("bkpaas").await? && bkrepo.repository(&repository).await?.is_none());
        let error = bkrepo.create_repository(&new).await.err().context("without its project")?;
        ensure!(problem(&error)? == BkrepoProblem::NoProject, "{error}");
        for created in [Created::Made, Created::Existed] {
            ensure!(bkrepo.create_project("bkpaas", "PaaS").await? == created);
            ensure!(bkrepo.create_repository(&new).await? == created);
        }
        ensure!(bkrepo.project_exists("bkpaas").await?);
        let info = bkrepo.repository(&repository).await?.context("it is there")?;
        ensure!(info.kind == "GENERIC" && info.category == "LOCAL" && info.public, "{info:?}");
        ensure!(bkrepo.node(&repository, "/a").await?.is_none());
        let absent: RepositoryName = "bkpaas/other".parse().expect("a name");
        let error = bkrepo.node(&absent, "/a").await.err().context("no such repository")?;
        ensure!(problem(&error)? == BkrepoProblem::NoRepository, "{error}");
        ensure!(
            bkrepo.delete_repository(&repository).await? && !bkrepo.delete_repository(&repository).await?
        );
    }
    Ok(())
}

#[tokio::test]
async fn logins() -> Result<()> {
    let setup = Setup { platforms: vec![("key".into(), "secret".into())], ..Setup::after_paas() };
    let server = start_with(setup)?;
    let basic =
        |user: &str, password: &str| BkrepoLogin::Basic { user: user.into(), password: password.into() };
    let platform = |secret: &str| BkrepoLogin::Platform {
        access_key: "key".into(),
        secret_key: secret.into(),
        user: "bkpaas3".into(),
    };
    let (repository, memory) = (assets(), Memory::new(9, 100));
    let private: RepositoryName = "bkpaas/bkpaas3-apps-tmpls".parse().expect("a name");
    for (login, into_private) in [
        (basic("bkpaas3", "blueking"), None),
        (platform("secret"), None),
        (basic("bkpaas3", "wrong"), Some(BkrepoProblem::Unauthenticated)),
        (platform("wrong"), Some(BkrepoProblem::Unauthenticated)),
        (BkrepoLogin::Anonymous, Some(BkrepoProblem::Unauthenticated)),
    ] {
        let shown = format!("{login:?}");
        let bkrepo = client()?.bkrepo(&server.url(), login)?;
        let upload = FileUpload { overwrite: Overwrite::Yes, ..file(&private, "/a", &memory) };
        match (bkrepo.upload(&upload, &task()).await, into_private) {
            (Ok(_), None) => {}
            (Err(error), Some(expected)) => ensure!(problem(&error)? == expected, "{shown}: {error}"),
            (answer, _) => bail!("{shown}: {answer:?}"),
        }
    }
    // All may look into what is public.
    let anybody = client()?.bkrepo(&server.url(), BkrepoLogin::Anonymous)?;
    ensure!(anybody.node(&repository, "/a").await?.is_none());
    Ok(())
}

/// The same chart in other bytes.
fn packed_again(archive: &[u8]) -> Result<Vec<u8>> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::none());
    std::io::copy(&mut flate2::read::GzDecoder::new(archive), &mut encoder)?;
    Ok(encoder.finish()?)
}

#[tokio::test]
async fn charts_go_to_bkrepo() -> Result<()> {
    for release in RELEASES {
        let repositories = vec![RepositorySetup::new("blueking", "charts", "HELM", false)];
        let server = start_with(Setup { release, repositories, ..Setup::default() })?;
        let charts = bkrepo(&server)?.helm_repository(&"blueking/charts".parse().expect("a name"))?;
        let one = Chart::new("demo", "1.2.0").archive;
        let other = packed_again(&one)?;
        let archive = |bytes: &[u8], overwrite| ChartArchive {
            name: "demo",
            version: "1.2.0",
            digest: Digest::of(bytes),
            size: bytes.len() as u64,
            source: Arc::new(Memory(Bytes::copy_from_slice(bytes))),
            provenance: Some(Bytes::from_static(b"-----BEGIN PGP SIGNED MESSAGE-----")),
            overwrite,
        };
        ensure!(charts.charts().await?.is_empty() && charts.chart("demo", "1.2.0").await?.is_none());
        // An answer that is lost is no reason to send it twice.
        server.fail_next(Fault::LoseAnswer, |method, path| {
            *method == Method::POST && path.ends_with("/charts")
        });
        ensure!(charts.upload_chart(&archive(&one, Overwrite::No), &task()).await? == Uploaded::WasThere);
        ensure!(server.count(&Method::POST, "/charts") == 1);
        ensure!(charts.charts().await?.find("demo", "1.2.0") == Some(Some(Digest::of(&one))));
        let error =
            charts.upload_chart(&archive(&other, Overwrite::No), &task()).await.err().context("409")?;
        let Error::HelmRepository(refusal) = &error else { bail!("{error}") };
        ensure!(refusal.problem == HelmRepositoryProblem::Exists, "{error}");
        charts.upload_chart(&archive(&other, Overwrite::Yes), &task()).await?;
        ensure!(charts.chart("demo", "1.2.0").await? == Some(Digest::of(&other)));
        let absent = bkrepo(&server)?.helm_repository(&"blueking/absent".parse().expect("a name"))?;
        let error =
            absent.upload_chart(&archive(&one, Overwrite::No), &task()).await.err().context("absent")?;
        let Error::HelmRepository(refusal) = &error else { bail!("{error}") };
        ensure!(refusal.problem == HelmRepositoryProblem::NotARepository, "{error}");
        ensure!(charts.delete_chart("demo", "1.2.0").await? && !charts.delete_chart("demo", "1.2.0").await?);
    }
    Ok(())
}
