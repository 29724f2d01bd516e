//! What containers on DC/OS need that have a docker of their own, or are made by other containers: nobody can do that on nodes,
//! so it is written down for whoever defines them.

use ferry_model::node::{Name, NodeRegistry, Resolver, Security};

use super::Wanted;

/// The instructions, with the site's own registries.
pub(super) fn instructions(wanted: &Wanted) -> String {
    let desired = &wanted.desired;
    let has_authority = |registry: &&NodeRegistry| wanted.authorities.contains_key(&registry.address);
    let verified: Vec<&NodeRegistry> = desired.registries.iter().filter(has_authority).collect();
    let mut text = TOP.to_owned();
    for registry in &desired.registries {
        let how = match (&registry.security, has_authority(&registry)) {
            (Security::PlainHttp, _) => "plain HTTP".to_owned(),
            (Security::Unverified, _) => "HTTPS, certificate not checked".to_owned(),
            (Security::Https { .. }, true) => {
                format!("HTTPS, trusted through `/etc/docker/certs.d/{}`", registry.address)
            }
            (Security::Https { .. }, false) => "HTTPS, trusted by every system".to_owned(),
        };
        text.push_str(&format!("- `{}`: {how}\n", registry.address));
    }
    text.push_str(DOCKER);
    if !verified.is_empty() {
        text.push_str(VOLUME);
    }
    let flags: Vec<String> = desired.registries.iter().flat_map(flags).collect();
    if !flags.is_empty() {
        text.push_str(&format!("{FLAGS}\n```json\n{{ \"args\": [{}] }}\n```\n", flags.join(", ")));
    }
    if desired.resolver == Resolver::HostsFile && !desired.names.is_empty() {
        let lines = desired.names.iter().flat_map(parameters).collect::<Vec<_>>().join(",\n    ");
        text.push_str(&format!(
            "{NAMES}\n```json\n{{ \"container\": {{ \"docker\": {{ \"parameters\": [\n    {lines}\n] }} }} }}\n```\n"
        ));
    }
    text.push_str(JENKINS);
    if let Some(registry) = verified.first() {
        let address = &registry.address;
        text.push_str(&format!(
            "{TOOLS}\n```sh\ncurl --cacert /etc/docker/certs.d/{address}/ca.crt https://{address}/v2/\n```\n"
        ));
    }
    text
}

/// What a dockerd of one's own is started with.
fn flags(registry: &NodeRegistry) -> Vec<String> {
    let is_plain = registry.security == Security::PlainHttp;
    let mut flags = Vec::new();
    if is_plain || registry.security == Security::Unverified {
        flags.push(format!("\"--insecure-registry={}\"", registry.address));
    }
    let mirrors_hub = registry.mirrors.iter().any(|upstream| upstream.to_string() == "docker.io");
    if mirrors_hub && registry.prefix.is_empty() {
        let scheme = if is_plain { "http" } else { "https" };
        flags.push(format!("\"--registry-mirror={scheme}://{}\"", registry.address));
    }
    flags
}

fn parameters(name: &Name) -> impl Iterator<Item = String> {
    let value = |address| format!("{{ \"key\": \"add-host\", \"value\": \"{}:{address}\" }}", name.name);
    name.addresses.iter().map(value)
}

const TOP: &str = "\
# Containers on DC/OS that pull images themselves

Agents resolve, trust and mirror these registries already, and so pull for all that Marathon starts:

";

const DOCKER: &str = "
A container with a docker of its own (docker in docker, Jenkins agents that build images) has none of that. Where it can do with the
agent's, mount `/var/run/docker.sock` into it: then the agent's dockerd pulls, and nothing of what follows is needed. Whoever can use that
socket is root on the agent.

## Docker in docker
";

const VOLUME: &str = "
Its dockerd looks for authorities in the same folder as the agent's. Without this volume it says `x509: certificate signed by
unknown authority`:

```json
{ \"container\": { \"volumes\": [
    { \"containerPath\": \"/etc/docker/certs.d\", \"hostPath\": \"/etc/docker/certs.d\", \"mode\": \"RO\" }
] } }
```
";

const FLAGS: &str = "
It is told of registries that talk plain HTTP or go unchecked, and of mirrors, by its command line (image `docker:dind`):
";

const NAMES: &str = "
Names of Mesos-DNS and virtual addresses resolve in containers as well; the agent's `/etc/hosts` does not count there:
";

const JENKINS: &str = "
## Jenkins agents

Agents that Jenkins starts by itself get nothing of Jenkins' own definition. Give each of their templates (Manage Jenkins, Clouds,
Mesos, agent template, container) the same volumes, arguments and parameters as above. In Dockerfiles that they build, `FROM` names
the registry: `FROM REGISTRY/base/image:tag`.
";

const TOOLS: &str = "
Tools in a container that talk to the registry by themselves (curl, skopeo, kaniko) take the authority from the same volume:
";
