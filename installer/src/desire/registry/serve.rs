//! The bundle served where it lies, by this very program under systemd. Nothing is copied.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ferry_model::site::{Paths, Serve};

use super::files::common;
use super::unit::UnitFile;
use super::{Brought, Ground, port};
use crate::Error;
use crate::desire::Desire;

const TEMPLATE: &str = include_str!("../../../../manifests/deploy/ferry-serve.service");
const UNIT: &str = "ferry-registry";

pub(super) fn bring_up(desire: &mut Desire, ground: &Ground<'_>, mode: &Serve) -> Result<Brought, Error> {
    let (registry, facts) = (ground.registry, ground.facts);
    if registry.paths != Paths::Keep || !registry.names.is_empty() {
        return Err(Error::Usage {
            problem: "a bundle that is served in place keeps the names that it has".into(),
            hint: "leave out `prefix`, `flatten` and `names`, or choose a registry that images are pushed to: `systemd`, `docker` or `existing`".into(),
        });
    }
    let common = common(desire, ground)?;
    let address = mode.listen.unwrap_or(match registry.address.host().ip() {
        Some(IpAddr::V6(_)) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        _ => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
    });
    let listen = SocketAddr::new(address, port(&registry.address, registry));
    let mut arguments = vec!["serve".to_owned(), facts.bundle.display().to_string()];
    // The bundle that was checked, and no other that may come to lie there.
    arguments.extend(["--catalog-digest".to_owned(), facts.catalog.to_string()]);
    arguments.extend(["--listen".to_owned(), listen.to_string()]);
    if let Some((certificate, key)) = &common.certificate {
        arguments.extend(["--tls-cert".to_owned(), certificate.display().to_string()]);
        arguments.extend(["--tls-key".to_owned(), key.display().to_string()]);
    }
    if let Some(users) = &common.htpasswd {
        arguments.extend(["--htpasswd".to_owned(), users.display().to_string()]);
    }
    let unit = UnitFile {
        template: TEMPLATE,
        name: mode.unit.as_deref().unwrap_or(UNIT),
        program: &facts.program,
        arguments,
        storage: None,
        mounts: vec![&facts.program, &facts.bundle, &common.folder],
    };
    if unit.lies_in_tmp() {
        desire.by_hand.push(
            "the bundle or this program lies in a folder for temporary files, which a boot may empty: move it and apply again"
                .into(),
        );
    }
    let unit = unit.add(desire, common.ids)?;
    Ok(Brought { needs: vec![unit], takes_images: false })
}
