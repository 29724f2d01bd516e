//! Who uploads: as the site file says, or as PaaS does.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ferry_model::failure::Class;
use ferry_model::report::Failed;
use ferry_model::site::{Access, Bkrepo, PaasSecret};
use ferry_transfer::BkrepoLogin;

use super::secret::{self, PaasLogin};
use crate::cluster::{Clusters, Place, Target};
use crate::site::Secrets;

/// Keys of the Secret that have user and password each by itself: PaaS's own user first, then bkrepo's administrator.
const SEPARATE: [(&str, &str); 2] = [
    ("BLOBSTORE_BKREPO_USERNAME", "BLOBSTORE_BKREPO_PASSWORD"),
    ("ADMIN_BKREPO_USERNAME", "ADMIN_BKREPO_PASSWORD"),
];

/// Fetches the login that the site file names.
pub(crate) async fn login(
    section: &Bkrepo,
    secrets: &Secrets,
    clusters: &Clusters,
    target: &Target,
) -> Result<BkrepoLogin, Failed> {
    Ok(match &section.access {
        Access::Anonymous => BkrepoLogin::Anonymous,
        Access::Login(login) => BkrepoLogin::Basic {
            user: login.user.clone(),
            password: secrets.get(&login.password).await?.reveal().to_owned(),
        },
        Access::Platform(platform) => BkrepoLogin::Platform {
            access_key: secrets.get(&platform.access_key).await?.reveal().to_owned(),
            secret_key: secrets.get(&platform.secret_key).await?.reveal().to_owned(),
            user: platform.user.clone(),
        },
        Access::PaasSecret(secret) => {
            let PaasLogin { user, password } = from_cluster(clusters, target, secret).await?;
            BkrepoLogin::Basic { user, password }
        }
    })
}

async fn from_cluster(clusters: &Clusters, target: &Target, named: &PaasSecret) -> Result<PaasLogin, Failed> {
    let PaasSecret { namespace, name, key } = named;
    let cluster = clusters.get(target).await?;
    let found = cluster.get(&Place::core("Secret", namespace, name)).await?;
    let Some(found) = found else {
        let message = format!(
            "there is no Secret {namespace}/{name} in {}, which should say whom PaaS uploads as",
            cluster.name()
        );
        return Err(Failed::because(Class::NotFound, message)
            .hint(
                "install PaaS (bkpaas3) first, or say who uploads: `bkrepo: {login: {user: …, password: …}}`",
            )
            .hint(format!("`{} -n {namespace} get secrets` lists what is there", target.kubectl())));
    };
    let data = found["data"].as_object();
    let text = |value: &serde_json::Value| String::from_utf8(STANDARD.decode(value.as_str()?).ok()?).ok();
    let keys: BTreeMap<&str, String> =
        data.into_iter().flatten().filter_map(|(key, value)| Some((key.as_str(), text(value)?))).collect();
    from_keys(&keys, key).map_err(|problem| {
        Failed::because(Class::Input, format!("Secret {namespace}/{name}, key {key}: {problem}"))
            .hint(format!("`{} -n {namespace} get secret {name} -o yaml` shows its keys", target.kubectl()))
            .hint("or say who uploads: `bkrepo: {login: {user: …, password: …}}`")
    })
}

/// The login in a Secret's keys: the table in `key`, or user and password in keys of their own.
fn from_keys(keys: &BTreeMap<&str, String>, key: &str) -> Result<PaasLogin, String> {
    let table = match keys.get(key) {
        Some(text) => secret::parse(text).map_err(|problem| problem.to_string()),
        None => Err("there is no such key".to_owned()),
    };
    table.or_else(|problem| {
        let value = |name: &str| keys.get(name).map(|text| text.trim()).filter(|text| !text.is_empty());
        let separate = SEPARATE.iter().find_map(|(user, password)| Some((value(user)?, value(password)?)));
        let (user, password) = separate.ok_or(problem)?;
        Ok(PaasLogin { user: user.to_owned(), password: password.to_owned() })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logins_in_secrets() {
        let keys = |pairs: &[(&'static str, &str)]| -> BTreeMap<&'static str, String> {
            pairs.iter().map(|(key, value)| (*key, (*value).to_owned())).collect()
        };
        let user = |pairs: &[(&'static str, &str)]| {
            from_keys(&keys(pairs), "CONFIG").map(|login| format!("{}:{}", login.user, login.password))
        };
        let table = ("CONFIG", "{USERNAME='bkpaas3', PASSWORD='blueking'}");
        let admin = [("ADMIN_BKREPO_USERNAME", "admin"), ("ADMIN_BKREPO_PASSWORD", "secret\n")];
        assert_eq!(user(&[table, admin[0], admin[1]]), Ok("bkpaas3:blueking".into()));
        assert_eq!(user(&admin), Ok("admin:secret".into()));
        let own = [("BLOBSTORE_BKREPO_USERNAME", "own"), ("BLOBSTORE_BKREPO_PASSWORD", "x")];
        assert_eq!(user(&[admin[0], admin[1], own[0], own[1], ("CONFIG", "junk")]), Ok("own:x".into()));
        assert_eq!(user(&[admin[0]]), Err("there is no such key".into()));
        let problem = user(&[("CONFIG", "{USERNAME='bkpaas3'}")]).unwrap_err();
        assert!(problem.contains("PASSWORD") && !problem.contains("bkpaas3"), "{problem}");
    }
}
