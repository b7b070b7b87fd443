//! What `/proc/PID/fd/N` leads to where that is no file of a file system: a pipe, a socket, an event file.

use crate::special::{SpecialFile, special};
use crate::vfs::{Attributes, Inode};
use alloc::sync::Arc;
use alloc::vec::Vec;
use ampoule_kbase::{File, OpenFile, Result, Stat};
use core::any::Any;

pub(super) struct Anonymous {
    open: Arc<OpenFile>,
}

impl Anonymous {
    pub fn new(open: Arc<OpenFile>) -> Self {
        Self { open }
    }
}

impl Inode for Anonymous {
    fn ino(&self) -> u64 {
        self.stat().ino
    }

    fn attributes(&self) -> Attributes {
        let Stat { mode, uid, gid, .. } = self.stat();
        Attributes { mode, uid, gid }
    }

    fn stat(&self) -> Stat {
        self.open.file.stat().unwrap_or_default()
    }

    fn open(&self, flags: u32, _place: &Arc<dyn File>) -> Result<Option<SpecialFile>> {
        special()?.reopen(&self.open, flags).map(Some)
    }

    fn describe(&self) -> Option<Vec<u8>> {
        Some(self.open.file.proc_name())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
