//! The root page: what the bundles hold and the commands to get it, for a browser.
//!
//! One HTML document that asks for nothing else. It is made anew for each request, some rows at a time, so that ten
//! thousand images cost no memory.

mod rows;

use std::convert::Infallible;
use std::sync::{Arc, LazyLock};

use axum::body::Body;
use axum::extract::State;
use axum::http::header::{
    ACCEPT_LANGUAGE, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, HeaderName, REFERRER_POLICY,
    VARY,
};
use axum::http::{HeaderMap, Uri};
use axum::response::Response;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use ferry_bundle::SignatureState;
use ferry_model::Digest;
use ferry_model::size::ByteSize;
use futures_util::stream;
use serde_json::{Value, json};

use super::content::set;
use super::router::{Security, Shared};
use super::text::escape_html;
use rows::{Kind, Step};

const TEMPLATE: &str = include_str!("page/page.html");

/// The template around the rows, and the policy that lets its own style and script run and nothing else.
struct Template {
    before: &'static str,
    after: &'static str,
    policy: String,
}

static PARTS: LazyLock<Template> = LazyLock::new(|| {
    let (before, after) = TEMPLATE.split_once("{{rows}}").expect("the template has a place for rows");
    let hash = |element: &str| {
        let (open, close) = (format!("<{element}>"), format!("</{element}>"));
        let begin = TEMPLATE.find(&open).expect("the template has style and script") + open.len();
        let end = TEMPLATE[begin..].find(&close).expect("elements are closed") + begin;
        BASE64_STANDARD.encode(Digest::of(&TEMPLATE.as_bytes()[begin..end]).as_bytes())
    };
    let policy = format!(
        "default-src 'none'; img-src data:; style-src 'sha256-{}'; script-src 'sha256-{}'; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'",
        hash("style"),
        hash("script")
    );
    Template { before, after, policy }
});

/// How clients reach this server, as far as the request tells.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Reach {
    /// Host and port, of harmless characters only.
    host: String,
    security: Security,
}

impl Reach {
    fn new(request: &HeaderMap, uri: &Uri, security: Security) -> Self {
        let host = request
            .get(HOST)
            .and_then(|host| host.to_str().ok())
            .or_else(|| uri.authority().map(axum::http::uri::Authority::as_str));
        let is_harmless = |host: &&str| {
            !host.is_empty()
                && host.len() <= 260
                && host.chars().all(|c| c.is_ascii_alphanumeric() || ".-_:[]".contains(c))
        };
        // Behind a proxy that ends TLS, clients talk HTTPS to it.
        let proxied = request.get("x-forwarded-proto").is_some_and(|scheme| scheme == "https");
        Self {
            host: host.filter(is_harmless).unwrap_or("HOST").to_owned(),
            security: if proxied { Security::Https } else { security },
        }
    }

    fn scheme(&self) -> &'static str {
        match self.security {
            Security::PlainHttp => "http",
            Security::Https => "https",
        }
    }
}

pub(super) async fn root(State(shared): State<Arc<Shared>>, uri: Uri, request: HeaderMap) -> Response {
    let reach = Reach::new(&request, &uri, shared.security);
    let top = top(&shared, &reach, &request);
    let library = Arc::clone(&shared.library);
    let rows = Step::all(&library).into_iter().map(move |step| step.render(&library, &reach));
    let pieces = std::iter::once(top).chain(rows).chain(std::iter::once(PARTS.after.to_owned()));
    let mut response = Response::new(Body::from_stream(stream::iter(pieces.map(Ok::<_, Infallible>))));
    let head = response.headers_mut();
    set(head, CONTENT_TYPE, "text/html; charset=utf-8");
    set(head, CONTENT_SECURITY_POLICY, &PARTS.policy);
    set(head, HeaderName::from_static("x-content-type-options"), "nosniff");
    set(head, REFERRER_POLICY, "no-referrer");
    set(head, CACHE_CONTROL, "no-cache");
    set(head, VARY, "accept-language, host");
    response
}

/// Everything in front of the rows.
fn top(shared: &Shared, reach: &Reach, request: &HeaderMap) -> String {
    let languages = request.get(ACCEPT_LANGUAGE).and_then(|languages| languages.to_str().ok());
    let chinese = languages.is_some_and(|languages| languages.trim_start().starts_with("zh"));
    let (language, placeholder) = if chinese {
        ("zh", "搜索名称、标签、摘要")
    } else {
        ("en", "Search names, tags, digests")
    };
    let names: Vec<String> = shared
        .library
        .bundles()
        .iter()
        .map(|bundle| format!("{} {}", bundle.catalog().name, bundle.catalog().version))
        .collect();
    fill(
        PARTS.before,
        &[
            ("lang", language),
            ("placeholder", placeholder),
            ("host", &reach.host),
            ("scheme", reach.scheme()),
            ("title", &escape_html(&names.join(", "))),
            ("bundles", &bundle_heads(shared)),
            ("navigation", &Kind::navigation(&shared.library)),
            ("help", &help(reach)),
        ],
    )
}

/// Fills `{{name}}`s, all in one pass: what is filled in is not looked at again.
fn fill(template: &str, values: &[(&str, &str)]) -> String {
    let mut filled = String::with_capacity(template.len() + 4096);
    let mut rest = template;
    while let Some((before, behind)) = rest.split_once("{{") {
        let (name, behind) = behind.split_once("}}").expect("the template's braces are closed");
        let value = values.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
        filled.push_str(before);
        filled.push_str(value.expect("the template's names are all filled in"));
        rest = behind;
    }
    filled.push_str(rest);
    filled
}

fn bundle_heads(shared: &Shared) -> String {
    let head = |bundle: &ferry_bundle::Bundle| {
        let catalog = bundle.catalog();
        let signature = match bundle.signature() {
            SignatureState::Verified { key_id, .. } => {
                let key = escape_html(key_id);
                format!(
                    "<span class=verified>✓ <span class=en>signature verified, key {key}</span><span class=zh>签名已验证，密钥 {key}</span></span>"
                )
            }
            SignatureState::Unchecked { key_id } => {
                let key = escape_html(key_id);
                format!(
                    "<span><span class=en>signed by {key}, not checked</span><span class=zh>由 {key} 签名，未验证</span></span>"
                )
            }
            SignatureState::Unsigned => {
                "<span><span class=en>not signed</span><span class=zh>未签名</span></span>".to_owned()
            }
        };
        let missing = catalog.missing.len();
        let incomplete = if missing == 0 {
            String::new()
        } else {
            format!(
                "<span class=doubt>⚠ <span class=en>incomplete: {missing} missing</span><span class=zh>不完整：缺少 {missing} 项</span></span>"
            )
        };
        format!(
            "<div class=bundle><h1>{} <small>{}</small></h1><p><span>{}</span>{signature}{incomplete}<code title=\"{digest}\">{short}</code></p></div>",
            escape_html(catalog.name.as_str()),
            escape_html(catalog.version.as_str()),
            ByteSize(bundle.file_size()),
            digest = bundle.catalog_digest(),
            short = &bundle.catalog_digest().to_string()[..19],
        )
    };
    shared.library.bundles().iter().map(head).collect()
}

/// What each client must be told before it talks to this server.
fn help(reach: &Reach) -> String {
    let Reach { host, .. } = reach;
    let scheme = reach.scheme();
    let docker = match reach.security {
        Security::PlainHttp => format!(
            "<h3>docker <span>/etc/docker/daemon.json</span></h3><pre>{{\"insecure-registries\": [\"{host}\"]}}</pre>"
        ),
        Security::Https => format!(
            "<h3>docker</h3><pre>mkdir -p /etc/docker/certs.d/{host}\ncp ca.crt /etc/docker/certs.d/{host}/ca.crt</pre>"
        ),
    };
    let authority = match reach.security {
        Security::PlainHttp => "",
        Security::Https => "\n  ca = \"/etc/containerd/certs.d/ca.crt\"",
    };
    let flag = match reach.security {
        Security::PlainHttp => " --plain-http",
        Security::Https => " --ca-file ca.crt",
    };
    format!(
        "<div>{docker}</div>\
         <div><h3>containerd <span>/etc/containerd/certs.d/_default/hosts.toml</span></h3>\
         <pre>[host.\"{scheme}://{host}\"]\n  capabilities = [\"pull\", \"resolve\"]{authority}</pre></div>\
         <div><h3>helm</h3><pre>helm repo add ferry {scheme}://{host}/charts\nhelm pull oci://{host}/charts/NAME{flag}</pre></div>\
         <div><h3><b class=en>An image by its own name</b><b class=zh>按镜像原名拉取</b></h3>\
         <pre>docker pull {host}/docker.io/library/NAME:TAG</pre></div>"
    )
}

/// `/bundles.json`: what is served, for programs.
pub(super) async fn bundles(State(shared): State<Arc<Shared>>) -> Response {
    let describe = |bundle: &ferry_bundle::Bundle| {
        let catalog = bundle.catalog();
        let (signature, key_id) = match bundle.signature() {
            SignatureState::Unsigned => ("unsigned", None),
            SignatureState::Unchecked { key_id } => ("unchecked", Some(key_id)),
            SignatureState::Verified { key_id, .. } => ("verified", Some(key_id)),
        };
        json!({
            "name": catalog.name,
            "version": catalog.version,
            "catalogDigest": bundle.catalog_digest(),
            "size": bundle.file_size(),
            "signature": signature,
            "keyId": key_id,
            "missing": catalog.missing,
            "images": catalog.images.len(),
            "charts": catalog.charts.len(),
            "files": catalog.files.len(),
        })
    };
    let bundles: Vec<Value> = shared.library.bundles().iter().map(describe).collect();
    super::content::json("application/json", &json!({ "bundles": bundles }))
}

#[cfg(test)]
mod tests {
    use axum::http::Method;

    use super::*;
    use crate::serve::testing::Site;

    #[tokio::test]
    async fn the_page_names_everything_with_its_commands() {
        let site = Site::new();
        let page = site.request(Method::GET, "/", &[("host", "ferry.corp:5000")]).await;
        let text = page.text();
        for expected in [
            "<html lang=\"en\" data-host=\"ferry.corp:5000\" data-scheme=\"http\">",
            "docker pull ferry.corp:5000/library/registry:2",
            "helm pull oci://ferry.corp:5000/charts/app --version 1.2.0+build --plain-http",
            "curl -f -o readme.md http://ferry.corp:5000/files/docs/readme.md",
            "curl -f -o &#39;tool 中.bin&#39; http://ferry.corp:5000/files/blueking/tools/bin/tool%20%E4%B8%AD.bin",
            "linux/amd64",
            "&lt;script&gt;.html",
            &site.image_digest().to_string(),
        ] {
            assert!(text.contains(expected), "{expected} is not in {text}");
        }
        assert!(!text.contains("{{") && !text.contains("<script>.html"));
        assert!(page.header("content-security-policy").contains("script-src 'sha256-"));
        assert!(text.ends_with("</html>\n"));
        let chinese = site.request(Method::GET, "/", &[("accept-language", "zh-CN,zh;q=0.9")]).await;
        assert!(chinese.text().contains("<html lang=\"zh\""));
    }

    #[test]
    fn hostile_hosts_do_not_reach_the_page() {
        for (host, expected) in [
            ("registry.corp", "registry.corp"),
            ("[::1]:5000", "[::1]:5000"),
            ("<script>", "HOST"),
            ("a b", "HOST"),
            ("\"onload=", "HOST"),
            ("$(reboot)", "HOST"),
            ("", "HOST"),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(HOST, host.parse().unwrap());
            assert_eq!(Reach::new(&headers, &Uri::from_static("/"), Security::Https).host, expected);
        }
    }

    #[tokio::test]
    async fn bundles_for_programs() {
        let answer = Site::new().get("/bundles.json").await.json();
        assert_eq!(answer["bundles"][0]["name"], "sample");
        assert_eq!(answer["bundles"][0]["images"], 2);
        assert_eq!(answer["bundles"][0]["signature"], "unsigned");
    }
}
