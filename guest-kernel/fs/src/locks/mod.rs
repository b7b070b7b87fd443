//! Advisory locks: `flock(2)` and the record locks of `fcntl(2)`. A lock that cannot be had now gives `EAGAIN`; who wants
//! to wait does so on [`queue`], which is woken whenever a lock of the file is given up.

mod flock;
mod record;
#[cfg(test)]
mod tests;

pub(crate) use flock::{Flocked, closed};
pub use flock::{flock, owner_of_open};
pub use record::{Owner, RecordKind, RecordLock, conflicting_record, release_records, set_record};

use crate::vfs::location;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use ampoule_kbase::{Errno, Events, Mutex, OpenFile, Result, WaitQueue};

/// The locks of one file, and those who wait for one.
#[derive(Default)]
pub struct FileLocks {
    /// Woken whenever a lock is given up.
    pub queue: WaitQueue,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    flocks: Vec<flock::Flock>,
    records: Vec<record::Record>,
}

/// Device and inode number.
type Key = (u64, u64);

/// Files with locks. The key is looked at only by files that were locked once, so an inode without locks costs nothing.
static LOCKS: Mutex<BTreeMap<Key, Arc<FileLocks>>> = Mutex::new(BTreeMap::new());

fn key_of(open: &OpenFile) -> Result<Key> {
    let location = location(open).ok_or(Errno::EINVAL)?;
    let stat = location.stat();
    Ok((stat.dev, stat.ino))
}

fn locks_of(key: Key) -> Arc<FileLocks> {
    LOCKS.lock().entry(key).or_default().clone()
}

/// The wait queue of a file's locks; keep it while waiting.
pub fn queue(open: &OpenFile) -> Result<Arc<FileLocks>> {
    Ok(locks_of(key_of(open)?))
}

/// Wakes those who wait, and forgets the file if there is nothing left to know.
fn given_up(key: Key, locks: &FileLocks) {
    locks.queue.wake(Events::OUT);
    forget_if_idle(key, locks);
}

fn forget_if_idle(key: Key, locks: &FileLocks) {
    let idle = {
        let held = locks.held.lock();
        held.flocks.is_empty() && held.records.is_empty() && locks.queue.is_empty()
    };
    if idle {
        let removed = LOCKS.lock().remove(&key);
        drop(removed);
    }
}
