//! What an error means for the caller: may a retry help, whose fault is it, what to try next.
//!
//! Every error type of Ferry implements [`Failure`]; retries and exit codes follow from its [`Class`] and from
//! nothing else.

/// What kind of failure this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// The command line is wrong.
    Usage,
    /// A document that a person wrote is wrong: spec, lock, site.
    Input,
    /// What was asked for is not there.
    NotFound,
    /// The other side refuses: no, wrong or insufficient credentials.
    Denied,
    /// The other side asks to slow down.
    RateLimited,
    /// A failure of the moment: reset, stall, overload, time-out.
    Transient,
    /// The other side answered in a way that its protocol does not allow, or that Ferry does not support.
    Protocol,
    /// Content is not what its digest, signature or size says.
    Verification,
    /// This machine: disk full, file missing, permission.
    Local,
    /// Something that cannot happen; please report it.
    Internal,
}

impl Class {
    /// Whether the same request may succeed a moment later.
    pub fn is_retryable(self) -> bool {
        match self {
            Self::RateLimited | Self::Transient => true,
            Self::Usage
            | Self::Input
            | Self::NotFound
            | Self::Denied
            | Self::Protocol
            | Self::Verification
            | Self::Local
            | Self::Internal => false,
        }
    }

    /// The exit code that a program ends with.
    pub fn exit_code(self) -> ExitCode {
        match self {
            Self::Usage => ExitCode::Usage,
            Self::Verification => ExitCode::Verification,
            Self::Input
            | Self::NotFound
            | Self::Denied
            | Self::RateLimited
            | Self::Transient
            | Self::Protocol
            | Self::Local
            | Self::Internal => ExitCode::Failed,
        }
    }
}

/// How a program of Ferry ends. Scripts rely on these numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitCode {
    /// 0: all was done.
    Done = 0,
    /// 1: something failed; standard error says what.
    Failed = 1,
    /// 2: the command line is wrong.
    Usage = 2,
    /// 3: content is not what its digest or signature says.
    Verification = 3,
    /// 4: something would change (`plan --detailed-exitcode`), or two things differ (`diff`).
    WouldChange = 4,
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> Self {
        Self::from(code as u8)
    }
}

/// An error that knows what it means for the caller.
pub trait Failure: std::error::Error {
    /// What kind of failure it is.
    fn class(&self) -> Class;

    /// What to try next, one sentence each; shown below the error.
    fn hints(&self) -> Vec<String> {
        Vec::new()
    }
}
