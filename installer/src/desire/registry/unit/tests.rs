//! Golden unit files of the modes that systemd runs.

use ferry_model::catalog::Catalog;
use ferry_model::plan::{Content, Desired, ResourceId};
use ferry_model::site::Site;
use ferry_model::{Digest, ImageReference};
use serde_json::json;

use super::{argument_quoted, unit_name};
use crate::Error;
use crate::desire::{Desire, Facts, GivenCertificate, GivenFile, ImageFile, desire};
use crate::site::SiteFile;

#[test]
fn words_are_quoted_as_systemd_reads_them() {
    for (text, expect) in [
        ("/data/bundle.tar.zst", "/data/bundle.tar.zst"),
        ("/data/my bundle", "\"/data/my bundle\""),
        ("/data/100%", "\"/data/100%%\""),
        ("/a$b", "\"/a$$b\""),
        ("/a\"b\\c", "\"/a\\\"b\\\\c\""),
        ("/蓝鲸/包", "/蓝鲸/包"),
        ("/a;b", "\"/a;b\""),
        ("", "\"\""),
    ] {
        assert_eq!(argument_quoted(text).unwrap(), expect);
    }
    argument_quoted("/a\nExecStartPre=/bin/evil").unwrap_err();
}

#[test]
fn a_unit_has_a_name_that_stays_in_its_folder() {
    assert_eq!(unit_name("ferry-registry").unwrap(), "ferry-registry.service");
    assert_eq!(unit_name("ferry.service").unwrap(), "ferry.service");
    for bad in ["", "../evil", "a b", "a@b", ".service", "-a"] {
        unit_name(bad).unwrap_err();
    }
}

fn facts() -> Facts {
    Facts {
        program: "/opt/ferry/ferry-installer".into(),
        bundle: "/data/blueking.ferry".into(),
        catalog: Digest::of(b"catalog"),
        bundle_size: 1000,
        platform: "linux/amd64".parse().unwrap(),
        registry_program: Some(ImageFile {
            image: "registry:2".parse().unwrap(),
            path: "/bin/registry".into(),
            digest: Digest::of(b"program"),
            size: 7,
        }),
        certificate: None,
        product: ferry_model::site::Product::Auto,
        packages: std::collections::BTreeMap::new(),
        variables: std::collections::BTreeMap::new(),
        nodes: Vec::new(),
        virtual_nodes: Vec::new(),
        ingress: None,
    }
}

fn wanted(registry: &str, facts: &Facts) -> Result<Desire, crate::Error> {
    let text =
        format!("apiVersion: ferry/v1\nkind: Site\nname: dc1\nregistry:\n  address: r.corp:5000\n{registry}");
    let site = Site::parse(&text).unwrap();
    let site = SiteFile { path: "/srv/site.yaml".into(), site, digest: Site::digest(&text) };
    let catalog: Catalog = serde_json::from_value(json!({
        "formatVersion": "1.0", "name": "b", "version": "1", "lock": Digest::of(b"lock"),
        "images": [], "charts": [], "files": [], "blobs": [],
    }))
    .unwrap();
    desire(&catalog, &site, facts)
}

fn text(desire: &Desire, path: &str) -> String {
    let text = desire.resources.iter().find_map(|resource| match &resource.desired {
        Desired::File(file) if file.path.to_str() == Some(path) => match &file.content {
            Content::Text { text } => Some(text.clone()),
            _ => None,
        },
        _ => None,
    });
    text.unwrap_or_else(|| panic!("no {path}"))
}

fn unit(desire: &Desire) -> String {
    text(desire, "/etc/systemd/system/ferry-registry.service")
}

fn ids(desire: &Desire) -> Vec<String> {
    desire.resources.iter().map(|resource| resource.id().to_string()).collect()
}

const HARDENED: &str = "NoNewPrivileges=yes
PrivateTmp=yes
PrivateDevices=yes
ProtectHome=read-only
# The stricter one since systemd 232; before, it is refused and the first one stays.
ProtectSystem=full
ProtectSystem=strict
ProtectControlGroups=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
RestrictNamespaces=yes
RestrictRealtime=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
SystemCallArchitectures=native

[Install]
WantedBy=multi-user.target
";

#[test]
fn a_bundle_is_served_by_this_program() {
    let desire = wanted("  login: {user: me, password: {env: PW}}\n", &facts()).unwrap();
    let expected = format!(
        "# Written by ferry-installer; `ferry-installer rollback` takes it back.
# Keys that an older systemd does not know it leaves aside with a warning.
[Unit]
Description=Container registry: a Ferry bundle, served in place
Wants=network-online.target
After=network-online.target
RequiresMountsFor=/opt/ferry/ferry-installer /data/blueking.ferry /etc/ferry/registry

[Service]
ExecStart=/opt/ferry/ferry-installer serve /data/blueking.ferry --catalog-digest {} --listen 0.0.0.0:5000 --tls-cert /etc/ferry/registry/tls/server.crt --tls-key /etc/ferry/registry/tls/server.key --htpasswd /etc/ferry/registry/htpasswd
Restart=always
RestartSec=3
TimeoutStopSec=30
LimitNOFILE=65536
UMask=0077

# It only reads: root's right to read everything is all that it keeps of root.
CapabilityBoundingSet=CAP_DAC_READ_SEARCH CAP_NET_BIND_SERVICE
{HARDENED}",
        Digest::of(b"catalog")
    );
    assert_eq!(unit(&desire), expected);
    assert_eq!(
        ids(&desire),
        [
            "folder /etc",
            "folder /etc/ferry",
            "folder /etc/ferry/registry",
            "folder /etc/ferry/registry/tls",
            "certificates /etc/ferry/registry/tls",
            "file /etc/ferry/registry/htpasswd",
            "file /etc/systemd/system/ferry-registry.service",
            "unit ferry-registry.service",
            "endpoint r.corp:5000",
        ]
    );
    let unit = &desire.resources[7];
    for followed in
        ["certificates /etc/ferry/registry/tls", "file /etc/systemd/system/ferry-registry.service"]
    {
        assert!(unit.follows.iter().any(|id| id.as_str() == followed), "{followed}");
    }
    assert_eq!(desire.resources[8].needs, [ResourceId::new("unit", "ferry-registry.service")]);
    assert!(desire.by_hand.is_empty());
}

#[test]
fn plain_http_has_no_certificate_and_a_given_one_is_copied() {
    let desire = wanted("  plainHttp: true\n  serve: {listen: '::1'}\n", &facts()).unwrap();
    assert!(unit(&desire).contains("--listen [::1]:5000\n"));
    assert!(!ids(&desire).iter().any(|id| id.contains("tls")));
    let mut facts = facts();
    let given = "  certificate: c.pem\n  key: k.pem\n";
    wanted(given, &facts).unwrap_err();
    facts.certificate = Some(GivenCertificate { certificate: GivenFile::of(b"c"), key: GivenFile::of(b"k") });
    let desire = wanted(given, &facts).unwrap();
    let copied: Vec<_> = desire
        .resources
        .iter()
        .filter_map(|resource| match &resource.desired {
            Desired::File(file) => match &file.content {
                Content::Copy { path, digest, size: 1 } => Some((path.to_str().unwrap(), *digest, file.mode)),
                _ => None,
            },
            _ => None,
        })
        .collect();
    assert_eq!(copied, [("/srv/c.pem", Digest::of(b"c"), 0o644), ("/srv/k.pem", Digest::of(b"k"), 0o600)]);
}

#[test]
fn odd_paths_come_through_or_are_refused() {
    let mut facts = facts();
    facts.bundle = "/home/蓝 鲸/100%.ferry".into();
    let text = unit(&wanted("", &facts).unwrap());
    assert!(text.contains(" serve \"/home/蓝 鲸/100%%.ferry\" --catalog"), "{text}");
    assert!(text.contains("RequiresMountsFor=/opt/ferry/ferry-installer /etc/ferry/registry\n"), "{text}");
    facts.bundle = "/tmp/b.ferry".into();
    let desire = wanted("", &facts).unwrap();
    assert!(unit(&desire).contains("PrivateTmp=no\n") && desire.by_hand.len() == 1);
    facts.program = "/opt/100%/ferry".into();
    let error = wanted("", &facts).unwrap_err();
    assert!(error.to_string().contains("/opt/100%/ferry"), "{error}");
}

#[test]
fn names_are_mapped_only_where_images_are_pushed() {
    for mapping in ["  prefix: a\n", "  flatten: true\n", "  names: {'registry:2': 'a:1'}\n"] {
        let error = ferry_model::report::Failed::new(&wanted(mapping, &facts()).unwrap_err());
        assert!(error.hints[0].contains("`systemd`, `docker` or `existing`"), "{error:?}");
        let pushed = wanted(&format!("{mapping}  systemd: {{}}\n"), &facts());
        // The bundle of these tests has no images, so a name for one is a slip.
        assert!(matches!(pushed, Ok(_) | Err(Error::NameOfNothing { .. })), "{pushed:?}");
    }
}

#[test]
fn the_registrys_own_program_runs_from_its_copy() {
    let desire = wanted("  systemd: {storage: /data/reg istry}\n", &facts()).unwrap();
    let unit = unit(&desire);
    for line in [
        "ExecStart=/usr/local/lib/ferry/ferry-registry serve /etc/ferry/registry/config.yml\n",
        "RequiresMountsFor=/usr/local/lib/ferry/ferry-registry \"/data/reg istry\" /etc/ferry/registry\n",
        "ReadWriteDirectories=\"/data/reg istry\"\n",
        "CapabilityBoundingSet=CAP_NET_BIND_SERVICE\n",
        HARDENED,
    ] {
        assert!(unit.contains(line), "{line}: {unit}");
    }
    let config = text(&desire, "/etc/ferry/registry/config.yml");
    assert!(config.contains("/data/reg istry") && config.contains("/etc/ferry/registry/tls/server.crt"));
    let known = ids(&desire);
    for (one, other) in [
        ("folder /data", "folder /data/reg istry"),
        ("folder /usr/local/lib/ferry", "file /usr/local/lib/ferry/ferry-registry"),
        ("file /usr/local/lib/ferry/ferry-registry", "unit ferry-registry.service"),
    ] {
        let place = |name: &str| known.iter().position(|id| id == name).unwrap_or_else(|| panic!("{name}"));
        assert!(place(one) < place(other), "{one} comes before {other}");
    }
    let without = Facts { registry_program: None, ..facts() };
    wanted("  systemd: {}\n", &without).unwrap_err();
    let image: ImageReference = "registry:2".parse().unwrap();
    assert!(desire.resources.iter().any(|resource| matches!(&resource.desired,
        Desired::File(file) if matches!(&file.content, Content::Image { image: from, .. } if *from == image))));
}
