//! What the file calls have in common: from descriptors and path arguments to files and places.

use crate::mm::user;
use crate::task::current;
use alloc::sync::Arc;
use alloc::vec::Vec;
use ampoule_kbase::{Errno, File, OpenFile, Result, UserMemory};
use ampoule_kfs::{Context, Location, location};
use core::cell::Cell;
use linux_raw_sys::general::AT_FDCWD;

/// What a descriptor names, for work on its contents: one opened with `O_PATH` is as good as closed.
pub fn usable(fd: u64) -> Result<Arc<OpenFile>> {
    let open = super::file(fd)?;
    if open.path_only() { Err(Errno::EBADF) } else { Ok(open) }
}

/// Root, working directory and umask of the caller: a copy, so that no lock is held while paths are resolved.
pub fn context() -> Context {
    let fs = current().process.fs.lock().clone();
    fs.lock().clone()
}

/// Changes the caller's root, working directory or umask.
pub fn change_context<R>(change: impl FnOnce(&mut Context) -> R) -> R {
    let fs = current().process.fs.lock().clone();
    let mut context = fs.lock();
    change(&mut context)
}

/// A path argument with the directory that it starts from.
pub struct PathArgument {
    /// What the caller sees.
    pub context: Context,
    /// The directory (or, for the empty path, the file) that the descriptor names.
    pub base: Location,
    /// The path.
    pub path: Vec<u8>,
}

impl PathArgument {
    /// A path that starts at the working directory.
    pub fn here(path: u64) -> Result<Self> {
        Self::at(AT_FDCWD as u64, path)
    }

    /// The two arguments of the `*at` calls.
    pub fn at(directory: u64, path: u64) -> Result<Self> {
        let path = user::read_path(path)?;
        let context = context();
        let base = base(&context, directory, &path)?;
        Ok(Self { context, base, path })
    }

    /// The file that the path names; `AT_EMPTY_PATH` and `AT_SYMLINK_NOFOLLOW` count.
    pub fn resolve(&self, flags: u32) -> Result<Location> {
        self.context.resolve_at(&self.base, &self.path, flags)
    }

    /// For operations that take a directory and a path in it.
    pub fn pair(&self) -> (&Location, &[u8]) {
        (&self.base, &self.path)
    }
}

/// Where a path starts. The descriptor of an absolute path is not looked at.
pub fn base(context: &Context, directory: u64, path: &[u8]) -> Result<Location> {
    if directory as i32 == AT_FDCWD || path.starts_with(b"/") {
        return Ok(context.cwd.clone());
    }
    let open = super::file(directory)?;
    location(&open).cloned().ok_or(Errno::ENOTDIR)
}

/// Refuses flags outside of a set.
pub fn only(flags: u64, allowed: u32) -> Result<u32> {
    let flags = flags as u32;
    if flags & !allowed == 0 { Ok(flags) } else { Err(Errno::EINVAL) }
}

/// A file offset or length: not negative.
pub fn offset(value: u64) -> Result<u64> {
    if value > i64::MAX as u64 { Err(Errno::EINVAL) } else { Ok(value) }
}

/// Takes the answer of an `ioctl` that the kernel asks itself.
#[derive(Default)]
struct Answer(Cell<u32>);

impl UserMemory for Answer {
    fn read_bytes(&self, _from: u64, _to: &mut [u8]) -> Result<()> {
        Err(Errno::EFAULT)
    }

    fn write_bytes(&self, _to: u64, from: &[u8]) -> Result<()> {
        self.0.set(from.first_chunk().map_or(0, |bytes| u32::from_ne_bytes(*bytes)));
        Ok(())
    }
}

/// Asks a file for a number, by an `ioctl` that gives one.
pub fn ask(file: &dyn File, command: u32) -> Result<u32> {
    let answer = Answer::default();
    file.ioctl(command, 0, &answer)?;
    Ok(answer.0.get())
}
