//! What is put into an object's `data` at the moment that it is sent: files of this machine, logins.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ferry_model::failure::Class;
use ferry_model::plan::Object;
use ferry_model::report::Failed;
use ferry_model::site::Login;
use ring::rand::{SecureRandom as _, SystemRandom};
use serde_json::{Value, json};

use crate::context::Context;
use crate::htpasswd;

/// The key of a password file; `password` and `user` are the parts of a login.
const HTPASSWD: &str = "htpasswd";

pub(super) trait Filled {
    /// Whether the files are there that it is filled from.
    fn is_fillable(&self, context: &Context) -> bool;

    /// The object as it is sent. Of `live`, what is a hash of the same password is kept: each hash is salted anew.
    async fn filled(&self, context: &Context, live: Option<&Value>) -> Result<Value, Failed>;
}

impl Filled for Object {
    fn is_fillable(&self, context: &Context) -> bool {
        self.data_files.values().all(|path| context.absolute(path).exists())
    }

    async fn filled(&self, context: &Context, live: Option<&Value>) -> Result<Value, Failed> {
        let mut filled = self.manifest.clone();
        let is_secret = filled["kind"] == "Secret";
        let encoded = |bytes: &[u8]| {
            if is_secret {
                Value::from(STANDARD.encode(bytes))
            } else {
                Value::from(String::from_utf8_lossy(bytes))
            }
        };
        if let Some(Value::Object(texts)) = filled.as_object_mut().and_then(|all| all.remove("stringData")) {
            for (key, text) in texts {
                put(&mut filled, &key, encoded(text.as_str().unwrap_or_default().as_bytes()));
            }
        }
        for (key, path) in &self.data_files {
            let path = context.absolute(path);
            let bytes =
                std::fs::read(&path).map_err(|error| super::super::file::local("reading", &path, &error))?;
            put(&mut filled, key, encoded(&bytes));
        }
        for (key, login) in &self.data_logins {
            let old = live.and_then(|live| live["data"][key].as_str());
            let old = old.and_then(|old| if is_secret { STANDARD.decode(old).ok() } else { None });
            let bytes = part(context, key, login, old.as_deref()).await?;
            put(&mut filled, key, encoded(bytes.as_bytes()));
        }
        for key in &self.data_random {
            let old = live.and_then(|live| live["data"][key].as_str()).filter(|old| !old.is_empty());
            let value = match old {
                Some(old) => Value::from(old),
                None => encoded(made_up()?.as_bytes()),
            };
            put(&mut filled, key, value);
        }
        Ok(filled)
    }
}

/// 256 bits that nobody can guess, as text.
fn made_up() -> Result<String, Failed> {
    let mut bytes = [0; 32];
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| Failed::because(Class::Local, "the operating system gives no random numbers"))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn put(object: &mut Value, key: &str, value: Value) {
    if !object["data"].is_object() {
        object["data"] = json!({});
    }
    object["data"][key] = value;
}

/// What belongs under `key`.
async fn part(context: &Context, key: &str, login: &Login, old: Option<&[u8]>) -> Result<String, Failed> {
    if key == "user" {
        return Ok(login.user.clone());
    }
    let password = context.secrets.get(&login.password).await?;
    if key != HTPASSWD {
        return Ok(password.reveal().to_owned());
    }
    let old = old.and_then(|old| std::str::from_utf8(old).ok());
    if let Some(old) = old
        && let Ok(file) = htpasswd::Htpasswd::parse(old)
        && file.users().eq([login.user.as_str()])
        && file.verify(&login.user, password.reveal())
    {
        return Ok(old.to_owned());
    }
    let line = htpasswd::entry(&login.user, password.reveal()).map_err(|problem| {
        Failed::because(Class::Input, format!("the login of {} cannot be used: {problem}", login.user))
    })?;
    Ok(format!("{line}\n"))
}
