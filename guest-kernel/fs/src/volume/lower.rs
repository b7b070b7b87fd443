//! What a volume lies on.

use super::table::{Entry, Item};
use crate::erofs::{DiskInode, Erofs, Extent};
use ampoule_kbase::{Errno, FileType, Frame, PAGE_SIZE, Result};
use core::ptr;

/// A lower layer.
pub(super) enum Lower {
    Erofs(Erofs),
    Table(&'static Entry),
}

/// A file of the lower layer.
#[derive(Clone, Copy)]
pub(super) enum LowerRef {
    /// An inode number of the image.
    Disk(u64),
    Entry(&'static Entry),
}

/// The attributes of a file of the lower layer.
pub(super) struct LowerInfo {
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub nlink: u32,
    pub size: u64,
    /// None: that of the mount.
    pub mtime_ns: Option<i64>,
    pub rdev: u64,
}

/// An entry of a directory of the lower layer.
pub(super) struct LowerEntry<'a> {
    pub name: &'a [u8],
    pub file_type: FileType,
    pub file: LowerRef,
    /// The position of the next one.
    pub next: u64,
}

impl LowerRef {
    /// The inode number.
    pub fn ino(self) -> u64 {
        match self {
            // Number 0 is the first inode of an image, but means "removed" in a directory listing.
            LowerRef::Disk(nid) => nid.saturating_add(1),
            // The kernel is smaller than 4 GiB, so the low half of an address is unique in it.
            LowerRef::Entry(entry) => ptr::from_ref(entry) as u64 & 0xffff_ffff,
        }
    }
}

impl Entry {
    fn file_type(&self) -> FileType {
        match self.item {
            Item::Directory(_) => FileType::Directory,
            Item::Symlink(_) => FileType::Symlink,
            Item::CharDevice(..) => FileType::CharDevice,
            Item::Text(_) => FileType::Regular,
        }
    }

    fn children(&self) -> &'static [Entry] {
        match self.item {
            Item::Directory(entries) => entries,
            _ => &[],
        }
    }

    fn content(&self) -> &'static str {
        match self.item {
            Item::Symlink(text) | Item::Text(text) => text,
            _ => "",
        }
    }

    fn info(&self) -> LowerInfo {
        let rdev = match self.item {
            Item::CharDevice(major, minor) => crate::dev::device_number(major, minor),
            _ => 0,
        };
        let directories =
            self.children().iter().filter(|child| child.file_type() == FileType::Directory).count();
        let is_directory = self.file_type() == FileType::Directory;
        LowerInfo {
            mode: self.file_type() as u32 | self.permissions,
            uid: 0,
            gid: 0,
            nlink: if is_directory { 2 + directories as u32 } else { 1 },
            size: self.content().len() as u64,
            mtime_ns: None,
            rdev,
        }
    }
}

impl Lower {
    /// The root directory.
    pub fn root(&self) -> LowerRef {
        match self {
            Lower::Erofs(erofs) => LowerRef::Disk(erofs.root()),
            Lower::Table(root) => LowerRef::Entry(root),
        }
    }

    fn disk(&self, nid: u64) -> Result<(&Erofs, DiskInode)> {
        match self {
            Lower::Erofs(erofs) => Ok((erofs, erofs.inode(nid)?)),
            Lower::Table(_) => Err(Errno::EIO),
        }
    }

    /// Attributes.
    pub fn info(&self, file: LowerRef) -> Result<LowerInfo> {
        match file {
            LowerRef::Entry(entry) => Ok(entry.info()),
            LowerRef::Disk(nid) => {
                let (_, inode) = self.disk(nid)?;
                let DiskInode { mode, uid, gid, nlink, size, mtime_ns, rdev, .. } = inode;
                Ok(LowerInfo { mode, uid, gid, nlink, size, mtime_ns: Some(mtime_ns), rdev })
            }
        }
    }

    /// Finds a name in a directory.
    pub fn lookup(&self, directory: LowerRef, name: &[u8]) -> Result<Option<LowerRef>> {
        match directory {
            LowerRef::Entry(entry) => {
                let found = entry.children().iter().find(|child| child.name.as_bytes() == name);
                Ok(found.map(LowerRef::Entry))
            }
            LowerRef::Disk(nid) => {
                let (erofs, inode) = self.disk(nid)?;
                Ok(erofs.lookup(&inode, name)?.map(|entry| LowerRef::Disk(entry.nid)))
            }
        }
    }

    /// The entry at a position, or the first one after it.
    pub fn entry(&self, directory: LowerRef, position: u64) -> Result<Option<LowerEntry<'_>>> {
        match directory {
            LowerRef::Entry(entry) => {
                let child = usize::try_from(position).ok().and_then(|index| entry.children().get(index));
                Ok(child.map(|child| LowerEntry {
                    name: child.name.as_bytes(),
                    file_type: child.file_type(),
                    file: LowerRef::Entry(child),
                    next: position + 1,
                }))
            }
            LowerRef::Disk(nid) => {
                let (erofs, inode) = self.disk(nid)?;
                let Some((entry, next)) = erofs.entry(&inode, position)? else { return Ok(None) };
                let file = LowerRef::Disk(entry.nid);
                let file_type = match entry.file_type {
                    Some(file_type) => file_type,
                    None => FileType::from_mode(erofs.inode(entry.nid)?.mode).ok_or(Errno::EIO)?,
                };
                Ok(Some(LowerEntry { name: entry.name, file_type, file, next }))
            }
        }
    }

    /// The longest run of a regular file's bytes from `offset` on.
    pub fn extent(&self, file: LowerRef, offset: u64) -> Result<Extent<'_>> {
        match file {
            LowerRef::Entry(entry) => {
                let rest = usize::try_from(offset).ok().and_then(|at| entry.content().as_bytes().get(at..));
                Ok(rest.filter(|rest| !rest.is_empty()).map_or(Extent::Hole(0), |rest| Extent::Data(rest, 0)))
            }
            LowerRef::Disk(nid) => {
                let (erofs, inode) = self.disk(nid)?;
                erofs.extent(&inode, offset)
            }
        }
    }

    /// The target of a symbolic link.
    pub fn link_target(&self, file: LowerRef) -> Result<&[u8]> {
        match file {
            LowerRef::Entry(entry) => Ok(entry.content().as_bytes()),
            LowerRef::Disk(nid) => {
                let (erofs, inode) = self.disk(nid)?;
                erofs.link_target(&inode)
            }
        }
    }

    /// The image's own frame for the page at `offset`, if it holds just that page of the file: all of it file contents, or
    /// zeros behind the end of the file.
    pub fn frame(&self, file: LowerRef, offset: u64) -> Result<Option<Frame>> {
        let (LowerRef::Disk(_), Lower::Erofs(erofs)) = (file, self) else { return Ok(None) };
        let Extent::Data(bytes, at) = self.extent(file, offset)? else { return Ok(None) };
        if bytes.len() < PAGE_SIZE {
            let behind = (PAGE_SIZE - bytes.len()) as u64;
            let tail = erofs.image().bytes(at + bytes.len() as u64, behind).unwrap_or(&[1]);
            if tail.iter().any(|byte| *byte != 0) {
                return Ok(None);
            }
        }
        Ok(erofs.image().frame(at))
    }

    /// Up to `most` of the image's own frames from `offset` on that lie together and hold whole pages of the file.
    pub fn frame_run(&self, file: LowerRef, offset: u64, most: u64) -> Result<Option<(Frame, u64)>> {
        let (LowerRef::Disk(_), Lower::Erofs(erofs)) = (file, self) else { return Ok(None) };
        let Extent::Data(bytes, at) = self.extent(file, offset)? else { return Ok(None) };
        let whole = (bytes.len() / PAGE_SIZE) as u64;
        Ok(erofs.image().frame(at).map(|frame| (frame, whole.min(most))))
    }
}
