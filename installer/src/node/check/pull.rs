//! An image, pulled through a runtime by its digest, and removed again if it was not there before.

use std::path::Path;
use std::process::Output;
use std::time::Duration;

use ferry_model::report::{Failed, Finding};
use tokio::process::Command;

use super::super::Root;
use super::cri::Images;
use super::daemon;

const LIMIT: Duration = Duration::from_secs(600);
/// Where containerd's editor has registries, for `ctr`, which reads no configuration of the plug-in.
const HOSTS: &str = "/etc/containerd/certs.d";
const NAMESPACE: &str = "k8s.io";
const PATH: &str =
    "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/opt/bin:/var/lib/rancher/rke2/bin";

/// What came of it, in words.
pub(super) async fn prove(root: &Root, runtime: &str, probe: &str) -> (Finding, String) {
    match runtime {
        "docker" => docker(probe).await,
        "podman" => by_program(&Tool::podman(), probe).await,
        other => match socket(other) {
            Some(socket) => match Images::at(Path::new(socket)).await {
                Some(images) => by_kubelets_way(&images, probe).await,
                None => otherwise(root, other, probe).await,
            },
            None => otherwise(root, other, probe).await,
        },
    }
}

/// Where a runtime serves CRI.
fn socket(runtime: &str) -> Option<&'static str> {
    match runtime {
        "containerd" => Some("/run/containerd/containerd.sock"),
        "cri-o" => Some("/run/crio/crio.sock"),
        k3s if k3s.starts_with("k3s") || k3s.starts_with("rke2") => {
            Some("/run/k3s/containerd/containerd.sock")
        }
        _ => None,
    }
}

async fn by_kubelets_way(images: &Images, probe: &str) -> (Finding, String) {
    let pulled = async {
        let was_there = images.find(probe).await?.is_some();
        images.pull(probe).await?;
        // It goes with all of its names: where it has others, it is somebody's.
        let names = images.find(probe).await?.map_or(0, |image| image.names);
        if !was_there && names == 1 {
            images.remove(probe).await?;
        }
        Ok::<_, Failed>(())
    };
    match pulled.await {
        Ok(()) => (Finding::Passed, "pulled by its digest, as kubelet does".to_owned()),
        Err(failed) => (Finding::Failed, failed.message),
    }
}

/// By what programs there are.
async fn otherwise(root: &Root, runtime: &str, probe: &str) -> (Finding, String) {
    match runtime {
        _ if root.program("crictl").is_some() => by_program(&Tool::crictl(), probe).await,
        "containerd" if root.program("ctr").is_some() && root.exists(HOSTS) => {
            by_program(&Tool::ctr(), probe).await
        }
        other => (
            Finding::Unknown,
            format!("could not check: no program is here by which {other} could be asked to pull"),
        ),
    }
}

async fn docker(probe: &str) -> (Finding, String) {
    let pulled = async {
        let daemon = daemon()?;
        let was_there = daemon.image_id(probe).await?.is_some();
        daemon.pull(probe).await?;
        if !was_there {
            daemon.remove_image(probe).await?;
        }
        Ok::<_, ferry_transfer::Error>(())
    };
    match pulled.await {
        Ok(()) => (Finding::Passed, "pulled by its digest".to_owned()),
        Err(error) => (Finding::Failed, Failed::new(&error).message),
    }
}

/// How a program looks for an image, pulls it and removes it.
struct Tool {
    program: &'static str,
    look: Vec<&'static str>,
    pull: Vec<&'static str>,
    remove: Vec<&'static str>,
}

impl Tool {
    fn crictl() -> Self {
        Self { program: "crictl", look: vec!["inspecti", "--quiet"], pull: vec!["pull"], remove: vec!["rmi"] }
    }

    fn podman() -> Self {
        let look = vec!["image", "inspect"];
        Self { program: "podman", look, pull: vec!["pull", "--quiet"], remove: vec!["rmi"] }
    }

    fn ctr() -> Self {
        let images = |rest: &[&'static str]| [&["-n", NAMESPACE, "images"], rest].concat();
        Self {
            program: "ctr",
            look: images(&["check"]),
            pull: images(&["pull", "--hosts-dir", HOSTS]),
            remove: images(&["rm"]),
        }
    }
}

async fn by_program(tool: &Tool, probe: &str) -> (Finding, String) {
    // `ctr` takes filters, and says nothing where none is found.
    let filter = format!("name=={probe}");
    let asked = if tool.program == "ctr" { filter.as_str() } else { probe };
    let was_there = match run(tool.program, &tool.look, asked).await {
        Ok(output) => output.status.success() && (tool.program != "ctr" || has_line(&output.stdout, probe)),
        Err(reason) => return (Finding::Unknown, format!("could not check: {reason}")),
    };
    match run(tool.program, &tool.pull, probe).await {
        Ok(output) if output.status.success() => {}
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr).trim().replace('\n', " ");
            let said: String = said.chars().filter(|c| !c.is_control()).take(400).collect();
            // Not of the image, but of this program: a `ctr` too old for its flags, a `crictl` without its socket.
            let unable = ["flag provided but not defined", "unknown flag", "validate service connection"];
            if unable.iter().any(|words| said.contains(words)) {
                return (Finding::Unknown, format!("could not check: {}: {said}", tool.program));
            }
            return (Finding::Failed, format!("{}: {said}", tool.program));
        }
        Err(reason) => return (Finding::Unknown, format!("could not check: {reason}")),
    }
    if !was_there {
        // A pull is proven, whether or not this succeeds.
        let _ = run(tool.program, &tool.remove, probe).await;
    }
    (Finding::Passed, format!("pulled by its digest with {}", tool.program))
}

fn has_line(said: &[u8], probe: &str) -> bool {
    String::from_utf8_lossy(said).lines().any(|line| line.split_whitespace().next() == Some(probe))
}

async fn run(program: &str, arguments: &[&str], image: &str) -> Result<Output, String> {
    let mut command = Command::new(program);
    command.args(arguments).arg(image).env("PATH", PATH).kill_on_drop(true);
    match tokio::time::timeout(LIMIT, command.output()).await {
        Ok(output) => output.map_err(|error| format!("{program} cannot be run: {error}")),
        Err(_) => Err(format!("{program} took more than {} s", LIMIT.as_secs())),
    }
}
