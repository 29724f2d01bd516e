//! Images as files: OCI image layouts, OCI archives, and what `docker save` writes.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use bytes::Bytes;
use serde_json::json;

use super::Image;

/// Writes an OCI image layout into the folder `path`; each image goes by `repository:tag`.
pub fn write_oci_layout(path: &Path, images: &[Image]) -> io::Result<()> {
    for (name, content) in layout_files(images) {
        let file = path.join(name);
        fs::create_dir_all(file.parent().expect("a file of a layout lies in its folder"))?;
        fs::write(file, content)?;
    }
    Ok(())
}

/// Writes the same as one tar file.
pub fn write_oci_archive(path: &Path, images: &[Image]) -> io::Result<()> {
    write_tar(path, layout_files(images))
}

/// Writes what `docker save` does: each layer as a plain tar, named as docker 20.10 names them.
pub fn write_docker_archive(path: &Path, images: &[Image]) -> io::Result<()> {
    let mut files = BTreeMap::new();
    let mut manifest = Vec::new();
    for image in images {
        let config = format!("{}.json", ferry_model::Digest::of(&image.config).hex());
        let mut layers = Vec::new();
        for layer in &image.layers {
            let name = format!("{}/layer.tar", layer.diff_id.hex());
            files.insert(name.clone(), layer.tar.clone());
            layers.push(name);
        }
        files.insert(config.clone(), image.config.clone());
        manifest.push(json!({"Config": config, "RepoTags": [image.name()], "Layers": layers}));
    }
    files.insert("manifest.json".to_owned(), Bytes::from(json!(manifest).to_string()));
    write_tar(path, files)
}

fn layout_files(images: &[Image]) -> BTreeMap<String, Bytes> {
    let mut files = BTreeMap::new();
    let mut index = Vec::new();
    for image in images {
        for (digest, bytes) in &image.blobs {
            files.insert(format!("blobs/sha256/{}", digest.hex()), bytes.clone());
        }
        for document in &image.documents {
            files.insert(format!("blobs/sha256/{}", document.digest.hex()), document.bytes.clone());
        }
        let root = image.root_document();
        index.push(json!({
            "mediaType": root.media_type,
            "digest": root.digest,
            "size": root.bytes.len(),
            "annotations": {"org.opencontainers.image.ref.name": image.name()},
        }));
    }
    files.insert("index.json".to_owned(), json!({"schemaVersion": 2, "manifests": index}).to_string().into());
    files.insert("oci-layout".to_owned(), Bytes::from_static(br#"{"imageLayoutVersion":"1.0.0"}"#));
    files
}

fn write_tar(path: &Path, files: BTreeMap<String, Bytes>) -> io::Result<()> {
    let mut archive = tar::Builder::new(io::BufWriter::new(fs::File::create(path)?));
    for (name, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o644);
        header.set_mtime(1_700_000_000);
        header.set_size(content.len() as u64);
        archive.append_data(&mut header, name, &content[..])?;
    }
    archive.into_inner()?.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()
}
