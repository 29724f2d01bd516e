//! Whether the cluster allows what the site file asks to be done there.

use ferry_model::report::Check;

use super::catalogue::CLUSTER_RIGHTS;
use crate::Error;
use crate::context::Context;
use crate::desire::{Facts, desire};
use crate::rights::missing;

/// Asks for what `apply` would need if all was to be done anew. Nothing where the site file asks nothing of a cluster.
pub async fn check_cluster(context: &Context) -> Vec<Check> {
    let site = &context.site.site;
    let patches = site.cluster.as_ref().is_some_and(|cluster| {
        cluster.dns.is_some() || !cluster.patches.is_empty() || !cluster.pull_secrets.is_empty()
    });
    if !patches && site.blueking.as_ref().is_none_or(|blueking| blueking.slug_app.is_none()) {
        return Vec::new();
    }
    let asked = async {
        let facts = Facts::gather(context).await?;
        let desire = desire(context.bundle()?.catalog(), &context.site, &facts)?;
        Ok::<_, Error>(missing(context, desire.resources.iter().map(|resource| &resource.desired)).await?)
    };
    let subject = "the cluster";
    vec![match asked.await {
        Ok(missing) if missing.is_empty() => CLUSTER_RIGHTS.passed(subject, "it allows all that is needed"),
        Ok(missing) => CLUSTER_RIGHTS.failed(subject, format!("not allowed: {}", missing.join("; "))),
        Err(error) => CLUSTER_RIGHTS.unknown(subject, error.to_string()),
    }]
}
