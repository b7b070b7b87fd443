//! What a process sees of the file systems: its root, its current directory, its umask.

use super::mount::Location;
use super::walk::{Follow, Walk};
use super::{Access, Credentials};
use alloc::vec::Vec;
use ampoule_kbase::{Errno, Result};
use linux_raw_sys::general::{AT_EMPTY_PATH, AT_SYMLINK_NOFOLLOW};

/// Root directory, current directory and umask: what `CLONE_FS` shares and `fork` copies.
///
/// All operations that take a path take the directory it starts from first: [`Context::cwd`], or the location of the
/// descriptor that a system call names. They may ask [`crate::proc::Processes`] about any process, so a lock around the
/// context must not be held meanwhile: clone it (it is two pairs of counted pointers).
#[derive(Clone)]
pub struct Context {
    /// Where absolute paths start.
    pub root: Location,
    /// Where relative ones do.
    pub cwd: Location,
    /// Permission bits that new files do not get.
    pub umask: u32,
}

impl Context {
    /// Root and current directory are `root`.
    pub fn new(root: Location) -> Self {
        Self { cwd: root.clone(), root, umask: 0o022 }
    }

    /// Finds a file.
    pub fn resolve(&self, base: &Location, path: &[u8], follow: Follow) -> Result<Location> {
        Walk::new(self, base, path)?.finish(follow)
    }

    /// Finds a file with the `AT_*` flags of a system call, of which `AT_EMPTY_PATH` and `AT_SYMLINK_NOFOLLOW` count.
    pub fn resolve_at(&self, base: &Location, path: &[u8], flags: u32) -> Result<Location> {
        if path.is_empty() && flags & AT_EMPTY_PATH != 0 {
            return Ok(base.clone());
        }
        let follow = if flags & AT_SYMLINK_NOFOLLOW != 0 { Follow::Never } else { Follow::Last };
        self.resolve(base, path, follow)
    }

    /// `chdir(2)`, `fchdir(2)`, once the directory is found.
    pub fn set_cwd(&mut self, directory: Location) -> Result<()> {
        check_enter(&directory)?;
        self.cwd = directory;
        Ok(())
    }

    /// `chroot(2)`.
    pub fn set_root(&mut self, directory: Location) -> Result<()> {
        check_enter(&directory)?;
        if !Credentials::current().is_root() {
            return Err(Errno::EPERM);
        }
        self.root = directory;
        Ok(())
    }

    /// `getcwd(2)`: the path of the current directory, with `(unreachable)` in front if it is outside of the root;
    /// `ENOENT` if it was removed.
    pub fn current_directory(&self) -> Result<Vec<u8>> {
        let path = self.cwd.path(Some(&self.root));
        if path.deleted {
            return Err(Errno::ENOENT);
        }
        Ok(if path.reached { path.text } else { [b"(unreachable)", &path.text[..]].concat() })
    }
}

fn check_enter(directory: &Location) -> Result<()> {
    let attributes = directory.attributes();
    if !attributes.is_directory() {
        return Err(Errno::ENOTDIR);
    }
    Credentials::current().check(&attributes, Access::EXECUTE)
}

/// The text of a path; see [`Location::path`].
pub struct PathText {
    /// The path, absolute.
    pub text: Vec<u8>,
    /// Whether the root was met on the way up.
    pub reached: bool,
    /// Whether the file, or a directory above it, has been removed.
    pub deleted: bool,
}

impl Location {
    /// The path from `root`, or from the topmost mount.
    pub fn path(&self, root: Option<&Location>) -> PathText {
        let mut names: Vec<Vec<u8>> = Vec::new();
        let mut deleted = false;
        let mut at = self.clone();
        let reached = loop {
            if root.is_some_and(|root| at == *root) {
                break true;
            }
            if at.is_mount_root() {
                match at.mount.mount_point() {
                    Some(point) => at = point,
                    None => break root.is_none(),
                }
                continue;
            }
            let (Some((name, linked)), Some(parent)) = (at.inode.name(), at.inode.parent()) else {
                deleted = true;
                break true;
            };
            deleted |= !linked;
            names.push(name);
            at = at.with(parent);
        };
        let mut text = Vec::new();
        for name in names.iter().rev() {
            text.push(b'/');
            text.extend_from_slice(name);
        }
        if text.is_empty() {
            text.push(b'/');
        }
        PathText { text, reached, deleted }
    }

    /// The path as `/proc` shows it, with ` (deleted)` where that is so.
    pub fn describe(&self) -> Vec<u8> {
        if let Some(text) = self.inode.describe() {
            return text;
        }
        let mut path = self.path(None);
        if path.deleted {
            path.text.extend_from_slice(b" (deleted)");
        }
        path.text
    }
}
