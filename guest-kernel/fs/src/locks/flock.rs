//! `flock(2)`: locks of open file descriptions on whole files.

use super::record::{Owner, release};
use super::{FileLocks, Key, LOCKS, forget_if_idle, given_up, key_of, locks_of};
use crate::vfs::{VfsFile, vfs_file};
use ampoule_kbase::{Errno, OpenFile, Result};
use core::sync::atomic::{AtomicBool, Ordering};
use linux_raw_sys::general::{LOCK_EX, LOCK_NB, LOCK_SH, LOCK_UN};

/// Whether an open file ever was the owner of a lock: most are not, and need not look when they are closed.
#[derive(Default)]
pub(crate) struct Flocked(AtomicBool);

pub(super) struct Flock {
    /// Names the open file description.
    owner: usize,
    exclusive: bool,
}

fn owner_of(file: &VfsFile) -> usize {
    core::ptr::from_ref(file) as usize
}

/// Notes that record locks of an open file description have to be looked for when it is closed, and names it as their owner.
pub fn owner_of_open(open: &OpenFile) -> Result<Owner> {
    let file = vfs_file(open).ok_or(Errno::EINVAL)?;
    file.flocked.0.store(true, Ordering::Relaxed);
    Ok(Owner::Open(owner_of(file) as u64))
}

/// `flock(2)`, never waiting. `operation` is `LOCK_SH`, `LOCK_EX` or `LOCK_UN`; `LOCK_NB` is ignored.
pub fn flock(open: &OpenFile, operation: u32) -> Result<()> {
    let file = vfs_file(open).ok_or(Errno::EINVAL)?;
    if open.path_only() {
        return Err(Errno::EBADF);
    }
    let key = key_of(open)?;
    match operation & !LOCK_NB {
        LOCK_SH => lock(key, file, false),
        LOCK_EX => lock(key, file, true),
        LOCK_UN => {
            unlock(key, owner_of(file));
            Ok(())
        }
        _ => Err(Errno::EINVAL),
    }
}

fn lock(key: Key, file: &VfsFile, exclusive: bool) -> Result<()> {
    let locks = locks_of(key);
    let owner = owner_of(file);
    // A change of kind gives the old lock up first, as on Linux: it may be lost.
    let gave_up = remove(&locks, owner);
    let granted = {
        let mut held = locks.held.lock();
        let free = !held.flocks.iter().any(|other| exclusive || other.exclusive);
        if free {
            held.flocks.push(Flock { owner, exclusive });
        }
        free
    };
    file.flocked.0.store(true, Ordering::Relaxed);
    if gave_up {
        given_up(key, &locks);
    } else if !granted {
        // Nobody is woken: who waits for this lock comes here at each wake-up.
        forget_if_idle(key, &locks);
    }
    if granted { Ok(()) } else { Err(Errno::EAGAIN) }
}

fn remove(locks: &FileLocks, owner: usize) -> bool {
    let mut held = locks.held.lock();
    let before = held.flocks.len();
    held.flocks.retain(|flock| flock.owner != owner);
    held.flocks.len() < before
}

fn unlock(key: Key, owner: usize) {
    let locks = LOCKS.lock().get(&key).cloned();
    if let Some(locks) = locks
        && remove(&locks, owner)
    {
        given_up(key, &locks);
    }
}

/// An open file description is gone, and its lock with it.
pub(crate) fn closed(file: &VfsFile) {
    if file.flocked.0.load(Ordering::Relaxed) {
        let stat = file.location().stat();
        let key = (stat.dev, stat.ino);
        unlock(key, owner_of(file));
        release(key, Owner::Open(owner_of(file) as u64));
    }
}
