//! Rules of a packet filter that turn something away.
//!
//! The guide asks for a filter without rules. Container software writes its own into it on every node, so what counts is
//! who refuses: rules of chains that container software owns do not.

/// What the chains of container software begin with.
const OF_CONTAINERS: [&str; 8] =
    ["DOCKER", "KUBE-", "cali-", "CNI-", "FLANNEL-", "WEAVE-", "CILIUM_", "LIBVIRT_"];

fn is_of_containers(chain: &str) -> bool {
    OF_CONTAINERS.iter().any(|prefix| chain.starts_with(prefix))
}

/// Of `iptables -S`.
pub(super) fn refusing_iptables(text: &str) -> Vec<String> {
    let refuses = |line: &&str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            // Docker itself sets the policy of FORWARD to DROP.
            ["-P", chain, "DROP"] => chain == "INPUT" || chain == "OUTPUT",
            ["-A", chain, ..] => {
                let target = words.iter().position(|word| *word == "-j").and_then(|at| words.get(at + 1));
                matches!(target, Some(&("DROP" | "REJECT"))) && !is_of_containers(chain)
            }
            _ => false,
        }
    };
    text.lines().map(str::trim).filter(refuses).map(str::to_owned).collect()
}

/// Of `nft list ruleset`.
pub(super) fn refusing_nft(text: &str) -> Vec<String> {
    let mut refusing = Vec::new();
    let (mut table, mut chain) = ("", "");
    for line in text.lines().map(str::trim) {
        let words: Vec<&str> = line.split(|c: char| c.is_whitespace() || c == ';').collect();
        match words[..] {
            ["table", _, name, "{"] => table = name,
            ["chain", name, "{"] => chain = name,
            ["type", "filter", ..] => {
                let forwards = words.windows(2).any(|pair| pair == ["hook", "forward"]);
                if words.windows(2).any(|pair| pair == ["policy", "drop"]) && !forwards {
                    refusing.push(format!("{table} {chain}: policy drop"));
                }
            }
            _ => {
                let turns_away = words.contains(&"drop") || words.contains(&"reject");
                if turns_away && !is_of_containers(chain) && !table.starts_with("kube") {
                    refusing.push(format!("{table} {chain}: {line}"));
                }
            }
        }
    }
    refusing
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn iptables() {
        let open = "-P INPUT ACCEPT\n-P FORWARD ACCEPT\n-P OUTPUT ACCEPT\n";
        let docker = "-P INPUT ACCEPT\n-P FORWARD DROP\n-P OUTPUT ACCEPT\n-N DOCKER\n-N DOCKER-ISOLATION-STAGE-2\n-N KUBE-FIREWALL\n-A INPUT -j KUBE-FIREWALL\n-A FORWARD -j DOCKER-USER\n-A DOCKER-ISOLATION-STAGE-2 -o docker0 -j DROP\n-A KUBE-FIREWALL -m mark --mark 0x8000/0x8000 -j DROP\n-A FORWARD -o docker0 -j DOCKER\n";
        // CentOS 7 with iptables-services as it comes.
        let centos = "-P INPUT ACCEPT\n-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT\n-A INPUT -j REJECT --reject-with icmp-host-prohibited\n";
        for (text, expected) in [
            ("", vec![]),
            (open, vec![]),
            (docker, vec![]),
            (centos, vec!["-A INPUT -j REJECT --reject-with icmp-host-prohibited"]),
            ("-P INPUT DROP\n-A INPUT -s 10.0.0.0/8 -j ACCEPT\n", vec!["-P INPUT DROP"]),
        ] {
            assert_eq!(refusing_iptables(text), expected, "{text}");
        }
    }

    #[test]
    fn nft() {
        let docker = "table ip filter {\n\tchain DOCKER-ISOLATION-STAGE-2 {\n\t\toifname \"docker0\" counter packets 0 bytes 0 drop\n\t}\n\tchain FORWARD {\n\t\ttype filter hook forward priority filter; policy drop;\n\t\tcounter jump DOCKER-USER\n\t}\n}\n";
        let debian = "table inet filter {\n\tchain input {\n\t\ttype filter hook input priority filter; policy drop;\n\t\ttcp dport 22 accept\n\t}\n}\n";
        let firewalld = "table inet firewalld {\n\tchain filter_INPUT {\n\t\ttype filter hook input priority filter + 10; policy accept;\n\t\tct state { established, related } accept\n\t\treject with icmpx admin-prohibited\n\t}\n}\n";
        for (text, expected) in [
            ("", vec![]),
            (docker, vec![]),
            (debian, vec!["filter input: policy drop"]),
            (firewalld, vec!["firewalld filter_INPUT: reject with icmpx admin-prohibited"]),
        ] {
            assert_eq!(refusing_nft(text), expected, "{text}");
        }
    }
}
