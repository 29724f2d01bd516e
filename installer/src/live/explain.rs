//! Why an image does not come, and what to do about it: what the runtime said, held against what the bundle, the site file and
//! the registry say.

use super::cause::Cause;
use super::names::{Names, Presence, Whose, mirror_lines, reference};
use super::pulls::{NodeFacts, Pull};
use crate::context::Context;
use crate::rewrite::known::{Match, Name};

/// Why an image does not come, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Explanation {
    /// One sentence without its full stop.
    pub(super) why: String,
    /// Commands and lines, in the order in which they help.
    pub(super) fix: Vec<String>,
}

/// Containers that wait for one image, for one cause.
#[derive(Clone, Debug)]
pub(super) struct Group<'a> {
    pub(super) image: &'a str,
    pub(super) cause: Cause,
    pub(super) pulls: Vec<&'a Pull>,
}

/// What explanations are made from.
pub(super) struct Explainer<'a> {
    pub(super) context: &'a Context,
    pub(super) names: &'a Names,
    pub(super) nodes: &'a std::collections::BTreeMap<String, NodeFacts>,
    pub(super) kubectl: String,
}

impl Group<'_> {
    /// The nodes, sorted.
    pub(super) fn nodes(&self) -> Vec<String> {
        let nodes = self.pulls.iter().map(|pull| pull.node.clone()).filter(|node| !node.is_empty());
        nodes.collect::<std::collections::BTreeSet<_>>().into_iter().collect()
    }

    fn on_nodes(&self) -> String {
        match self.nodes().as_slice() {
            [] => "the nodes".to_owned(),
            [one] => one.clone(),
            [one, other] => format!("{one} and {other}"),
            [one, rest @ ..] => format!("{one} and {} more nodes", rest.len()),
        }
    }
}

impl Explainer<'_> {
    pub(super) async fn explain(&self, group: &Group<'_>) -> Explanation {
        if let Some(explanation) = self.of_the_node(group) {
            return explanation;
        }
        match self.names.whose(group.image) {
            Whose::Nobodys => no_name(group.image),
            Whose::Outside(name) => self.outside(group, &name).await,
            Whose::Site(name) => self.at_site(group, &name).await,
            Whose::Further(name) => self.by_cause(group, &name, None),
        }
    }

    /// What is wrong wherever the image would come from.
    fn of_the_node(&self, group: &Group<'_>) -> Option<Explanation> {
        let nodes = group.on_nodes();
        let names = |node: &String| self.nodes.get(node).is_some_and(|facts| facts.disk_pressure);
        let full: Vec<String> = group.nodes().into_iter().filter(names).collect();
        match group.cause {
            Cause::InvalidName => Some(no_name(group.image)),
            Cause::NeverPulled => Some(Explanation {
                why: format!(
                    "the pod forbids to pull it (imagePullPolicy: Never), and {nodes} does not have it under this very name"
                ),
                fix: vec![
                    format!(
                        "on {nodes}: ferry-installer export {} {} --name {} -o - | ctr -n k8s.io images import -   (docker: | docker load)",
                        self.names.bundle(),
                        group.image,
                        group.image
                    ),
                    "or let the pod pull it: imagePullPolicy: IfNotPresent".to_owned(),
                ],
            }),
            Cause::NoSpace => Some(Explanation {
                why: match full.as_slice() {
                    [] => format!("the disk of {nodes} that holds images is full"),
                    full => format!(
                        "the disk of {} is full, as its kubelet says too (DiskPressure)",
                        full.join(", ")
                    ),
                },
                fix: vec![format!(
                    "on {nodes}: make room, `crictl rmi --prune` or `docker image prune -a` for images that nobody uses; the kubelet pulls again by itself"
                )],
            }),
            _ => None,
        }
    }

    async fn outside(&self, group: &Group<'_>, name: &Name) -> Explanation {
        let (registry, found) = (&name.registry, self.names.find(name));
        let still = format!("it still points at {registry}, {}", reach(group.cause));
        match found {
            None if self.names.address().is_empty() => Explanation {
                why: format!("{still}; the site file has no `registry`"),
                fix: vec![
                    "name the site's registry in the site file, and run this again with --bundle".into(),
                ],
            },
            None => Explanation {
                why: format!("{still}; whether the bundle has it is not known without the bundle"),
                fix: vec![format!("{} --bundle BUNDLE", self.command("status --cluster"))],
            },
            Some(Match::Held(target)) => {
                let at_site = self.names.at_site(&target);
                let asked_by = reference(target.tag.as_deref(), target.digest);
                let presence = self.names.presence(self.context, &target.repository, &asked_by).await;
                if self.names.is_mirrored(registry) {
                    return self.mirrored(group, registry, &at_site, &presence);
                }
                let (mut fix, mut pushed) = (Vec::new(), "");
                if presence == Presence::Missing {
                    fix.push(self.push());
                    pushed = ", which is not pushed yet";
                }
                fix.push(format!(
                    "{} --bundle {} --apply",
                    self.command("rewrite --cluster"),
                    self.names.bundle()
                ));
                fix.push(format!("or, without touching workloads: {}", self.mirror(registry)));
                Explanation { why: format!("{still}; the site has it as {at_site}{pushed}"), fix }
            }
            Some(Match::OtherTags(tags)) if !tags.is_empty() => Explanation {
                why: format!("{still}; the bundle has other tags of it: {}", tags.join(", ")),
                fix: vec![format!("let the workload use one of those, or {}", add(group.image))],
            },
            Some(Match::OtherDigest(digest)) => Explanation {
                why: format!("{still}; the bundle has the tag with another digest: {digest}"),
                fix: vec![format!("let the workload use that digest, or {}", add(group.image))],
            },
            Some(_) => Explanation {
                why: format!("{still}; it is not in the bundle"),
                fix: vec![add(group.image), format!("then {}", self.push())],
            },
        }
    }

    /// Nodes shall pull it from the site's registry, whatever its name, and do not.
    fn mirrored(&self, group: &Group<'_>, registry: &str, at_site: &str, presence: &Presence) -> Explanation {
        let nodes = group.on_nodes();
        match presence {
            Presence::Missing => Explanation {
                why: format!(
                    "nodes pull {registry}'s images from {}, which does not have {at_site} yet; the bundle does",
                    self.names.address()
                ),
                fix: vec![self.push()],
            },
            Presence::There => Explanation {
                why: format!(
                    "nodes shall pull {registry}'s images from {}, which has {at_site}; {nodes} did not get it there",
                    self.names.address()
                ),
                fix: vec![format!("{}   (sets up nodes that are not, and checks each)", self.apply())],
            },
            Presence::Unknown(why) => Explanation {
                why: format!(
                    "nodes pull {registry}'s images from {}, which does not tell whether it has {at_site}: {why}",
                    self.names.address()
                ),
                fix: vec![self.command("status")],
            },
        }
    }

    async fn at_site(&self, group: &Group<'_>, name: &Name) -> Explanation {
        let registry = &name.registry;
        let asked_by = reference(name.tag.as_deref(), name.digest);
        let presence = self.names.presence(self.context, &name.repository, &asked_by).await;
        let found = self.names.find(name);
        let is_in_bundle = matches!(found, Some(Match::Right(_) | Match::Held(_)));
        if let (Cause::NotFound | Cause::Login | Cause::Unknown, Presence::Missing) = (group.cause, &presence)
        {
            // Some registries say "denied" of what they do not have.
            return match found {
                _ if is_in_bundle => Explanation {
                    why: format!(
                        "{registry} does not have it; the bundle does: it was not pushed, or was removed since"
                    ),
                    fix: vec![self.push()],
                },
                None => Explanation {
                    why: format!(
                        "{registry} does not have it; whether the bundle does is not known without the bundle"
                    ),
                    fix: vec![format!("{} --bundle BUNDLE", self.command("status --cluster"))],
                },
                Some(_) => Explanation {
                    why: format!("neither {registry} nor the bundle has it"),
                    fix: vec![add(group.image), format!("then {}", self.push())],
                },
            };
        }
        self.by_cause(group, name, Some(&presence))
    }

    /// By what was said alone, with what this machine gets as an answer.
    fn by_cause(&self, group: &Group<'_>, name: &Name, presence: Option<&Presence>) -> Explanation {
        let (registry, nodes) = (&name.registry, group.on_nodes());
        let setup = self.set_up_nodes();
        let (why, fix) = match group.cause {
            Cause::Resolution => (format!("the name of {registry} does not resolve on {nodes}"), setup),
            Cause::Certificate => (format!("{nodes} does not trust the certificate of {registry}"), setup),
            Cause::PlainHttp => {
                (format!("{registry} talks plain HTTP, and {nodes} is not told to: it wants HTTPS"), setup)
            }
            Cause::Login => self.login(group, registry),
            Cause::Platform => (self.platform(group), vec![
                "in the spec: `platforms:` with that platform, then build, carry and apply the bundle again".to_owned(),
            ]),
            Cause::NotFound | Cause::Unknown if presence == Some(&Presence::There) => {
                (format!("{registry} has it by now"), vec![self.again(group)])
            }
            Cause::NotFound => (format!("{registry} does not have it"), vec![self.push()]),
            Cause::RateLimit => (
                format!("{registry} lets only so many pulls through in a time"),
                vec!["wait: the kubelet pulls again by itself; or raise the limit there".to_owned()],
            ),
            Cause::Unreachable => match presence {
                Some(Presence::There) => (
                    format!("{registry} does not answer {nodes}, and it does answer here: something between them stops it"),
                    vec![format!("see to routes and firewalls from {nodes} to {registry}, then: {}", self.again(group))],
                ),
                _ => (format!("{registry} does not answer"), vec![self.command("status"), self.command("plan BUNDLE")]),
            },
            Cause::NoRegistry => (
                "it names no registry, and the runtime does not guess one".to_owned(),
                vec!["write the registry into the name".to_owned()],
            ),
            _ => {
                let is_told = group.pulls.iter().any(|pull| !is_back_off(&pull.said));
                let why = if is_told {
                    "the runtime says why in words that are not known here"
                } else {
                    "no event says why any more; the next try leaves another"
                };
                (why.to_owned(), vec![self.describe(group)])
            }
        };
        Explanation { why, fix }
    }

    fn login(&self, group: &Group<'_>, registry: &str) -> (String, Vec<String>) {
        let mut secrets: Vec<&str> =
            group.pulls.iter().flat_map(|pull| pull.secrets.iter().map(String::as_str)).collect();
        secrets.sort_unstable();
        secrets.dedup();
        let mut namespaces: Vec<&str> = group.pulls.iter().map(|pull| pull.namespace.as_str()).collect();
        namespaces.sort_unstable();
        namespaces.dedup();
        let why = if secrets.is_empty() {
            format!("{registry} asks for a login, and the pods give none (imagePullSecrets)")
        } else {
            format!("{registry} does not take the login of {}", secrets.join(", "))
        };
        let fix = format!(
            "in the site file: cluster: {{pullSecrets: [{{name: registry-login, namespaces: [{}]}}]}}, then {}",
            namespaces.join(", "),
            self.apply()
        );
        (why, vec![fix])
    }

    fn platform(&self, group: &Group<'_>) -> String {
        let mut kinds: Vec<&str> = group
            .nodes()
            .iter()
            .filter_map(|node| self.nodes.get(node))
            .map(|facts| facts.architecture.as_str())
            .filter(|architecture| !architecture.is_empty())
            .collect();
        kinds.sort_unstable();
        kinds.dedup();
        let nodes = group.on_nodes();
        if kinds.is_empty() {
            format!("the image is for other processors than that of {nodes}")
        } else {
            format!("the image is not for {}, which {nodes} is", kinds.join(" and "))
        }
    }

    fn set_up_nodes(&self) -> Vec<String> {
        if self.names.are_nodes_configured() {
            return vec![format!("{}   (sets up nodes that are not, and checks each)", self.apply())];
        }
        vec![format!("in the site file: nodes: {{configure: true}}, with the nodes; then {}", self.apply())]
    }

    fn mirror(&self, registry: &str) -> String {
        let configure = self.context.site.site.nodes.configure.as_ref();
        let lines = mirror_lines(configure, &[registry.to_owned()]);
        let lines: Vec<&str> = lines.iter().map(|line| line.trim()).collect();
        format!("in the site file: nodes: {{{}}}, then {}", lines[1..].join(", "), self.apply())
    }

    fn push(&self) -> String {
        self.apply()
    }

    fn apply(&self) -> String {
        format!("ferry-installer apply {} --site {}", self.names.bundle(), self.context.site.path.display())
    }

    fn command(&self, what: &str) -> String {
        format!("ferry-installer {what} --site {}", self.context.site.path.display())
    }

    fn again(&self, group: &Group<'_>) -> String {
        let pull = group.pulls[0];
        format!(
            "the kubelet pulls again within 5 minutes; at once: {} -n {} delete pod {}",
            self.kubectl, pull.namespace, pull.pod
        )
    }

    fn describe(&self, group: &Group<'_>) -> String {
        let pull = group.pulls[0];
        format!("{} -n {} describe pod {}", self.kubectl, pull.namespace, pull.pod)
    }
}

/// Whether nothing is said but that it is tried again later.
fn is_back_off(said: &str) -> bool {
    said.is_empty() || (said.starts_with("Back-off pulling image") && !said.contains("\": "))
}

fn no_name(image: &str) -> Explanation {
    Explanation {
        why: format!("`{image}` is no image name"),
        fix: vec!["correct it where it comes from: the workload, or the values of its chart".to_owned()],
    }
}

fn add(image: &str) -> String {
    format!("add `- {image}` to `images:` in the spec, and build and carry the bundle again")
}

/// What becomes of a pull from outside.
fn reach(cause: Cause) -> &'static str {
    match cause {
        Cause::Resolution => "whose name does not resolve here",
        Cause::Unreachable => "which does not answer here",
        Cause::RateLimit => "which lets only so many pulls through",
        Cause::Login => "which asks for a login or does not have it",
        Cause::NotFound => "which does not have it",
        Cause::Certificate => "whose certificate is not trusted: something here answers in its place",
        Cause::PlainHttp => "which answers in plain HTTP: something here answers in its place",
        Cause::Platform => "which has it for other processors only",
        _ => "which is not the site's registry",
    }
}
