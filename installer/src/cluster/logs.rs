//! What the pods of a Deployment have logged.

use ferry_model::failure::Class;
use ferry_model::report::Failed;
use futures_util::AsyncBufReadExt as _;
use futures_util::AsyncReadExt;
use http::Request;
use serde_json::Value;

use super::kind::segment;
use super::{Cluster, Kind, Place};

/// A line that is longer comes in pieces.
const LONGEST_LINE: u64 = 64 << 10;

/// Whose logs.
#[derive(Clone, Copy, Debug)]
pub struct Logs<'a> {
    /// The Deployment's namespace.
    pub namespace: &'a str,
    /// Its name.
    pub deployment: &'a str,
    /// The container of its pods.
    pub container: &'a str,
}

impl Cluster {
    /// Gives `take` each line that the pods have logged, those of one pod after those of another, each with the time in front
    /// (RFC 3339), as `kubectl logs --timestamps` does. Gives why a pod's could not be read, one that has not started yet for
    /// example; that none could is an error.
    pub async fn logs(&self, of: Logs<'_>, mut take: impl FnMut(&str)) -> Result<Vec<Failed>, Failed> {
        let pods = self.pods(of.namespace, of.deployment).await?;
        let mut failures = Vec::new();
        for pod in &pods {
            if let Err(failed) = self.log(of, pod, &mut take).await {
                failures.push(failed);
            }
        }
        if failures.len() == pods.len() { Err(failures.remove(0)) } else { Ok(failures) }
    }

    async fn log(&self, of: Logs<'_>, pod: &str, take: &mut impl FnMut(&str)) -> Result<(), Failed> {
        let query: String = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("container", of.container)
            .append_pair("timestamps", "true")
            .finish();
        let path = format!("/api/v1/namespaces/{}/pods/{}/log?{query}", segment(of.namespace), segment(pod));
        let place = Place::core("Pod", of.namespace, pod);
        let action = format!("reading the log of {place}");
        let request = Request::get(path).body(Vec::new()).map_err(kube::Error::HttpError);
        let stream = match request {
            Ok(request) => self.client().request_stream(request).await,
            Err(error) => Err(error),
        };
        let mut stream = std::pin::pin!(stream.map_err(|error| self.failed(&action, &place, &error))?);
        let mut line = Vec::new();
        loop {
            line.clear();
            let mut piece = AsyncReadExt::take(&mut stream, LONGEST_LINE);
            let count = piece.read_until(b'\n', &mut line).await.map_err(|error| {
                Failed::because(Class::Transient, format!("{action} broke off: {error}")).hint("try again")
            })?;
            if count == 0 {
                break;
            }
            take(&String::from_utf8_lossy(&line));
        }
        Ok(())
    }

    /// The names of the pods that belong to a Deployment.
    async fn pods(&self, namespace: &str, deployment: &str) -> Result<Vec<String>, Failed> {
        let labels = self.labels_of(namespace, deployment).await?;
        let kind = Kind::known("v1", "Pod").expect("pods are a known kind");
        let pods = self.list(&kind, namespace, &labels).await?;
        let name = |pod: &Value| pod.pointer("/metadata/name").and_then(Value::as_str).map(str::to_owned);
        let names: Vec<String> = pods.iter().filter_map(name).collect();
        if names.is_empty() {
            let message = format!("Deployment {namespace}/{deployment} has no pods, so no log");
            return Err(Failed::because(Class::NotFound, message)
                .hint("where its log is kept elsewhere, give it as a file, or on standard input as `-`"));
        }
        Ok(names)
    }
}
