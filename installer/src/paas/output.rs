//! What BlueKing's commands say: cleaned, without secrets, and understood where the cause is known.

use ferry_model::failure::Class;
use ferry_model::report::Failed;

use crate::cluster::Ended;

/// Lines of a command's end that are shown.
const LINES: usize = 12;
/// Characters of them.
const CHARACTERS: usize = 1500;
const HIDDEN: &str = "…";
/// What stands before a secret.
const SECRETS: [&str; 6] = ["password", "passwd", "secret", "token", "access_key", "authorization"];

/// What is known to go wrong: words that all must be there (any of those between `|`), and what helps.
const CAUSES: [(&[&str], &str); 11] = [
    (
        &["slug-pilot|slug-app|run-heroku", "manifest unknown|manifest_unknown|not found|404|does not exist"],
        "the image that PaaS puts SaaS packages on is not in its own registry: see that the job bkpaas3-apiserver-init-data has ended well; its step `push_smart_image` pulls PAAS_APP_IMAGE of ConfigMap bkpaas3-apiserver-general-envs from inside the pod, so that name must be at a registry that the pod reaches",
    ),
    (
        &["x509|certificate verify failed|certificate_verify_failed"],
        "the other side's certificate is not trusted there: trust its authority, or let PaaS's registry (docker.BK_DOMAIN) be plain HTTP",
    ),
    (
        &[
            "name or service not known|no such host|nameresolutionerror|failed to resolve|temporary failure in name resolution",
        ],
        "pods do not resolve one of BlueKing's names: see that CoreDNS has bkrepo.BK_DOMAIN and docker.BK_DOMAIN (`control_coredns.sh list`)",
    ),
    (
        &["unauthorized|authentication required|request denied"],
        "PaaS's registry refuses PaaS: see that SMART_DOCKER_USERNAME and SMART_DOCKER_PASSWORD of Secret bkpaas3-apiserver-bkrepo-envs are right, and that clocks are within 60 s",
    ),
    (&["no space left"], "the node that the pod runs on has no room left"),
    (
        &["资源不足|分配不到|resourcenotenough|resource not enough|无可用的"],
        "PaaS has no Redis entry left to give: `blueking: {redisPool: {}}` in the site file adds ten, `entries` says how many",
    ),
    (
        &["code: command not found|pre-install-nodejs|requested python version|requested runtime"],
        "builds of source packages need runtimes that bkrepo lacks: `ferry-installer runtimes missing` says which",
    ),
    (
        &["imagepullbackoff|errimagepull|failed to pull image"],
        "nodes cannot pull from docker.BK_DOMAIN: each must resolve it and, where it has TLS, trust it",
    ),
    (
        &["已有部署任务进行中"],
        "a deployment of this module is under way: wait for its end in the Developer Center, then apply again",
    ),
    (
        &["已存在|already exist|已被占用|already been taken"],
        "an application with this code is there that did not come from such a package: rename or delete it in the Developer Center, or take the application out of `blueking.saas`",
    ),
    (
        &["app_desc|descriptionvalidationerror"],
        "PaaS does not like the package's description: see that the package is for this release of BlueKing",
    ),
];

/// What a command said, ready to be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Output {
    /// Standard output, then standard error.
    text: String,
}

impl Output {
    /// Of a command that was given these secrets.
    pub(crate) fn of(ended: &Ended, secrets: &[&str]) -> Self {
        let mut text = plain(&ended.stdout);
        text.push('\n');
        text.push_str(&plain(&ended.stderr));
        for secret in secrets.iter().filter(|secret| !secret.is_empty()) {
            // Errors often quote what they were given, as JSON.
            let quoted = serde_json::Value::from(*secret).to_string();
            text = text.replace(quoted.trim_matches('"'), HIDDEN).replace(secret, HIDDEN);
        }
        Self { text: without_secrets(&text) }
    }

    /// Whether a line says just this.
    pub(crate) fn has_line(&self, wanted: &str) -> bool {
        self.text.lines().any(|line| line.trim() == wanted)
    }

    /// Whether it says this anywhere, in whatever case.
    pub(crate) fn says(&self, words: &str) -> bool {
        self.text.to_lowercase().contains(words)
    }

    /// All that is kept of it.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The text behind the last `words`.
    pub(crate) fn after(&self, words: &str) -> Option<&str> {
        self.text.rsplit_once(words).map(|(_, after)| after)
    }

    /// Its end: the lines that tell most are the last.
    pub(crate) fn tail(&self) -> String {
        let lines: Vec<&str> =
            self.text.lines().map(str::trim_end).filter(|line| !line.trim().is_empty()).collect();
        let lines = &lines[lines.len().saturating_sub(LINES)..];
        let text = lines.join("\n  ");
        let skip = text.chars().count().saturating_sub(CHARACTERS);
        let text: String = text.chars().skip(skip).collect();
        if text.is_empty() { "it said nothing".into() } else { format!("it said:\n  {text}") }
    }

    /// The failure of `what`, with its cause where that is known.
    pub(crate) fn failure(&self, what: &str) -> Failed {
        let failed = Failed::because(Class::Local, format!("{what}; {}", self.tail()));
        let said = self.text.to_lowercase();
        let fits = |words: &&[&str]| words.iter().all(|any| any.split('|').any(|word| said.contains(word)));
        match CAUSES.iter().find(|(words, _)| fits(words)) {
            Some((_, remedy)) => failed.hint(*remedy),
            None => failed,
        }
    }
}

/// Without what terminals make colours of.
pub(crate) fn plain(text: &str) -> String {
    let mut plain = String::new();
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\u{1b}' => {
                if letters.next() == Some('[') {
                    letters.by_ref().find(char::is_ascii_alphabetic);
                }
            }
            '\n' | '\t' => plain.push(letter),
            letter if letter.is_control() => {}
            letter => plain.push(letter),
        }
    }
    plain
}

/// With what follows `password=`, `"token": "` and the like hidden, and passwords in URLs.
fn without_secrets(text: &str) -> String {
    text.split_inclusive('\n').map(|line| without_login(&without_values(line))).collect()
}

fn without_values(line: &str) -> String {
    let lower = line.to_ascii_lowercase();
    let mut shown = String::new();
    let mut at = 0;
    while at < line.len() {
        let found = SECRETS.iter().filter_map(|word| Some((lower[at..].find(word)? + at, word.len()))).min();
        let Some((begin, length)) = found else { break };
        let end = begin + length;
        // Names go on: PASSWORD_2, "secretKey".
        let name_end =
            end + line[end..].find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(line.len() - end);
        let rest = &line[name_end..];
        let value = rest.trim_start_matches(['"', '\'', ' ', '\\']);
        shown.push_str(&line[at..name_end]);
        at = name_end;
        if let Some(value) = value.strip_prefix([':', '=']) {
            let value = value.trim_start_matches([' ', '\\']);
            let quote = value.chars().next().filter(|letter| matches!(letter, '"' | '\''));
            let value = quote.map_or(value, |_| &value[1..]);
            let begin = line.len() - value.len();
            let length = value_length(value, quote);
            if length > 0 {
                shown.push_str(&line[at..begin]);
                shown.push_str(HIDDEN);
                at = begin + length;
            }
        }
    }
    shown.push_str(&line[at..]);
    shown
}

/// How long a value is: to its closing quote, which is not one with a backslash before it, or to what cannot be in one without quotes.
fn value_length(value: &str, quote: Option<char>) -> usize {
    let mut is_escaped = false;
    let ends = |letter: char| match quote {
        _ if letter == '\n' => true,
        Some(_) if is_escaped => {
            is_escaped = false;
            false
        }
        Some(quote) => {
            is_escaped = letter == '\\';
            letter == quote
        }
        None => matches!(letter, ',' | '}' | '"' | '\''),
    };
    value.find(ends).unwrap_or(value.len())
}

fn without_login(line: &str) -> String {
    let mut shown = String::new();
    let mut rest = line;
    while let Some((before, after)) = rest.split_once("://") {
        shown.push_str(before);
        shown.push_str("://");
        let authority = after.find(['/', ' ', '"', '\'', '\n']).unwrap_or(after.len());
        match after[..authority].rfind('@') {
            Some(at) => {
                shown.push_str(HIDDEN);
                rest = &after[at..];
            }
            None => rest = after,
        }
    }
    shown.push_str(rest);
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn output(stdout: &str, stderr: &str) -> Output {
        let ended = Ended { code: 0, stdout: stdout.into(), stderr: stderr.into() };
        Output::of(&ended, &["s3cr3t", "qu\"ote"])
    }

    #[test]
    fn secrets_are_hidden() {
        for (said, shown) in [
            ("connect to redis with s3cr3t failed", "connect to redis with … failed"),
            (
                "{\"host\": \"a\", \"password\": \"abc def\", \"port\": 1}",
                "{\"host\": \"a\", \"password\": \"…\", \"port\": 1}",
            ),
            (r#""password": "a\"b, c", "port": 1"#, r#""password": "…", "port": 1"#),
            (r#"inserting qu\"ote and qu"ote"#, "inserting … and …"),
            ("PRIVATE_NPM_PASSWORD=hunter2, next", "PRIVATE_NPM_PASSWORD=…, next"),
            ("bk_app_secret: x token='y'", "bk_app_secret: …'y'"),
            ("Authorization: Basic YTpi", "Authorization: …"),
            (
                "pull http://u:p@docker.corp/a and http://b/c@d",
                "pull http://…@docker.corp/a and http://b/c@d",
            ),
            ("the password is wrong", "the password is wrong"),
            ("密码 password：中文", "密码 password：中文"),
        ] {
            assert_eq!(output(said, "").tail(), format!("it said:\n  {shown}"), "{said}");
        }
    }

    #[test]
    fn colours_are_no_text() {
        assert!(output("\u{1b}[0;33mone\u{1b}[0m\r\nFinish！\r\n", "").has_line("Finish！"));
        assert!(!output("not Finish！ yet", "").has_line("Finish！"));
    }

    #[test]
    fn causes_are_known() {
        for (said, part) in [
            ("Failed: bkpaas/docker/slug-pilot:heroku-18-v1.6.1 MANIFEST_UNKNOWN", "init-data"),
            ("Max retries exceeded: Name or service not known", "CoreDNS"),
            ("部署失败, 资源不足, 配置资源实例失败.❌", "redisPool"),
            ("stdlib.sh: line 2: code: command not found", "runtimes missing"),
            ("Back-off: ErrImagePull", "nodes"),
        ] {
            let failed = output("", said).failure("bk_sops was not taken");
            assert!(failed.hints.iter().any(|hint| hint.contains(part)), "{said}: {failed:?}");
        }
        assert!(output("", "something else").failure("no").hints.is_empty());
        assert_eq!(output("", "").tail(), "it said nothing");
    }

    #[test]
    fn only_the_end_is_shown() {
        let many: String = (0..100).map(|number| format!("line {number}\n")).collect();
        let tail = output(&many, "").tail();
        assert!(tail.ends_with("line 99") && !tail.contains("line 80"), "{tail}");
        assert!(output(&"中".repeat(5000), "").tail().chars().count() < CHARACTERS + 20);
    }
}
