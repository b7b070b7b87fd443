//! Record locks: POSIX ones, which belong to a process, and those of open file descriptions (`F_OFD_SETLK`).

use super::{FileLocks, Key, LOCKS, given_up, key_of, locks_of};
use alloc::vec::Vec;
use ampoule_kbase::{Errno, OpenFile, Result};

/// Record locks a file may have.
const RECORDS_MAX: usize = 4096;

/// Whose lock it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Owner {
    /// A process, by a number that stands for its table of descriptors.
    Process(u64),
    /// An open file description, as [`owner_of_open`](super::owner_of_open) names it. Its locks end with it.
    Open(u64),
}

/// What to do with a range of bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RecordKind {
    /// `F_RDLCK`.
    Read,
    /// `F_WRLCK`.
    Write,
    /// `F_UNLCK`.
    Unlock,
}

/// A lock on a range.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RecordLock {
    /// Its kind.
    pub kind: RecordKind,
    /// The first byte.
    pub start: u64,
    /// The last byte; `i64::MAX` for all that follow.
    pub last: u64,
    /// The process that took it, for `F_GETLK`.
    pub pid: u32,
}

#[derive(Clone, Copy)]
pub(super) struct Record {
    owner: Owner,
    lock: RecordLock,
}

impl RecordLock {
    fn overlaps(&self, other: &RecordLock) -> bool {
        self.start <= other.last && other.start <= self.last
    }

    fn conflicts(&self, other: &RecordLock) -> bool {
        self.overlaps(other) && (self.kind == RecordKind::Write || other.kind == RecordKind::Write)
    }

    /// What is left of this one in front of and behind `hole`.
    fn without(&self, hole: &RecordLock) -> [Option<RecordLock>; 2] {
        let front = hole.start.checked_sub(1).filter(|last| *last >= self.start);
        let back = hole.last.checked_add(1).filter(|start| *start <= self.last);
        [front.map(|last| RecordLock { last, ..*self }), back.map(|start| RecordLock { start, ..*self })]
    }
}

/// The first lock of somebody else that `lock` would conflict with (`F_GETLK`).
pub fn conflicting_record(open: &OpenFile, owner: Owner, lock: &RecordLock) -> Result<Option<RecordLock>> {
    let key = key_of(open)?;
    let locks = LOCKS.lock().get(&key).cloned();
    Ok(locks.and_then(|locks| find_conflict(&locks, owner, lock)))
}

fn find_conflict(locks: &FileLocks, owner: Owner, lock: &RecordLock) -> Option<RecordLock> {
    let held = locks.held.lock();
    let conflicts = held.records.iter().filter(|other| other.owner != owner && other.lock.conflicts(lock));
    conflicts.map(|other| other.lock).min_by_key(|other| other.start)
}

/// Sets or removes a lock (`F_SETLK`); `EAGAIN` if somebody else's is in the way.
pub fn set_record(open: &OpenFile, owner: Owner, lock: RecordLock) -> Result<()> {
    if lock.start > lock.last {
        return Err(Errno::EINVAL);
    }
    let key = key_of(open)?;
    let locks = locks_of(key);
    if lock.kind != RecordKind::Unlock && find_conflict(&locks, owner, &lock).is_some() {
        return Err(Errno::EAGAIN);
    }
    let result = replace(&locks, owner, lock);
    given_up(key, &locks);
    result
}

/// Puts `lock` in place of what the owner has in its range, and joins it with equal neighbours.
fn replace(locks: &FileLocks, owner: Owner, lock: RecordLock) -> Result<()> {
    let mut held = locks.held.lock();
    if held.records.len() >= RECORDS_MAX && lock.kind != RecordKind::Unlock {
        return Err(Errno::ENOLCK);
    }
    let mut joined = lock;
    let mut kept: Vec<Record> = Vec::with_capacity(held.records.len() + 2);
    for record in held.records.drain(..) {
        let touches = record.lock.start <= lock.last.saturating_add(1)
            && lock.start <= record.lock.last.saturating_add(1);
        if record.owner != owner || !touches {
            kept.push(record);
        } else if record.lock.kind == lock.kind {
            joined.start = joined.start.min(record.lock.start);
            joined.last = joined.last.max(record.lock.last);
        } else {
            kept.extend(record.lock.without(&lock).into_iter().flatten().map(|lock| Record { owner, lock }));
        }
    }
    if joined.kind != RecordKind::Unlock {
        kept.push(Record { owner, lock: joined });
    }
    held.records = kept;
    Ok(())
}

/// Removes all locks that `owner` has on a file: any close of the file by the process does that.
pub fn release_records(open: &OpenFile, owner: Owner) {
    if LOCKS.lock().is_empty() {
        return;
    }
    let Ok(key) = key_of(open) else { return };
    release(key, owner);
}

pub(super) fn release(key: Key, owner: Owner) {
    let locks = LOCKS.lock().get(&key).cloned();
    let Some(locks) = locks else { return };
    let removed = {
        let mut held = locks.held.lock();
        let before = held.records.len();
        held.records.retain(|record| record.owner != owner);
        held.records.len() < before
    };
    if removed {
        given_up(key, &locks);
    }
}
