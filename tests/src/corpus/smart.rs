//! S-Mart packages, made by code.

use bytes::Bytes;

/// What marks a package as image layers: the word in `.Version`. `None` makes a package of source code.
pub type Mark = Option<&'static str>;

/// A package of this application and version, with `size` bytes of something that does not compress.
pub fn smart_package(app_code: &str, version: &str, mark: Mark, size: usize) -> Bytes {
    smart_package_of(app_code, version, mark, &[], size)
}

/// The same with these modules beside `default`.
pub fn smart_package_of(app_code: &str, version: &str, mark: Mark, modules: &[&str], size: usize) -> Bytes {
    let mut description = format!(
        "spec_version: 2\napp_version: {version}\napp:\n  region: default\n  bk_app_code: {app_code}\n  bk_app_name: {app_code}\nmodules:\n  default: {{is_default: true, source_dir: src, language: python}}\n"
    );
    for module in modules {
        description.push_str(&format!("  {module}: {{source_dir: src, language: python}}\n"));
    }
    let mut random = crate::random::Random::new(size as u64);
    let filler: Vec<u8> = (0..size).map(|_| random.bits() as u8).collect();
    let mut members = vec![
        (format!("{app_code}/app_desc.yaml"), description.into_bytes()),
        (format!("{app_code}/src/layer.tar.gz"), filler),
    ];
    members.extend(mark.map(|mark| (".Version".to_owned(), mark.as_bytes().to_vec())));
    gzip(&tar(&members))
}

/// A tar archive of these files.
pub fn tar<N: AsRef<str>, C: AsRef<[u8]>>(members: &[(N, C)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, content) in members {
        let content = content.as_ref();
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, name.as_ref(), content).expect("writing memory");
    }
    builder.into_inner().expect("writing memory")
}

/// The same, compressed.
pub fn gzip(content: &[u8]) -> Bytes {
    use std::io::Write as _;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(content).expect("writing memory");
    encoder.finish().expect("writing memory").into()
}
