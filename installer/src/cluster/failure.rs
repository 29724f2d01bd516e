//! What an API server's refusals mean.

use std::collections::BTreeSet;

use ferry_model::failure::Class;
use ferry_model::report::Failed;
use kube::core::Status;

use super::Target;

/// Explains an error of `action` (`asking for Secret a/b`). `quiet` where the server may repeat what it was sent and that is
/// secret: then only the names of fields are shown.
pub(super) fn explain(
    target: &Target,
    server: &str,
    action: &str,
    quiet: bool,
    error: &kube::Error,
) -> Failed {
    let place = format!("{target}, at {server}");
    match error {
        kube::Error::Api(status) => refused(&place, action, quiet, status).hint_for(target, status.code),
        kube::Error::Auth(error) => {
            Failed::because(Class::Denied, format!("{action}: no login to {place}: {error}"))
                .hint(format!("see that `{} get nodes` works here", target.kubectl()))
        }
        kube::Error::SerdeError(_) | kube::Error::FromUtf8(_) => {
            Failed::because(Class::Protocol, format!("{action}: {place} does not answer as Kubernetes does"))
        }
        error => {
            let message = format!("{action}: {place} cannot be reached: {}", causes(error));
            Failed::because(Class::Transient, message)
                .hint(format!("see that `{} get nodes` works here", target.kubectl()))
        }
    }
}

trait HintFor {
    fn hint_for(self, target: &Target, code: u16) -> Self;
}

impl HintFor for Failed {
    fn hint_for(self, target: &Target, code: u16) -> Self {
        match code {
            401 => self.hint(format!(
                "the kubeconfig's user is not known there, or its token has run out: `{} get nodes`",
                target.kubectl()
            )),
            403 => self.hint("use a kubeconfig whose user may do that, or let an administrator grant it"),
            _ => self,
        }
    }
}

fn refused(place: &str, action: &str, quiet: bool, status: &Status) -> Failed {
    let class = match status.code {
        400 | 422 => Class::Input,
        401 | 403 => Class::Denied,
        404 => Class::NotFound,
        409 => Class::Local,
        429 => Class::RateLimited,
        500..=599 => Class::Transient,
        _ => Class::Protocol,
    };
    let what = if quiet && matches!(status.code, 400 | 422) {
        let fields: BTreeSet<&str> = status
            .details
            .iter()
            .flat_map(|details| details.causes.iter().map(|cause| cause.field.as_str()))
            .collect();
        format!("it is not valid in {}", fields.into_iter().collect::<Vec<_>>().join(", "))
    } else {
        status.message.clone()
    };
    Failed::because(class, format!("{action}: {place}, refuses: {what}"))
}

/// Who else manages fields that were to be set, by what the server says: manager and field.
pub(super) fn conflicts(status: &Status) -> Vec<(String, String)> {
    let causes = status.details.iter().flat_map(|details| &details.causes);
    causes
        .filter(|cause| cause.reason == "FieldManagerConflict")
        .map(|cause| {
            // conflict with "kubectl-edit" using apps/v1
            let manager = cause.message.split('"').nth(1).unwrap_or(&cause.message);
            (manager.to_owned(), cause.field.trim_start_matches('.').to_owned())
        })
        .collect()
}

/// The innermost causes say what happened; kube's outermost says only `ServiceError`.
fn causes(error: &kube::Error) -> String {
    let mut texts: Vec<String> = Vec::new();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        let text = error.to_string();
        if !texts.iter().any(|known| known.contains(&text)) {
            texts.push(text);
        }
        cause = error.source();
    }
    if texts.is_empty() { error.to_string() } else { texts.join(": ") }
}
