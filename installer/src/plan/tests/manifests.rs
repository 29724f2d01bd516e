//! What `registry manifests` prints for each mode that is no cluster's, with BlueKing's settings beside it in the site file, which
//! are none of the registry's.

use std::fs;

use ferry_model::event::Events;
use ferry_transfer::Options;
use futures_util::FutureExt as _;

use super::{catalog, facts, folder, site};
use crate::context::Context;
use crate::desire::{Secrets, manifests, registry};

#[test]
fn golden_manifests() {
    let mut wrong = Vec::new();
    for name in ["serve", "docker", "systemd", "proxy", "marathon", "kubernetes"] {
        let mut file = site(name);
        file.site.blueking = Some(
            serde_json::from_value(
                serde_json::json!({"domain": "bkce7.example.com", "settings": "/data/settings"}),
            )
            .unwrap(),
        );
        let desire = registry(&catalog(), &file, &facts()).unwrap();
        let context = Context::new(file, None, Options::default(), Events::none());
        let text = manifests(&desire, &context, Secrets::Withheld)
            .now_or_never()
            .expect("nothing is asked for")
            .unwrap_or_else(|failed| panic!("{name}: {failed}"));
        let path = folder().join(format!("manifests/{name}.txt"));
        if std::env::var_os("FERRY_UPDATE_GOLDEN").is_some() {
            fs::create_dir_all(folder().join("manifests")).unwrap();
            fs::write(&path, &text).unwrap();
        }
        if fs::read_to_string(&path).unwrap_or_default() != text {
            wrong.push(format!("{name}:\n{text}"));
        }
    }
    assert!(wrong.is_empty(), "these are not what golden/manifests/*.txt says:\n{}", wrong.join("\n"));
}
