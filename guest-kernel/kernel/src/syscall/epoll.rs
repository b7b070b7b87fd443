//! `epoll(7)`.

use super::handle::{only, usable};
use super::waiting::{self, Patience, under_mask};
use super::{Args, Call, add_file, call};
use crate::mm::user;
use alloc::vec;
use ampoule_kbase::{Errno, File, OpenFile, Result};
use ampoule_kio::event::{Epoll, EpollEvent};
use linux_raw_sys::general as linux;
use linux_raw_sys::general::{EPOLL_CLOEXEC, EPOLL_CTL_ADD, EPOLL_CTL_DEL, EPOLL_CTL_MOD, O_RDWR};

/// The calls of this family.
pub const CALLS: &[Call] = &[
    call(linux::__NR_epoll_create, "epoll_create", "i", epoll_create),
    call(linux::__NR_epoll_create1, "epoll_create1", "x", epoll_create1),
    call(linux::__NR_epoll_ctl, "epoll_ctl", "didx", epoll_ctl),
    call(linux::__NR_epoll_wait, "epoll_wait", "dxii", epoll_wait),
    call(linux::__NR_epoll_pwait, "epoll_pwait", "dxiixu", epoll_pwait),
    call(linux::__NR_epoll_pwait2, "epoll_pwait2", "dxixxu", epoll_pwait2),
];

/// `struct epoll_event`, packed: events, then two halves of the caller's data.
type RawEvent = [u32; 3];
const RAW_SIZE: u64 = size_of::<RawEvent>() as u64;

fn create(close_on_exec: bool) -> Result<u64> {
    add_file(OpenFile::new(Epoll::new(), O_RDWR), close_on_exec)
}

fn epoll_create(args: &Args) -> Result<u64> {
    if args[0] as i32 <= 0 { Err(Errno::EINVAL) } else { create(false) }
}

fn epoll_create1(args: &Args) -> Result<u64> {
    create(only(args[0], EPOLL_CLOEXEC)? != 0)
}

fn epoll_ctl(args: &Args) -> Result<u64> {
    let operation = args[1] as u32;
    let event = if operation == EPOLL_CTL_DEL {
        EpollEvent::default()
    } else {
        let [events, low, high] = user::read::<RawEvent>(args[3])?;
        EpollEvent { events, data: u64::from(low) | u64::from(high) << 32 }
    };
    let (instance, target) = (usable(args[0])?, usable(args[2])?);
    if target.file.wait_queue().is_none() {
        return Err(Errno::EPERM);
    }
    let epoll = Epoll::of(&*instance.file).ok_or(Errno::EINVAL)?;
    if alloc::sync::Arc::ptr_eq(&instance, &target) {
        return Err(Errno::EINVAL);
    }
    let fd = args[2] as i32;
    match operation {
        EPOLL_CTL_ADD => epoll.add(fd, &target, event)?,
        EPOLL_CTL_MOD => epoll.modify(fd, &target, event)?,
        EPOLL_CTL_DEL => epoll.remove(fd, &target)?,
        _ => return Err(Errno::EINVAL),
    }
    Ok(0)
}

/// Hands out what is ready, or waits for it.
fn wait(args: &Args, patience: Patience) -> Result<u64> {
    /// As many as can be addressed in 2 GiB.
    const MAX_EVENTS: u64 = i32::MAX as u64 / RAW_SIZE;
    let limit = u64::from(args[2] as u32);
    if limit == 0 || limit > MAX_EVENTS {
        return Err(Errno::EINVAL);
    }
    let instance = usable(args[0])?;
    let epoll = Epoll::of(&*instance.file).ok_or(Errno::EINVAL)?;
    let mut failure = None;
    let count = waiting::wait(
        patience,
        || vec![epoll].into_iter().filter_map(|epoll| epoll.wait_queue()).collect(),
        || match hand_out(epoll, args[1], limit as usize) {
            Ok(count) => count,
            Err(error) => {
                failure = Some(error);
                1
            }
        },
    );
    match (failure, count) {
        (Some(error), _) => Err(error),
        // This call never begins again by itself.
        (None, Err(_)) => Err(Errno::EINTR),
        (None, Ok(count)) => Ok(count as u64),
    }
}

fn hand_out(epoll: &Epoll, address: u64, limit: usize) -> Result<usize> {
    let mut at = address;
    epoll.wait(limit, &mut |event| {
        let raw: RawEvent = [event.events, event.data as u32, (event.data >> 32) as u32];
        user::write(at, raw)?;
        at += RAW_SIZE;
        Ok(())
    })
}

fn epoll_wait(args: &Args) -> Result<u64> {
    wait(args, Patience::for_ms(args[3]))
}

fn epoll_pwait(args: &Args) -> Result<u64> {
    let patience = Patience::for_ms(args[3]);
    under_mask(args[4], args[5], || wait(args, patience))
}

fn epoll_pwait2(args: &Args) -> Result<u64> {
    let patience = Patience::from_timespec(args[3])?;
    under_mask(args[4], args[5], || wait(args, patience))
}
