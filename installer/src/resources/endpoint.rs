//! A registry that answers at its address. Only looked at, and waited for.

use std::time::{Duration, Instant};

use ferry_model::event::Task;
use ferry_model::failure::Class;
use ferry_model::journal::Before;
use ferry_model::plan::{Action, Endpoint, State};
use ferry_model::report::Failed;
use ferry_transfer::Look;
use tokio::time::sleep;

use super::{Kept, Manage, Mine, Undone, unknown};
use crate::context::{Context, Manner};

/// The most that an answer to `/v2/` may take.
const MAX_ANSWER: u64 = 64 << 10;
const PAUSE: Duration = Duration::from_millis(300);

impl Manage for Endpoint {
    fn wanted(&self) -> State {
        State::present([("answers", "yes")])
    }

    fn summary(&self, _action: Action) -> String {
        format!("check that {}://{} answers as a registry", self.scheme, self.registry)
    }

    fn undo_summary(&self, _before: &State) -> String {
        "nothing to undo".into()
    }

    fn is_check(&self) -> bool {
        true
    }

    async fn observe(&self, context: &Context) -> State {
        match ask(self, context).await {
            Ok(()) => State::present([("answers", "yes")]),
            Err(failed) => unknown(failed),
        }
    }

    async fn apply(&self, context: &Context, _action: Action, _task: &Task) -> Result<(), Failed> {
        let deadline = Instant::now() + Duration::from_secs(self.patience.into());
        loop {
            match ask(self, context).await {
                Ok(()) => return Ok(()),
                // Waiting changes no password.
                Err(failed) if failed.class == Class::Denied || Instant::now() >= deadline => {
                    return Err(failed);
                }
                Err(_) => sleep(PAUSE).await,
            }
        }
    }

    async fn undo(
        &self,
        _context: &Context,
        _before: &Before,
        _kept: &Kept,
        _mine: &Mine,
    ) -> Result<Undone, Failed> {
        Ok(Undone::Restored)
    }
}

async fn ask(endpoint: &Endpoint, context: &Context) -> Result<(), Failed> {
    let client = context.client(Manner::Brief).await?;
    let url = format!("{}://{}/v2/", endpoint.scheme, endpoint.registry);
    let explained = |error: &ferry_transfer::Error| {
        let failed = Failed::new(error);
        let registry = &endpoint.registry;
        if failed.class == Class::Denied {
            let message = format!("{registry} answers, and refuses the login: {}", failed.message);
            let hint = "correct `registry.login` in the site file, or the password where it is kept";
            return Failed { message, hints: vec![hint.into()], ..failed };
        }
        let message = format!("{registry} does not answer as a registry: {}", failed.message);
        Failed { message, ..failed }
    };
    let look = client.look(&url).await.map_err(|error| explained(&error))?;
    if !is_registry(&look) {
        let message = format!("{url} answers {}, and not as a registry does", look.status);
        return Err(Failed::because(Class::Protocol, message)
            .hint("another server may listen there; look at it with a browser"));
    }
    let has_login = context.site.site.registry.as_ref().is_some_and(|registry| registry.login.is_some());
    if look.status == 401 && has_login {
        client.get_small(&url, MAX_ANSWER).await.map_err(|error| explained(&error))?;
    }
    Ok(())
}

/// `200` or `401`, said as the distribution spec has it: with the API's version in the head, or with its error envelope.
pub(crate) fn is_registry(look: &Look) -> bool {
    let envelope = || {
        serde_json::from_slice::<serde_json::Value>(&look.body).is_ok_and(|body| body["errors"].is_array())
    };
    let empty = || matches!(look.body.trim_ascii(), b"" | b"{}");
    match look.status {
        200 => look.header("docker-distribution-api-version").is_some() || empty(),
        401 => look.header("docker-distribution-api-version").is_some() || envelope(),
        _ => false,
    }
}
