//! `futex(2)`: waiting for a word of memory. In shared memory the word is named by the frame that holds it, so that processes that
//! share a page share its futexes. In memory of a process's own it is named by its address there: the frame changes when the
//! process forks and then writes.

use super::thread::Thread;
use super::{current, sched};
use crate::mm::{Access, user};
use crate::task::sched::Interruption;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use ampoule_kbase::{Errno, Mutex, Result, WaitQueue};
use core::sync::atomic::{AtomicBool, Ordering};

/// A futex.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Key {
    /// In shared memory: the physical address of its word.
    Shared(u64),
    /// In an address space's own memory: which one (where it lies in the kernel, which is nobody else's place while a thread
    /// of it sleeps), and the address there.
    Private(usize, u64),
}

struct Sleeper {
    key: Mutex<Key>,
    bits: u32,
    woken: AtomicBool,
    queue: WaitQueue,
}

static SLEEPERS: Mutex<BTreeMap<Key, Vec<Arc<Sleeper>>>> = Mutex::new(BTreeMap::new());

fn key_of(address: u64) -> Result<Key> {
    if !address.is_multiple_of(4) {
        return Err(Errno::EINVAL);
    }
    let memory = current().memory();
    let is_shared = memory.lock().area(address).is_some_and(|area| area.shared);
    if !is_shared {
        return Ok(Key::Private(Arc::as_ptr(&memory).addr(), address));
    }
    // Writable first: what is read in a hole of a file is not yet the frame that is written.
    if user::check(address, 4, Access::Write).is_err() {
        user::check(address, 4, Access::Read)?;
    }
    let frame = memory.lock().frame_at(address).ok_or(Errno::EFAULT)?;
    Ok(Key::Shared(frame.physical() + address % crate::mm::PAGE))
}

/// Waits until woken, if the word still has the `expected` value. `deadline` is monotonic.
pub fn wait(address: u64, expected: u32, bits: u32, deadline: Option<u64>) -> Result<()> {
    if bits == 0 {
        return Err(Errno::EINVAL);
    }
    let key = key_of(address)?;
    if user::read::<u32>(address)? != expected {
        return Err(Errno::EAGAIN);
    }
    let sleeper = Arc::new(Sleeper {
        key: Mutex::new(key),
        bits,
        woken: AtomicBool::new(false),
        queue: WaitQueue::new(),
    });
    SLEEPERS.lock().entry(key).or_default().push(sleeper.clone());
    let result =
        sched::block_on(&[&sleeper.queue], deadline, || sleeper.woken.load(Ordering::Relaxed).then_some(()));
    match result {
        Ok(()) => Ok(()),
        Err(why) => {
            forget(&sleeper);
            Err(match why {
                Interruption::Timeout => Errno::ETIMEDOUT,
                Interruption::Signal if deadline.is_some() => Errno::EINTR,
                Interruption::Signal => Errno::ERESTARTSYS,
            })
        }
    }
}

fn forget(sleeper: &Arc<Sleeper>) {
    let key = *sleeper.key.lock();
    let mut sleepers = SLEEPERS.lock();
    if let Some(list) = sleepers.get_mut(&key) {
        list.retain(|other| !Arc::ptr_eq(other, sleeper));
        if list.is_empty() {
            sleepers.remove(&key);
        }
    }
}

fn take(key: Key, count: usize, bits: u32) -> Vec<Arc<Sleeper>> {
    let mut sleepers = SLEEPERS.lock();
    let Some(list) = sleepers.get_mut(&key) else { return Vec::new() };
    let mut taken = Vec::new();
    list.retain(|sleeper| {
        let chosen = taken.len() < count && sleeper.bits & bits != 0;
        if chosen {
            taken.push(sleeper.clone());
        }
        !chosen
    });
    if list.is_empty() {
        sleepers.remove(&key);
    }
    taken
}

fn rouse(sleepers: &[Arc<Sleeper>]) {
    for sleeper in sleepers {
        sleeper.woken.store(true, Ordering::Relaxed);
        sleeper.queue.wake(sched::ANY);
    }
}

/// Wakes up to `count` that wait with a common bit; returns how many.
pub fn wake(address: u64, count: usize, bits: u32) -> Result<usize> {
    if bits == 0 {
        return Err(Errno::EINVAL);
    }
    let woken = take(key_of(address)?, count, bits);
    rouse(&woken);
    Ok(woken.len())
}

/// Wakes without complaint (for the end of threads).
pub fn wake_at(address: u64, count: usize) {
    let _ = wake(address, count, u32::MAX);
}

/// Wakes `count` and moves up to `moved` more to another word, if the word has the `expected` value. Returns both
/// numbers.
pub fn requeue(
    from: u64,
    to: u64,
    count: usize,
    moved: usize,
    expected: Option<u32>,
) -> Result<(usize, usize)> {
    let (from_key, to_key) = (key_of(from)?, key_of(to)?);
    if let Some(expected) = expected
        && user::read::<u32>(from)? != expected
    {
        return Err(Errno::EAGAIN);
    }
    let woken = take(from_key, count, u32::MAX);
    rouse(&woken);
    let moving = take(from_key, moved, u32::MAX);
    let number = moving.len();
    let mut sleepers = SLEEPERS.lock();
    for sleeper in moving {
        *sleeper.key.lock() = to_key;
        sleepers.entry(to_key).or_default().push(sleeper);
    }
    Ok((woken.len(), number))
}

/// `FUTEX_WAKE_OP`.
pub fn wake_operation(first: u64, second: u64, count: usize, count2: usize, operation: u32) -> Result<usize> {
    let old = user::read::<u32>(second)?;
    let argument = (operation << 8) as i32 >> 20;
    let argument = if operation >> 31 & 1 == 1 { 1i32.wrapping_shl(argument as u32) } else { argument };
    let compared = (operation << 20) as i32 >> 20;
    let new = match operation >> 28 & 7 {
        0 => argument as u32,
        1 => old.wrapping_add(argument as u32),
        2 => old | argument as u32,
        3 => old & !(argument as u32),
        4 => old ^ argument as u32,
        _ => return Err(Errno::ENOSYS),
    };
    user::write(second, new)?;
    let old = old as i32;
    let also = match operation >> 24 & 15 {
        0 => old == compared,
        1 => old != compared,
        2 => old < compared,
        3 => old <= compared,
        4 => old > compared,
        5 => old >= compared,
        _ => return Err(Errno::ENOSYS),
    };
    let mut woken = wake(first, count, u32::MAX)?;
    if also {
        woken += wake(second, count2, u32::MAX)?;
    }
    Ok(woken)
}

/// Marks the locks that an ending thread holds as abandoned, and wakes a waiter of each (`get_robust_list(2)`).
pub fn release_robust_list(this: &Thread) {
    const OWNER_DIED: u32 = 0x4000_0000;
    const TID_MASK: u32 = 0x3fff_ffff;
    const LIST_LIMIT: usize = 2048;
    let head = this.robust_list.swap(0, Ordering::Relaxed);
    if head == 0 {
        return;
    }
    let Ok([first, offset, pending]) = user::read::<[u64; 3]>(head) else { return };
    let release = |entry: u64| {
        let word = (entry & !1).wrapping_add(offset);
        if let Ok(value) = user::read::<u32>(word)
            && value & TID_MASK == this.tid()
            && user::write(word, value & !TID_MASK | OWNER_DIED).is_ok()
        {
            wake_at(word, 1);
        }
    };
    let mut entry = first;
    for _ in 0..LIST_LIMIT {
        if entry & !1 == head {
            break;
        }
        let next = user::read::<u64>(entry & !1);
        if entry != pending {
            release(entry);
        }
        match next {
            Ok(next) => entry = next,
            Err(_) => break,
        }
    }
    if pending != 0 {
        release(pending);
    }
}
