//! `app_desc.yaml` in its three forms.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::Module;

/// The module of an application that has only one.
const DEFAULT: &str = "default";
/// The most modules that are believed; bk_sops, the largest known, has four.
const MAX_MODULES: usize = 1000;

/// What the three forms have in common.
#[derive(Debug)]
pub(super) struct Described {
    pub(super) app_code: String,
    pub(super) version: String,
    pub(super) spec_version: u8,
    pub(super) modules: Vec<Module>,
}

/// Enough to tell the forms apart. Numbers are read as texts: a version like `1.10` is not 1.1.
#[derive(Deserialize)]
struct Head {
    #[serde(default, alias = "specVersion")]
    spec_version: Option<String>,
    #[serde(default)]
    app_code: Option<String>,
}

#[derive(Deserialize)]
struct First {
    app_code: String,
    #[serde(default)]
    version: Option<String>,
    #[serde(default)]
    language: Option<String>,
}

#[derive(Deserialize)]
struct Second {
    #[serde(default)]
    app_version: Option<String>,
    app: SecondApp,
    #[serde(default)]
    modules: Option<BTreeMap<String, SecondModule>>,
    #[serde(default)]
    module: Option<SecondModule>,
}

#[derive(Deserialize)]
struct SecondApp {
    bk_app_code: String,
}

#[derive(Deserialize)]
struct SecondModule {
    #[serde(default)]
    source_dir: Option<String>,
    #[serde(default)]
    language: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Third {
    #[serde(default)]
    app_version: Option<String>,
    app: ThirdApp,
    #[serde(default)]
    modules: Option<Vec<ThirdModule>>,
    #[serde(default)]
    module: Option<ThirdModule>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ThirdApp {
    bk_app_code: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ThirdModule {
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    source_dir: Option<String>,
    #[serde(default)]
    language: Option<String>,
}

pub(super) fn parse(text: &str) -> Result<Described, String> {
    let head: Head = yaml(text)?;
    let (spec_version, app_code, version, modules) = match head.spec_version.as_deref() {
        None | Some("1") if head.app_code.is_some() => {
            let first: First = yaml(text)?;
            (1, first.app_code, first.version, vec![module(DEFAULT.into(), None, first.language)])
        }
        Some("2") => {
            let second: Second = yaml(text)?;
            let several = second.modules.unwrap_or_default().into_iter();
            let several = several.chain(second.module.map(|only| (DEFAULT.to_owned(), only)));
            let modules = several.map(|(name, one)| module(name, one.source_dir, one.language)).collect();
            (2, second.app.bk_app_code, second.app_version, modules)
        }
        Some("3") => {
            let third: Third = yaml(text)?;
            let several = third.modules.unwrap_or_default().into_iter().chain(third.module);
            let modules = several
                .map(|one| module(one.name.unwrap_or_else(|| DEFAULT.into()), one.source_dir, one.language));
            (3, third.app.bk_app_code, third.app_version, modules.collect())
        }
        Some(other) => return Err(format!("spec_version {} is not known", clip(other))),
        None => return Err("it has neither spec_version nor app_code".to_owned()),
    };
    let modules: Vec<Module> = modules;
    if modules.len() > MAX_MODULES {
        return Err(format!("it has {} modules", modules.len()));
    }
    let version = version.filter(|version| !version.trim().is_empty());
    let version = version.ok_or("it does not say the version (`app_version`, in form 3 `appVersion`)")?;
    if !is_code(&app_code) {
        return Err(format!("`{}` is no application code", clip(&app_code)));
    }
    if let Some(module) = modules.iter().find(|module| !is_module(&module.name)) {
        return Err(format!("`{}` is no name of a module", clip(&module.name)));
    }
    // It becomes the tag of the images that PaaS makes.
    if version.len() > 128 || !version.chars().all(|c| c.is_ascii_alphanumeric() || "._-+".contains(c)) {
        return Err(format!("`{}` is no version", clip(&version)));
    }
    let mut modules = modules;
    modules.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(Described { app_code, version, spec_version, modules })
}

fn yaml<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, String> {
    serde_saphyr::from_str(text).map_err(|error| clip(&error.without_snippet().to_string()))
}

fn module(name: String, source_dir: Option<String>, language: Option<String>) -> Module {
    let source_dir = crate::tarball::member_name(&source_dir.unwrap_or_default());
    Module { name, source_dir, language: language.map(|language| language.to_ascii_lowercase()) }
}

/// As PaaS checks codes of S-Mart packages (`AppIDSMartField`).
fn is_code(text: &str) -> bool {
    let letter = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    (3..=20).contains(&text.len())
        && text.chars().all(letter)
        && !text.starts_with(|c: char| c.is_ascii_digit() || c == '-')
        && !text.ends_with('-')
}

/// As PaaS checks names of modules (`ModuleNameField`). They become parts of namespaces and of repositories.
fn is_module(text: &str) -> bool {
    (1..=16).contains(&text.len())
        && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_'))
}

fn clip(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(200).collect()
}
