//! `open(2)`.

use super::inode::{Kind, NewNode, WriterChange};
use super::walk::{Follow, Last, Walk};
use super::{Access, Attributes, Context, Credentials, Location, MountFlags, VfsFile};
use crate::special::{SpecialFile, special};
use alloc::boxed::Box;
use alloc::sync::Arc;
use ampoule_kbase::{Errno, File, FileType, OpenFile, Result};
use linux_raw_sys::general::{
    __O_TMPFILE, O_ACCMODE, O_CLOEXEC, O_CREAT, O_DIRECTORY, O_EXCL, O_LARGEFILE, O_NOATIME, O_NOCTTY,
    O_NOFOLLOW, O_PATH, O_RDONLY, O_TMPFILE, O_TRUNC, O_WRONLY,
};

/// A file that was opened.
pub struct Opening {
    /// The open file description.
    pub file: Arc<OpenFile>,
    /// Where the call has to wait for another side (a FIFO): whether it is there now. The file's wait queue is woken when
    /// that may have changed. Dropping everything gives up.
    pub complete: Option<Box<dyn Fn() -> bool + Send>>,
}

/// What the access mode in `flags` asks for.
fn access_of(flags: u32) -> Access {
    let access = match flags & O_ACCMODE {
        O_RDONLY => Access::READ,
        O_WRONLY => Access::WRITE,
        _ => Access::READ | Access::WRITE,
    };
    if flags & O_TRUNC != 0 { access | Access::WRITE } else { access }
}

/// Drops what has no meaning, and refuses contradictions.
fn check_flags(flags: u32) -> Result<u32> {
    if flags & O_PATH != 0 {
        return Ok(flags & (O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    }
    if flags & __O_TMPFILE != 0 {
        let complete = flags & (O_TMPFILE | O_CREAT) == O_TMPFILE;
        if !complete || flags & O_ACCMODE == O_RDONLY {
            return Err(Errno::EINVAL);
        }
    } else if flags & (O_CREAT | O_DIRECTORY) == O_CREAT | O_DIRECTORY {
        return Err(Errno::EINVAL);
    }
    Ok(flags)
}

impl Context {
    /// `openat(2)`: `flags` are `O_*`, `mode` the permissions of a file that is created (the umask is taken off here).
    pub fn open(&self, base: &Location, path: &[u8], flags: u32, mode: u32) -> Result<Opening> {
        let flags = check_flags(flags)?;
        let walk = Walk::new(self, base, path)?;
        if flags & __O_TMPFILE != 0 && flags & O_PATH == 0 {
            return self.open_unnamed(walk, flags, mode);
        }
        if flags & O_CREAT != 0 {
            return self.open_or_create(walk, flags, mode);
        }
        let follow = if flags & O_NOFOLLOW != 0 { Follow::Never } else { Follow::Last };
        open_found(walk.finish(follow)?, flags)
    }

    fn open_or_create(&self, mut walk: Walk<'_>, flags: u32, mode: u32) -> Result<Opening> {
        let follows = flags & (O_NOFOLLOW | O_EXCL) == 0;
        loop {
            let last = walk.go_to_last()?;
            if last != Last::Name {
                walk.finish_dots(last)?;
                break;
            }
            if walk.wants_directory {
                return Err(Errno::EISDIR);
            }
            match walk.child() {
                Ok(child) if follows && child.attributes().file_type() == FileType::Symlink => {
                    walk.follow(&child)?
                }
                Ok(child) => {
                    walk.at = child;
                    break;
                }
                Err(Errno::ENOENT) => {
                    let created = self.create_at(&walk, Kind::Regular, mode)?;
                    return finish_open(created, flags & !O_TRUNC);
                }
                Err(error) => return Err(error),
            }
        }
        let found = walk.at;
        if flags & O_EXCL != 0 {
            return Err(Errno::EEXIST);
        }
        if found.attributes().is_directory() {
            return Err(Errno::EISDIR);
        }
        open_found(found, flags)
    }

    fn open_unnamed(&self, walk: Walk<'_>, flags: u32, mode: u32) -> Result<Opening> {
        let credentials = walk.credentials;
        let follow = if flags & O_NOFOLLOW != 0 { Follow::Never } else { Follow::Last };
        let directory = walk.finish(follow)?;
        let attributes = directory.attributes();
        if !attributes.is_directory() {
            return Err(Errno::ENOTDIR);
        }
        directory.mount.check_writable()?;
        credentials.check(&attributes, Access::WRITE | Access::EXECUTE)?;
        let node = self.new_node(Kind::Regular, mode, credentials);
        let inode = directory.inode.create_unnamed(&node, flags & O_EXCL == 0)?;
        finish_open(directory.with(inode), flags & !O_TRUNC)
    }

    /// A node of the caller's, with the umask applied.
    pub(super) fn new_node<'a>(&self, kind: Kind<'a>, mode: u32, credentials: Credentials) -> NewNode<'a> {
        let permissions = if matches!(kind, Kind::Symlink(_)) { 0o777 } else { mode & 0o7777 & !self.umask };
        NewNode { kind, permissions, uid: credentials.uid, gid: credentials.gid }
    }

    /// Makes the last component of a walk, which does not exist.
    pub(super) fn create_at(&self, walk: &Walk<'_>, kind: Kind<'_>, mode: u32) -> Result<Location> {
        let directory = &walk.at;
        directory.mount.check_writable()?;
        walk.credentials.check(&directory.attributes(), Access::WRITE | Access::EXECUTE)?;
        let is_device = matches!(kind, Kind::CharDevice(device) | Kind::BlockDevice(device) if device != 0);
        if is_device && !walk.credentials.is_root() {
            return Err(Errno::EPERM);
        }
        let node = self.new_node(kind, mode, walk.credentials);
        Ok(directory.with(directory.inode.create(walk.name(), &node)?))
    }
}

/// Opens a file that exists: the checks of `may_open` in Linux, in its order.
fn open_found(found: Location, flags: u32) -> Result<Opening> {
    let attributes = found.attributes();
    if flags & O_DIRECTORY != 0 && !attributes.is_directory() {
        return Err(Errno::ENOTDIR);
    }
    if flags & O_PATH != 0 {
        return finish_open(found, flags);
    }
    let mut flags = flags;
    check_type(&found, &attributes, &mut flags)?;
    let access = access_of(flags);
    let regular = attributes.file_type() == FileType::Regular;
    if regular && access.contains(Access::WRITE) {
        found.mount.check_writable()?;
    }
    let credentials = Credentials::current();
    credentials.check(&attributes, access)?;
    if flags & O_NOATIME != 0 && !credentials.owns(&attributes) {
        return Err(Errno::EPERM);
    }
    finish_open(found, flags)
}

fn check_type(found: &Location, attributes: &Attributes, flags: &mut u32) -> Result<()> {
    match attributes.file_type() {
        FileType::Regular => {}
        FileType::Symlink => return Err(Errno::ELOOP),
        FileType::Directory if access_of(*flags).contains(Access::WRITE) => return Err(Errno::EISDIR),
        FileType::Directory => {}
        FileType::CharDevice | FileType::BlockDevice
            if found.mount.flags().contains(MountFlags::NO_DEVICES) =>
        {
            return Err(Errno::EACCES);
        }
        FileType::CharDevice | FileType::BlockDevice | FileType::Fifo | FileType::Socket => {
            *flags &= !O_TRUNC
        }
    }
    Ok(())
}

/// Makes the open file description. No checks are left.
fn finish_open(location: Location, flags: u32) -> Result<Opening> {
    let place = VfsFile::new(location, flags)?;
    let kept = flags & !(O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC | O_CLOEXEC);
    if flags & O_PATH != 0 {
        return Ok(Opening { file: OpenFile::new(place, kept), complete: None });
    }
    let kept = kept | O_LARGEFILE;
    let inode = place.location().inode().clone();
    let attributes = inode.attributes();
    if flags & O_TRUNC != 0 && attributes.file_type() == FileType::Regular {
        // Also where the file is opened for reading: nobody cuts off a program that runs.
        inode.count_writers(WriterChange::WriterAdded)?;
        let result = inode.truncate(0);
        inode.count_writers(WriterChange::WriterGone)?;
        result?;
    }
    let place: Arc<dyn File> = place;
    let opened = match attributes.file_type() {
        FileType::Regular | FileType::Directory => inode.open(flags, &place)?,
        _ => Some(open_special(&place, &*inode, flags)?),
    };
    Ok(match opened {
        None => Opening { file: OpenFile::new(place, kept), complete: None },
        Some(SpecialFile { file, complete }) => {
            Opening { file: OpenFile::with_place(file, kept, place), complete }
        }
    })
}

fn open_special(place: &Arc<dyn File>, inode: &dyn super::Inode, flags: u32) -> Result<SpecialFile> {
    if let Some(opened) = inode.open(flags, place)? {
        return Ok(opened);
    }
    let device = inode.stat().rdev;
    match inode.attributes().file_type() {
        FileType::Fifo => special()?.open_fifo(inode.slot().ok_or(Errno::ENXIO)?, flags, place),
        FileType::CharDevice => crate::dev::open(device, flags, place),
        FileType::BlockDevice => special()?.open_block_device(device, flags, place),
        _ => Err(Errno::ENXIO),
    }
}
