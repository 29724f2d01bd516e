use proptest::prelude::*;

use super::*;

fn login(user: &str, password: &str) -> PaasLogin {
    PaasLogin { user: user.into(), password: password.into() }
}

#[test]
fn spellings_of_one_login() {
    for text in [
        "{PROJECT='bkpaas', ENDPOINT='http://bkrepo.corp', USERNAME='bkpaas3', PASSWORD='blue, king'}",
        "{PROJECT=\"bkpaas\",USERNAME=\"bkpaas3\",PASSWORD=\"blue, king\"}",
        " { USERNAME = 'bkpaas3' , PASSWORD = \"blue, king\" , } \n",
        "{\"PROJECT\": \"bkpaas\", \"USERNAME\": \"bkpaas3\", \"PASSWORD\": \"blue, king\"}",
        "@json {\"USERNAME\": \"bkpaas3\", \"PASSWORD\": \"blue\\u002c king\"}",
        "{'USERNAME': 'bkpaas3', 'PASSWORD': 'blue, king'}",
        "USERNAME=bkpaas3\nPASSWORD='blue, king'\n",
        "{username=bkpaas3, password='blue, king'}",
    ] {
        assert_eq!(parse(text), Ok(login("bkpaas3", "blue, king")), "{text}");
    }
    assert_eq!(parse("{USERNAME=a=b, PASSWORD=http://x?y=z}"), Ok(login("a=b", "http://x?y=z")));
    assert_eq!(parse(r#"{USERNAME='a\b', PASSWORD="a\"b\\"}"#), Ok(login("a\\b", "a\"b\\")));
    assert_eq!(parse("{USERNAME='蓝鲸', PASSWORD='}'}"), Ok(login("蓝鲸", "}")));
}

#[test]
fn what_is_no_login() {
    for text in ["", "{}", "blueking", "{USERNAME}", "{USERNAME='a}", "{USERNAME='a' PASSWORD='b'}", "{='a'}"]
    {
        assert!(parse(text).is_err(), "{text}");
    }
    assert_eq!(parse("{USERNAME='a', PASSWORD=''}"), Err(NoLogin::Lacks("PASSWORD")));
    assert_eq!(parse("{PASSWORD='a'}"), Err(NoLogin::Lacks("USERNAME")));
}

#[test]
fn nothing_of_it_is_shown() {
    let shown = format!("{:?}", parse("{USERNAME='bkpaas3', PASSWORD='s3cret'}"));
    assert!(shown.contains("bkpaas3") && !shown.contains("s3cret"), "{shown}");
}

/// How a value may be written, where it can be.
fn spelled(value: &str, how: u8) -> String {
    let plain = !value.is_empty() && !value.contains([',', '\n', '\'', '"', '}']) && value.trim() == value;
    match how % 3 {
        0 if plain => value.to_owned(),
        0 | 1 if !value.contains('\'') => format!("'{value}'"),
        _ => {
            let escaped = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            format!("\"{escaped}\"")
        }
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read(
        user in "[^\\x00-\\x1f]{1,20}", password in "[^\\x00-\\x1f]{1,20}", project in "[^\\x00-\\x1f]{0,20}",
        how in any::<(u8, u8, u8)>(), equals in "[ ]{0,2}[=:][ ]{0,2}", comma in "[ ]{0,2},[ \n]{0,2}",
    ) {
        prop_assume!(!user.is_empty() && !password.is_empty());
        let text = format!(
            "{{PROJECT{equals}{}{comma}USERNAME{equals}{}{comma}PASSWORD{equals}{}}}",
            spelled(&project, how.0 | 1), spelled(&user, how.1), spelled(&password, how.2),
        );
        prop_assert_eq!(parse(&text), Ok(login(&user, &password)), "{}", text);
    }

    #[test]
    fn nothing_makes_it_panic(text in any::<String>(), table in "[{}='\",:\\\\a-c \n@]{0,40}") {
        let _ = (parse(&text), parse(&table));
    }
}
