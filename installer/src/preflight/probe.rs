//! Asks the network: resolves names, looks at the site's registry and bkrepo, begins uploads and takes them back. Each
//! question has a time limit, so that a filtered port is an answer too.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, ToSocketAddrs as _, UdpSocket};
use std::time::{Duration, SystemTime};

use ferry_model::failure::Class;
use ferry_model::host::Host;
use ferry_model::report::{Check, Failed};
use ferry_model::site::{self, Mode, Product, Registry};
use ferry_transfer::{Client, Daemon, Error, Login, Look, Options, PushProbe, RefusedLogins, RetryPolicy};
use futures_util::stream::{self, StreamExt as _};
use tokio::time::timeout;

use super::bkrepo::{self, BkrepoFacts, Rights, Write};
use super::host::Known;
use super::limits::{self, Front, Refusal};
use super::registry::{self, Answer, Port, RegistryFacts, Seen, takes_pushes};
use super::{Request, catalogue as kinds, certificate, on_thread, own};

/// Resolving a name: as long as the system's resolver tries two servers.
const RESOLVE_LIMIT: Duration = Duration::from_secs(10);
/// One look at a server, or one upload begun and taken back.
pub(super) const ASK_LIMIT: Duration = Duration::from_secs(20);
/// Why nobody was asked.
const NO_NAME: &str = "its name does not resolve";
/// Repositories that are tried at most, and at once.
const MOST_PROBES: usize = 16;
const PROBES_AT_ONCE: usize = 4;

/// One attempt, and not a long one: a look is not a transfer.
pub(super) fn brief(mut options: Options) -> Options {
    options.connect_timeout = options.connect_timeout.min(Duration::from_secs(5));
    options.stall_timeout = options.stall_timeout.min(Duration::from_secs(10));
    options.retry = RetryPolicy { retries: 0, ..RetryPolicy::default() };
    options
}

/// Looks at the site's registry.
pub(super) async fn check_registry(request: &Request<'_>) -> Vec<Check> {
    let Some(registry) = request.site.and_then(|site| site.registry.as_ref()) else { return Vec::new() };
    let subject = registry.address.to_string();
    let client = match Client::new(brief(request.options.clone())) {
        Ok(client) => client,
        // A certificate or credentials file that cannot be read.
        Err(error) => return vec![kinds::REGISTRY_ANSWER.unknown(subject, Failed::new(&error).message)],
    };
    let task = request.events.start(format!("registry {subject}"), None);
    let port = registry.address.port().unwrap_or(if registry.tls.scheme() == "http" { 80 } else { 443 });
    let names = [registry.address.host()].into_iter().chain(&registry.also_known_as);
    let resolved = futures_util::future::join_all(
        names.map(async |name| (name.clone(), resolve(name.as_str(), port).await)),
    );
    let url = format!("{}://{subject}/v2/", registry.tls.scheme());
    let names = resolved.await;
    let (answer, front) = match names.first() {
        Some((_, Ok(_))) => read_answer(look(&client, &url).await, registry),
        _ => (Answer::Silent(NO_NAME.to_owned()), Front::default()),
    };
    let is_here = names
        .first()
        .and_then(|(_, found)| found.as_ref().ok())
        .is_some_and(|addresses| addresses.iter().any(|address| UdpSocket::bind((*address, 0)).is_ok()));
    let is_registry = matches!(&answer, Answer::Came(seen) if seen.is_registry);
    let may_push = is_registry && takes_pushes(&registry.mode);
    let pushes = if may_push && request.wants(&kinds::REGISTRY_PUSH) {
        probe_pushes(request, &subject).await
    } else {
        Vec::new()
    };
    let is_limited =
        is_registry && matches!(registry.mode, Mode::Existing(_)) && request.wants(&kinds::REGISTRY_LIMITS);
    let tried = if is_limited { probe_request(request, &subject, &pushes).await } else { Ok(()) };
    let facts = RegistryFacts {
        names,
        is_here,
        port: listen_address(&registry.mode).map(|address| try_port(address, port)),
        is_own: if is_registry { own::is_own(request, registry, port).await } else { Ok(false) },
        answer,
        pushes,
        now: SystemTime::now(),
    };
    task.finish();
    let mut checks = registry::check_registry(registry, &facts);
    if is_limited {
        checks.push(limits::check_limits(&subject, request.bundle.catalog(), &front, &tried));
    }
    checks
}

/// Looks at the site's bkrepo.
pub(super) async fn check_bkrepo(request: &Request<'_>) -> Vec<Check> {
    let Some(section) = request.site.and_then(|site| site.bkrepo.as_ref()) else { return Vec::new() };
    let task = request.events.start(format!("bkrepo {}", section.url), None);
    let facts = async {
        let url = url::Url::parse(&section.url).map_err(|error| format!("it is no URL: {error}"))?;
        let port = url.port_or_known_default().unwrap_or(80);
        let client = Client::new(brief(request.options.clone()));
        let client = client.map_err(|error| Failed::new(&error).message)?;
        let name = url.domain().map(str::to_owned);
        let name = match name {
            Some(name) => Some((name.clone(), resolve(&name, port).await)),
            None => None,
        };
        let answer = match name {
            Some((_, Err(_))) => Answer::Silent(NO_NAME.to_owned()),
            _ => look(&client, url.as_str())
                .await
                .map_or_else(answer_of, |look| Answer::Came(read_look(&look, &[]))),
        };
        let is_up = matches!(&answer, Answer::Came(seen) if seen.status < 500);
        let rights = if is_up { look_at_rights(request, section, &client).await } else { None };
        Ok::<_, String>(BkrepoFacts { name, answer, rights })
    };
    let checks = match facts.await {
        Ok(facts) => bkrepo::check_bkrepo(&section.url, &facts),
        Err(reason) => vec![kinds::BKREPO_ANSWER.failed(&section.url, reason)],
    };
    task.finish();
    checks
}

/// What the site's bkrepo lets us do. Nothing where nothing is to be uploaded.
async fn look_at_rights(request: &Request<'_>, section: &site::Bkrepo, client: &Client) -> Option<Rights> {
    let site = request.site?;
    let repositories = crate::desire::artifacts::repositories(request.bundle.catalog(), site);
    let wanted = request.wants(&kinds::BKREPO_LOGIN) && !repositories.is_empty();
    let login = request.bkrepo.as_ref().filter(|_| wanted)?;
    let no_answer = || Failed::because(Class::Transient, no_answer(ASK_LIMIT));
    let opened = login
        .clone()
        .and_then(|login| client.bkrepo(&section.url, login).map_err(|error| Failed::new(&error)));
    let bkrepo = match opened {
        Ok(bkrepo) => bkrepo,
        Err(failed) => return Some(Rights { login: Err(failed), writes: Vec::new() }),
    };
    let explained = |error: Error| crate::bkrepo::explained(&error, Some(&section.access));
    let login = match timeout(ASK_LIMIT, bkrepo.projects()).await {
        Ok(projects) => projects.map(drop).map_err(explained),
        Err(_) => Err(no_answer()),
    };
    let asks = login.is_ok() && request.wants(&kinds::BKREPO_WRITE);
    let asked = repositories.into_iter().filter(|_| asks).take(MOST_PROBES).map(|repository| {
        let bkrepo = bkrepo.clone();
        async move {
            let begun = async {
                match bkrepo.repository(&repository).await? {
                    Some(_) => bkrepo.probe_upload(&repository).await.map(|()| Write::May),
                    None => Ok(Write::NoRepository),
                }
            };
            let outcome = match timeout(ASK_LIMIT, begun).await {
                Ok(outcome) => outcome.map_err(explained),
                Err(_) => Err(no_answer()),
            };
            (repository, outcome)
        }
    });
    let writes = stream::iter(asked).buffered(PROBES_AT_ONCE).collect().await;
    Some(Rights { login, writes })
}

/// The version of the docker that the registry will run in; none for other modes.
pub(super) async fn docker_engine(request: &Request<'_>) -> Option<Known<String>> {
    let daemon = match &request.site?.registry.as_ref()?.mode {
        Mode::Docker(docker) => &docker.daemon,
        Mode::Proxy(proxy) => &proxy.daemon,
        _ => return None,
    };
    let options = brief(request.options.clone());
    let daemon = match daemon {
        Some(host) => Daemon::at(host, &options),
        None => Daemon::from_environment(&options),
    };
    let version = async { daemon?.version().await };
    Some(match timeout(ASK_LIMIT, version).await {
        Ok(version) => version.map_err(|error| Failed::new(&error).message),
        Err(_) => Err(no_answer(ASK_LIMIT)),
    })
}

fn no_answer(limit: Duration) -> String {
    format!("no answer in {} s", limit.as_secs())
}

async fn resolve(host: &str, port: u16) -> Known<Vec<IpAddr>> {
    if let Ok(address) = host.parse() {
        return Ok(vec![address]);
    }
    let host = host.to_owned();
    let found = on_thread(RESOLVE_LIMIT, move || (host, port).to_socket_addrs()).await?;
    let mut addresses: Vec<IpAddr> =
        found.map_err(|error| error.to_string())?.map(|address| address.ip()).collect();
    addresses.sort_unstable();
    addresses.dedup();
    if addresses.is_empty() { Err("it has no address".to_owned()) } else { Ok(addresses) }
}

async fn look(client: &Client, url: &str) -> Result<Look, Option<Error>> {
    match timeout(ASK_LIMIT, client.look(url)).await {
        Ok(look) => look.map_err(Some),
        Err(_) => Err(None),
    }
}

/// What no answer means.
fn answer_of(error: Option<Error>) -> Answer {
    match error {
        None => Answer::Silent(no_answer(ASK_LIMIT)),
        Some(Error::Tls { problem, .. }) => Answer::Tls(problem),
        Some(error @ (Error::Connect { .. } | Error::Stalled { .. })) => {
            Answer::Silent(Failed::new(&error).message)
        }
        Some(error) => Answer::Broken(Failed::new(&error).message),
    }
}

fn read_answer(look: Result<Look, Option<Error>>, registry: &Registry) -> (Answer, Front) {
    let declared = match &registry.mode {
        Mode::Existing(existing) => existing.product,
        _ => Product::Registry,
    };
    match look {
        Ok(look) => {
            let is_bkrepo = look.header("www-authenticate").is_some_and(|text| text.contains("\"bkrepo\""));
            let product = if declared == Product::Auto && is_bkrepo { Product::Bkrepo } else { declared };
            let seen = read_look(&look, &registry.also_known_as);
            let server = seen.server.clone();
            (Answer::Came(seen), Front { server, product })
        }
        Err(error) => (answer_of(error), Front { server: None, product: declared }),
    }
}

fn read_look(look: &Look, names: &[Host]) -> Seen {
    let ahead = look.clocks.map(|(theirs, ours)| {
        let seconds = |duration: Duration| i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
        match theirs.duration_since(ours) {
            Ok(ahead) => seconds(ahead),
            Err(behind) => -seconds(behind.duration()),
        }
    });
    let server: Vec<&str> = ["server", "via"].into_iter().filter_map(|name| look.header(name)).collect();
    let body = String::from_utf8_lossy(&look.body);
    Seen {
        status: look.status,
        is_registry: crate::resources::is_registry(look),
        server: (!server.is_empty()).then(|| server.join(", ")),
        location: look.header("location").map(|location| location.chars().take(200).collect()),
        // Go's words, and nginx's.
        wants_tls: look.status == 400 && (body.contains("HTTPS server") || body.contains("HTTPS port")),
        ahead,
        certificate: look.certificate.as_ref().map(|der| certificate::read(der, names)),
    }
}

/// Where a registry that Ferry brings up here will listen.
fn listen_address(mode: &Mode) -> Option<IpAddr> {
    let listen = match mode {
        Mode::Serve(serve) => serve.listen,
        Mode::Docker(docker) => docker.listen,
        Mode::Systemd(systemd) => systemd.listen,
        Mode::Proxy(proxy) => proxy.listen,
        Mode::Existing(_) | Mode::Kubernetes(_) | Mode::Marathon(_) => return None,
    };
    Some(listen.unwrap_or(Ipv4Addr::UNSPECIFIED.into()))
}

/// Listens for a moment; nothing else tells so surely whether one can.
fn try_port(address: IpAddr, port: u16) -> Port {
    let address = SocketAddr::from((address, port));
    match TcpListener::bind(address) {
        Ok(_) => Port::Free,
        Err(error) if error.kind() == ErrorKind::AddrInUse => Port::Taken,
        Err(error) => Port::Trouble(format!("{address} cannot be listened on: {error}")),
    }
}

/// Begins an upload in one repository of each project, and takes it back.
async fn probe_pushes(request: &Request<'_>, subject: &str) -> Vec<(String, Result<PushProbe, Failed>)> {
    let names = probed(&request.repositories);
    let client = match &request.login {
        Ok(login) => client_as(login.as_ref(), request, subject).map_err(|error| Failed::new(&error)),
        Err(failed) => Err(failed.clone()),
    };
    let client = match client {
        Ok(client) => client,
        Err(failed) => return names.into_iter().map(|name| (name, Err(failed.clone()))).collect(),
    };
    let probes = stream::iter(names).map(|name| {
        let repository = client.repository(subject, &name).for_push();
        async move {
            let outcome = match timeout(ASK_LIMIT, repository.probe_push()).await {
                Ok(outcome) => outcome.map_err(|error| Failed::new(&error)),
                Err(_) => Err(Failed::because(Class::Transient, no_answer(ASK_LIMIT))),
            };
            (name, outcome)
        }
    });
    probes.buffered(PROBES_AT_ONCE).collect().await
}

/// Sends one request that no usual limit lets through, where an upload was allowed and taken back: so this one leaves nothing either.
async fn probe_request(
    request: &Request<'_>,
    subject: &str,
    pushes: &[(String, Result<PushProbe, Failed>)],
) -> limits::Request {
    let other = |reason: &str| Refusal::Other(reason.to_owned());
    let removed = pushes.iter().find(|(_, outcome)| *outcome == Ok(PushProbe::Removed));
    let Some((name, _)) = removed else {
        let is_tried = request.wants(&kinds::REGISTRY_PUSH);
        return Err(other(if is_tried {
            "no upload was allowed and taken back"
        } else {
            "that follows an upload, and none was to be tried"
        }));
    };
    let login = request.login.as_ref().map_err(|failed| other(&failed.message))?;
    let client = client_as(login.as_ref(), request, subject);
    let client = client.map_err(|error| other(&Failed::new(&error).message))?;
    let repository = client.repository(subject, name).for_push();
    match timeout(ASK_LIMIT, repository.probe_request(limits::TRIED)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) if error.status() == Some(413) => Err(Refusal::TooLarge),
        Ok(Err(error)) => Err(other(&Failed::new(&error).message)),
        Err(_) => Err(other(&no_answer(ASK_LIMIT))),
    }
}

fn client_as(login: Option<&Login>, request: &Request<'_>, registry: &str) -> Result<Client, Error> {
    // One password is tried in many repositories, and accounts are locked after a few wrong ones.
    let mut options = Options { refused_logins: RefusedLogins::Final, ..brief(request.options.clone()) };
    options.logins.extend(login.map(|login| (registry.to_owned(), login.clone())));
    Client::new(options)
}

/// One repository for each pair of first parts: rights hang on projects, and on what lies below them at bkrepo.
fn probed(repositories: &[String]) -> Vec<String> {
    let mut chosen: BTreeMap<Vec<&str>, &String> = BTreeMap::new();
    for name in repositories {
        let parts: Vec<&str> = name.split('/').collect();
        let project = parts[..parts.len().saturating_sub(1).min(2)].to_vec();
        chosen.entry(project).or_insert(name);
    }
    chosen.into_values().take(MOST_PROBES).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_repository_of_each_project_is_tried() {
        let names = ["a/x", "a/y", "a/b/c", "a/b/d/e", "library", "other", "p/q"].map(str::to_owned);
        assert_eq!(probed(&names), ["library", "a/x", "a/b/c", "p/q"]);
        let many: Vec<String> = (0..100).map(|number| format!("p{number:03}/x")).collect();
        assert_eq!(probed(&many).len(), MOST_PROBES);
    }

    #[test]
    fn ports_of_this_machine() {
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = taken.local_addr().unwrap().port();
        assert_eq!(try_port(Ipv4Addr::LOCALHOST.into(), port), Port::Taken);
        drop(taken);
        assert_eq!(try_port(Ipv4Addr::LOCALHOST.into(), port), Port::Free);
        // TEST-NET-1 is nobody's.
        assert!(matches!(try_port([192, 0, 2, 1].into(), port), Port::Trouble(_)));
    }

    #[tokio::test]
    async fn names_resolve_or_do_not() {
        assert_eq!(resolve("10.0.0.5", 1).await, Ok(vec![[10, 0, 0, 5].into()]));
        assert!(resolve("localhost", 1).await.unwrap().iter().all(IpAddr::is_loopback));
        assert!(resolve("no-such-host.invalid", 1).await.is_err());
    }
}
