//! Containers as Ferry treats them: those of others are left alone, and one that was started must stay.

use std::time::Duration;

use ferry_model::failure::Class;
use ferry_model::report::Failed;
use ferry_transfer::{ContainerState, Daemon};
use tokio::time::sleep;

/// On every container that Ferry makes.
pub(super) const MANAGED: &str = "io.ferry.managed";
/// How long a program may take to end.
const GRACE: Duration = Duration::from_secs(10);
/// For how long a container must run before it is taken for running: one with bad settings ends at once.
const TRIAL: Duration = Duration::from_millis(900);
/// How often it is looked at meanwhile.
const LOOKS: u32 = 6;
/// Lines that a failure shows.
const LINES: usize = 10;

/// Whether Ferry has made it.
pub(crate) fn is_own(found: &ContainerState) -> bool {
    found.labels.contains_key(MANAGED)
}

/// The container of this name, if it is one of Ferry's. Fails where it is another's, which is never touched.
pub(super) async fn own(daemon: &Daemon, name: &str) -> Result<Option<ContainerState>, Failed> {
    match inspect(daemon, name).await?.filter(|found| found.name == name) {
        Some(found) if !is_own(&found) => {
            let message = format!(
                "the container {name} (of {}, {}) was not made by Ferry and is left alone",
                found.image, found.status
            );
            Err(Failed::because(Class::Local, message)
                .hint("remove or rename it, or choose another name for the container in the site file"))
        }
        found => Ok(found),
    }
}

pub(super) async fn inspect(daemon: &Daemon, name: &str) -> Result<Option<ContainerState>, Failed> {
    daemon.inspect_container(name).await.map_err(|error| Failed::new(&error))
}

pub(super) async fn stop(daemon: &Daemon, name: &str) -> Result<(), Failed> {
    daemon.stop_container(name, GRACE).await.map(drop).map_err(|error| Failed::new(&error))
}

/// Ends it first as its program likes to be ended.
pub(super) async fn remove(daemon: &Daemon, id: &str) -> Result<(), Failed> {
    stop(daemon, id).await?;
    daemon.remove_container(id).await.map(drop).map_err(|error| Failed::new(&error))
}

/// Waits whether a container that was started stays.
pub(super) async fn runs_on(daemon: &Daemon, name: &str) -> Result<(), Failed> {
    for _ in 0..LOOKS {
        sleep(TRIAL / LOOKS).await;
        let Some(found) = inspect(daemon, name).await? else {
            return Err(Failed::because(
                Class::Local,
                format!("the container {name} is gone after its start"),
            ));
        };
        if !found.running || found.restart_count > 0 {
            return Err(ended(daemon, &found).await);
        }
    }
    Ok(())
}

async fn ended(daemon: &Daemon, found: &ContainerState) -> Failed {
    let name = &found.name;
    let mut message = format!("the container {name} ended with {} after its start", found.exit_code);
    let said = daemon.last_lines(&found.id, LINES).await.unwrap_or_default();
    let lines: Vec<&str> = said.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    if !lines.is_empty() {
        message.push_str("; it said last: ");
        message.push_str(&lines.join(" | "));
    }
    Failed::because(Class::Local, message).hint(format!("`docker logs {name}` has all that it said"))
}

pub(super) fn short(id: &str) -> String {
    id.chars().take(12).collect()
}
