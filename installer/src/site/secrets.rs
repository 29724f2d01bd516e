//! Secrets, fetched where the site file says they are, at the moment that they are needed.

use std::fmt;
use std::fs;
use std::path::PathBuf;

use ferry_model::failure::Class;
use ferry_model::report::Failed;
use ferry_model::site::SecretSource;

/// A secret. It shows nothing of itself.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The secret's text, for whoever must send or write it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// Fetches secrets.
#[derive(Clone, Debug)]
pub struct Secrets {
    /// What relative paths begin at.
    folder: PathBuf,
    /// The cluster that Kubernetes secrets are read from.
    cluster: crate::cluster::Target,
}

impl Secrets {
    /// For a site file in `folder`, with the cluster it names.
    pub fn new(folder: impl Into<PathBuf>, cluster: crate::cluster::Target) -> Self {
        Self { folder: folder.into(), cluster }
    }

    /// The secret that `source` names.
    pub async fn get(&self, source: &SecretSource) -> Result<Secret, Failed> {
        let failed = |problem: String| {
            Failed::because(Class::Input, format!("the secret in {source} cannot be had: {problem}"))
        };
        let text = match source {
            SecretSource::Environment(name) => std::env::var(name).map_err(|_| {
                failed("it is not set".into()).hint(format!("export {name}=… and run it again"))
            })?,
            SecretSource::File(path) => {
                let path = self.folder.join(path);
                fs::read_to_string(&path).map_err(|error| failed(format!("{}: {error}", path.display())))?
            }
            SecretSource::Kubernetes { namespace, name, key } => {
                let bytes = self.cluster.secret(namespace, name, key).await?;
                String::from_utf8(bytes).map_err(|_| failed("it is not text".into()))?
            }
        };
        let text =
            text.strip_suffix('\n').map_or(text.as_str(), |text| text.strip_suffix('\r').unwrap_or(text));
        if text.is_empty() {
            return Err(failed("it is empty".into()));
        }
        Ok(Secret(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn files_lose_their_last_line_break() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("pw"), "s3cret \r\n").unwrap();
        fs::write(folder.path().join("empty"), "\n").unwrap();
        let secrets = Secrets::new(folder.path(), crate::cluster::Target::default());
        let secret = secrets.get(&SecretSource::File("pw".into())).await.unwrap();
        assert_eq!((secret.reveal(), format!("{secret:?}").as_str()), ("s3cret ", "Secret"));
        for (source, expected) in [
            (SecretSource::File("empty".into()), "empty"),
            (SecretSource::File("nowhere".into()), "nowhere"),
            (SecretSource::Environment("FERRY_TEST_NOT_SET".into()), "FERRY_TEST_NOT_SET"),
        ] {
            let failed = secrets.get(&source).await.unwrap_err();
            assert!(failed.message.contains(expected), "{failed}");
        }
    }
}
