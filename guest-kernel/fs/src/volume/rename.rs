//! Moving entries between directories of a volume.

use super::directory::Charge;
use super::node::Node;
use super::shared::now_ns;
use alloc::sync::Arc;
use ampoule_kbase::{Errno, FileType, Result};

impl Node {
    fn is_directory(&self) -> bool {
        self.file_type == FileType::Directory
    }

    fn is_same_directory(&self, other: &Node) -> bool {
        core::ptr::eq(self, other)
    }

    /// Moves `name` to `to`/`to_name`, in place of what is there.
    pub(super) fn move_entry(&self, name: &[u8], to: &Node, to_name: &[u8]) -> Result<()> {
        if !Arc::ptr_eq(&self.shared, &to.shared) {
            return Err(Errno::EXDEV);
        }
        let node = self.find(name)?.ok_or(Errno::ENOENT)?;
        let target = to.find(to_name)?;
        if target.as_ref().is_some_and(|target| Arc::ptr_eq(target, &node)) {
            return Ok(());
        }
        to.check_alive()?;
        if let Some(target) = target.as_ref().filter(|target| target.is_directory()) {
            target.check_empty()?;
        }
        node.set_changed();
        to.put(to_name, &node, Charge::Always)?;
        self.take_out(name)?;
        let moved = i32::from(node.is_directory());
        let replaced = i32::from(target.as_ref().is_some_and(|target| target.is_directory()));
        if self.is_same_directory(to) {
            self.entries_changed(-replaced);
        } else {
            self.entries_changed(-moved);
            to.entries_changed(moved - replaced);
        }
        node.state.lock().ctime_ns = now_ns();
        if let Some(target) = target {
            target.drop_link();
        }
        Ok(())
    }

    /// Lets `name` and `to`/`to_name` change places.
    pub(super) fn exchange_entries(&self, name: &[u8], to: &Node, to_name: &[u8]) -> Result<()> {
        if !Arc::ptr_eq(&self.shared, &to.shared) {
            return Err(Errno::EXDEV);
        }
        let one = self.find(name)?.ok_or(Errno::ENOENT)?;
        let other = to.find(to_name)?.ok_or(Errno::ENOENT)?;
        if Arc::ptr_eq(&one, &other) {
            return Ok(());
        }
        one.set_changed();
        other.set_changed();
        // Both names exist, so neither of these needs room.
        to.put(to_name, &one, Charge::Always)?;
        self.put(name, &other, Charge::Always)?;
        let gained = i32::from(other.is_directory()) - i32::from(one.is_directory());
        if self.is_same_directory(to) {
            self.entries_changed(0);
        } else {
            self.entries_changed(gained);
            to.entries_changed(-gained);
        }
        let now = now_ns();
        one.state.lock().ctime_ns = now;
        other.state.lock().ctime_ns = now;
        Ok(())
    }
}
