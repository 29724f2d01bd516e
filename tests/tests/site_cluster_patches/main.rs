//! What of a cluster others made and Ferry changes: names in its DNS, keys of ConfigMaps and Secrets, service accounts. The whole
//! program, against the API server in this process; with `cargo xtask test --cluster`, against a real one too.

mod base_image;
mod cut_off;
mod ground;
mod keys;
mod login;
mod marks;
mod names;
mod put_back;

use anyhow::{Result, ensure};
use ferry_tests::parts::{ApiServer, table_of};

use ground::{COREDNS, COREFILE, Corefiles, Ground, NAMES, PATCHES, data, install_coredns, install_envs};
use login::give_login;

/// One server: starting it takes longer than the tests.
#[test]
fn a_real_api_server_is_treated_the_same() -> Result<()> {
    let Some(server) = ApiServer::start()? else { return Ok(()) };
    let ground = Ground::new(|_| server.kubeconfig())?;
    install_coredns(&server, "coredns", COREFILE)?;
    ground.site(NAMES)?;
    ground.apply().succeed()?.says("not proven")?;
    let named = server.corefile(COREDNS)?;
    ensure!(table_of(&named).len() == 2, "{named}");
    ground.apply().succeed()?.prints("nothing to do")?;
    ground.run(&["rollback"]).succeed()?;
    ensure!(server.corefile(COREDNS)? == COREFILE);

    install_envs(&server)?;
    let before = data(&server)?;
    // No controller is there that would start pods anew.
    let nobody = PATCHES.replace("    set:", "    restart: false\n    set:");
    ground.site(&nobody)?;
    ground.apply().succeed()?;
    ensure!(data(&server)?.0["NEW"] == "1");
    ground.apply().succeed()?.prints("nothing to do")?;
    ground.run(&["rollback"]).succeed()?;
    ensure!(data(&server)? == before);
    give_login(&server, &ground)?;

    let nobody = Ground::new(|_| server.kubeconfig_of_nobody())?;
    nobody.site(NAMES)?;
    nobody.apply().fail_with(1)?.says("deployments")?;
    Ok(())
}
