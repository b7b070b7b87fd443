//! `SO_RCVTIMEO` and `SO_SNDTIMEO`. Sockets never wait themselves, so how long a call waits for them is kept here, beside
//! them, for the few that have a limit at all.

use crate::time::clock;
use alloc::collections::BTreeMap;
use alloc::sync::{Arc, Weak};
use ampoule_kbase::{File, Mutex, OpenFile};
use core::sync::atomic::{AtomicBool, Ordering};

/// The limits of one socket in nanoseconds; 0 is none.
#[derive(Clone, Copy, Default)]
pub struct Timeouts {
    /// For receiving and accepting.
    pub receive_ns: u64,
    /// For sending and connecting.
    pub send_ns: u64,
}

/// A socket and its limits.
type Entry = (Weak<dyn File>, Timeouts);

/// By the address of the socket. As long as an entry's handle lives, no other object gets that address.
static TIMEOUTS: Mutex<BTreeMap<usize, Entry>> = Mutex::new(BTreeMap::new());
/// Whether a socket ever had a limit.
static IN_USE: AtomicBool = AtomicBool::new(false);

fn key(open: &OpenFile) -> usize {
    Arc::as_ptr(&open.file).cast::<()>() as usize
}

/// The limits of a socket.
pub fn get(open: &OpenFile) -> Timeouts {
    if !IN_USE.load(Ordering::Relaxed) {
        return Timeouts::default();
    }
    TIMEOUTS.lock().get(&key(open)).map_or_else(Timeouts::default, |(_, timeouts)| *timeouts)
}

/// Changes the limits of a socket.
pub fn set(open: &OpenFile, change: impl FnOnce(&mut Timeouts)) {
    IN_USE.store(true, Ordering::Relaxed);
    let mut all = TIMEOUTS.lock();
    all.retain(|_, (socket, _)| socket.strong_count() > 0);
    let entry = all.entry(key(open)).or_insert_with(|| (Arc::downgrade(&open.file), Timeouts::default()));
    change(&mut entry.1);
}

fn deadline(limit_ns: u64) -> Option<u64> {
    (limit_ns > 0).then(|| clock::monotonic_ns().saturating_add(limit_ns))
}

/// When a call that receives from a socket gives up.
#[inline]
pub fn receive_deadline(open: &OpenFile) -> Option<u64> {
    deadline(get(open).receive_ns)
}

/// When a call that sends to a socket gives up.
#[inline]
pub fn send_deadline(open: &OpenFile) -> Option<u64> {
    deadline(get(open).send_ns)
}
