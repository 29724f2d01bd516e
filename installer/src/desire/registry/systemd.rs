//! The registry's program out of the bundle's own image of it, run by systemd: no container runtime is needed.

use std::path::Path;

use ferry_model::plan::{Content, Keep, Space};
use ferry_model::site::Systemd;

use super::config::{ConfigSettings, Storage, registry_config};
use super::files::{add_file, add_folder, common};
use super::room::bytes_to_store;
use super::unit::UnitFile;
use super::{Brought, Ground, port};
use crate::Error;
use crate::desire::Desire;

const TEMPLATE: &str = include_str!("../../../../manifests/deploy/ferry-registry.service");
const PROGRAMS: &str = "/usr/local/lib/ferry";

pub(super) fn bring_up(desire: &mut Desire, ground: &Ground<'_>, mode: &Systemd) -> Result<Brought, Error> {
    let registry = ground.registry;
    let Some(program) = &ground.facts.registry_program else {
        return Err(Error::Usage {
            problem: format!("the registry's program was not found in {}", mode.image),
            hint: "put `docker.io/library/registry:2` into the bundle's spec, or name its image by `systemd.image`".into(),
        });
    };
    let common = common(desire, ground)?;
    let storage = ground.site.absolute(&mode.storage);
    let reason = "the registry keeps images there";
    let storage_id = add_folder(desire, &storage, None, Keep::ForeignImages, reason);
    desire.space.push(Space::new(&storage, bytes_to_store(ground)));

    let programs = Path::new(PROGRAMS);
    let home = add_folder(desire, programs, None, Keep::Everything, "the registry's program lies there");
    // Two registries on one machine may come from two bundles.
    let path = programs.join(mode.unit.trim_end_matches(".service"));
    let content = Content::Image {
        image: program.image.clone(),
        path: program.path.clone(),
        digest: program.digest,
        size: program.size,
    };
    let reason = "systemd runs it";
    let program_id = add_file(desire, &path, 0o755, content, reason, [home]);
    desire.space.push(Space::new(programs, program.size));

    let host = match mode.listen {
        Some(std::net::IpAddr::V6(address)) => format!("[{address}]"),
        Some(address) => address.to_string(),
        None => String::new(),
    };
    let text = registry_config(&ConfigSettings {
        listen: format!("{host}:{}", port(&registry.address, registry)),
        storage: Storage::Folder(storage.clone()),
        certificate: common.certificate.clone(),
        htpasswd: common.htpasswd.clone(),
        proxy: None,
    });
    let config = common.folder.join("config.yml");
    let reason = "it says where the registry listens and keeps images";
    let config_id =
        add_file(desire, &config, 0o644, Content::Text { text }, reason, common.ids.iter().cloned());

    let unit = UnitFile {
        template: TEMPLATE,
        name: &mode.unit,
        program: &path,
        arguments: vec!["serve".to_owned(), config.display().to_string()],
        storage: Some(&storage),
        mounts: vec![&path, &storage, &common.folder],
    };
    let mut follows = common.ids;
    follows.extend([program_id, config_id, storage_id]);
    let unit = unit.add(desire, follows)?;
    Ok(Brought { needs: vec![unit], takes_images: true })
}
