//! `poll(2)` and `ppoll(2)`.

use super::fdops::descriptor_limit;
use super::waiting::{self, Patience, under_mask};
use super::{Args, Call, call};
use crate::mm::user;
use crate::task::current;
use crate::task::files::FileTable;
use alloc::sync::Arc;
use alloc::vec::Vec;
use ampoule_kbase::{Errno, Events, OpenFile, Result, frames};
use linux_raw_sys::general as linux;

/// The calls of this family.
pub const CALLS: &[Call] =
    &[call(linux::__NR_poll, "poll", "xui", poll), call(linux::__NR_ppoll, "ppoll", "xuxxu", ppoll)];

/// `struct pollfd` as one word: descriptor, wanted events, what happened.
type PollFd = u64;
/// This many are kept without an allocation.
const FEW: usize = 8;
/// Bytes that each of many costs while they are waited for: roughly.
const ROOM: usize = 128;

fn descriptor(entry: PollFd) -> i32 {
    entry as u32 as i32
}

/// Reported whether wanted or not.
fn wanted(entry: PollFd) -> Events {
    Events::from_bits_retain((entry >> 32) as u32 & 0xffff) | Events::ERR | Events::HUP
}

fn with_result(entry: PollFd, events: Events) -> PollFd {
    entry & 0xffff_ffff_ffff | u64::from(events.bits() as u16) << 48
}

fn poll(args: &Args) -> Result<u64> {
    run(args[0], args[1], Patience::for_ms(args[2]))
}

fn ppoll(args: &Args) -> Result<u64> {
    let patience = Patience::from_timespec(args[2])?;
    let result = under_mask(args[3], args[4], || run(args[0], args[1], patience));
    patience.write_timespec(args[2]);
    result
}

fn run(address: u64, count: u64, patience: Patience) -> Result<u64> {
    let count = u64::from(count as u32);
    if count > descriptor_limit() {
        return Err(Errno::EINVAL);
    }
    let count = count as usize;
    let mut few = [[0; 8]; FEW];
    let mut many;
    let raw = match few.get_mut(..count) {
        Some(few) => few,
        None => {
            frames::check_room(count * ROOM)?;
            many = frames::list_of(count)?;
            many.resize(count, [0; 8]);
            &mut many[..]
        }
    };
    user::read_bytes(address, raw.as_flattened_mut())?;
    let result = wait(raw, patience);
    user::write_bytes(address, raw.as_flattened())?;
    Ok(result? as u64)
}

/// Fills in what happened, once anything has, and counts the entries that something happened to.
fn wait(raw: &mut [[u8; 8]], patience: Patience) -> Result<usize> {
    let files = current().process.files();
    let ready = look(raw, &files.lock());
    if ready > 0 {
        return Ok(ready);
    }
    let mut opened: Vec<Option<Arc<OpenFile>>> = frames::list_of(raw.len())?;
    {
        let table = files.lock();
        opened.extend(raw.iter().map(|entry| usable(&table, descriptor(u64::from_ne_bytes(*entry)))));
    }
    drop(files);
    let queues = || opened.iter().flatten().filter_map(|open| open.file.wait_queue()).collect();
    waiting::wait(patience, queues, || {
        let mut ready = 0;
        for (entry, open) in raw.iter_mut().zip(&opened) {
            let Some(open) = open else { continue };
            ready += usize::from(note(entry, open.file.poll()));
        }
        ready
    })
}

fn usable(table: &FileTable, fd: i32) -> Option<Arc<OpenFile>> {
    table.get(fd).ok().map(|descriptor| &descriptor.open).filter(|open| !open.path_only()).cloned()
}

/// A first look, which mostly is the only one: no file is kept.
fn look(raw: &mut [[u8; 8]], table: &FileTable) -> usize {
    let mut ready = 0;
    for entry in raw {
        let fd = descriptor(u64::from_ne_bytes(*entry));
        if fd < 0 {
            note(entry, Events::empty());
            continue;
        }
        let happened = match table.get(fd) {
            Ok(descriptor) if !descriptor.open.path_only() => descriptor.open.file.poll(),
            _ => Events::NVAL,
        };
        ready += usize::from(note(entry, happened));
    }
    ready
}

/// Puts what happened into an entry; says whether it was anything that is reported.
fn note(entry: &mut [u8; 8], happened: Events) -> bool {
    let value = u64::from_ne_bytes(*entry);
    let reported = happened & (wanted(value) | Events::NVAL);
    *entry = with_result(value, reported).to_ne_bytes();
    !reported.is_empty()
}
