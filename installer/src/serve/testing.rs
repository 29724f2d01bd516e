//! A sample bundle, and requests to a server over it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Method, Request};
use ferry_bundle::{Assembly, AssemblyOptions, BlobPlan, Bundle, Trust};
use ferry_model::Digest;
use ferry_model::catalog::{
    Attachment, CATALOG_VERSION, Catalog, Chart, Encoding, File, FileKind, Image, Manifest,
};
use ferry_model::event::{Event, EventSink, Events};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use std::sync::Mutex;
use tower::ServiceExt;

use super::library::Library;
use super::login::Door;
use super::options::ServeOptions;
use super::router::{Shared, router};

pub(crate) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const LAYER: usize = 3_000_000;

/// Blobs by a name for the test, and the catalog that uses them.
#[derive(Clone)]
pub(crate) struct Sample {
    pub(crate) blobs: BTreeMap<&'static str, (Vec<u8>, Encoding)>,
    pub(crate) catalog: Catalog,
}

impl Sample {
    pub(crate) fn new() -> Self {
        let catalog = Catalog {
            format_version: CATALOG_VERSION,
            name: "sample".parse().unwrap(),
            version: "1".parse().unwrap(),
            lock: Digest::of(b"lock"),
            missing: vec![],
            images: vec![],
            charts: vec![],
            files: vec![],
            blobs: vec![],
        };
        let mut sample = Self { blobs: BTreeMap::new(), catalog };
        sample.add_images();
        sample.add_chart();
        sample.add_files();
        sample
    }

    pub(crate) fn add(&mut self, name: &'static str, content: Vec<u8>, encoding: Encoding) -> Digest {
        let digest = Digest::of(&content);
        self.blobs.insert(name, (content, encoding));
        digest
    }

    fn add_json(&mut self, name: &'static str, document: &Value) -> Manifest {
        let content = document.to_string().into_bytes();
        let size = content.len() as u64;
        let digest = self.add(name, content, Encoding::Zstd);
        Manifest { digest, size, media_type: MANIFEST.to_owned(), platform: None, blobs: vec![] }
    }

    fn add_images(&mut self) {
        let layer = self.add("layer", noise(LAYER), Encoding::Stored);
        let config = self.add("config", b"{\"os\":\"linux\"}".to_vec(), Encoding::Zstd);
        let mut manifest =
            self.add_json("manifest", &json!({"config": {"digest": config}, "layers": [{"digest": layer}]}));
        manifest.platform = Some("linux/amd64".parse().unwrap());
        manifest.blobs = vec![config, layer];
        let sbom = self.add_json(
            "sbom",
            &json!({"config": {"mediaType": "application/x.sbom"}, "annotations": {"by": "test"}, "subject": {"digest": manifest.digest}}),
        );
        let attachment = Attachment {
            digest: sbom.digest,
            tag: None,
            artifact_type: None,
            subject: Some(manifest.digest),
            manifests: vec![sbom],
        };
        let image = Image {
            reference: "registry:2".parse().unwrap(),
            repository: "library/registry".to_owned(),
            tag: Some("2".to_owned()),
            digest: manifest.digest,
            source_index: None,
            manifests: vec![manifest.clone()],
            attachments: vec![attachment],
        };
        let other = Image {
            reference: "quay.io/team/app:v1".parse().unwrap(),
            repository: "team/renamed/app".to_owned(),
            tag: Some("v1-site".to_owned()),
            attachments: vec![],
            ..image.clone()
        };
        self.catalog.images = vec![image, other];
    }

    fn add_chart(&mut self) {
        let archive = self.add("chart", noise(5_000), Encoding::Stored);
        let provenance = self.add("provenance", b"signed".to_vec(), Encoding::Zstd);
        let chart_yaml =
            json!({"apiVersion": "v2", "name": "app", "version": "1.2.0+build", "description": "A chart"});
        let config = self.add_json("chart-config", &chart_yaml).digest;
        let mut manifest = self.add_json(
            "chart-manifest",
            &json!({"config": {"digest": config}, "layers": [{"digest": archive}]}),
        );
        manifest.blobs = vec![config, archive, provenance];
        self.catalog.charts = vec![Chart {
            name: "app".to_owned(),
            version: "1.2.0+build".to_owned(),
            source: "https://charts.test".to_owned(),
            archive,
            provenance: Some(provenance),
            repository: "charts/app".to_owned(),
            tag: "1.2.0_build".to_owned(),
            manifest,
        }];
    }

    fn add_files(&mut self) {
        self.add_file("tool", "bin/tool 中.bin", Some("blueking/tools"), noise(700));
        self.add_file("readme", "docs/readme.md", None, b"a docs".to_vec());
        self.add_file("script", "docs/<script>.html", None, noise(30));
    }

    pub(crate) fn add_file(
        &mut self,
        name: &'static str,
        path: &str,
        repository: Option<&str>,
        content: Vec<u8>,
    ) {
        let size = content.len() as u64;
        let digest = self.add(name, content, Encoding::Stored);
        self.catalog.files.push(File {
            kind: FileKind::File,
            repository: repository.map(str::to_owned),
            path: path.parse().unwrap(),
            name: None,
            version: None,
            source: "test".to_owned(),
            digest,
            size,
        });
        self.catalog.files.sort_by_key(|file| (file.repository.clone(), file.path.clone()));
    }

    pub(crate) fn build(&self, path: &Path) -> Bundle {
        let mut blobs: Vec<(BlobPlan, &Vec<u8>)> = self
            .blobs
            .values()
            .map(|(content, encoding)| {
                let (digest, size) = (Digest::of(content), content.len() as u64);
                (BlobPlan { digest, size, encoding: encoding.clone() }, content)
            })
            .collect();
        blobs.sort_by_key(|(plan, _)| plan.encoding.clone());
        let plans = blobs.iter().map(|(plan, _)| plan.clone()).collect();
        let options = AssemblyOptions { path: path.to_owned(), volume_size: None, lock: Digest::of(b"lock") };
        let assembly = Assembly::open(options, plans).unwrap();
        for (index, (plan, content)) in blobs.iter().enumerate() {
            if plan.encoding == Encoding::Stored {
                let mut sink = assembly.stored(index);
                sink.write(content).unwrap();
                sink.finish(plan.digest).unwrap();
            } else {
                let mut sink = assembly.compressed().unwrap();
                sink.write(content).unwrap();
                sink.finish(plan.digest).unwrap();
            }
        }
        assembly.finish(self.catalog.clone(), None).unwrap();
        Bundle::open(path, &Trust::default()).unwrap()
    }
}

/// What no compressor makes smaller.
pub(crate) fn noise(size: usize) -> Vec<u8> {
    let mut state = size as u64 | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    (0..size).map(|_| next()).collect()
}

/// Collects what was said.
#[derive(Default)]
pub(super) struct Said(Mutex<Vec<Event>>);

impl EventSink for Said {
    fn emit(&self, event: Event) {
        self.0.lock().unwrap().push(event);
    }
}

impl Said {
    pub(crate) fn text(&self) -> String {
        format!("{:?}", self.0.lock().unwrap())
    }
}

/// A server over sample bundles.
pub(super) struct Site {
    pub(crate) folder: tempfile::TempDir,
    sample: Sample,
    router: Router,
    pub(crate) said: Arc<Said>,
}

impl Site {
    pub(crate) fn new() -> Self {
        Self::with(&[Sample::new()])
    }

    pub(crate) fn with(samples: &[Sample]) -> Self {
        Self::guarded(samples, None)
    }

    /// One that lets in only the users of a file.
    pub(crate) fn guarded(samples: &[Sample], htpasswd: Option<&Path>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let bundles = samples
            .iter()
            .enumerate()
            .map(|(index, sample)| sample.build(&folder.path().join(format!("{index}.ferry.tar.zst"))))
            .collect();
        let said = Arc::new(Said::default());
        let (library, conflicts) = Library::new(bundles);
        let events = Events::new(Arc::clone(&said) as Arc<dyn EventSink>);
        for conflict in conflicts {
            events.warn(conflict);
        }
        let options = ServeOptions::new("127.0.0.1:0".parse().unwrap());
        let door = htpasswd.map(|path| Door::open(path, &events).unwrap());
        let router = router(Shared::new(library, &options, &events), door);
        Self { folder, sample: samples[samples.len() - 1].clone(), router, said }
    }

    pub(crate) fn content(&self, name: &str) -> Vec<u8> {
        self.sample.blobs[name].0.clone()
    }

    pub(crate) fn digest(&self, name: &str) -> Digest {
        Digest::of(&self.sample.blobs[name].0)
    }

    pub(crate) fn image_digest(&self) -> Digest {
        self.digest("manifest")
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.request(Method::GET, path, &[]).await
    }

    pub(crate) async fn request(&self, method: Method, path: &str, headers: &[(&str, &str)]) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = self.router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        let (head, body) = response.into_parts();
        let body = body.collect().await.map(|body| body.to_bytes().to_vec());
        Answer {
            status: head.status.as_u16(),
            headers: head.headers,
            broken: body.is_err(),
            body: body.unwrap_or_default(),
        }
    }
}

pub(super) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
    /// The body ended in an error, which cuts the connection.
    pub(crate) broken: bool,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    /// The code of the first error in the registry's envelope.
    pub(crate) fn code(&self) -> String {
        self.json()["errors"][0]["code"].as_str().unwrap().to_owned()
    }
}
