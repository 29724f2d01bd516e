//! Agents of a Mesos master (DC/OS).

use ferry_model::failure::Class;
use ferry_model::report::Failed;
use serde_json::Value;

use super::Member;
use crate::context::{Context, Manner};

/// What the list of a thousand agents may have.
const MOST: u64 = 64 << 20;

/// Those that are active, sorted by name.
pub(super) async fn list(context: &Context, url: &str) -> Result<Vec<Member>, Failed> {
    // A master that does not lead answers this with a redirection to the one that does.
    let url = format!("{}/slaves", url.trim_end_matches('/'));
    let client = context.client(Manner::Brief).await?;
    let answer = client.get_small(&url, MOST).await.map_err(|error| {
        Failed::new(&error)
            .hint("`nodes: {fromMesos: URL}` is the leading master's: `http://leader.mesos:5050`")
    })?;
    read(&answer).map_err(|problem| Failed::because(Class::Protocol, format!("{url}: {problem}")))
}

fn read(answer: &[u8]) -> Result<Vec<Member>, String> {
    let answer: Value = serde_json::from_slice(answer).map_err(|error| format!("it is not JSON: {error}"))?;
    let agents = answer["slaves"].as_array().ok_or("it lists no agents")?;
    let active = agents.iter().filter(|agent| agent["active"] != false);
    let mut members = active.map(member).collect::<Result<Vec<_>, _>>()?;
    members.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(members)
}

/// An agent is `slave(1)@10.0.0.5:5051`; what it calls itself may resolve nowhere else.
fn member(agent: &Value) -> Result<Member, String> {
    let (hostname, pid) =
        (agent["hostname"].as_str().unwrap_or_default(), agent["pid"].as_str().unwrap_or_default());
    let unreadable = || format!("agent `{hostname}` at `{pid}` has no address");
    let place = pid.rsplit_once('@').and_then(|(_, place)| place.rsplit_once(':')).map(|(host, _)| host);
    let address = place.map_or(hostname, |host| host.trim_matches(['[', ']']));
    let address: ferry_model::host::Host = address.parse().map_err(|_| unreadable())?;
    let name = hostname.parse().unwrap_or_else(|_| address.clone());
    Ok(Member::new(name, address))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn active_agents_have_names_and_addresses() {
        let answer = json!({"slaves": [
            {"id": "S1", "hostname": "agent2.corp", "pid": "slave(1)@192.168.1.82:5051", "active": true, "attributes": {}},
            {"id": "S2", "hostname": "192.168.1.80", "pid": "slave(1)@192.168.1.80:5051", "active": true},
            {"id": "S3", "hostname": "gone", "pid": "slave(1)@192.168.1.83:5051", "active": false},
            {"id": "S4", "hostname": "v6.corp", "pid": "slave(1)@[fd00::5]:5051"},
        ], "recovered_slaves": []});
        let members = read(answer.to_string().as_bytes()).unwrap();
        let shown: Vec<String> =
            members.iter().map(|agent| format!("{} {}", agent.name, agent.address)).collect();
        assert_eq!(shown, ["192.168.1.80 192.168.1.80", "agent2.corp 192.168.1.82", "v6.corp fd00::5"]);
        for bad in ["<html>", "{}", r#"{"slaves": [{"hostname": "a b", "pid": "x"}]}"#] {
            assert!(read(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
