//! Why what the site file asks of PaaS cannot be done with this bundle.

use ferry_bundle::smart::SmartError;
use ferry_model::failure::{Class, Failure};

/// Why what the site file asks of PaaS cannot be done with this bundle.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BluekingError {
    /// An application without a package.
    #[error("`blueking.saas` names {app}, and the bundle has no SaaS package of it")]
    NoPackage {
        /// The application.
        app: String,
        /// Those that have one.
        known: Vec<String>,
    },
    /// An application with more than one.
    #[error("`blueking.saas` names {app}, and the bundle has {} packages of it: {}", files.len(), files.join(", "))]
    SeveralPackages {
        /// The application.
        app: String,
        /// The packages.
        files: Vec<String>,
    },
    /// A package that is not what it is called.
    #[error("{file} is {catalog} by the bundle's catalog, and {package} by its own description")]
    OtherPackage {
        /// The package.
        file: String,
        /// What the catalog says.
        catalog: String,
        /// What it says itself.
        package: String,
    },
    /// A module that an application does not have.
    #[error("`blueking.saas` names module {module} of {app}, which has {}", known.join(", "))]
    NoModule {
        /// The application.
        app: String,
        /// The module.
        module: String,
        /// Those that it has.
        known: Vec<String>,
    },
    /// Variables for an application whose `default` module is not deployed.
    #[error("`blueking.saas` gives {app} variables, which go to its module default, and deploys only {}", modules.join(", "))]
    VariablesOfNoModule {
        /// The application.
        app: String,
        /// The modules that are deployed.
        modules: Vec<String>,
    },
    /// More than one exclusive Redis entry of one server.
    #[error(
        "`blueking.redisPool` asks for {entries} entries of plan 1exclusive, which would all be the same server"
    )]
    SharedExclusively {
        /// How many.
        entries: u32,
    },
    /// A package that cannot be read.
    #[error("{file}")]
    Unreadable {
        /// The package.
        file: String,
        /// Why.
        source: SmartError,
    },
}

impl Failure for BluekingError {
    fn class(&self) -> Class {
        match self {
            Self::NoPackage { .. }
            | Self::SeveralPackages { .. }
            | Self::OtherPackage { .. }
            | Self::NoModule { .. }
            | Self::VariablesOfNoModule { .. }
            | Self::SharedExclusively { .. } => Class::Input,
            Self::Unreadable { source, .. } => source.class(),
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::NoPackage { known, .. } if known.is_empty() => {
                vec!["the bundle has no SaaS packages: name them under `saas` in its spec".into()]
            }
            Self::NoPackage { known, .. } => vec![format!("it has packages of {}", known.join(", "))],
            Self::SeveralPackages { .. } => vec!["build the bundle with one version of it".into()],
            Self::OtherPackage { .. } => {
                vec![
                    "correct `name` and `version` of its entry in the bundle's spec, or take the right file"
                        .into(),
                ]
            }
            Self::NoModule { .. } => vec!["without `modules`, all are deployed".into()],
            Self::VariablesOfNoModule { .. } => {
                vec!["add `default` to its `modules`, or leave `modules` out to deploy all".into()]
            }
            Self::SharedExclusively { .. } => vec![
                "say `entries: 1`: an exclusive instance is given to one application, so a server must not be in the pool twice".into(),
                "or take plan 0shared, whose entries may be the same server".into(),
            ],
            Self::Unreadable { source, .. } => source.hints(),
        }
    }
}
