//! What a registry needs, as text for others to apply: objects of a cluster as YAML, an app as JSON, files as they are.

use std::fmt::Write as _;

use ferry_model::plan::{Content, Desired, Object};
use ferry_model::report::Failed;

use super::Desire;
use crate::context::Context;
use crate::resources::with_secrets;

/// Whether secrets are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Secrets {
    /// How to make them is.
    Withheld,
    /// They are, for everybody who reads the output.
    Shown,
}

/// The registry's manifests; empty where the mode has none.
pub async fn manifests(desire: &Desire, context: &Context, secrets: Secrets) -> Result<String, Failed> {
    let mut text = String::new();
    let has_app = desire.resources.iter().any(|resource| matches!(resource.desired, Desired::App(_)));
    for resource in &desire.resources {
        match &resource.desired {
            Desired::Object(object) if is_filled_later(object) && secrets == Secrets::Withheld => {
                text.push_str(&how_to_make(object));
            }
            Desired::Object(object) => {
                let filled = with_secrets(object, context).await?;
                let yaml = serde_saphyr::to_string(&filled).expect("JSON can be written as YAML");
                let _ = write!(text, "---\n{yaml}");
            }
            Desired::App(app) => {
                let json = serde_json::to_string_pretty(&app.definition);
                let _ = writeln!(text, "{}", json.expect("JSON can be written as JSON"));
            }
            // The app's file says the same again; other JSON bears no comment.
            Desired::File(file) => match &file.content {
                Content::Text { .. } if has_app => {}
                Content::Text { text: content } if content.starts_with('{') => text.push_str(content),
                Content::Text { text: content } => {
                    let _ = write!(text, "# {}, mode {:04o}\n{content}\n", file.path.display(), file.mode);
                }
                Content::Image { .. } | Content::Copy { .. } => {}
            },
            _ => {}
        }
    }
    Ok(text)
}

fn is_filled_later(object: &Object) -> bool {
    !object.data_files.is_empty() || !object.data_logins.is_empty() || !object.data_random.is_empty()
}

/// The command that makes what is not printed.
fn how_to_make(object: &Object) -> String {
    let part =
        |pointer: &str| object.manifest.pointer(pointer).and_then(|value| value.as_str()).unwrap_or_default();
    let (namespace, name) = (part("/metadata/namespace"), part("/metadata/name"));
    let is_tls = part("/type") == "kubernetes.io/tls";
    let mut command =
        format!("kubectl -n {namespace} create secret {} {name}", if is_tls { "tls" } else { "generic" });
    for (key, path) in &object.data_files {
        let path = path.display();
        let _ = match (is_tls, key.as_str()) {
            (true, "tls.crt") => write!(command, " --cert={path}"),
            (true, "tls.key") => write!(command, " --key={path}"),
            _ => write!(command, " --from-file={key}={path}"),
        };
    }
    for (key, login) in &object.data_logins {
        let _ = match key.as_str() {
            "htpasswd" => write!(command, " --from-file=htpasswd=<(htpasswd -nB {})", quoted(&login.user)),
            "user" => write!(command, " --from-literal=user={}", quoted(&login.user)),
            // Typed at the prompt, it comes into no history.
            _ => write!(command, " --from-file={key}=<(read -rs p; printf %s \"$p\")"),
        };
    }
    for key in &object.data_random {
        let _ = write!(command, " --from-literal={key}=\"$(openssl rand -hex 32)\"");
    }
    let mut text =
        format!("---\n# Secret {namespace}/{name} is not printed. Make it, in bash:\n#   {command}\n");
    if !object.data_files.is_empty() {
        text.push_str("# Files of Ferry's own are there after an `apply`. Without one, name a certificate and a key of yours.\n");
    }
    text
}

/// As one word of a shell, on one line.
fn quoted(text: &str) -> String {
    let text: String = text.chars().filter(|c| !c.is_control()).collect();
    format!("'{}'", text.replace('\'', r"'\''"))
}
