//! Other people's JSON interfaces: one request, its answer, whatever that says.

use bytes::Bytes;
use http::{HeaderValue, Method, header};
use serde_json::Value;

use crate::auth::Access;
use crate::client::web_access;
use crate::credentials::Credential;
use crate::exchange::{Call, Payload};
use crate::{Client, Error, Login};

/// The most that an answer may take.
const MAX_ANSWER: u64 = 8 << 20;

impl Client {
    /// Sends `body`, if any, as JSON to `url`, and reads the answer: its status and what it says, [`Value::Null`] where that is
    /// nothing or no JSON.
    ///
    /// A question (GET, HEAD) is asked again by the policy; what changes something is sent once, since nobody knows what a second time
    /// does. An answer that says "not there" (404, 410) or "conflict" (409) is an answer; any other that is not good is an
    /// error. `login` comes before what the files of credentials say of the host.
    pub async fn json(
        &self,
        method: Method,
        url: &str,
        body: Option<&Value>,
        login: Option<&Login>,
    ) -> Result<(u16, Value), Error> {
        let (url, mut access) = web_access(url)?;
        if let Some(login) = login {
            let (user, password) = (login.user.clone(), login.password.clone());
            access = Access { given: Some(Credential::Password { user, password }), ..access };
            // Such interfaces show less to strangers instead of asking who they are; and beside a registry that wants tokens, they
            // take passwords.
            access.origin.set_path("/json");
            self.authenticator().expect_basic(&access);
        }
        let is_question = matches!(method, Method::GET | Method::HEAD);
        let mut call = Call::new(method, url, &access)
            .header(header::ACCEPT, HeaderValue::from_static("application/json"));
        if let Some(body) = body {
            let bytes = Bytes::from(body.to_string());
            call = call
                .header(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))
                .body(Payload::Bytes(bytes));
        }
        let answer = if is_question { self.request(&call).await } else { self.send(&call).await };
        match answer {
            Ok(reply) => {
                let status = reply.response.status().as_u16();
                let body = reply.bytes(MAX_ANSWER, self).await?;
                Ok((status, serde_json::from_slice(&body).unwrap_or_default()))
            }
            Err(error) => match error.status() {
                Some(status @ (404 | 409 | 410)) => Ok((status, Value::Null)),
                _ => Err(error),
            },
        }
    }
}
