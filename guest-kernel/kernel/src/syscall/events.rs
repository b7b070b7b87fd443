//! `eventfd`, `timerfd`, `signalfd`.

use super::handle::{only, usable};
use super::time::read_timespec;
use super::{Args, Call, add_file, call};
use crate::mm::user;
use crate::time::SECOND;
use alloc::sync::Arc;
use ampoule_kbase::{Errno, File, OpenFile, Result};
use ampoule_kio::event::{EventFd, SignalFd, TimerFd, TimerSetting};
use linux_raw_sys::general as linux;
use linux_raw_sys::general::{EFD_SEMAPHORE, O_CLOEXEC, O_NONBLOCK, O_RDWR};

/// The calls of this family.
pub const CALLS: &[Call] = &[
    call(linux::__NR_eventfd, "eventfd", "u", |args| eventfd(args[0], 0)),
    call(linux::__NR_eventfd2, "eventfd2", "ux", |args| eventfd(args[0], args[1])),
    call(linux::__NR_timerfd_create, "timerfd_create", "ix", timerfd_create),
    call(linux::__NR_timerfd_settime, "timerfd_settime", "dxxx", timerfd_settime),
    call(linux::__NR_timerfd_gettime, "timerfd_gettime", "dx", timerfd_gettime),
    call(linux::__NR_signalfd, "signalfd", "dxu", |args| signalfd(args, 0)),
    call(linux::__NR_signalfd4, "signalfd4", "dxux", |args| signalfd(args, args[3])),
];

/// Enters an event file. Its flags have the values of `O_NONBLOCK` and `O_CLOEXEC`.
fn add(file: Arc<dyn File>, flags: u32) -> Result<u64> {
    add_file(OpenFile::new(file, O_RDWR | flags & O_NONBLOCK), flags & O_CLOEXEC != 0)
}

fn eventfd(initial: u64, flags: u64) -> Result<u64> {
    let flags = only(flags, EFD_SEMAPHORE | O_NONBLOCK | O_CLOEXEC)?;
    add(EventFd::new(initial as u32, flags & EFD_SEMAPHORE != 0), flags)
}

fn timerfd_create(args: &Args) -> Result<u64> {
    let flags = only(args[1], O_NONBLOCK | O_CLOEXEC)?;
    add(TimerFd::new(args[0] as u32)?, flags)
}

/// The timer behind a descriptor.
fn timer(open: &OpenFile) -> Result<&TimerFd> {
    open.file.as_any().downcast_ref().ok_or(Errno::EINVAL)
}

/// `struct itimerspec`: interval, then value.
fn write_setting(address: u64, setting: TimerSetting) -> Result<()> {
    let TimerSetting { interval_ns, value_ns } = setting;
    user::write(address, [interval_ns / SECOND, interval_ns % SECOND, value_ns / SECOND, value_ns % SECOND])
}

fn timerfd_settime(args: &Args) -> Result<u64> {
    let setting = TimerSetting {
        interval_ns: read_timespec(args[2])?,
        value_ns: read_timespec(args[2].checked_add(16).ok_or(Errno::EFAULT)?)?,
    };
    let open = usable(args[0])?;
    let before = timer(&open)?.set(args[1] as u32, setting)?;
    if args[3] != 0 {
        write_setting(args[3], before)?;
    }
    Ok(0)
}

fn timerfd_gettime(args: &Args) -> Result<u64> {
    let open = usable(args[0])?;
    write_setting(args[1], timer(&open)?.get())?;
    Ok(0)
}

fn signalfd(args: &Args, flags: u64) -> Result<u64> {
    if args[2] != 8 {
        return Err(Errno::EINVAL);
    }
    let mask = user::read::<u64>(args[1])?;
    let flags = only(flags, O_NONBLOCK | O_CLOEXEC)?;
    if args[0] as i32 == -1 {
        return add(SignalFd::new(mask), flags);
    }
    let open = usable(args[0])?;
    let signals: &SignalFd = open.file.as_any().downcast_ref().ok_or(Errno::EINVAL)?;
    signals.set_mask(mask);
    Ok(args[0])
}
