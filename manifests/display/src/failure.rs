//! The last words of a run that failed.

use std::error::Error;
use std::io::{self, Write};

use ferry_model::failure::{Class, Failure};
use serde_json::json;

use crate::text::printable;

/// Prints `error: …`, its causes and its hints, each on its own line.
pub fn write_failure(out: &mut dyn Write, error: &dyn Failure, program: &str) -> io::Result<()> {
    write_lines(out, "error: ", &error.to_string())?;
    for cause in causes(error) {
        write_lines(out, "  caused by: ", &cause)?;
    }
    for hint in hints(error, program) {
        write_lines(out, "  hint: ", &hint)?;
    }
    Ok(())
}

/// A list of failures or an excerpt of a file has several lines, each of which is made fit to print.
fn write_lines(out: &mut dyn Write, head: &str, text: &str) -> io::Result<()> {
    let mut lines = text.lines();
    writeln!(out, "{head}{}", printable(lines.next().unwrap_or_default()))?;
    lines.try_for_each(|line| writeln!(out, "  {}", printable(line)))
}

/// The same for programs, as one line: `{"error":{"class":…,"message":…,"causes":[…],"hints":[…]}}`.
pub fn write_failure_json(out: &mut dyn Write, error: &dyn Failure, program: &str) -> io::Result<()> {
    writeln!(out, "{}", failure_json(error, program))
}

/// What [`write_failure_json`] prints.
pub fn failure_json(error: &dyn Failure, program: &str) -> serde_json::Value {
    json!({"error": {
        "class": error.class(),
        "message": error.to_string(),
        "causes": causes(error),
        "hints": hints(error, program),
    }})
}

/// The chain below `error`, without those that repeat what the text above them says already.
fn causes(error: &dyn Failure) -> Vec<String> {
    let mut causes: Vec<String> = Vec::new();
    let mut above = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let text = cause.to_string();
        if !above.contains(&text) {
            above.clone_from(&text);
            causes.push(text);
        }
        next = Error::source(cause);
    }
    causes
}

fn hints(error: &dyn Failure, program: &str) -> Vec<String> {
    let mut hints = error.hints();
    match error.class() {
        Class::Usage => hints.push(format!("`{program} --help` lists the commands and their options")),
        Class::Internal => {
            hints.push(format!("this is a defect of {program}; please report it with this text"));
        }
        _ => {}
    }
    hints
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    enum Broken {
        #[error("pushing app:1 to registry.corp")]
        Push(#[source] Box<Broken>),
        #[error("connection lost: {0}")]
        Lost(#[source] io::Error),
    }

    impl Failure for Broken {
        fn class(&self) -> Class {
            match self {
                Self::Push(below) => below.class(),
                Self::Lost(_) => Class::Transient,
            }
        }
        fn hints(&self) -> Vec<String> {
            vec!["run the same command again\x1b[2J".to_owned()]
        }
    }

    fn example() -> Broken {
        Broken::Push(Box::new(Broken::Lost(io::Error::other("reset by peer"))))
    }

    #[test]
    fn for_people() {
        let mut out = Vec::new();
        write_failure(&mut out, &example(), "ferry-installer").unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "error: pushing app:1 to registry.corp\n  \
             caused by: connection lost: reset by peer\n  \
             hint: run the same command again�[2J\n"
        );
    }

    #[test]
    fn for_programs() {
        let mut out = Vec::new();
        write_failure_json(&mut out, &example(), "ferry-installer").unwrap();
        assert_eq!(out.split(|&byte| byte == b'\n').count(), 2, "one line, ended");
        assert_eq!(
            serde_json::from_slice::<serde_json::Value>(&out).unwrap(),
            json!({"error": {
                "class": "transient",
                "message": "pushing app:1 to registry.corp",
                "causes": ["connection lost: reset by peer"],
                "hints": ["run the same command again\u{1b}[2J"],
            }})
        );
    }
}
