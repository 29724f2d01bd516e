//! What is left for later: BlueKing's part of a site comes up behind its registry, with images out of it, so that the first plans of a
//! site find no bkrepo, no helm repository and no PaaS yet.

use std::collections::BTreeMap;

use ferry_model::plan::{Desired, Platform, Resource, ResourceId, Waiting};

/// What waits for services.
#[derive(Debug, Default)]
pub(super) struct Waits {
    services: Vec<Service>,
    /// What waits, with the place of its service in that list.
    waiting: BTreeMap<ResourceId, usize>,
}

/// A service that cannot be looked at.
#[derive(Debug)]
struct Service {
    name: String,
    reason: String,
    /// How many of each kind wait for it.
    kinds: BTreeMap<Kind, usize>,
}

/// What is counted together, with what one is called, and many.
type Kind = (usize, &'static str, &'static str);

impl Waits {
    /// Lets a resource wait that cannot be looked at. Gives the reason back where it is part of no service that may come later.
    pub(super) fn with_service(&mut self, resource: &Resource, reason: String) -> Option<String> {
        if self.with_needs(resource) {
            return None;
        }
        let Some(name) = service(&resource.desired) else { return Some(reason) };
        let known = self.services.iter().position(|service| service.name == name);
        let at = known.unwrap_or_else(|| {
            self.services.push(Service { name, reason, kinds: BTreeMap::new() });
            self.services.len() - 1
        });
        self.add(resource, at);
        None
    }

    /// Lets a resource wait if it needs one that does. Gives whether it does.
    pub(super) fn with_needs(&mut self, resource: &Resource) -> bool {
        let found = resource.needs.iter().find_map(|need| self.waiting.get(need).copied());
        if let Some(at) = found {
            self.add(resource, at);
        }
        found.is_some()
    }

    fn add(&mut self, resource: &Resource, at: usize) {
        self.waiting.insert(resource.id(), at);
        *self.services[at].kinds.entry(kind(&resource.desired)).or_default() += 1;
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// All that wait, each with why.
    pub(super) fn unknown(&self) -> Vec<(ResourceId, String)> {
        let reason = |at: &usize| self.services[*at].reason.clone();
        self.waiting.iter().map(|(id, at)| (id.clone(), reason(at))).collect()
    }

    /// As a plan has it.
    pub(super) fn told(self) -> Vec<Waiting> {
        let told = |Service { name, reason, kinds }: Service| {
            let count = |((_, one, many), count): (Kind, usize)| match count {
                1 => format!("1 {one}"),
                count => format!("{count} {many}"),
            };
            let what = kinds.into_iter().map(count).collect::<Vec<_>>().join(", ");
            Waiting { service: name, reason, what }
        };
        self.services.into_iter().map(told).collect()
    }
}

/// The service that a resource is part of, where that may come later than the registry. Everything else must be seen before any plan.
fn service(desired: &Desired) -> Option<String> {
    let bkrepo = |url: &str| Some(format!("bkrepo at {url}"));
    let paas = |what: &str, platform: &Platform| Some(format!("{what} in namespace {}", platform.namespace));
    match desired {
        Desired::BkrepoProject(project) => bkrepo(&project.bkrepo),
        Desired::BkrepoRepository(repository) => bkrepo(&repository.bkrepo),
        Desired::Upload(upload) => bkrepo(&upload.bkrepo),
        Desired::ChartUpload(chart) => Some(format!("the helm repository at {}", chart.repository)),
        Desired::RedisEntries(redis) => paas("PaaS", &redis.platform),
        Desired::SaasPackage(package) => paas("PaaS", &package.platform),
        Desired::SaasModule(module) => paas("PaaS", &module.platform),
        Desired::AgentPlugins(plugins) => paas("node management", &plugins.platform),
        Desired::KeyPatch(patch) => Some(format!("{} {}", patch.object, patch.name)),
        Desired::SlugApp(slug) => paas("PaaS", &slug.platform),
        Desired::PullSecret(secret) => Some(format!("namespace {}", secret.name.namespace())),
        _ => None,
    }
}

fn kind(desired: &Desired) -> Kind {
    match desired {
        Desired::BkrepoProject(_) => (0, "project", "projects"),
        Desired::BkrepoRepository(_) => (1, "repository", "repositories"),
        Desired::Upload(_) => (2, "file", "files"),
        Desired::ChartUpload(_) => (3, "chart", "charts"),
        Desired::RedisEntries(_) => (4, "pool of Redis entries", "pools of Redis entries"),
        Desired::SaasPackage(_) => (5, "SaaS package", "SaaS packages"),
        Desired::SaasModule(_) => (6, "SaaS module", "SaaS modules"),
        Desired::AgentPlugins(_) => (7, "set of agent plug-ins", "sets of agent plug-ins"),
        Desired::KeyPatch(_) => (8, "patch", "patches"),
        Desired::PullSecret(_) => (9, "login for pods", "logins for pods"),
        Desired::SlugApp(_) => (10, "base image of SaaS", "base images of SaaS"),
        _ => (11, "other thing", "other things"),
    }
}
