//! Decides what becomes of each reference. Pure: what the bundle has, what stands in the text, what follows.

use ferry_model::Digest;
use ferry_references::{Found, How, Registry, Scope, is_split};

use super::chart::Chart;
use super::known::{Known, Match, Mirror, Name, Target};
use super::remark::{Kind, Said};

/// Decides what becomes of each reference of one text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Judge<'a> {
    pub(super) known: &'a Known,
    /// The chart whose own values the text is.
    pub(super) chart: Option<&'a Chart>,
    /// The names that kustomizations look for in the text, once for each way that they take it in.
    pub(super) ways: &'a [Vec<String>],
}

/// What becomes of a reference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    /// It gets its name at the site.
    Edit { to: ferry_references::Target, target: Target, said: Option<Said> },
    /// It has it already.
    Right(Target),
    /// It is at the site's registry, and the bundle knows nothing of it: the registry is to be asked.
    Foreign(Target),
    /// It stays as it is.
    Leave(Said),
}

/// What becomes of a registry that stands for several images.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ruling {
    /// It becomes this.
    Becomes(String),
    /// It is the site's.
    Site,
    /// It stays, and so do the images below it.
    Stays(Said),
}

/// What a text says of an image's tag.
enum Tag<'a> {
    Is(&'a str),
    /// The chart's version, unless somebody says otherwise.
    Perhaps(&'a str),
    Elsewhere,
}

impl Judge<'_> {
    /// Whether images come from a registry: its name says so, or the bundle has some of it. Schemas, packages and services have
    /// registries too.
    pub(super) fn is_of_images(&self, registry: &Registry) -> bool {
        let key = registry.place.path.rsplit(['.', '[']).next().unwrap_or_default();
        let key: String =
            key.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
        let host = registry.value.split('/').next().unwrap_or_default();
        ["image", "docker", "container"].iter().any(|word| key.contains(word))
            || matches!(key.as_str(), "registry" | "registryhost" | "registryaddress" | "hub" | "value")
            || self.known.is_site(host)
            || self.known.count_from(&registry.value) > 0
    }

    /// What becomes of a registry and the images below it.
    pub(super) fn rule(&self, scope: &Scope, below: &[&Found]) -> Ruling {
        let value = scope.value.as_str();
        let (registry, path) = value.split_once('/').unwrap_or((value, ""));
        if self.known.is_site(registry) {
            return Ruling::Site;
        }
        let problem = |message: String| Ruling::Stays(Said::problem(Kind::Registry, message));
        if below.is_empty() && self.known.count_from(value) == 0 {
            return problem(format!("the bundle has no image of {value}, and charts take theirs from there"));
        }
        let lacking: Vec<&Found> =
            below.iter().filter(|found| self.below(value, found).is_none()).copied().collect();
        if let Some(first) = lacking.first() {
            let (count, all) = (lacking.len(), below.len());
            return problem(format!(
                "it stands for {all} images of which the bundle lacks {count} (the first: {}, line {}): add them to the bundle, \
                 then set it to {}",
                first.named,
                first.place.line,
                self.base("")
            ));
        }
        if self.known.prefix().is_none() {
            return problem(format!(
                "it stands for the images below it, and {} does not keep their paths: give each its own registry and repository",
                self.known.address()
            ));
        }
        // The path stays with the registry where all images are below it at the site too.
        let bases = [self.base(path), self.base("")];
        let fits = |base: &&String| below.iter().all(|found| self.relative(value, base, found).is_some());
        match bases.iter().find(fits) {
            Some(base) => Ruling::Becomes(base.clone()),
            None => problem(format!(
                "images below it have names of their own at {}: give each its own registry and repository",
                self.known.address()
            )),
        }
    }

    /// What becomes of a reference below a registry that stands for several, or of one by itself.
    pub(super) fn judge(&self, found: &Found, scope: Option<(&Scope, &Ruling)>) -> Decision {
        if let Some(said) = self.kustomized(found) {
            return Decision::Leave(said);
        }
        let Some((scope, ruling)) = scope else { return self.by_itself(found) };
        let value = scope.value.as_str();
        match ruling {
            Ruling::Becomes(base) => match self.relative(value, base, found) {
                Some((relative, target)) => {
                    // A registry beside the image says the same, so that both ways of reading it agree.
                    let registry = found.named.registry.as_ref().map_or_else(String::new, |_| base.clone());
                    self.edit(found, target, registry, relative)
                }
                None => lacking(&format!("{value}/{}", found.named)),
            },
            Ruling::Site => self.named(found, Some(value), &found.named.repository),
            Ruling::Stays(_) => match self.below(value, found) {
                Some(_) => Decision::Leave(Said::note(
                    Kind::RegistryElsewhere,
                    format!("the bundle has it; its registry is what `{}` says", scope.place.path),
                )),
                None => self.named(found, Some(value), &found.named.repository),
            },
        }
    }

    /// What is said of a container's image that kustomizations look for by its name: they would find another no more.
    fn kustomized(&self, found: &Found) -> Option<Said> {
        let path = &found.place.path;
        let is_containers = path.ends_with(".image") && path.contains("ontainers[");
        if self.ways.is_empty() || !is_containers {
            return None;
        }
        let name = found.named.without_version().to_string();
        let count = self.ways.iter().filter(|names| names.contains(&name)).count();
        match count {
            0 => None,
            count if count == self.ways.len() => Some(Said::note(
                Kind::Kustomization,
                "it stays: a kustomization finds it by this name, and puts another in its place",
            )),
            count => Some(Said::problem(
                Kind::Kustomization,
                format!(
                    "it stays: {count} of {} kustomizations find it by this name, and the others leave it as it is: have all of \
                     them name it",
                    self.ways.len()
                ),
            )),
        }
    }

    fn by_itself(&self, found: &Found) -> Decision {
        let named = &found.named;
        let registry_is_said = found.spans.registry.as_ref().is_some_and(|span| !span.is_empty());
        if registry_is_said && named.registry.is_none() {
            return self.elsewhere(found);
        }
        let decision = self.named(found, named.registry.as_deref(), &named.repository);
        // `repository: blueking/bkrepo` alone may be a whole name, or need a registry that is said elsewhere.
        match decision {
            Decision::Leave(Said { kind: Kind::Lacking, .. })
                if is_split(found) && named.registry.is_none() =>
            {
                match self.elsewhere(found) {
                    Decision::Leave(Said { kind: Kind::Lacking, .. }) => decision,
                    elsewhere => elsewhere,
                }
            }
            Decision::Edit { target, .. } if self.is_override(found) => {
                Decision::Leave(self.needs_registry(found, &target))
            }
            decision => decision,
        }
    }

    /// Whether it overrides the repository alone of a chart that may have a registry to put before it: helm lays these values
    /// over the chart's own, which are not here.
    fn is_override(&self, found: &Found) -> bool {
        let path = &found.place.path;
        let is_in_pieces = is_split(found) || (found.spans.whole.is_none() && path.ends_with("].value"));
        let is_value = found.place.object.is_none()
            || path.to_ascii_lowercase().contains("values")
            || path.contains("parameters[");
        is_in_pieces
            && is_value
            && found.named.registry.is_none()
            && found.spans.registry.is_none()
            && self.chart.is_none_or(|chart| !chart.owns(path))
    }

    fn needs_registry(&self, found: &Found, target: &Target) -> Said {
        let (address, repository) = (self.known.address(), &target.repository);
        let key = found.place.path.rsplit('.').next().unwrap_or_default();
        let registry = match key.strip_suffix("repository").or_else(|| key.strip_suffix("repo")) {
            Some(stem) => format!("`{stem}registry`"),
            None if is_split(found) => "`imageRegistry`".to_owned(),
            None => "`registry`".to_owned(),
        };
        let also = match &found.named.repository {
            written if written == repository => String::new(),
            _ => format!(" and this to {repository}"),
        };
        let message = format!(
            "its chart may put a registry of its own before it: set {registry} beside it to {address}{also}, or, where the chart \
             knows no registry, this to {address}/{repository}"
        );
        Said::problem(Kind::RegistryElsewhere, message)
    }

    /// What becomes of a reference whose registry is known.
    fn named(&self, found: &Found, registry: Option<&str>, repository: &str) -> Decision {
        let find = |tag| {
            let name = Name::new(registry, repository, tag, found.named.digest.as_deref())?;
            Some(self.known.find(&name))
        };
        let written = match registry {
            Some(registry) if found.named.registry.is_none() => format!("{registry}/{}", found.named),
            _ => found.named.to_string(),
        };
        let matched = match self.tag(found) {
            Tag::Is(tag) => find(Some(tag)),
            Tag::Perhaps(tag) => match find(Some(tag)) {
                Some(Match::OtherTags(_) | Match::Foreign(_)) => find(None),
                other => other,
            },
            Tag::Elsewhere => find(None),
        };
        let Some(matched) = matched else { return lacking(&written) };
        match matched {
            Match::Held(target) => {
                let (registry, repository) = (self.known.address().to_owned(), target.repository.clone());
                self.edit(found, target, registry, repository)
            }
            Match::AnyTag { repository: Some(repository), tags } => {
                let target = Target::any_tag(repository.clone());
                let said = Said::note(
                    Kind::TagElsewhere,
                    format!("its tag is said elsewhere; the bundle has {}", list(&tags)),
                );
                let to = to(self.known.address().to_owned(), repository);
                Decision::Edit { to, target, said: Some(said) }
            }
            Match::AnyTag { repository: None, tags } => Decision::Leave(Said::problem(
                Kind::TagElsewhere,
                format!(
                    "its tag is said elsewhere, and its name at the site depends on it: the bundle has {}",
                    list(&tags)
                ),
            )),
            Match::Right(target) => Decision::Right(target),
            Match::Foreign(target) => Decision::Foreign(target),
            Match::OtherTags(tags) => self.mirrored(registry, || {
                Said::problem(
                    Kind::Lacking,
                    format!("the bundle lacks {written}; it has {} of it", list(&tags)),
                )
            }),
            Match::OtherDigest(has) => Decision::Leave(Said::problem(
                Kind::OtherDigest,
                format!("the bundle has {has} under that name, not the digest that is written"),
            )),
            Match::NotPushed(digest) => Decision::Leave(Said::problem(
                Kind::PlatformNotPushed,
                format!("{digest} is one platform's, and {} gets another one alone", self.known.address()),
            )),
            Match::Nothing => self.mirrored(registry, || lacks(&written)),
        }
    }

    /// What becomes of a reference whose registry a template says, or a value that is not here.
    fn elsewhere(&self, found: &Found) -> Decision {
        let named = &found.named;
        let digest = named.digest.as_deref().and_then(|digest| digest.parse::<Digest>().ok());
        let tag = self.written_tag(found);
        let find = |repository: &str| self.known.find_path(repository, tag, digest);
        let matched = match find(&named.repository) {
            Match::Nothing if !named.repository.contains('/') => {
                find(&format!("library/{}", named.repository))
            }
            matched => matched,
        };
        let repository = match matched {
            Match::Held(target) => Some(target.repository),
            Match::AnyTag { repository, .. } => repository,
            Match::OtherTags(tags) => {
                let message = format!("the bundle lacks {named}; it has {} of it", list(&tags));
                return Decision::Leave(Said::problem(Kind::Lacking, message));
            }
            // With a path before it, as a template or a variable may put one there, it may be one that the bundle has.
            _ if found.spans.registry.as_ref().is_some_and(|span| !span.is_empty()) => {
                let message = format!(
                    "its registry is said elsewhere, so it is unclear what it names; the bundle has no {named}"
                );
                return Decision::Leave(Said::note(Kind::RegistryElsewhere, message));
            }
            _ => return lacking(&named.to_string()),
        };
        let what = "its registry is said elsewhere";
        let base = self.base("");
        let message = match repository {
            Some(repository) if repository == self.below_base(&named.repository) => {
                format!("{what}: set that to {base}")
            }
            Some(repository) => {
                format!("{what}; at the site the image is {}/{repository}", self.known.address())
            }
            None => format!("{what}; what the image is called at the site depends on its tag"),
        };
        Decision::Leave(Said::note(Kind::RegistryElsewhere, message))
    }

    /// The image below a registry, where the bundle has it: its name, its repository at the site.
    fn below(&self, value: &str, found: &Found) -> Option<Target> {
        let (named, tag) = (&found.named, self.written_tag(found));
        match self.known.find(&Name::new(Some(value), &named.repository, tag, named.digest.as_deref())?) {
            Match::Held(target) => Some(target),
            Match::AnyTag { repository: Some(repository), .. } => Some(Target::any_tag(repository)),
            _ => None,
        }
    }

    /// What stands behind `base` for an image below a registry.
    fn relative(&self, value: &str, base: &str, found: &Found) -> Option<(String, Target)> {
        let target = self.below(value, found)?;
        let whole = format!("{}/{}", self.known.address(), target.repository);
        let relative = whole.strip_prefix(base)?.strip_prefix('/')?.to_owned();
        Some((relative, target))
    }

    /// The site's registry with what stands before all repositories there, and then `path`.
    fn base(&self, path: &str) -> String {
        let parts = [self.known.address(), self.known.prefix().unwrap_or_default(), path];
        parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/")
    }

    fn below_base(&self, repository: &str) -> String {
        match self.known.prefix() {
            Some("") | None => repository.to_owned(),
            Some(prefix) => format!("{prefix}/{repository}"),
        }
    }

    fn edit(&self, found: &Found, target: Target, registry: String, repository: String) -> Decision {
        // What is said elsewhere was looked for with that tag, or with none.
        let written = self.written_tag(found).or(target.tag.as_deref());
        let tag = target.tag.clone().filter(|tag| written != Some(tag));
        let digest = target.digest.map(|digest| digest.to_string());
        let digest = digest.filter(|digest| found.named.digest.as_ref() != Some(digest));
        let to = ferry_references::Target { tag, digest, ..to(registry, repository) };
        Decision::Edit { to, target, said: None }
    }

    /// What the bundle lacks may still come through a mirror that is not the bundle's.
    fn mirrored(&self, registry: Option<&str>, problem: impl FnOnce() -> Said) -> Decision {
        Decision::Leave(match self.known.mirror(registry.unwrap_or("docker.io")) {
            Some(Mirror::Further(mirror)) => Said::note(
                Kind::Mirrored,
                format!("the bundle lacks it; nodes pull it through a mirror, {mirror}, which must have it"),
            ),
            Some(Mirror::Own) | None => problem(),
        })
    }

    /// The tag that is meant; none where it is said elsewhere.
    fn written_tag<'a>(&'a self, found: &'a Found) -> Option<&'a str> {
        match self.tag(found) {
            Tag::Is(tag) => Some(tag),
            Tag::Perhaps(_) | Tag::Elsewhere => None,
        }
    }

    fn tag<'a>(&'a self, found: &'a Found) -> Tag<'a> {
        let is_said = found.spans.tag.as_ref().is_some_and(|span| !span.is_empty());
        match &found.named.tag {
            Some(tag) => Tag::Is(tag),
            None if is_said || found.named.digest.is_some() || found.how == How::Kustomization => {
                Tag::Elsewhere
            }
            None if is_split(found) => {
                let chart = self.chart.filter(|chart| chart.owns(&found.place.path));
                chart.and_then(Chart::app_version).map_or(Tag::Elsewhere, Tag::Perhaps)
            }
            None => Tag::Is("latest"),
        }
    }
}

fn to(registry: String, repository: String) -> ferry_references::Target {
    ferry_references::Target { registry, repository, tag: None, digest: None }
}

fn lacking(written: &str) -> Decision {
    Decision::Leave(lacks(written))
}

fn lacks(written: &str) -> Said {
    Said::problem(Kind::Lacking, format!("the bundle lacks {written}"))
}

fn list(tags: &[String]) -> String {
    match tags {
        [] => "it by digest alone".to_owned(),
        tags => tags.join(", "),
    }
}
