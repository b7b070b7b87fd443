//! `select(2)` and `pselect6(2)`.

use super::waiting::{self, Patience, under_mask};
use super::{Args, Call, call};
use crate::mm::user;
use crate::task::current;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use ampoule_kbase::{Errno, Events, OpenFile, Result};
use linux_raw_sys::general as linux;

/// The calls of this family.
pub const CALLS: &[Call] = &[
    call(linux::__NR_select, "select", "ixxxx", select),
    call(linux::__NR_pselect6, "pselect6", "ixxxxx", pselect),
];

/// `EPOLLRDBAND`, `EPOLLWRBAND`: out-of-band data, of which there is none, but programs may name it.
const READ_BAND: Events = Events::from_bits_retain(0x80);
const WRITE_BAND: Events = Events::from_bits_retain(0x200);
/// What makes a descriptor ready in each of the three sets.
const READY: [Events; 3] = [
    Events::RDNORM.union(READ_BAND).union(Events::IN).union(Events::HUP).union(Events::ERR),
    Events::WRNORM.union(WRITE_BAND).union(Events::OUT).union(Events::ERR),
    Events::PRI,
];
/// Descriptors in one word of a set.
const BITS: usize = 64;

fn select(args: &Args) -> Result<u64> {
    let patience = Patience::from_timeval(args[4])?;
    let result = run(args, patience);
    patience.write_timeval(args[4]);
    result
}

fn pselect(args: &Args) -> Result<u64> {
    let patience = Patience::from_timespec(args[4])?;
    let (mask, size) = match args[5] {
        0 => (0, 0),
        address => user::read::<[u64; 2]>(address)?.into(),
    };
    let result = under_mask(mask, size, || run(args, patience));
    patience.write_timespec(args[4]);
    result
}

/// One of the three sets of a call.
struct Set {
    address: u64,
    words: Vec<u64>,
}

impl Set {
    fn read(address: u64, count: usize) -> Result<Self> {
        let mut words = vec![0; count.div_ceil(BITS)];
        if address != 0 {
            for (i, word) in words.iter_mut().enumerate() {
                *word = user::read(address.wrapping_add(i as u64 * 8))?;
            }
        }
        if let Some(last) = words.last_mut().filter(|_| !count.is_multiple_of(BITS)) {
            *last &= (1 << (count % BITS)) - 1;
        }
        Ok(Self { address, words })
    }

    fn contains(&self, fd: usize) -> bool {
        self.words[fd / BITS] >> (fd % BITS) & 1 == 1
    }

    fn insert(&mut self, fd: usize) {
        self.words[fd / BITS] |= 1 << (fd % BITS);
    }

    fn write(&self) -> Result<()> {
        if self.address == 0 {
            return Ok(());
        }
        let mut at = self.address;
        for word in &self.words {
            user::write(at, *word)?;
            at += 8;
        }
        Ok(())
    }
}

/// A descriptor that is in at least one set.
struct Interest {
    fd: usize,
    open: Arc<OpenFile>,
    /// Which sets.
    sets: [bool; 3],
}

fn run(args: &Args, patience: Patience) -> Result<u64> {
    let count = usize::try_from(args[0] as i32).map_err(|_| Errno::EINVAL)?;
    // As Linux: numbers beyond the table are not looked at, and a table has at least 64 places.
    let count = count.min(current().process.files().lock().capacity().next_multiple_of(BITS).max(BITS));
    let sets = [Set::read(args[1], count)?, Set::read(args[2], count)?, Set::read(args[3], count)?];
    let interests = collect(&sets, count)?;
    let queues = || interests.iter().filter_map(|interest| interest.open.file.wait_queue()).collect();
    waiting::wait(patience, queues, || interests.iter().map(|interest| happened(interest).count()).sum())?;
    let mut results = sets.map(|set| Set { words: vec![0; set.words.len()], ..set });
    let mut total = 0;
    for interest in &interests {
        for set in happened(interest) {
            results[set].insert(interest.fd);
            total += 1;
        }
    }
    for set in &results {
        set.write()?;
    }
    Ok(total)
}

fn collect(sets: &[Set; 3], count: usize) -> Result<Vec<Interest>> {
    let files = current().process.files();
    let table = files.lock();
    let mut interests = Vec::new();
    for fd in 0..count {
        let sets = [sets[0].contains(fd), sets[1].contains(fd), sets[2].contains(fd)];
        if sets != [false; 3] {
            let open = table.get(fd as i32)?.open.clone();
            interests.push(Interest { fd, open, sets });
        }
    }
    Ok(interests)
}

/// The sets in which a descriptor is ready now.
fn happened(interest: &Interest) -> impl Iterator<Item = usize> + use<> {
    let events = interest.open.file.poll();
    let sets = interest.sets;
    (0..3).filter(move |set| sets[*set] && events.intersects(READY[*set]))
}
