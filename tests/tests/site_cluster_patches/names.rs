//! Names in the cluster's DNS.

use anyhow::{Context as _, Result, ensure};
use ferry_tests::parts::table_of;
use serde_json::json;

use super::ground::{
    COREDNS, COREFILE, Corefiles, Ground, NAMES, config_map, install_coredns, is_marked, serve, template,
};

pub(crate) const K3S: &str = ".:53 {
    errors
    kubernetes cluster.local
    hosts /etc/coredns/NodeHosts {
      ttl 60
      fallthrough
    }
    forward . /etc/resolv.conf
    reload
    import /etc/coredns/custom/*.override
}
import /etc/coredns/custom/*.server
";
const OF_NODES: &str = "cluster.local:53 {
    forward . __PILLAR__CLUSTER__DNS__
}
.:53 {
    prometheus :9253
    forward . __PILLAR__UPSTREAM__SERVERS__
    reload
}
";

#[test]
fn names_are_answered_and_taken_out_again() -> Result<()> {
    let (cluster, ground) = Ground::fake()?;
    install_coredns(&*cluster, "coredns", COREFILE)?;
    let server = serve(&cluster, COREDNS)?;
    ground.site(NAMES)?;
    ground.run(&["plan", "bundle"]).succeed()?.prints("+        10.0.0.5 registry.corp")?;
    ensure!(cluster.writes().is_empty(), "{:?}", cluster.writes());
    ground.apply().succeed()?;
    // The names with a mark, and the mark taken away when they were answered.
    ensure!(cluster.writes() == [COREDNS; 2].map(|path| format!("PUT {path}")), "{:?}", cluster.writes());
    ensure!(!is_marked(&*cluster, COREDNS)?, "the mark is still there");
    // Three questions with the right answer, after one at least that had the old one.
    ensure!(server.asked() > 3, "its servers were asked {} times", server.asked());
    let named = cluster.corefile(COREDNS)?;
    ensure!(table_of(&named)["bkrepo.corp"] == ["10.0.0.6".parse::<std::net::IpAddr>()?], "{named}");
    ground.apply().succeed()?.prints("nothing to do")?;
    ensure!(cluster.writes().len() == 2, "{:?}", cluster.writes());
    ground.run(&["rollback"]).succeed()?;
    ensure!(cluster.corefile(COREDNS)? == COREFILE, "{}", cluster.corefile(COREDNS)?);

    // What others have changed since stays.
    ground.apply().succeed()?;
    let changed = cluster.corefile(COREDNS)?.replace("cache 30", "cache 60 # ours");
    cluster.apply_as("ops", &config_map("kube-system", "coredns", &json!({"Corefile": changed})))?;
    ground.apply().succeed()?.prints("nothing to do")?;
    ground.run(&["rollback"]).succeed()?;
    ensure!(cluster.corefile(COREDNS)? == COREFILE.replace("cache 30", "cache 60 # ours"));
    Ok(())
}

/// A second run stands on the first: taking it back leaves the first one's names.
#[test]
fn a_later_run_is_taken_back_to_the_one_before() -> Result<()> {
    let (cluster, ground) = Ground::fake()?;
    install_coredns(&*cluster, "coredns", COREFILE)?;
    ground.site(NAMES)?;
    ground.apply().succeed()?.says("not proven")?;
    let first = cluster.corefile(COREDNS)?;
    ground.site("  dns: {names: {registry.corp: [10.0.0.9]}}\n")?;
    ground.apply().succeed()?;
    let second = cluster.corefile(COREDNS)?;
    ensure!(
        !second.contains("10.0.0.5") && !second.contains("bkrepo") && second.contains("10.0.0.9"),
        "{second}"
    );
    let theirs = format!("# theirs\n{second}");
    cluster.apply_as("ops", &config_map("kube-system", "coredns", &json!({"Corefile": theirs})))?;
    ground.run(&["rollback"]).succeed()?;
    let back = cluster.corefile(COREDNS)?;
    ensure!(back.starts_with("# theirs\n") && table_of(&back) == table_of(&first), "{back}");
    Ok(())
}

#[test]
fn what_others_say_is_told_and_only_replaced_when_asked() -> Result<()> {
    let (cluster, ground) = Ground::fake()?;
    let theirs = COREFILE.replace(
        "    forward",
        "    hosts {\n        10.9.9.9 registry.corp other.corp\n        fallthrough\n    }\n    forward",
    );
    install_coredns(&*cluster, "coredns", &theirs)?;
    ground.site(NAMES)?;
    ground.apply().fail_with(1)?.says("registry.corp is 10.9.9.9")?;
    ensure!(cluster.writes().is_empty() && cluster.corefile(COREDNS)? == theirs);
    ground.site(&NAMES.replace("{names", "{replace: true, names"))?;
    ground.apply().succeed()?;
    let named = cluster.corefile(COREDNS)?;
    ensure!(named.contains("10.9.9.9 other.corp\n") && !named.contains("10.9.9.9 registry.corp"), "{named}");
    ground.run(&["rollback"]).succeed()?;
    ensure!(cluster.corefile(COREDNS)? == theirs);
    Ok(())
}

#[test]
fn somebody_who_is_faster_loses_nothing() -> Result<()> {
    let (cluster, ground) = Ground::fake()?;
    install_coredns(&*cluster, "coredns", COREFILE)?;
    ground.site(NAMES)?;
    cluster.interfere(3);
    ground.apply().succeed()?;
    ensure!(cluster.writes().len() == 5, "{:?}", cluster.writes());
    let live = cluster.object(COREDNS).context("it is there")?;
    ensure!(live["metadata"]["annotations"]["others"] == "xxx", "{live}");
    ensure!(live["data"]["Corefile"].as_str().is_some_and(|text| text.contains("registry.corp")));
    Ok(())
}

#[test]
fn servers_that_do_not_reload_start_anew() -> Result<()> {
    let (cluster, ground) = Ground::fake()?;
    let fixed = COREFILE.replace("    reload\n", "");
    install_coredns(&*cluster, "coredns", &fixed)?;
    ground.site(NAMES)?;
    let template = || template(&*cluster, "kube-system", "coredns");
    let before = template()?;
    ground.apply().succeed()?;
    let after = template()?;
    ensure!(after.pointer("/metadata/annotations/ferry~1restarted-for").is_some(), "{after}");
    ground.run(&["rollback"]).succeed()?;
    ensure!(cluster.corefile(COREDNS)? == fixed && template()? == before, "{}", template()?);
    Ok(())
}

#[test]
fn every_distribution_has_its_own_ways() -> Result<()> {
    for (name, corefile) in
        [("coredns", K3S), ("rke2-coredns-rke2-coredns", COREFILE), ("by-its-volume", COREFILE)]
    {
        let (cluster, ground) = Ground::fake()?;
        install_coredns(&*cluster, name, corefile)?;
        cluster
            .apply_as("k", &config_map("kube-system", "node-local-dns", &json!({"Corefile": OF_NODES})))?;
        ground.site(NAMES)?;
        ground.apply().succeed()?.says("NodeLocal DNS")?;
        let (main, nodes) = (
            format!("/api/v1/namespaces/kube-system/configmaps/{name}"),
            "/api/v1/namespaces/kube-system/configmaps/node-local-dns",
        );
        for path in [main.as_str(), nodes] {
            let text = cluster.corefile(path)?;
            let blocks = text.lines().filter(|line| line.trim_start().starts_with("hosts ")).count();
            ensure!(blocks == 1, "{text}");
            ensure!(table_of(&text).len() == 2, "{path}: {text}");
        }
        ground.apply().succeed()?.prints("nothing to do")?;
        ground.run(&["rollback"]).succeed()?;
        ensure!(cluster.corefile(&main)? == corefile && cluster.corefile(nodes)? == OF_NODES, "{name}");
    }
    Ok(())
}

/// A second `hosts` block would keep CoreDNS from starting.
#[test]
fn hosts_that_are_imported_are_told() -> Result<()> {
    let (cluster, ground) = Ground::fake()?;
    let imports = COREFILE.replace("    reload", "    import custom/*.override\n    reload");
    install_coredns(&*cluster, "coredns", &imports)?;
    let custom = json!({"theirs.override": "hosts {\n    10.9.9.9 a.corp\n    fallthrough\n}\n"});
    cluster.apply_as("k", &config_map("kube-system", "coredns-custom", &custom))?;
    ground.site(NAMES)?;
    ground.apply().fail_with(1)?.says("has a `hosts` in theirs.override")?;
    ensure!(cluster.corefile(COREDNS)? == imports);
    let other = json!({"theirs.override": "log\n"});
    cluster.apply_as("k", &config_map("kube-system", "coredns-custom", &other))?;
    ground.apply().succeed()?;
    Ok(())
}

/// Names that NodeLocal DNS passes on to CoreDNS are not written there.
#[test]
fn node_local_dns_that_asks_coredns_is_left_alone() -> Result<()> {
    let (cluster, ground) = Ground::fake()?;
    install_coredns(&*cluster, "coredns", COREFILE)?;
    let passes_on = OF_NODES.replace("__PILLAR__UPSTREAM__SERVERS__", "__PILLAR__CLUSTER__DNS__");
    cluster.apply_as("k", &config_map("kube-system", "node-local-dns", &json!({"Corefile": passes_on})))?;
    ground.site(NAMES)?;
    ground.apply().succeed()?;
    ensure!(cluster.corefile("/api/v1/namespaces/kube-system/configmaps/node-local-dns")? == passes_on);
    Ok(())
}
