//! A node as the rest of the kernel sees it.

use super::entries::Entries;
use super::node::{Body, Node, Place};
use super::shared::now_ns;
use crate::special::Slot;
use crate::vfs::{Attributes, Changes, Inode, NewNode, RenameMode, SetTime, Target, WriterChange};
use alloc::sync::Arc;
use alloc::vec::Vec;
use ampoule_kbase::{DirEntry, Errno, FileType, Frame, PAGE_SIZE, Result, Sink, Source, Stat};
use core::any::Any;
use core::sync::atomic::Ordering;

impl Inode for Node {
    fn ino(&self) -> u64 {
        self.number
    }

    fn attributes(&self) -> Attributes {
        let state = self.state.lock();
        Attributes { mode: state.mode, uid: state.uid, gid: state.gid }
    }

    fn stat(&self) -> Stat {
        let state = self.state.lock();
        let own_entries = state.entries().map_or(0, Entries::len) as u64;
        Stat {
            dev: self.shared.device,
            ino: self.number,
            mode: state.mode,
            nlink: state.nlink,
            uid: state.uid,
            gid: state.gid,
            rdev: self.special.as_ref().map_or(0, |special| special.rdev),
            size: state.size + if self.lower.is_none() { own_entries * 20 } else { 0 },
            blksize: PAGE_SIZE as u32,
            blocks: self.blocks(&state),
            atime_ns: state.atime_ns,
            mtime_ns: state.mtime_ns,
            ctime_ns: state.ctime_ns,
        }
    }

    fn change(&self, changes: &Changes) -> Result<()> {
        self.set_changed();
        let mut state = self.state.lock();
        let now = now_ns();
        if let Some(permissions) = changes.permissions {
            state.mode = self.file_type as u32 | permissions & 0o7777;
        }
        state.uid = changes.uid.unwrap_or(state.uid);
        state.gid = changes.gid.unwrap_or(state.gid);
        let set = |time: &mut i64, to: SetTime| match to {
            SetTime::Keep => {}
            SetTime::Now => *time = now,
            SetTime::At(ns) => *time = ns,
        };
        set(&mut state.atime_ns, changes.atime);
        set(&mut state.mtime_ns, changes.mtime);
        state.ctime_ns = now;
        Ok(())
    }

    fn lookup(&self, name: &[u8]) -> Result<Arc<dyn Inode>> {
        Ok(self.find(name)?.ok_or(Errno::ENOENT)?)
    }

    fn parent(&self) -> Option<Arc<dyn Inode>> {
        let state = self.state.lock();
        Some(match &state.place {
            Place::Nowhere => self.me.upgrade()?,
            Place::In(directory, _) | Place::Left(directory, _) => directory.upgrade()?,
            Place::Removed(directory, _) => directory.clone(),
        })
    }

    fn name(&self) -> Option<(Vec<u8>, bool)> {
        let (directory, key) = match &self.state.lock().place {
            Place::Nowhere => return None,
            Place::Removed(_, name) | Place::Left(_, name) => return Some((name.to_vec(), false)),
            Place::In(directory, key) => (directory.upgrade()?, *key),
        };
        let state = directory.state.lock();
        let entry = state.entries()?.get(key)?;
        Some((entry.name.to_vec(), true))
    }

    fn create(&self, name: &[u8], node: &NewNode<'_>) -> Result<Arc<dyn Inode>> {
        Ok(self.create_node(name, node)?)
    }

    fn create_unnamed(&self, node: &NewNode<'_>, linkable: bool) -> Result<Arc<dyn Inode>> {
        Ok(self.create_unnamed_node(node, linkable)?)
    }

    fn link(&self, name: &[u8], target: &Arc<dyn Inode>) -> Result<()> {
        self.link_node(name, target.as_any().downcast_ref::<Node>().ok_or(Errno::EXDEV)?)
    }

    fn unlink(&self, name: &[u8]) -> Result<()> {
        self.remove_file(name)
    }

    fn rmdir(&self, name: &[u8]) -> Result<()> {
        self.remove_directory(name)
    }

    fn rename(&self, name: &[u8], to: &Arc<dyn Inode>, to_name: &[u8], mode: RenameMode) -> Result<()> {
        let to = to.as_any().downcast_ref::<Node>().ok_or(Errno::EXDEV)?;
        match mode {
            RenameMode::Replace => self.move_entry(name, to, to_name),
            RenameMode::Exchange => self.exchange_entries(name, to, to_name),
        }
    }

    fn read_directory(&self, offset: u64, each: &mut dyn FnMut(DirEntry) -> bool) -> Result<()> {
        self.list(offset, each)
    }

    fn target(&self) -> Result<Target> {
        if self.file_type != FileType::Symlink {
            return Err(Errno::EINVAL);
        }
        if let Body::Symlink(target) = &self.state.lock().body {
            return Ok(Target::Path(target.to_vec()));
        }
        let file = self.lower.ok_or(Errno::EIO)?;
        Ok(Target::Path(self.shared.lower()?.link_target(file)?.to_vec()))
    }

    fn read(&self, offset: u64, sink: &mut dyn Sink) -> Result<usize> {
        self.read_contents(offset, sink)
    }

    fn write(&self, offset: u64, source: &mut dyn Source) -> Result<usize> {
        self.write_contents(offset, source)
    }

    fn page(&self, index: u64, write: bool, keep: bool) -> Result<Frame> {
        self.contents_page(index, write || keep)
    }

    fn page_run(&self, index: u64, most: u64, keep: bool) -> Result<(Frame, u64)> {
        match self.lower_run(index, most).filter(|_| !keep) {
            Some(run) => Ok(run),
            None => Ok((self.contents_page(index, keep)?, 1)),
        }
    }

    fn truncate(&self, length: u64) -> Result<()> {
        self.set_length(length)
    }

    fn allocate(&self, flags: u32, offset: u64, length: u64) -> Result<()> {
        match self.file_type {
            FileType::Regular => self.allocate_contents(flags, offset, length),
            FileType::Directory => Err(Errno::EISDIR),
            FileType::Fifo => Err(Errno::ESPIPE),
            _ => Err(Errno::ENODEV),
        }
    }

    fn seek(&self, offset: u64, hole: bool) -> Result<u64> {
        self.seek_contents(offset, hole)
    }

    fn seals(&self) -> Result<u32> {
        match &self.state.lock().body {
            Body::File(contents) => contents.seals.ok_or(Errno::EINVAL),
            _ => Err(Errno::EINVAL),
        }
    }

    fn add_seals(&self, seals: u32) -> Result<()> {
        match &mut self.state.lock().body {
            Body::File(contents) => contents.add_seals(seals),
            _ => Err(Errno::EINVAL),
        }
    }

    fn slot(&self) -> Option<&Slot> {
        self.special.as_ref().map(|special| &special.slot)
    }

    fn count_writers(&self, change: WriterChange) -> Result<()> {
        let count = self.writers.load(Ordering::Relaxed);
        let next = match change {
            WriterChange::WriterAdded if count >= 0 => count + 1,
            WriterChange::ExecutorAdded if count <= 0 => count - 1,
            WriterChange::WriterGone => (count - 1).max(0),
            WriterChange::ExecutorGone => (count + 1).min(0),
            _ => return Err(Errno::ETXTBSY),
        };
        self.writers.store(next, Ordering::Relaxed);
        if let (WriterChange::WriterAdded, Body::File(contents)) = (change, &mut self.state.lock().body) {
            contents.private = true;
        }
        Ok(())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
