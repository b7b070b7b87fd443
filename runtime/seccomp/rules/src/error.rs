//! What can be wrong with a filter that somebody wrote.

use std::path::PathBuf;
use thiserror::Error;

/// Why a filter is not usable.
#[derive(Debug, Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("{file}: {error}")]
    Read {
        /// The file.
        file: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// The file is not what it has to be. The message names the line.
    #[error("{file}: {error}")]
    Parse {
        /// The file.
        file: PathBuf,
        /// Why, and where.
        error: Box<toml::de::Error>,
    },
    /// A condition is not of the form `ARGUMENT [& MASK] = VALUE`.
    #[error("condition {text:?}: {problem}; write it as `2 = PROT_READ|PROT_WRITE` or `2 & PROT_EXEC = 0`")]
    Condition {
        /// What is written there.
        text: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// `seccompiler` does not take it: there is no such call, or the filter is too large.
    #[error("call {call:?}: {error}")]
    Compile {
        /// The call.
        call: String,
        /// Why.
        error: String,
    },
    /// The filter is empty: a thread that may not even end.
    #[error("there is no rule")]
    Empty,
}
