//! Who may do what: anonymous, basic, or tokens that run out.

use std::collections::HashMap;

use axum::body::Body;
use axum::http::{Request, Response, StatusCode};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::answer;
use super::route::{Kind, Route, parse_query};

/// How a registry asks who is there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Auth {
    /// Everybody may do everything.
    #[default]
    None,
    /// Basic on every request.
    Basic {
        /// The user.
        user: String,
        /// The password.
        password: String,
    },
    /// A token from `/token`, per scope.
    Token {
        /// The user that may do everything.
        user: String,
        /// The password.
        password: String,
        /// Whether anybody may pull; a token is needed all the same.
        anonymous_pull: bool,
        /// After this many requests a token has expired.
        requests_per_token: Option<u32>,
        /// The challenge names a fixed scope of no use, as bkrepo's does; the client must know better.
        fixed_scope: bool,
    },
}

/// The tokens that were handed out, with what they allow.
#[derive(Debug, Default)]
pub(super) struct Tokens {
    issued: HashMap<String, Token>,
}

#[derive(Debug)]
struct Token {
    scopes: Vec<String>,
    requests_left: Option<u32>,
}

fn header<'a, B>(request: &'a Request<B>, scheme: &str) -> Option<&'a str> {
    request.headers().get("authorization")?.to_str().ok()?.strip_prefix(scheme)
}

fn has_basic<B>(request: &Request<B>, user: &str, password: &str) -> bool {
    header(request, "Basic ") == Some(&STANDARD.encode(format!("{user}:{password}")))
}

/// Lets the request through, or gives the refusal to send.
pub(super) fn check(
    auth: &Auth,
    tokens: &mut Tokens,
    route: &Route,
    request: &Request<Body>,
    base: &str,
) -> Result<(), Box<Response<Body>>> {
    let refuse = |challenge: &str| {
        let body = json!({"errors": [{"code": "UNAUTHORIZED", "message": "authentication required"}]});
        Err(Box::new(answer::respond(
            StatusCode::UNAUTHORIZED,
            &[("www-authenticate", challenge), ("content-type", "application/json")],
            Body::from(body.to_string()),
        )))
    };
    match auth {
        Auth::None => Ok(()),
        Auth::Basic { user, password } if has_basic(request, user, password) => Ok(()),
        Auth::Basic { .. } => refuse("Basic realm=\"fake\""),
        Auth::Token { fixed_scope, .. } => {
            let action = if route.kind.writes() { "pull,push" } else { "pull" };
            let scope = match (fixed_scope, route.kind) {
                (true, _) => "repository:*/*/tb:push,pull".to_owned(),
                (false, Kind::Ping) => String::new(),
                (false, Kind::Catalog) => "registry:catalog:*".to_owned(),
                (false, _) => format!("repository:{}:{action}", route.repository),
            };
            let given = header(request, "Bearer ").and_then(|token| tokens.issued.get_mut(token));
            let mut error = "";
            if let Some(token) = given {
                match &mut token.requests_left {
                    Some(0) => error = ",error=\"invalid_token\"",
                    left => {
                        if let Some(left) = left {
                            *left -= 1;
                        }
                        if route.kind == Kind::Ping || allows(token, &route.repository, action) {
                            return Ok(());
                        }
                        error = ",error=\"insufficient_scope\"";
                    }
                }
            }
            let scope = if scope.is_empty() { scope } else { format!(",scope=\"{scope}\"") };
            refuse(&format!("Bearer realm=\"{base}/token\",service=\"fake\"{scope}{error}"))
        }
    }
}

fn allows(token: &Token, repository: &str, action: &str) -> bool {
    action.split(',').all(|needed| {
        token.scopes.iter().any(|scope| {
            scope.strip_prefix("repository:").and_then(|rest| rest.rsplit_once(':')).is_some_and(
                |(name, actions)| name == repository && actions.split(',').any(|action| action == needed),
            )
        })
    })
}

/// Hands out a token.
pub(super) fn token(auth: &Auth, tokens: &mut Tokens, request: &Request<Body>) -> Response<Body> {
    let Auth::Token { user, password, anonymous_pull, requests_per_token, .. } = auth else {
        return answer::status(StatusCode::NOT_FOUND);
    };
    let known = has_basic(request, user, password);
    let gave_credentials = request.headers().contains_key("authorization");
    if !known && (gave_credentials || !anonymous_pull) {
        return answer::respond(
            StatusCode::UNAUTHORIZED,
            &[("www-authenticate", "Basic realm=\"fake\"")],
            Body::from("{\"details\":\"incorrect username or password\"}"),
        );
    }
    let query = parse_query(request.uri().query().unwrap_or_default());
    let mut scopes: Vec<String> = query
        .iter()
        .filter(|(key, _)| key == "scope")
        .flat_map(|(_, value)| value.split(' ').map(str::to_owned).collect::<Vec<_>>())
        .collect();
    if !known {
        for scope in &mut scopes {
            if let Some((name, _)) = scope.rsplit_once(':') {
                *scope = format!("{name}:pull");
            }
        }
    }
    let name = format!("token-{}", tokens.issued.len() + 1);
    tokens.issued.insert(name.clone(), Token { scopes, requests_left: *requests_per_token });
    answer::json(StatusCode::OK, &json!({"token": name, "access_token": name, "expires_in": 300}))
}
