//! Writes an image to a path so that nobody ever sees half of it there.
//!
//! The image grows in a file without a name, in the directory where it will be; only when it is complete does it get a
//! temporary name and at once the final one. Where the file system has no files without names, the temporary name comes
//! first and is removed on failure.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Mode, OFlags};

use crate::builder::{ImageInfo, ProgressFn};
use crate::error::{Error, printable};
use crate::options::Options;
use crate::source::{Source, build};

/// Builds an image of one source at `path`, in place of a file that may be there. On failure that file stays as it was,
/// and nothing else is left.
///
/// # Errors
/// Those of [`build`](crate::build), and if `path` is something else than a regular file.
pub fn build_file(
    source: Source<'_>,
    path: &Path,
    options: Options,
    progress: Box<ProgressFn<'_>>,
) -> Result<ImageInfo, Error> {
    match fs::symlink_metadata(path) {
        Ok(there) if !there.is_file() => {
            return Err(Error::NotReplaceable { path: printable(path.as_os_str().as_bytes()) });
        }
        _ => {}
    }
    let mut draft = Draft::create(path)?;
    let info = build(source, &mut draft.file, options, progress)?;
    draft.publish(path)?;
    Ok(info)
}

/// The image while it is incomplete.
struct Draft {
    file: File,
    /// Its temporary name.
    name: PathBuf,
    /// Whether it has that name, and must lose it.
    named: bool,
}

impl Draft {
    fn create(path: &Path) -> Result<Self, Error> {
        let failed = |error: io::Error| Error::io("create", path.as_os_str().as_bytes(), error);
        let directory = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let file = path.file_name().ok_or_else(|| failed(io::ErrorKind::InvalidInput.into()))?;
        let mut name = OsString::from(".");
        name.push(file);
        name.push(format!(".{}.partial", std::process::id()));
        let name = directory.join(name);
        let mode = Mode::from_raw_mode(0o666);
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        if let Ok(file) = rustix::fs::openat(CWD, directory, flags, mode) {
            return Ok(Self { file: file.into(), name, named: false });
        }
        let file = File::options().read(true).write(true).create_new(true).open(&name).map_err(failed)?;
        Ok(Self { file, name, named: true })
    }

    fn publish(mut self, path: &Path) -> Result<(), Error> {
        let failed = |error: io::Error| Error::io("create", path.as_os_str().as_bytes(), error);
        if !self.named {
            let unnamed = format!("/proc/self/fd/{}", self.file.as_raw_fd());
            rustix::fs::linkat(CWD, unnamed, CWD, &self.name, AtFlags::SYMLINK_FOLLOW)
                .map_err(|errno| failed(errno.into()))?;
            self.named = true;
        }
        fs::rename(&self.name, path).map_err(failed)?;
        self.named = false;
        Ok(())
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if self.named {
            // Nothing to tell anybody: the build's own failure is on its way.
            let _ = fs::remove_file(&self.name);
        }
    }
}
