//! `registry:2` on DC/OS: the definition of a Marathon app, written out, and posted where an endpoint is given.

use ferry_model::plan::{App, Content, Desired, Resource};
use ferry_model::site::{Marathon, Tls};
use serde_json::{Map, Value, json};

use super::files::{Common, add_file, common, push};
use super::room::elsewhere;
use super::{Brought, Ground};
use crate::Error;
use crate::desire::Desire;

/// Where the container sees certificate, key and password file.
const CERTIFICATES: &str = "/certs";
const STORAGE: &str = "/var/lib/registry";
const PORT: u16 = 5000;
const FILE: &str = "docker-registry.json";

pub(super) fn bring_up(desire: &mut Desire, ground: &Ground<'_>, mode: &Marathon) -> Result<Brought, Error> {
    check(mode)?;
    let common = common(desire, ground)?;
    let definition = definition(ground, mode, &common);
    let text = serde_json::to_string_pretty(&definition).expect("JSON can be written as JSON") + "\n";
    let path = ground.site.absolute(mode.file.as_deref().unwrap_or(FILE.as_ref()));
    let reason = "it is the app's definition";
    let file = add_file(desire, &path, 0o644, Content::Text { text }, reason, []);
    left_by_hand(desire, ground, mode, &common);
    let Some(endpoint) = &mode.endpoint else {
        desire.by_hand.push(format!(
            "post the app: `dcos marathon app add {0}`, or `curl -X POST -H 'Content-Type: application/json' --data @{0} http://MASTER:8080/v2/apps`; then say `endpoint` and apply again, which pushes the images",
            path.display()
        ));
        return Ok(Brought { needs: vec![file], takes_images: false });
    };
    let app = App { endpoint: endpoint.trim_end_matches('/').to_owned(), definition };
    let app = Resource::new(Desired::App(app), "Marathon runs the registry and keeps it running");
    let app = push(desire, app.after([file]).after(common.ids));
    Ok(Brought { needs: vec![app], takes_images: true })
}

/// What Marathon would refuse later, and less clearly.
fn check(mode: &Marathon) -> Result<(), Error> {
    let wrong = |problem: String, hint: &str| Err(Error::Usage { problem, hint: hint.to_owned() });
    let is_part = |part: &str| {
        !part.is_empty()
            && part.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.".contains(c))
            && !part.starts_with(['-', '.'])
            && !part.ends_with(['-', '.'])
    };
    if !mode.id.strip_prefix('/').is_some_and(|id| id.split('/').all(is_part)) {
        let problem = format!("`id: {}` is no id of an app", mode.id.escape_debug());
        return wrong(problem, "begin it with `/`, and use lower case, digits and `-`: /infra/registry");
    }
    if let Some(vip) = &mode.vip
        && !vip.rsplit_once(':').is_some_and(|(name, port)| !name.is_empty() && port.parse::<u16>().is_ok())
    {
        let problem = format!("`vip: {}` is no virtual address", vip.escape_debug());
        return wrong(problem, "write an address and a port: 192.168.0.1:443");
    }
    Ok(())
}

fn definition(ground: &Ground<'_>, mode: &Marathon, common: &Common) -> Value {
    let has_files = common.certificate.is_some() || common.htpasswd.is_some();
    let mut volumes = vec![json!({"containerPath": STORAGE, "hostPath": mode.storage, "mode": "RW"})];
    if has_files {
        volumes.push(json!({"containerPath": CERTIFICATES, "hostPath": mode.certificates, "mode": "RO"}));
    }
    let protocol = if common.certificate.is_some() { "HTTPS" } else { "HTTP" };
    let mut port = json!({
        "containerPort": PORT, "hostPort": 0, "protocol": "tcp", "servicePort": mode.service_port,
    });
    if let Some(vip) = vip(ground, mode) {
        port["labels"] = json!({"VIP_0": vip});
    }
    json!({
        "id": mode.id,
        "cpus": mode.cpus,
        "mem": mode.memory,
        "disk": 0,
        "instances": 1,
        // The images lie on that agent alone.
        "constraints": [["hostname", "CLUSTER", mode.agent]],
        "container": {
            "type": "DOCKER",
            "docker": {
                "image": mode.image.to_string(),
                "forcePullImage": false,
                "privileged": false,
                "network": "BRIDGE",
                "portMappings": [port],
            },
            "volumes": volumes,
        },
        "env": environment(common),
        "labels": {"HAPROXY_GROUP": mode.haproxy_group},
        // Answers 200 without a login, and 503 while storage cannot be reached.
        "healthChecks": [{
            "protocol": protocol, "path": "/", "portIndex": 0,
            "gracePeriodSeconds": 60, "intervalSeconds": 20, "timeoutSeconds": 10, "maxConsecutiveFailures": 3,
        }],
        // A second one beside the first would write to the same folder.
        "upgradeStrategy": {"minimumHealthCapacity": 0, "maximumOverCapacity": 0},
    })
}

/// The virtual address that agents reach the registry at.
fn vip(ground: &Ground<'_>, mode: &Marathon) -> Option<String> {
    let address = &ground.registry.address;
    let own = || {
        address.host().ip().map(|_| match address.port() {
            Some(_) => address.to_string(),
            None => format!("{address}:{}", super::port(address, ground.registry)),
        })
    };
    mode.vip.clone().or_else(own)
}

fn environment(common: &Common) -> Value {
    let mut environment = Map::new();
    let mut set = |name: &str, value: String| environment.insert(name.to_owned(), Value::from(value));
    // registry:3 looks for a collector of traces unless it is told that there is none.
    set("OTEL_TRACES_EXPORTER", "none".into());
    set("REGISTRY_STORAGE_DELETE_ENABLED", "true".into());
    if common.certificate.is_some() {
        set("REGISTRY_HTTP_TLS_CERTIFICATE", format!("{CERTIFICATES}/server.crt"));
        set("REGISTRY_HTTP_TLS_KEY", format!("{CERTIFICATES}/server.key"));
    }
    if common.htpasswd.is_some() {
        set("REGISTRY_AUTH", "htpasswd".into());
        set("REGISTRY_AUTH_HTPASSWD_REALM", "ferry".into());
        set("REGISTRY_AUTH_HTPASSWD_PATH", format!("{CERTIFICATES}/htpasswd"));
    }
    Value::Object(environment)
}

fn left_by_hand(desire: &mut Desire, ground: &Ground<'_>, mode: &Marathon, common: &Common) {
    let agent = &mode.agent;
    let mut files: Vec<String> = Vec::new();
    if let Some((certificate, key)) = &common.certificate {
        files.extend([certificate.display().to_string(), key.display().to_string()]);
    }
    files.extend(common.htpasswd.as_ref().map(|path| path.display().to_string()));
    if !files.is_empty() {
        let (files, folder) = (files.join(" "), mode.certificates.display());
        desire.by_hand.push(format!(
            "copy what the registry needs to its agent before it starts there: `ssh {agent} mkdir -p -m 0700 {folder} && scp {files} {agent}:{folder}/`"
        ));
    }
    desire.by_hand.push(format!(
        "bring the registry's image to its agent, since no registry is there yet: `ferry-installer export BUNDLE {0} -o - --name {0} | ssh {agent} docker load`",
        mode.image
    ));
    desire.by_hand.push(elsewhere(ground, &mode.storage, &format!("agent {agent}")));
    let address = &ground.registry.address;
    if ground.registry.tls == Tls::PlainHttp {
        desire.by_hand.push(format!(
            "let docker on all agents speak plain HTTP with {address}: `insecure-registries` of /etc/docker/daemon.json"
        ));
    } else if let Some(authority) = ground.site.authority() {
        desire.by_hand.push(format!(
            "have docker on all agents trust {}: copy it to /etc/docker/certs.d/{address}/ca.crt on each",
            authority.display()
        ));
    }
    if vip(ground, mode).is_some() {
        desire.by_hand.push(
            "let all agents follow connections to the virtual address to their end: `sysctl -w net.netfilter.nf_conntrack_tcp_be_liberal=1`, and in /etc/sysctl.d for the next boot"
                .into(),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::desire::registry::tests::{desire_of, texts};

    const SITE: &str = "registry:\n  address: 192.168.0.1\n  login: {user: ferry, password: {env: PW}}\n  marathon: {agent: 192.168.1.80";

    #[test]
    fn the_app_is_what_dcos_takes() {
        let desire = desire_of(&format!("{SITE}, endpoint: 'http://192.168.1.69:8080/'}}\n")).unwrap();
        let app = desire.resources.iter().find_map(|resource| match &resource.desired {
            Desired::App(app) => Some(app),
            _ => None,
        });
        let app = app.unwrap();
        assert_eq!(app.endpoint, "http://192.168.1.69:8080");
        let expected: Value = serde_json::from_str(include_str!("marathon/app.json")).unwrap();
        assert_eq!(app.definition, expected, "{:#}", app.definition);
        assert!(desire.resources.iter().any(|resource| matches!(resource.desired, Desired::Image(_))));
        let by_hand = desire.by_hand.join("\n");
        for expected in [
            "scp /etc/ferry/registry/tls/server.crt",
            "docker load",
            "certs.d/192.168.0.1/ca.crt",
            "be_liberal",
        ] {
            assert!(by_hand.contains(expected), "{expected}: {by_hand}");
        }
        let written = texts(&desire).remove("/site/docker-registry.json").unwrap();
        assert_eq!(serde_json::from_str::<Value>(&written).unwrap(), expected);
    }

    #[test]
    fn without_an_endpoint_the_definition_is_only_written() {
        let desire = desire_of(&format!("{SITE}}}\n")).unwrap();
        let is_file = |resource: &Resource| {
            matches!(
                &resource.desired,
                Desired::File(_) | Desired::Folder(_) | Desired::Certificates(_) | Desired::Htpasswd(_)
            )
        };
        assert!(desire.resources.iter().all(is_file), "{:#?}", desire.resources);
        assert!(desire.by_hand.iter().any(|sentence| sentence.contains("dcos marathon app add")));
    }

    #[test]
    fn what_marathon_would_refuse_is_refused_here() {
        for (setting, expected) in [
            ("id: registry", "id of an app"),
            ("id: /Reg_istry", "id of an app"),
            ("vip: 1.2.3.4", "virtual"),
        ] {
            let error = desire_of(&format!("{SITE}, {setting}}}\n")).unwrap_err();
            assert!(error.to_string().contains(expected), "{error}");
        }
    }
}
