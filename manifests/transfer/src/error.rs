use ferry_model::failure::{Class, Failure};

/// Why moving something failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// To come.
    #[error("to come")]
    ToCome,
}

impl Failure for Error {
    fn class(&self) -> Class {
        todo!()
    }
}
