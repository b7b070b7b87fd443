//! Directories of a volume: finding, making, removing and listing entries.

use super::entries::{Entry, What};
use super::node::{Node, Place};
use super::shared::now_ns;
use crate::vfs::{Credentials, Inode, Kind, NewNode};
use alloc::boxed::Box;
use alloc::format;
use alloc::sync::Arc;
use ampoule_kbase::{DirEntry, Errno, FileType, Result};
use linux_raw_sys::general::{S_ISGID, S_IXGRP};

/// Positions in a listing: entries of the lower layer start at 2, behind `.` and `..`; then come the directory's own ones
/// by key, from here on.
const OWN: u64 = 1 << 60;
const LOWER: u64 = 2;

/// How a name is counted.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Charge {
    /// `ENOSPC` at the limit.
    Limited,
    /// Past the limit too: the node had a name before, at least in the lower layer.
    Always,
}

impl Node {
    /// The node called `name`, if there is one.
    pub(super) fn find(&self, name: &[u8]) -> Result<Option<Arc<Node>>> {
        let found = {
            let state = self.state.lock();
            let entries = state.entries().ok_or(Errno::ENOTDIR)?;
            entries.find(name).map(|(key, entry)| (key, entry.what.node().cloned()))
        };
        match found {
            Some((key, Some(node))) => {
                self.note_place(&node, key);
                Ok(Some(node))
            }
            Some((_, None)) => Ok(None),
            None => self.find_below(name),
        }
    }

    /// Files with several names are shown under the one that was used last.
    fn note_place(&self, node: &Node, key: u64) {
        if node.file_type == FileType::Directory {
            return;
        }
        let mut state = node.state.lock();
        if state.nlink > 1 {
            let old = core::mem::replace(&mut state.place, Place::In(self.weak(), key));
            drop(state);
            drop(old);
        }
    }

    fn find_below(&self, name: &[u8]) -> Result<Option<Arc<Node>>> {
        let Some(directory) = self.lower else { return Ok(None) };
        let Some(file) = self.shared.lower()?.lookup(directory, name)? else { return Ok(None) };
        let node = self.shared.node_of(file)?;
        let key = {
            let mut state = self.state.lock();
            let entries = state.entries_mut().ok_or(Errno::ENOTDIR)?;
            entries.set(name, What::InPlace(node.clone()))?.0
        };
        node.state.lock().place = Place::In(self.weak(), key);
        self.shared.note_cached(&self.weak(), key);
        Ok(Some(node))
    }

    /// Whether the lower layer has an entry of this name here, hidden or not.
    fn has_below(&self, name: &[u8]) -> Result<bool> {
        match self.lower {
            Some(directory) => Ok(self.shared.lower()?.lookup(directory, name)?.is_some()),
            None => Ok(false),
        }
    }

    /// `ENOENT` if this directory has been removed.
    pub(super) fn check_alive(&self) -> Result<()> {
        if self.state.lock().nlink == 0 { Err(Errno::ENOENT) } else { Ok(()) }
    }

    /// Makes `name` stand for `node`, in place of what it stood for.
    pub(super) fn put(&self, name: &[u8], node: &Arc<Node>, charge: Charge) -> Result<()> {
        self.set_changed();
        self.shared.charge_entry(charge == Charge::Always)?;
        let (key, old) = {
            let mut state = self.state.lock();
            let entries = state.entries_mut().ok_or(Errno::ENOTDIR)?;
            match entries.set(name, What::Own(node.clone())) {
                Ok(set) => set,
                Err(error) => {
                    self.shared.uncharge_entry();
                    return Err(error);
                }
            }
        };
        if let Some(What::Own(_)) = old {
            self.shared.uncharge_entry();
        }
        if let Some(replaced) = old.as_ref().and_then(What::node) {
            replaced.leave(self, key, name);
        }
        let before = core::mem::replace(&mut node.state.lock().place, Place::In(self.weak(), key));
        drop((before, old));
        Ok(())
    }

    /// Makes `name` stand for nothing, whatever it stood for; the node itself is not told, but for its place.
    pub(super) fn take_out(&self, name: &[u8]) -> Result<()> {
        self.set_changed();
        let below = self.has_below(name)?;
        let (key, old) = {
            let mut state = self.state.lock();
            let entries = state.entries_mut().ok_or(Errno::ENOTDIR)?;
            if below {
                entries.set(name, What::Whiteout)?
            } else {
                let key = entries.find(name).ok_or(Errno::ENOENT)?.0;
                (key, entries.remove(key).map(|Entry { what, .. }| what))
            }
        };
        if let Some(What::Own(_)) = old {
            self.shared.uncharge_entry();
        }
        if let Some(node) = old.as_ref().and_then(What::node) {
            node.leave(self, key, name);
        }
        drop(old);
        Ok(())
    }

    /// This node is no longer under `key` of `directory`.
    fn leave(&self, directory: &Node, key: u64, name: &[u8]) {
        let Ok(directory) = directory.me() else { return };
        let mut state = self.state.lock();
        if matches!(&state.place, Place::In(at, old) if *old == key && at.as_ptr() == Arc::as_ptr(&directory))
        {
            state.place = Place::Removed(directory, Box::from(name));
        }
    }

    /// The entries have changed, and so many directories among them.
    pub(super) fn entries_changed(&self, directories: i32) {
        let mut state = self.state.lock();
        state.nlink = state.nlink.saturating_add_signed(directories).max(1);
        state.touch();
    }

    /// Gives a new node what this directory hands down.
    fn hand_down(&self, node: &NewNode<'_>) -> (u32, u32) {
        let directory = self.attributes();
        if directory.mode & S_ISGID == 0 {
            return (node.gid, node.permissions);
        }
        if matches!(node.kind, Kind::Directory) {
            return (directory.gid, node.permissions | S_ISGID);
        }
        let credentials = Credentials::current();
        let foreign = !credentials.is_root() && !credentials.in_group(directory.gid);
        let would_run_as_group = node.permissions & (S_ISGID | S_IXGRP) == S_ISGID | S_IXGRP;
        let dropped = if foreign && would_run_as_group { S_ISGID } else { 0 };
        (directory.gid, node.permissions & !dropped)
    }

    /// Makes a node in this directory.
    pub(super) fn create_node(&self, name: &[u8], node: &NewNode<'_>) -> Result<Arc<Node>> {
        self.check_alive()?;
        if self.find(name)?.is_some() {
            return Err(Errno::EEXIST);
        }
        let (gid, permissions) = self.hand_down(node);
        let made = Node::new(&self.shared, &NewNode { gid, permissions, ..*node })?;
        self.put(name, &made, Charge::Limited)?;
        self.entries_changed(i32::from(made.file_type == FileType::Directory));
        Ok(made)
    }

    /// Makes a regular file without a name.
    pub(super) fn create_unnamed_node(&self, node: &NewNode<'_>, linkable: bool) -> Result<Arc<Node>> {
        self.check_alive()?;
        let (gid, permissions) = self.hand_down(node);
        let made = Node::new(&self.shared, &NewNode { gid, permissions, ..*node })?;
        let name = format!("#{}", made.ino());
        {
            let mut state = made.state.lock();
            state.nlink = 0;
            state.linkable = linkable;
            state.place = Place::Removed(self.me()?, name.into_bytes().into());
        }
        Ok(made)
    }

    /// Gives a node a further name.
    pub(super) fn link_node(&self, name: &[u8], target: &Node) -> Result<()> {
        if !Arc::ptr_eq(&self.shared, &target.shared) {
            return Err(Errno::EXDEV);
        }
        self.check_alive()?;
        if self.find(name)?.is_some() {
            return Err(Errno::EEXIST);
        }
        {
            let state = target.state.lock();
            if state.nlink == 0 && !state.linkable {
                return Err(Errno::ENOENT);
            }
            if state.nlink == u32::MAX {
                return Err(Errno::EMLINK);
            }
        }
        target.set_changed();
        self.put(name, &target.me()?, Charge::Limited)?;
        {
            let mut state = target.state.lock();
            state.nlink += 1;
            state.ctime_ns = now_ns();
        }
        self.entries_changed(0);
        Ok(())
    }

    /// `unlink(2)`.
    pub(super) fn remove_file(&self, name: &[u8]) -> Result<()> {
        let node = self.find(name)?.ok_or(Errno::ENOENT)?;
        if node.file_type == FileType::Directory {
            return Err(Errno::EISDIR);
        }
        self.take_out(name)?;
        node.drop_link();
        self.entries_changed(0);
        Ok(())
    }

    /// `rmdir(2)`.
    pub(super) fn remove_directory(&self, name: &[u8]) -> Result<()> {
        let node = self.find(name)?.ok_or(Errno::ENOENT)?;
        node.check_empty()?;
        self.take_out(name)?;
        node.drop_link();
        self.entries_changed(-1);
        Ok(())
    }

    /// `ENOTEMPTY` if there is anything in this directory.
    pub(super) fn check_empty(&self) -> Result<()> {
        let state = self.state.lock();
        let entries = state.entries().ok_or(Errno::ENOTDIR)?;
        if entries.has_nodes() {
            return Err(Errno::ENOTEMPTY);
        }
        let Some(directory) = self.lower else { return Ok(()) };
        let mut position = 0;
        while let Some(entry) = self.shared.lower()?.entry(directory, position)? {
            if entries.find(entry.name).is_none() {
                return Err(Errno::ENOTEMPTY);
            }
            position = entry.next;
        }
        Ok(())
    }

    /// Lists from a position on.
    pub(super) fn list(&self, offset: u64, each: &mut dyn FnMut(DirEntry) -> bool) -> Result<()> {
        if offset < OWN && !self.list_below(offset.saturating_sub(LOWER), each)? {
            return Ok(());
        }
        let mut key = offset.saturating_sub(OWN);
        while let Some(entry) = self.next_own(key)? {
            key = entry.next_offset - OWN;
            if !each(entry) {
                break;
            }
        }
        Ok(())
    }

    /// Lists what shows through of the lower layer; false: that was enough.
    fn list_below(&self, mut position: u64, each: &mut dyn FnMut(DirEntry) -> bool) -> Result<bool> {
        let Some(directory) = self.lower else { return Ok(true) };
        while let Some(entry) = self.shared.lower()?.entry(directory, position)? {
            position = entry.next;
            let hidden = {
                let state = self.state.lock();
                let entries = state.entries().ok_or(Errno::ENOTDIR)?;
                matches!(
                    entries.find(entry.name),
                    Some((_, Entry { what: What::Own(_) | What::Whiteout, .. }))
                )
            };
            let listed = DirEntry {
                ino: entry.file.ino(),
                next_offset: position.saturating_add(LOWER).min(OWN),
                file_type: entry.file_type,
                name: entry.name.to_vec(),
            };
            if !hidden && !each(listed) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The directory's own entry with this key or the next one.
    fn next_own(&self, mut key: u64) -> Result<Option<DirEntry>> {
        let state = self.state.lock();
        let entries = state.entries().ok_or(Errno::ENOTDIR)?;
        while let Some((at, entry)) = entries.next(key) {
            if let What::Own(node) = &entry.what {
                return Ok(Some(DirEntry {
                    ino: node.ino(),
                    next_offset: OWN + at + 1,
                    file_type: node.file_type,
                    name: entry.name.to_vec(),
                }));
            }
            key = at + 1;
        }
        Ok(None)
    }
}
