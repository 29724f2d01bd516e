//! A request with what shows who we are: what the server asks for, and whether it then says that this is wrong.

use http::{Method, StatusCode, header};

use super::{Call, Identity, read_message};
use crate::auth::{self, Access, Challenge, Grant, Trial};
use crate::url::same_origin;
use crate::{Client, Error};

/// New tokens for one request: many that run at once may each need one where tokens last for a few requests.
const MAX_RENEWALS: u32 = 8;

impl Client {
    pub(super) async fn send_with_grants(&self, call: &Call<'_>) -> Result<reqwest::Response, Error> {
        if let Identity::Given(_) = call.identity {
            let response = self.exchange(call, None).await?;
            if response.status().is_success() {
                return Ok(response);
            }
            return Err(self.failure(response, Some(call)).await);
        }
        let mut grant = self.authenticator().grant(call.access, self).await?;
        let mut response = self.show(call, grant.as_ref()).await?;
        let mut renewals = 0;
        while is_challenge(&response, call.access) && renewals < MAX_RENEWALS {
            let challenge = challenge_of(&response);
            let is_worth_it = match &grant {
                // A password that was refused is no other the second time; but a proxy may have asked for it, and the server
                // behind that asks for a token.
                Some(grant) if grant.is_password() => matches!(challenge, Ok(Challenge::Bearer { .. })),
                // A token that came from the cache may have run out. A new one only if such ones have worked before.
                Some(grant) => renewals == 0 || grant.has_worked(),
                None => true,
            };
            if !is_worth_it {
                break;
            }
            renewals += 1;
            let challenge = challenge?;
            // Read to its end, so that the connection can be used again.
            let _ = self.error_body(response).await;
            grant = Some(self.authenticator().answer(call.access, challenge, grant.as_ref(), self).await?);
            response = self.show(call, grant.as_ref()).await?;
        }
        if let Some(grant) = grant.filter(|_| response.status() != StatusCode::UNAUTHORIZED) {
            grant.works();
        }
        if response.status().is_success() {
            return Ok(response);
        }
        Err(self.failure(response, Some(call)).await)
    }

    /// Sends `call` with what it shows; a password that may be wrong is shown by one request alone.
    async fn show(&self, call: &Call<'_>, grant: Option<&Grant>) -> Result<reqwest::Response, Error> {
        let Some(grant) = grant else { return self.exchange(call, None).await };
        let Some(trial) = grant.trial().await? else { return self.exchange(call, Some(grant)).await };
        if call.access.is_registry() {
            self.try_at_registry(call.access, grant, trial).await?;
            return self.exchange(call, Some(grant)).await;
        }
        let response = self.exchange(call, Some(grant)).await?;
        if is_challenge(&response, call.access) {
            if challenge_of(&response).is_ok_and(|challenge| grant.is_judged_by(&challenge)) {
                let asked = response.url().into();
                let message = read_message(&self.error_body(response).await);
                // A web server may say the same to a user whom it knows and who may not.
                return Err(trial.refused(message, Some(&asked)));
            }
        } else if !says_nothing(response.status()) {
            trial.taken();
        }
        Ok(response)
    }

    /// Shows a password where a registry asks for nothing but that: elsewhere a 401 may mean that this user may not.
    async fn try_at_registry(&self, access: &Access, grant: &Grant, trial: Trial) -> Result<(), Error> {
        let mut url = access.origin.clone();
        url.set_path("/v2/");
        let call = Call::new(Method::GET, url, access);
        let response = self.exchange(&call, Some(grant)).await?;
        if says_nothing(response.status()) {
            return Err(self.failure(response, Some(&call)).await);
        }
        if !is_challenge(&response, access) {
            trial.taken();
        } else if challenge_of(&response).is_ok_and(|challenge| grant.is_judged_by(&challenge)) {
            return Err(trial.refused(read_message(&self.error_body(response).await), None));
        }
        Ok(())
    }
}

/// Whether the server itself, and not one that it redirected to, wants to know who we are.
fn is_challenge(response: &reqwest::Response, access: &Access) -> bool {
    response.status() == StatusCode::UNAUTHORIZED && same_origin(response.url(), &access.origin)
}

fn challenge_of(response: &reqwest::Response) -> Result<Challenge, Error> {
    let challenges = response.headers().get_all(header::WWW_AUTHENTICATE);
    auth::read_challenge(challenges.iter(), response.url())
}

/// A server in trouble says nothing of a password.
fn says_nothing(status: StatusCode) -> bool {
    status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS
}
