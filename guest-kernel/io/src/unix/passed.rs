//! Descriptors on their way (`SCM_RIGHTS`): how many there are, and what keeps them from leaking.
//!
//! A socket that is itself on its way can hold other sockets, so references may form circles that nobody can reach
//! any more, and chains of any length. Circles are found by [`collect`]; chains are taken apart one by one, not by
//! recursion, in the [`GRAVEYARD`].

use super::endpoint::Endpoint;
use super::socket::UnixSocket;
use alloc::collections::BTreeMap;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use ampoule_kbase::{Errno, Mutex, OpenFile, Result};
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Descriptors in one message (`SCM_MAX_FD`).
const MAX_IN_MESSAGE: usize = 253;
/// Descriptors on their way, in the whole system.
const MAX_IN_FLIGHT: usize = 4096;
/// Sockets on their way that can be looked through at any time.
const CHEAP: usize = 32;
const ETOOMANYREFS: Errno = Errno(linux_raw_sys::errno::ETOOMANYREFS as u16);

static IN_FLIGHT: AtomicUsize = AtomicUsize::new(0);

/// A Unix socket that is on its way: it and in how many messages.
type Traveller = (Weak<OpenFile>, usize);

/// By address of the open file.
static TRAVELLERS: Mutex<BTreeMap<usize, Traveller>> = Mutex::new(BTreeMap::new());

/// Open files to be closed, by whoever empties the graveyard.
static GRAVEYARD: Mutex<Vec<Arc<OpenFile>>> = Mutex::new(Vec::new());
static DIGGING: AtomicBool = AtomicBool::new(false);

/// Descriptors in one message.
#[derive(Default)]
pub struct Passed(Vec<Arc<OpenFile>>);

fn is_socket(open: &OpenFile) -> bool {
    UnixSocket::of(&*open.file).is_some()
}

fn address(open: &Arc<OpenFile>) -> usize {
    Arc::as_ptr(open).addr()
}

impl Passed {
    /// Puts descriptors on their way: `EINVAL` if there are too many at once, `ETOOMANYREFS` if there are too many in all.
    pub fn new(files: Vec<Arc<OpenFile>>) -> Result<Self> {
        if files.is_empty() {
            return Ok(Self(files));
        }
        if files.len() > MAX_IN_MESSAGE {
            return Err(Errno::EINVAL);
        }
        if IN_FLIGHT.load(Ordering::Relaxed) + files.len() > MAX_IN_FLIGHT {
            collect();
            if IN_FLIGHT.load(Ordering::Relaxed) + files.len() > MAX_IN_FLIGHT {
                return Err(ETOOMANYREFS);
            }
        }
        IN_FLIGHT.fetch_add(files.len(), Ordering::Relaxed);
        let mut travellers = TRAVELLERS.lock();
        for open in files.iter().filter(|open| is_socket(open)) {
            travellers.entry(address(open)).or_insert_with(|| (Arc::downgrade(open), 0)).1 += 1;
        }
        Ok(Self(files))
    }

    /// No descriptors.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The descriptors, for a look at them.
    pub fn files(&self) -> &[Arc<OpenFile>] {
        &self.0
    }

    /// The descriptors have arrived.
    pub fn arrive(mut self) -> Vec<Arc<OpenFile>> {
        self.leave()
    }

    fn leave(&mut self) -> Vec<Arc<OpenFile>> {
        let files = core::mem::take(&mut self.0);
        if files.is_empty() {
            return files;
        }
        IN_FLIGHT.fetch_sub(files.len(), Ordering::Relaxed);
        let mut travellers = TRAVELLERS.lock();
        for open in files.iter().filter(|open| is_socket(open)) {
            if let Some((_, count)) = travellers.get_mut(&address(open)) {
                *count -= 1;
                if *count == 0 {
                    travellers.remove(&address(open));
                }
            }
        }
        files
    }
}

impl Drop for Passed {
    fn drop(&mut self) {
        let files = self.leave();
        bury(files);
    }
}

/// Closes files, without recursion however they hold each other.
fn bury(files: Vec<Arc<OpenFile>>) {
    if files.is_empty() {
        return;
    }
    GRAVEYARD.lock().extend(files);
    if DIGGING.swap(true, Ordering::Relaxed) {
        return;
    }
    loop {
        let next = GRAVEYARD.lock().pop();
        // Closing it may bury more.
        if next.is_none() {
            break;
        }
    }
    DIGGING.store(false, Ordering::Relaxed);
}

/// Looks for rubbish whenever a socket is closed; but when many are on their way, only once they have doubled since the last
/// time, so that the effort stays proportional.
pub fn collect_if_worthwhile() {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let count = || TRAVELLERS.lock().len();
    let before = count();
    if before == 0 || (before > CHEAP && before < NEXT.load(Ordering::Relaxed)) {
        return;
    }
    collect();
    NEXT.store(2 * count(), Ordering::Relaxed);
}

/// How many descriptors are on their way.
#[cfg(test)]
pub fn in_flight() -> usize {
    IN_FLIGHT.load(Ordering::Relaxed)
}

/// A socket of which nothing but messages knows.
struct Candidate {
    open: Arc<OpenFile>,
    /// Messages that carry it.
    count: usize,
    /// Those of them that are in candidates' own queues.
    internal: usize,
}

type Candidates = BTreeMap<usize, Candidate>;

/// Finds sockets that can only be reached through each other's queues, and empties those.
pub fn collect() {
    let mut candidates = find_candidates();
    let addresses: Vec<usize> = candidates.keys().copied().collect();
    for at in &addresses {
        for held in candidates.get(at).map(held_by).unwrap_or_default() {
            if let Some(candidate) = candidates.get_mut(&held) {
                candidate.internal += 1;
            }
        }
    }
    // A candidate in the queue of a live socket is alive, and then so is what it holds.
    let mut alive: Vec<usize> =
        addresses.into_iter().filter(|at| candidates.get(at).is_some_and(Candidate::is_alive)).collect();
    while let Some(at) = alive.pop() {
        let Some(candidate) = candidates.remove(&at) else { continue };
        for held in held_by(&candidate) {
            if let Some(other) = candidates.get_mut(&held) {
                other.internal = other.internal.saturating_sub(1);
                alive.push(held);
            }
        }
    }
    let rubbish: Vec<Passed> =
        candidates.values().flat_map(|c| socket_of(&c.open).map(Endpoint::take_passed)).flatten().collect();
    drop(candidates);
    drop(rubbish);
}

impl Candidate {
    fn is_alive(&self) -> bool {
        self.count > self.internal
    }
}

fn find_candidates() -> Candidates {
    let travellers = TRAVELLERS.lock();
    let candidates = travellers.iter().filter_map(|(at, (open, count))| {
        let open = open.upgrade()?;
        // One reference is ours.
        let nobody_else = Arc::strong_count(&open) == count + 1;
        nobody_else.then_some((*at, Candidate { open, count: *count, internal: 0 }))
    });
    candidates.collect()
}

fn socket_of(open: &OpenFile) -> Option<&Endpoint> {
    UnixSocket::of(&*open.file).map(UnixSocket::endpoint)
}

/// The sockets in the queues of a candidate.
fn held_by(candidate: &Candidate) -> Vec<usize> {
    let mut held = Vec::new();
    if let Some(endpoint) = socket_of(&candidate.open) {
        endpoint.each_passed(&mut |open| held.push(address(open)));
    }
    held
}
