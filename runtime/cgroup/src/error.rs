//! What can go wrong with a group.

use rustix::io::Errno;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// A group that cannot be used although the host has the controller.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("cannot {action} the control group {}: {errno}", .path.display())]
pub struct Error {
    action: &'static str,
    path: PathBuf,
    pub(crate) errno: Errno,
}

impl Error {
    /// For `map_err` on a system call.
    pub(crate) fn of<'a>(action: &'static str, path: &'a Path) -> impl Fn(Errno) -> Self + use<'a> {
        move |errno| Self { action, path: path.to_owned(), errno }
    }
}
