//! FIFOs: pipes with a name.

use super::end::{Pipe, PipeEnd};
use alloc::sync::Arc;
use ampoule_kbase::{Errno, File, Result};
use linux_raw_sys::general::{O_ACCMODE, O_NONBLOCK, O_RDONLY, O_RDWR, O_WRONLY};

/// The pipe of a FIFO inode, which keeps it for as long as the inode is in memory.
pub struct Fifo {
    pipe: Arc<Pipe>,
}

/// A FIFO that is being opened: without `O_NONBLOCK` the opening waits until the other side is there.
pub struct Opening {
    end: Arc<PipeEnd>,
    /// How often the other side had been opened when this opening began; none: there is nothing to wait for.
    seen: Option<u64>,
}

impl Fifo {
    /// The pipe of a new FIFO inode.
    pub fn new() -> Arc<Self> {
        Arc::new(Self { pipe: Pipe::new() })
    }

    /// Opens it. `flags` are `O_*`; `ENXIO` for a writer that does not want to wait while there is no reader.
    pub fn open(&self, flags: u32) -> Result<Opening> {
        Opening::of(&self.pipe, flags, true)
    }
}

impl Opening {
    /// `named`: it is one of a FIFO, where each side waits for the other. A pipe without a name is opened at once.
    pub(super) fn of(pipe: &Arc<Pipe>, flags: u32, named: bool) -> Result<Self> {
        let mode = flags & O_ACCMODE;
        let (reads, writes) = match mode {
            O_RDONLY => (true, false),
            O_WRONLY => (false, true),
            O_RDWR => (true, true),
            _ => return Err(Errno::EINVAL),
        };
        let nonblocking = flags & O_NONBLOCK != 0;
        let seen = {
            let state = pipe.state.lock();
            if named && mode == O_WRONLY && nonblocking && state.readers == 0 {
                return Err(Errno::ENXIO);
            }
            match mode {
                _ if !named => None,
                O_RDONLY if !nonblocking && state.writers == 0 => Some(state.writers_ever),
                O_WRONLY if state.readers == 0 => Some(state.readers_ever),
                _ => None,
            }
        };
        let end = Arc::new(PipeEnd::open(pipe.clone(), reads, writes));
        end.set_status_flags(flags);
        Ok(Self { end, seen })
    }

    /// Whether the open call is done; else wait on the file's wait queue and ask again. Dropping the opening gives up.
    pub fn is_complete(&self) -> bool {
        let Some(seen) = self.seen else { return true };
        let state = self.end.shared().state.lock();
        let now = if self.end.reads() { state.writers_ever } else { state.readers_ever };
        now != seen
    }

    /// The opened end.
    pub fn file(&self) -> Arc<dyn File> {
        self.end.clone()
    }
}
