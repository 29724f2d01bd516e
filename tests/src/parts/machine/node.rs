//! A machine as a node of a site, which operators log in to.

use std::time::Duration;

use anyhow::Result;

use super::Machine;
use crate::parts::wait_for_port;

/// The program's copy stays for the next run.
const LISTING: &str = r"
find /etc /var/lib/ferry /usr/local /srv -xdev -path /var/lib/ferry/bin -prune -o -not -path /var/lib/ferry -printf '%p %y %m %U:%G %l\n' 2>/dev/null | sort
find /etc /var/lib/ferry /usr/local /srv -xdev -path /var/lib/ferry/bin -prune -o -type f -print0 2>/dev/null | sort -z | xargs -0 sha256sum";

impl Machine {
    /// Lets whoever has the other half of this key log in as root. Gives the machine's line for `known_hosts`.
    pub fn open_ssh(&self, public_key: &str) -> Result<String> {
        self.write("/etc/ssh/keys", public_key)?;
        let config = "AuthorizedKeysFile /etc/ssh/keys\nStrictModes no\nUsePAM no\nPermitRootLogin yes\n";
        self.write("/etc/ssh/sshd_config", config)?;
        let start = "test -f /etc/ssh/ssh_host_ed25519_key || ssh-keygen -A; systemctl restart ssh.service";
        self.shell(start).succeed()?;
        wait_for_port(&format!("{}:22", self.address()), Duration::from_secs(30))?;
        Ok(format!("{} {}", self.address(), self.read("/etc/ssh/ssh_host_ed25519_key.pub")?))
    }

    /// Every file, folder and link that setting up a node could touch, with its rights, its owner and its content.
    pub fn listing(&self) -> Result<String> {
        Ok(self.shell(LISTING).succeed()?.stdout)
    }
}
