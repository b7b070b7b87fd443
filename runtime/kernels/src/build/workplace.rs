//! Where a build happens: a directory that goes with it, unless it is to be kept, and the log.

use crate::Error;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;
use tempfile::{NamedTempFile, TempDir};

/// Where a build is if nobody says. Unlike `/tmp`, it is on a disk: a tree of Linux has 1.5 GB.
const DEFAULT_PARENT: &str = "/var/tmp";
const PREFIX: &str = "ampoule-kernel-";
/// A process that was just killed may still finish the making of a file.
const REMOVALS: usize = 5;
const PAUSE: Duration = Duration::from_millis(100);

/// The directory and the log of a build.
pub struct Workplace {
    place: Place,
    log: Log,
}

enum Place {
    Passing(TempDir),
    Kept(PathBuf),
}

enum Log {
    /// Beside the directory, as it stays if something fails.
    Passing(NamedTempFile),
    Kept(PathBuf, File),
}

impl Workplace {
    /// A directory in `$TMPDIR` or `/var/tmp`; or this one, which must be empty or not there yet.
    pub fn new(keep: Option<&Path>) -> Result<Self, Error> {
        match keep {
            Some(directory) => Self::kept(directory),
            None => Self::passing(),
        }
    }

    fn kept(directory: &Path) -> Result<Self, Error> {
        let directory = std::path::absolute(directory).map_err(Error::file("find", directory))?;
        fs::create_dir_all(&directory).map_err(Error::file("create", &directory))?;
        let mut entries = fs::read_dir(&directory).map_err(Error::file("list", &directory))?;
        if entries.next().is_some() {
            let error = std::io::Error::other("it is not empty");
            return Err(Error::File { what: "build in", path: directory, error });
        }
        let path = directory.join("log");
        let file = File::create_new(&path).map_err(Error::file("create", &path))?;
        let place = Self { place: Place::Kept(directory), log: Log::Kept(path, file) };
        place.with_tmp()
    }

    fn passing() -> Result<Self, Error> {
        let parent = std::env::var_os("TMPDIR").filter(|path| !path.is_empty());
        let parent = parent.map_or_else(|| PathBuf::from(DEFAULT_PARENT), PathBuf::from);
        let parent = std::path::absolute(&parent).map_err(Error::file("find", &parent))?;
        let mut builder = tempfile::Builder::new();
        builder.prefix(PREFIX);
        let directory = builder.tempdir_in(&parent).map_err(Error::file("write into", &parent))?;
        let log = builder.suffix(".log").tempfile_in(&parent).map_err(Error::file("write into", &parent))?;
        Self { place: Place::Passing(directory), log: Log::Passing(log) }.with_tmp()
    }

    fn with_tmp(self) -> Result<Self, Error> {
        let tmp = self.path("tmp");
        fs::create_dir(&tmp).map_err(Error::file("create", &tmp))?;
        Ok(self)
    }

    /// A path in the directory.
    pub fn path(&self, name: &str) -> PathBuf {
        match &self.place {
            Place::Passing(directory) => directory.path().join(name),
            Place::Kept(directory) => directory.join(name),
        }
    }

    /// The log, open for writing and reading.
    pub fn log(&mut self) -> &mut File {
        match &mut self.log {
            Log::Passing(file) => file.as_file_mut(),
            Log::Kept(_, file) => file,
        }
    }

    /// Keeps the log when everything else goes, and gives its path.
    pub fn keep_log(&mut self) -> PathBuf {
        match &mut self.log {
            Log::Passing(file) => {
                file.disable_cleanup(true);
                file.path().to_owned()
            }
            Log::Kept(path, _) => path.clone(),
        }
    }
}

impl Drop for Workplace {
    fn drop(&mut self) {
        let Place::Passing(directory) = &self.place else { return };
        for _ in 0..REMOVALS {
            match fs::remove_dir_all(directory.path()) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => sleep(PAUSE),
                _ => return,
            }
        }
    }
}
