//! Every check by its name: how much it matters, why, and what to do about it. The names are stable: people skip checks
//! and file reports by them.

use ferry_model::report::{Check, Finding, Severity};
use serde::Serialize;

use Severity::{Advised, Required};

/// A kind of check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Kind {
    /// Its name.
    pub name: &'static str,
    /// How much it matters.
    pub severity: Severity,
    /// Why it matters.
    pub reason: &'static str,
    /// What to do where it did not pass.
    pub remedy: &'static str,
}

impl Kind {
    fn check(&self, finding: Finding, subject: impl Into<String>, found: impl Into<String>) -> Check {
        Check {
            name: self.name.to_owned(),
            subject: subject.into(),
            severity: self.severity,
            finding,
            found: found.into(),
            reason: self.reason.to_owned(),
            remedy: self.remedy.to_owned(),
        }
    }

    pub(super) fn passed(&self, subject: impl Into<String>, found: impl Into<String>) -> Check {
        self.check(Finding::Passed, subject, found)
    }

    pub(super) fn failed(&self, subject: impl Into<String>, found: impl Into<String>) -> Check {
        self.check(Finding::Failed, subject, found)
    }

    pub(super) fn unknown(&self, subject: impl Into<String>, found: impl Into<String>) -> Check {
        self.check(Finding::Unknown, subject, found)
    }

    /// Passed or failed.
    pub(super) fn judge(&self, is_good: bool, subject: impl Into<String>, found: impl Into<String>) -> Check {
        self.check(if is_good { Finding::Passed } else { Finding::Failed }, subject, found)
    }
}

/// Declares the kinds, and the list of them all.
macro_rules! kinds {
    ($($id:ident = $name:literal, $severity:ident, $reason:literal, $remedy:literal;)*) => {
        $(pub(super) const $id: Kind = Kind { name: $name, severity: $severity, reason: $reason, remedy: $remedy };)*
        /// Every check that there is.
        pub const CHECKS: &[Kind] = &[$($id),*];
    };
}

kinds! {
    DISK_SPACE = "disk-space", Required,
        "what the bundle brings must fit where it is kept",
        "free space on this file system, mount a larger one there, or name another folder in the site file";
    DISK_INODES = "disk-inodes", Required,
        "a registry keeps each blob as files of its own; a file system without free inodes is full",
        "delete what is not needed, or use a file system with more inodes (xfs makes them as needed)";
    PRIVILEGES = "privileges", Required,
        "services, their files and ports are set up by this machine's administrator",
        "run it as root, with sudo for instance";
    SYSTEMD = "systemd", Required,
        "the site's registry is a systemd unit on this machine",
        "choose another mode of `registry` in the site file: docker, kubernetes, existing";
    DOCKER_ENGINE = "docker-engine", Required,
        "the site's registry is a container of this machine's docker, of 19.03 or later",
        "start docker (systemctl start docker), name its socket in the site file (`daemon`), or choose another mode of `registry`";
    REGISTRY_NAME = "registry-name", Required,
        "everything that pushes and pulls looks the registry up by this name",
        "add it to DNS, or to /etc/hosts here and on each node";
    REGISTRY_ALIAS = "registry-alias", Advised,
        "the site says that the registry is also reached by this name",
        "add it to DNS, or take it out of `alsoKnownAs`";
    REGISTRY_HERE = "registry-here", Advised,
        "the registry will run on this machine, so its address should lead here",
        "let its name resolve to an address of this machine, unless something in front passes connections on";
    REGISTRY_PORT = "registry-port", Required,
        "nothing can be pushed or pulled through a port that something else holds or that nothing answers at",
        "stop what listens there, open the way to it, or name another port in the site file";
    REGISTRY_TLS = "registry-tls", Required,
        "a certificate that is not trusted, has expired or is for another name stops each push and pull",
        "name the authority's certificate in the site file (`registry.authority`), or have the certificate made anew";
    REGISTRY_CERTIFICATE = "registry-certificate", Advised,
        "a certificate that ends soon, or that lacks one of the registry's names, will stop pulls later",
        "renew it, for all names that the site file gives the registry";
    REGISTRY_ANSWER = "registry-answer", Required,
        "what answers there must be a container registry (OCI distribution API)",
        "check address and port; where a proxy stands in front, it must pass /v2/ on";
    REGISTRY_CLOCK = "registry-clock", Required,
        "tokens and certificates are refused where clocks differ by more than a minute",
        "set both clocks by the same time server (chronyd or ntpd)";
    REGISTRY_PROJECT = "registry-project", Advised,
        "a project that is missing must be made before anything is pushed into it",
        "let `apply` make it (`createProjects`), or make it by hand and let the user push there";
    REGISTRY_PUSH = "registry-push", Required,
        "without the right to push, nothing gets there",
        "give the user of `registry.login` (or of `docker login`) the right to push there, or correct its password";
    REGISTRY_LIMITS = "registry-limits", Advised,
        "a proxy in front of a registry may refuse large requests; uploads then go on in small pieces, if the registry takes those",
        "nginx: client_max_body_size 0; Ingress: nginx.ingress.kubernetes.io/proxy-body-size: \"0\"";
    IMAGE_LAYERS = "image-layers", Advised,
        "docker's overlay2 mounts at most 128 layers; it cannot run images with more",
        "build the image anew with fewer layers";
    BKREPO_NAME = "bkrepo-name", Required,
        "everything of BlueKing looks its artifact repository up by this name",
        "add it to DNS, or to /etc/hosts here and on each node";
    BKREPO_ANSWER = "bkrepo-answer", Required,
        "packages and runtimes go into BlueKing's artifact repository",
        "check the URL in the site file, and that bkrepo's gateway runs";
    BKREPO_CLOCK = "bkrepo-clock", Required,
        "bkrepo refuses tokens (\"Expired token\") where clocks differ by more than 60 s",
        "set both clocks by the same time server (chronyd or ntpd)";
    BKREPO_LOGIN = "bkrepo-login", Required,
        "files are uploaded in the name of a user whom bkrepo knows",
        "correct `bkrepo.login` in the site file, or say `paasSecret: {}` for PaaS's own";
    BKREPO_WRITE = "bkrepo-write", Required,
        "without the right to write there, no file gets there",
        "give the user write access to the repository in bkrepo, or name another user under `bkrepo`";
    CLUSTER_RIGHTS = "cluster-rights", Required,
        "what others made in the cluster is changed only where its user may do that",
        "`ferry-installer cluster-role` prints a role that an administrator can grant, or use another kubeconfig";
    NODE_REACH = "node-reach", Required,
        "a node that cannot be reached can neither be looked at nor be set up",
        "see that ssh gets there from here by itself: `ssh NODE true`";
    NODE_PRIVILEGES = "node-privileges", Required,
        "what its runtimes read is written by the node's administrator",
        "log in as root (`nodes: {ssh: {user: root}}`), or let sudo do it (`sudo: true`)";
    NODE_CONTAINERS = "node-containers", Required,
        "images are pulled there by a container runtime",
        "install docker, containerd, CRI-O, k3s or rke2 there, or leave the node out";
    NODE_ROOM = "node-room", Advised,
        "images are unpacked where the container runtime keeps them",
        "free space on this file system (docker image prune, crictl rmi --prune), or give the runtime a larger one";
    HOST_SYSTEM = "host-system", Advised,
        "BlueKing's guide is for CentOS 7.9, 64 bits; its scripts are tried on nothing else",
        "use CentOS 7.9 where you can choose";
    HOST_KERNEL = "host-kernel", Advised,
        "BlueKing's guide asks for kernel 3.10.0 or later",
        "update the system";
    HOST_PROCESSORS = "host-processors", Advised,
        "BlueKing's guide asks for that many at least",
        "add processors to the machine, or give it another role";
    HOST_MEMORY = "host-memory", Advised,
        "BlueKing's guide asks for that much at least",
        "add memory to the machine, or give it another role";
    HOST_DISK = "host-disk", Advised,
        "BlueKing's guide asks for that much at least",
        "add a disk to the machine";
    HOST_DATA = "host-data", Advised,
        "with local storage, BlueKing keeps its volumes below /data",
        "mount a larger file system at /data, unless volumes come from elsewhere (NFS)";
    HOST_SWAP = "host-swap", Required,
        "BlueKing's guide wants it off; kubelet does not start with it",
        "swapoff -a, and take the swap line out of /etc/fstab";
    HOST_SELINUX = "host-selinux", Required,
        "BlueKing's guide wants it disabled; it keeps containers from their volumes",
        "SELINUX=disabled in /etc/selinux/config, then boot anew";
    HOST_FIREWALL = "host-firewall", Required,
        "BlueKing's guide wants it off; it cuts nodes and pods off from each other",
        "systemctl disable --now firewalld (or what else filters), then iptables -F where rules are left";
    HOST_ZONE = "host-zone", Advised,
        "BlueKing's guide wants Beijing time on all machines; logs and schedules go wrong otherwise",
        "timedatectl set-timezone Asia/Shanghai";
    HOST_TIME_SERVICE = "host-time-service", Advised,
        "BlueKing's guide wants Chrony or NTP; tokens are refused where clocks differ by more than 60 s",
        "install and enable chronyd, and name a time server that this network has";
    HOST_CLOCK = "host-clock", Advised,
        "a time service that reaches no server lets the clock drift",
        "name a time server that answers (chronyc sources, ntpq -p)";
    HOST_DOCKER = "host-docker", Advised,
        "BlueKing's guide asks for docker 19.03 or later",
        "install docker 19.03 or later";
    HOST_KUBELET = "host-kubelet", Advised,
        "BlueKing's guide asks for Kubernetes 1.20 to 1.23; later ones are to be tried first",
        "use Kubernetes 1.20 to 1.23, or try BlueKing on a test cluster first";
}

/// The kind of check with this name.
pub fn find(name: &str) -> Option<&'static Kind> {
    CHECKS.iter().find(|kind| kind.name == name)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_stable_and_unique() {
        let names: BTreeSet<&str> = CHECKS.iter().map(|kind| kind.name).collect();
        assert_eq!(names.len(), CHECKS.len());
        for kind in CHECKS {
            assert!(kind.name.chars().all(|c| c.is_ascii_lowercase() || c == '-'), "{}", kind.name);
            assert!(!kind.reason.ends_with('.') && !kind.remedy.is_empty(), "{}", kind.name);
            assert_eq!(find(kind.name), Some(kind));
        }
        assert_eq!(find("no-such-check"), None);
    }
}
