//! What only this machine and this bundle's file know, gathered beforehand so that all that follows is pure.

use std::collections::BTreeMap;
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use ferry_bundle::smart::Package;
use ferry_model::site::{Mode, Product, Tls};
use ferry_model::{Digest, ImageReference, Platform};

use crate::Error;
use crate::cluster;
use crate::context::{Context, Manner};
use crate::desire::blueking::read_packages;
use crate::desire::cluster::needs_ingress;
use crate::desire::registry::detect;
use crate::export::host_platform;
use crate::fleet::{Listed, Member, members};
use crate::images::find_program;

/// What only this machine and this bundle's file know.
#[derive(Clone, Debug, PartialEq)]
pub struct Facts {
    /// This program's file.
    pub program: PathBuf,
    /// The bundle's file, absolute.
    pub bundle: PathBuf,
    /// The digest of the bundle's catalog.
    pub catalog: Digest,
    /// Bytes of the bundle's file, all volumes together.
    pub bundle_size: u64,
    /// The platform of this machine, for images that must run on it.
    pub platform: Platform,
    /// The registry's program in the bundle's image of it, where the mode needs that.
    pub registry_program: Option<ImageFile>,
    /// The certificate and key that the site file gives, where it does.
    pub certificate: Option<GivenCertificate>,
    /// Which product a registry is that is there already, where it shows.
    pub product: Product,
    /// What the SaaS packages say of themselves that the site file may mean, by the digest of each.
    pub packages: BTreeMap<Digest, Package>,
    /// The files of configuration variables that the site file names for SaaS, by their absolute paths.
    pub variables: BTreeMap<PathBuf, GivenFile>,
    /// The nodes that are set up.
    pub nodes: Vec<Member>,
    /// Nodes of the cluster that are no machines, and so are not.
    pub virtual_nodes: Vec<String>,
    /// The address of the cluster's ingress-nginx, where BlueKing's names lead nodes there.
    pub ingress: Option<IpAddr>,
}

/// A file in an image of the bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageFile {
    /// The image.
    pub image: ImageReference,
    /// The file's path in it, absolute.
    pub path: String,
    /// The digest of its bytes.
    pub digest: Digest,
    /// Its bytes.
    pub size: u64,
}

/// What a given certificate and its key are now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GivenCertificate {
    /// The certificate's file.
    pub certificate: GivenFile,
    /// The key's file.
    pub key: GivenFile,
}

/// What a file that the site file names is now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GivenFile {
    /// The digest of its bytes.
    pub digest: Digest,
    /// Its bytes.
    pub size: u64,
}

impl GivenFile {
    /// Of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self { digest: Digest::of(bytes), size: bytes.len() as u64 }
    }
}

impl Facts {
    /// Of this machine, and the bundle and site of `context`.
    pub async fn gather(context: &Context) -> Result<Self, Error> {
        let (bundle, site) = (context.bundle()?, &context.site);
        let program = std::env::current_exe().map_err(Error::io("finding", "this program"))?;
        let platform = host_platform();
        let registry = site.site.registry.as_ref();
        let registry_program = match registry.map(|registry| &registry.mode) {
            Some(Mode::Systemd(mode)) => Some(find_program(bundle, &mode.image, &platform)?),
            _ => None,
        };
        let certificate = match registry.map(|registry| &registry.tls) {
            Some(Tls::Given { certificate: Some((certificate, key)), .. }) => Some(GivenCertificate {
                certificate: given(&site.absolute(certificate))?,
                key: given(&site.absolute(key))?,
            }),
            _ => None,
        };
        let product = match registry {
            Some(registry) if is_to_be_found_out(&registry.mode) => {
                detect(&context.client(Manner::Brief).await?, registry).await
            }
            _ => Product::Auto,
        };
        let blueking = site.site.blueking.as_ref();
        let mut variables = BTreeMap::new();
        for path in
            blueking.iter().flat_map(|blueking| &blueking.saas).filter_map(|saas| saas.variables.as_ref())
        {
            let path = site.absolute(path);
            variables.insert(path.clone(), given(&path)?);
        }
        let listed = match &site.site.nodes.configure {
            Some(_) => members(context).await?,
            None => Listed::default(),
        };
        Ok(Self {
            program: absolute(&program)?,
            bundle: absolute(bundle.path())?,
            catalog: bundle.catalog_digest(),
            bundle_size: bundle.file_size(),
            platform,
            registry_program,
            certificate,
            product,
            packages: match blueking {
                Some(blueking) => read_packages(bundle, blueking, &site.state_folder())?,
                None => BTreeMap::new(),
            },
            variables,
            nodes: listed.machines,
            virtual_nodes: listed.virtual_nodes,
            ingress: ingress(context).await?,
        })
    }
}

/// Asked for only where it is needed and not said.
pub(crate) async fn ingress(context: &Context) -> Result<Option<IpAddr>, Error> {
    let site = &context.site.site;
    let is_said = site.nodes.configure.as_ref().is_none_or(|configure| configure.ingress.is_some());
    let is_needed = (!is_said && site.blueking.is_some()) || needs_ingress(&context.site);
    if !is_needed {
        return Ok(None);
    }
    let cluster = context.clusters.get(&cluster::Target::of(&context.site)).await?;
    Ok(cluster.summary().await?.ingress.and_then(|address| address.parse().ok()))
}

fn is_to_be_found_out(mode: &Mode) -> bool {
    matches!(mode, Mode::Existing(existing) if existing.product == Product::Auto)
}

fn absolute(path: &Path) -> Result<PathBuf, Error> {
    fs::canonicalize(path).map_err(Error::io("reading", path))
}

fn given(path: &Path) -> Result<GivenFile, Error> {
    fs::read(path).map(|bytes| GivenFile::of(&bytes)).map_err(Error::io("reading", path))
}
