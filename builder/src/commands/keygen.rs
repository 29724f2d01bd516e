use std::path::PathBuf;

use ferry_model::failure::ExitCode;
use serde::Serialize;

use super::Global;
use crate::Error;
use crate::document::{is_there, write_new};

/// Make a key pair to sign bundles with, in minisign's format
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example: ferry.key, to be kept, and ferry.pub, to be carried to the site\n  ferry-builder keygen ferry"
)]
pub(super) struct Args {
    /// Where to write: NAME.key and NAME.pub.
    #[arg(default_value = "ferry")]
    name: PathBuf,
    /// Encrypt the secret key with the password in FERRY_KEY_PASSWORD.
    #[arg(long)]
    encrypt: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Made {
    secret_key: PathBuf,
    public_key: PathBuf,
}

/// The password of an encrypted secret key.
pub(super) fn password() -> Option<String> {
    std::env::var("FERRY_KEY_PASSWORD").ok()
}

pub(super) fn run(args: &Args, global: &Global) -> Result<ExitCode, Error> {
    let password = match (args.encrypt, password()) {
        (true, None) => {
            return Err(Error::input("--encrypt needs a password", "set FERRY_KEY_PASSWORD"));
        }
        (true, some) => some,
        (false, _) => None,
    };
    let named = |ending: &str| {
        let mut name = args.name.clone().into_os_string();
        name.push(ending);
        PathBuf::from(name)
    };
    let made = Made { secret_key: named(".key"), public_key: named(".pub") };
    // Both or none: half a pair is of no use.
    if let Some(path) = [&made.secret_key, &made.public_key].into_iter().find(|path| path.exists()) {
        return Err(is_there(path));
    }
    let (secret, public) = ferry_bundle::generate_keys(password.as_deref())?;
    write_new(&made.secret_key, &secret, 0o600)?;
    write_new(&made.public_key, &public, 0o644)?;
    global.output.print(&made, || {
        format!(
            "Secret key: {}  (keep it where you build; `build --key` signs with it)\nPublic key: {}  (carry it to the site by another way; `--public-key` checks with it)",
            made.secret_key.display(),
            made.public_key.display()
        )
    });
    Ok(ExitCode::Done)
}
