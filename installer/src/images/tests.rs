//! Layers made here, laid over each other.

use std::io::{Cursor, Write as _};

use super::layer::{entries, member, normal, unpacked};
use super::tree::{Found, Tree};

/// What to put into a layer.
enum Put<'a> {
    File(&'a str, &'a str),
    Folder(&'a str),
    Link(&'a str, &'a str),
    Same(&'a str, &'a str),
}

use Put::{File, Folder, Link, Same};

fn layer(puts: &[Put<'_>]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for put in puts {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o755);
        match put {
            File(path, content) => {
                header.set_size(content.len() as u64);
                archive.append_data(&mut header, path, content.as_bytes()).unwrap();
            }
            Folder(path) => {
                header.set_entry_type(tar::EntryType::Directory);
                header.set_size(0);
                archive.append_data(&mut header, path, &[][..]).unwrap();
            }
            Link(path, target) | Same(path, target) => {
                let is_symbolic = matches!(put, Link(..));
                header.set_entry_type(if is_symbolic {
                    tar::EntryType::Symlink
                } else {
                    tar::EntryType::Link
                });
                header.set_size(0);
                archive.append_link(&mut header, path, target).unwrap();
            }
        }
    }
    archive.into_inner().unwrap()
}

/// What a container of these layers reads at a path.
fn read(layers: &[&[Put<'_>]], path: &str) -> Result<Option<String>, String> {
    let layers: Vec<Vec<u8>> = layers.iter().map(|puts| layer(puts)).collect();
    let mut tree = Tree::default();
    for (number, layer) in layers.iter().enumerate() {
        tree.lay(entries(Cursor::new(layer), number).unwrap());
    }
    let Some(Found { layer, member: path, size }) = tree.find(path)? else { return Ok(None) };
    let bytes = member(Cursor::new(&layers[layer]), &path, size).unwrap();
    Ok(Some(String::from_utf8(bytes).unwrap()))
}

#[track_caller]
fn expect(layers: &[&[Put<'_>]], path: &str, content: Option<&str>) {
    assert_eq!(read(layers, path).unwrap().as_deref(), content);
}

#[test]
fn the_upper_layer_counts() {
    let lower: &[_] = &[Folder("bin/"), File("bin/registry", "old")];
    expect(&[lower], "/bin/registry", Some("old"));
    expect(&[lower, &[File("./bin/registry", "newer")]], "/bin/registry", Some("newer"));
    expect(&[lower, &[File("bin/other", "x")]], "/bin/registry", Some("old"));
    expect(&[lower], "/bin/other", None);
    expect(&[lower], "/bin", None);
    expect(&[lower], "/bin/registry/below", None);
    expect(&[&[File("a", "first"), File("a", "again")]], "/a", Some("again"));
}

#[test]
fn what_is_hidden_is_gone() {
    let lower: &[_] = &[File("a/b/c", "deep"), File("a/d", "d"), File("a.txt", "beside")];
    expect(&[lower, &[File("a/.wh.d", "")]], "/a/d", None);
    expect(&[lower, &[File(".wh.a", "")]], "/a/b/c", None);
    expect(&[lower, &[File(".wh.a", "")]], "/a.txt", Some("beside"));
    // Wherever in its layer it stands, it hides only what is below.
    expect(&[lower, &[File("a/d", "mine"), File("a/.wh..wh..opq", "")]], "/a/d", Some("mine"));
    expect(&[lower, &[File("a/d", "mine"), File("a/.wh..wh..opq", "")]], "/a/b/c", None);
    expect(&[lower, &[File(".wh.a", "")], &[File("a/d", "back")]], "/a/d", Some("back"));
    expect(&[lower, &[File("a", "no folder")]], "/a/b/c", None);
}

#[test]
fn links_stay_in_the_image() {
    let merged: &[_] = &[Link("bin", "usr/bin"), File("usr/bin/registry", "x")];
    expect(&[merged], "/bin/registry", Some("x"));
    let absolute: &[_] = &[Link("bin/registry", "/opt/r/registry"), File("opt/r/registry", "x")];
    expect(&[absolute], "/bin/registry", Some("x"));
    let relative: &[_] = &[Link("usr/bin/registry", "../../opt/./registry"), File("opt/registry", "x")];
    expect(&[relative], "/usr/bin/registry", Some("x"));
    let out: &[_] = &[Link("registry", "../../../../etc/passwd"), File("etc/passwd", "the image's")];
    expect(&[out], "/registry", Some("the image's"));
    expect(&[&[Link("a", "nowhere")]], "/a", None);
    let circle: &[_] = &[Link("a", "b"), Link("b", "a")];
    assert!(read(&[circle], "/a").unwrap_err().contains("40 links"));
}

#[test]
fn hard_links_are_the_file_that_they_name() {
    let same: &[_] = &[File("opt/registry", "x"), Same("bin/registry", "opt/registry")];
    expect(&[same], "/bin/registry", Some("x"));
    expect(&[same, &[File(".wh.opt", "")]], "/bin/registry", Some("x"));
    expect(&[same, &[File("opt/registry", "new")]], "/bin/registry", Some("x"));
    expect(&[&[Same("bin/registry", "nowhere")]], "/bin/registry", None);
}

#[test]
fn each_compression_is_taken_off() {
    let plain = layer(&[File("a", "x")]);
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(&plain).unwrap();
    let gzip = encoder.finish().unwrap();
    let zstd = zstd::encode_all(&plain[..], 1).unwrap();
    for packed in [plain, gzip.clone(), zstd] {
        let found = entries(unpacked(Cursor::new(packed)).unwrap(), 0).unwrap();
        assert_eq!(found[0].path, "a");
    }
    let cut = gzip[..gzip.len() - 12].to_vec();
    entries(unpacked(Cursor::new(cut)).unwrap(), 0).unwrap_err();
}

#[test]
fn paths_stay_below_the_root() {
    for (path, expect) in [
        ("./usr/bin/", Some("usr/bin")),
        ("/etc//passwd", Some("etc/passwd")),
        ("./", None),
        ("", None),
        ("../x", None),
        ("a/../b", None),
    ] {
        assert_eq!(normal(path.as_bytes()).as_deref(), expect);
    }
    assert_eq!(normal(b"\xff"), None);
}
