//! One directory of a group, in one hierarchy.

use crate::error::Error;
use crate::host::{Place, Version};
use rustix::fs::{AtFlags, FlockOperation, Mode, OFlags, flock, mkdirat, open, openat, unlinkat};
use rustix::io::{Errno, read, write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// What all names begin with.
const PREFIX: &str = "ampoule-";
/// How often a maker tries another name.
const ATTEMPTS: u32 = 16;
/// Most names of a hierarchy that are looked at in a sweep, and most locks that are tried.
const MAX_NAMES: usize = 4096;
const MAX_PROBES: usize = 64;
/// How often, and how long apart, a group is removed whose last process is only just gone.
const REMOVALS: u32 = 50;
const REMOVAL_PAUSE: Duration = Duration::from_millis(1);

/// A directory that is locked, and removed when it is dropped.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) version: Version,
    path: PathBuf,
    name: String,
    parent: OwnedFd,
    /// Holds the lock.
    directory: OwnedFd,
    /// The file to write `0` to.
    pub(crate) join: OwnedFd,
}

impl Group {
    /// Makes a directory with a name of its own.
    pub(crate) fn create(place: &Place) -> Result<Self, Error> {
        let parent = open_directory(&place.directory).map_err(Error::of("open", &place.directory))?;
        let mut last = Errno::EXIST;
        for _ in 0..ATTEMPTS {
            match Self::attempt(place, &parent) {
                Ok((name, directory, join)) => {
                    let path = place.directory.join(&name);
                    return Ok(Self { version: place.version, path, name, parent, directory, join });
                }
                // The name is taken, or another took the directory for one that was left behind.
                Err(errno @ (Errno::EXIST | Errno::NOENT | Errno::NODEV | Errno::WOULDBLOCK)) => last = errno,
                Err(errno) => return Err(Error::of("make", &place.directory)(errno)),
            }
        }
        Err(Error::of("make", &place.directory)(last))
    }

    fn attempt(place: &Place, parent: &OwnedFd) -> Result<(String, OwnedFd, OwnedFd), Errno> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("{PREFIX}{}-{count}", std::process::id());
        mkdirat(parent, &name, Mode::from_raw_mode(0o755))?;
        let opened = openat(parent, &name, DIRECTORY, Mode::empty()).and_then(|directory| {
            flock(&directory, FlockOperation::NonBlockingLockExclusive)?;
            let file = match place.version {
                Version::V1 => "tasks",
                Version::V2 => "cgroup.procs",
            };
            // After the lock: now the directory stays, or it is gone already and this fails.
            let join = openat(&directory, file, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
            Ok((name.clone(), directory, join))
        });
        if opened.is_err() {
            let _ = unlinkat(parent, &name, AtFlags::REMOVEDIR);
        }
        opened
    }

    /// Sets a value of the group.
    pub(crate) fn set(&self, file: &str, value: &str) -> Result<(), Error> {
        self.try_set(file, value).map_err(|errno| {
            let path = self.path.join(file);
            Error::of("set", &path)(errno)
        })
    }

    fn try_set(&self, file: &str, value: &str) -> Result<(), Errno> {
        let file = openat(&self.directory, file, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
        write(&file, value.as_bytes()).map(drop)
    }

    /// Sets a value that not every kernel has.
    pub(crate) fn set_if_there(&self, file: &str, value: &str) -> Result<(), Error> {
        match self.set(file, value) {
            Err(error) if error.errno == Errno::NOENT => Ok(()),
            result => result,
        }
    }

    /// A value of the group.
    pub(crate) fn get(&self, file: &str) -> Option<String> {
        let file = openat(&self.directory, file, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()?;
        let mut bytes = [0; 4096];
        let len = read(&file, &mut bytes).ok()?;
        String::from_utf8(bytes.get(..len)?.to_vec()).ok()
    }

    /// A number of the group, alone in its file.
    pub(crate) fn number(&self, file: &str) -> Option<u64> {
        self.get(file)?.trim().parse().ok()
    }

    /// A number of the group in a file of lines `key value`.
    pub(crate) fn keyed(&self, file: &str, key: &str) -> Option<u64> {
        let text = self.get(file)?;
        let mut lines = text.lines().filter_map(|line| line.split_once(' '));
        lines.find(|(name, _)| *name == key)?.1.trim().parse().ok()
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn directory(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        for _ in 0..REMOVALS {
            match unlinkat(&self.parent, &self.name, AtFlags::REMOVEDIR) {
                // Its last process is still on its way out.
                Err(Errno::BUSY) => std::thread::sleep(REMOVAL_PAUSE),
                // What cannot be removed now, a later sweep will find.
                _ => return,
            }
        }
    }
}

/// Removes groups whose makers are dead and that have no process. Says how many.
pub(crate) fn sweep(place: &Place) -> usize {
    let Ok(parent) = open_directory(&place.directory) else { return 0 };
    let Ok(entries) = std::fs::read_dir(&place.directory) else { return 0 };
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut names: Vec<String> = names.filter(|name| is_ours(name)).take(MAX_NAMES).collect();
    // Where very many live, each sweep begins elsewhere.
    let start = usize::try_from(std::process::id()).unwrap_or(0).checked_rem(names.len()).unwrap_or(0);
    names.rotate_left(start);
    names.iter().take(MAX_PROBES).filter(|name| remove_if_dead(&parent, name)).count()
}

fn remove_if_dead(parent: &OwnedFd, name: &str) -> bool {
    let Ok(directory) = openat(parent, name, DIRECTORY, Mode::empty()) else { return false };
    match flock(&directory, FlockOperation::NonBlockingLockExclusive) {
        // The lock is held until after it is gone: its maker, if it is about to lock it, tries another name.
        Ok(()) => unlinkat(parent, name, AtFlags::REMOVEDIR).is_ok(),
        Err(_) => false,
    }
}

/// Whether it is `ampoule-<number>-<number>`.
fn is_ours(name: &str) -> bool {
    let is_number =
        |text: &str| !text.is_empty() && text.len() <= 10 && text.bytes().all(|byte| byte.is_ascii_digit());
    name.strip_prefix(PREFIX)
        .and_then(|rest| rest.split_once('-'))
        .is_some_and(|(pid, count)| is_number(pid) && is_number(count))
}

const DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

fn open_directory(path: &Path) -> Result<OwnedFd, Errno> {
    open(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_ours_are_swept() {
        assert!(is_ours("ampoule-1-0") && is_ours("ampoule-4194304-17"));
        for name in
            ["ampoule", "ampoule-", "ampoule-1", "ampoule-1-", "ampoule-x-1", "ampoule-1-2-3", "user.slice"]
        {
            assert!(!is_ours(name), "{name}");
        }
    }
}
