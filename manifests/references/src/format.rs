//! What a file is written in, by its name and else by how it begins.

use crate::Format;

/// The format of a file of which `path` and the first bytes are known; none where neither says that images could be
/// named in it.
pub fn format_of(path: &str, beginning: &str) -> Option<Format> {
    let path = path.replace('\\', "/");
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", &path));
    let name = name.to_ascii_lowercase();
    by_name(folder, &name).or_else(|| by_extension(&name, beginning))
}

fn by_name(folder: &str, name: &str) -> Option<Format> {
    let (stem, extension) = name.rsplit_once('.').unwrap_or((name, ""));
    let is_yaml = matches!(extension, "yaml" | "yml");
    if folder.split('/').any(|part| part == "templates") && (is_yaml || matches!(extension, "tpl" | "txt")) {
        return Some(Format::Template);
    }
    if matches!(extension, "gotmpl" | "tpl" | "tmpl") && !stem.ends_with(".md") {
        return Some(Format::Template);
    }
    if name == "kustomization" || (is_yaml && stem == "kustomization") {
        return Some(Format::Kustomization);
    }
    let is_compose = |stem: &str| {
        ["compose", "docker-compose"].iter().any(|word| {
            stem.strip_prefix(word).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '-']))
        })
    };
    if is_yaml && is_compose(stem) {
        return Some(Format::Compose);
    }
    let is_dockerfile = |word: &str| name == word || name.starts_with(&format!("{word}."));
    if is_dockerfile("dockerfile") || is_dockerfile("containerfile") || extension == "dockerfile" {
        return Some(Format::Dockerfile);
    }
    if name == ".env" || name.starts_with(".env.") || extension == "env" {
        return Some(Format::Environment);
    }
    matches!(extension, "yaml" | "yml" | "json").then_some(Format::Yaml)
}

/// Files of any name are read as what their first telling line is.
fn by_extension(name: &str, beginning: &str) -> Option<Format> {
    if beginning.contains('\0') {
        return None;
    }
    let is_list = name.ends_with(".txt") || name.ends_with(".list") || !name.contains('.');
    let line = telling_line(beginning)?;
    if line.starts_with("FROM ") || line.starts_with("ARG ") {
        return Some(Format::Dockerfile);
    }
    if line == "---" || line.starts_with("apiVersion:") || line.starts_with("kind:") || line.starts_with('{')
    {
        return Some(if beginning.contains("{{") { Format::Template } else { Format::Yaml });
    }
    (is_list && crate::list::is_line(line)).then_some(Format::List)
}

fn telling_line(text: &str) -> Option<&str> {
    text.trim_start_matches('\u{feff}')
        .lines()
        .map(str::trim)
        .find(|line| !line.is_empty() && !line.starts_with('#'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_name_and_beginning() {
        for (path, beginning, format) in [
            ("Dockerfile", "", Some(Format::Dockerfile)),
            ("a/Dockerfile.web", "", Some(Format::Dockerfile)),
            ("web.Dockerfile", "", Some(Format::Dockerfile)),
            ("Containerfile", "", Some(Format::Dockerfile)),
            ("build/anything", "# syntax=x\nFROM alpine\n", Some(Format::Dockerfile)),
            ("compose.yaml", "", Some(Format::Compose)),
            ("docker-compose.prod.yml", "", Some(Format::Compose)),
            ("a/kustomization.yaml", "", Some(Format::Kustomization)),
            ("Kustomization", "", Some(Format::Kustomization)),
            (".env", "", Some(Format::Environment)),
            ("site.env", "", Some(Format::Environment)),
            (".env.local", "", Some(Format::Environment)),
            ("values.yaml", "", Some(Format::Yaml)),
            ("app.json", "", Some(Format::Yaml)),
            ("chart/templates/web.yaml", "", Some(Format::Template)),
            ("chart/templates/_helpers.tpl", "", Some(Format::Template)),
            ("bk-values.yaml.gotmpl", "", Some(Format::Template)),
            ("README.md.gotmpl", "", None),
            ("manifest", "apiVersion: v1\n", Some(Format::Yaml)),
            ("manifest.txt", "apiVersion: v1\nx: {{ .a }}", Some(Format::Template)),
            ("images.txt", "# all\nhub.bktencent.com/blueking/bkrepo-init:v1\n", Some(Format::List)),
            ("images.list", "busybox:1\n", Some(Format::List)),
            ("images.list", "\"busybox:1\", a/b:2\n", Some(Format::List)),
            ("todo.txt", "call: him, a/b\n", None),
            ("README.md", "# FROM here\n", None),
            ("notes.txt", "Dear all,\n", None),
            ("requirements.txt", "flask\nredis\n", None),
            ("a.tgz", "\0", None),
            ("", "", None),
        ] {
            assert_eq!(format_of(path, beginning), format, "{path}");
        }
    }
}
