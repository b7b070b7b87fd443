//! Clocks, sleeping and timers.

use super::{Args, Call, call};
use crate::mm::user;
use crate::task::{credentials::capability, current, sched};
use crate::time::interval::{ITIMER_BASE, Notification};
use crate::time::{SECOND, clock};
use ampoule_kbase::{Errno, Result};
use core::sync::atomic::Ordering;
use linux_raw_sys::general as linux;

/// The calls of this family.
pub const CALLS: &[Call] = &[
    call(linux::__NR_time, "time", "x", time),
    call(linux::__NR_gettimeofday, "gettimeofday", "xx", gettimeofday),
    call(linux::__NR_settimeofday, "settimeofday", "xx", settimeofday),
    call(linux::__NR_clock_gettime, "clock_gettime", "ix", clock_gettime),
    call(linux::__NR_clock_settime, "clock_settime", "ix", clock_settime),
    call(linux::__NR_clock_getres, "clock_getres", "ix", clock_getres),
    call(linux::__NR_nanosleep, "nanosleep", "xx", nanosleep),
    call(linux::__NR_clock_nanosleep, "clock_nanosleep", "ixxx", clock_nanosleep),
    call(linux::__NR_alarm, "alarm", "u", alarm),
    call(linux::__NR_setitimer, "setitimer", "ixx", setitimer),
    call(linux::__NR_getitimer, "getitimer", "ix", getitimer),
    call(linux::__NR_timer_create, "timer_create", "ixx", timer_create),
    call(linux::__NR_timer_settime, "timer_settime", "ixxx", timer_settime),
    call(linux::__NR_timer_gettime, "timer_gettime", "ix", timer_gettime),
    call(linux::__NR_timer_getoverrun, "timer_getoverrun", "i", timer_getoverrun),
    call(linux::__NR_timer_delete, "timer_delete", "i", timer_delete),
];

/// Reads a `struct timespec` as nanoseconds.
pub fn read_timespec(address: u64) -> Result<u64> {
    let [seconds, nanoseconds] = user::read::<[i64; 2]>(address)?;
    if seconds < 0 || !(0..SECOND as i64).contains(&nanoseconds) {
        return Err(Errno::EINVAL);
    }
    Ok((seconds as u64).saturating_mul(SECOND).saturating_add(nanoseconds as u64))
}

fn timespec(ns: u64) -> [u64; 2] {
    [ns / SECOND, ns % SECOND]
}

fn timeval(ns: u64) -> [u64; 2] {
    [ns / SECOND, ns % SECOND / 1000]
}

fn read_timeval(address: u64) -> Result<u64> {
    let [seconds, microseconds] = user::read::<[i64; 2]>(address)?;
    if seconds < 0 || !(0..1_000_000).contains(&microseconds) {
        return Err(Errno::EINVAL);
    }
    Ok((seconds as u64).saturating_mul(SECOND).saturating_add(microseconds as u64 * 1000))
}

/// An absolute time of a clock as monotonic time.
pub fn to_monotonic(ns: u64, realtime: bool) -> u64 {
    if !realtime {
        return ns;
    }
    let offset = clock::realtime_ns().wrapping_sub(clock::monotonic_ns());
    ns.saturating_sub(offset)
}

/// The time of a clock.
fn read_clock(id: u64) -> Result<u64> {
    let process_clock = |process: &crate::task::Process| process.cpu_ns.load(Ordering::Relaxed);
    match id as u32 {
        linux::CLOCK_REALTIME
        | linux::CLOCK_REALTIME_COARSE
        | linux::CLOCK_REALTIME_ALARM
        | linux::CLOCK_TAI => Ok(clock::realtime_ns()),
        linux::CLOCK_MONOTONIC
        | linux::CLOCK_MONOTONIC_RAW
        | linux::CLOCK_MONOTONIC_COARSE
        | linux::CLOCK_BOOTTIME
        | linux::CLOCK_BOOTTIME_ALARM => Ok(clock::monotonic_ns()),
        linux::CLOCK_PROCESS_CPUTIME_ID => {
            sched::account_current();
            Ok(process_clock(&current().process))
        }
        linux::CLOCK_THREAD_CPUTIME_ID => {
            sched::account_current();
            Ok(current().cpu_ns.load(Ordering::Relaxed))
        }
        // The CPU clock of a process or thread (`clock_getcpuclockid(3)`): ~id << 3, bit 2 set for threads.
        id if id as i32 & 3 == 2 && (id as i32) < 0 => {
            sched::account_current();
            let target = !(id as i32 >> 3) as u32;
            if id & 4 != 0 {
                let thread = if target == 0 { current().handle() } else { find_thread(target)? };
                return Ok(thread.cpu_ns.load(Ordering::Relaxed));
            }
            let process = if target == 0 {
                Some(current().process.clone())
            } else {
                crate::task::process::find(target)
            };
            Ok(process_clock(&*process.ok_or(Errno::EINVAL)?))
        }
        _ => Err(Errno::EINVAL),
    }
}

fn find_thread(tid: u32) -> Result<alloc::sync::Arc<crate::task::Thread>> {
    crate::task::process::find_thread(tid).ok_or(Errno::EINVAL)
}

fn time(args: &Args) -> Result<u64> {
    let now = clock::realtime_ns() / SECOND;
    user::write_if(args[0], now)?;
    Ok(now)
}

fn gettimeofday(args: &Args) -> Result<u64> {
    user::write_if(args[0], timeval(clock::realtime_ns()))?;
    user::write_if(args[1], [0u32; 2])?;
    Ok(0)
}

fn set_clock(ns: u64) -> Result<u64> {
    if !current().process.credentials.lock().has(capability::SYS_TIME) {
        return Err(Errno::EPERM);
    }
    clock::set_realtime(ns);
    Ok(0)
}

fn settimeofday(args: &Args) -> Result<u64> {
    if args[0] == 0 { Ok(0) } else { set_clock(read_timeval(args[0])?) }
}

fn clock_gettime(args: &Args) -> Result<u64> {
    user::write(args[1], timespec(read_clock(args[0])?))?;
    Ok(0)
}

fn clock_settime(args: &Args) -> Result<u64> {
    if args[0] as u32 != linux::CLOCK_REALTIME {
        return Err(Errno::EINVAL);
    }
    set_clock(read_timespec(args[1])?)
}

fn clock_getres(args: &Args) -> Result<u64> {
    read_clock(args[0])?;
    user::write_if(args[1], [0u64, 1])?;
    Ok(0)
}

fn sleep_until(deadline: u64) -> Result<()> {
    match sched::block_on::<()>(&[], Some(deadline), || None) {
        Err(sched::Interruption::Timeout) | Ok(()) => Ok(()),
        Err(sched::Interruption::Signal) => Err(Errno::EINTR),
    }
}

/// A relative sleep; what is left of it goes to `remaining`. A handled signal ends it; after a stop it goes on, with the
/// deadline that it had.
fn sleep_for(ns: u64, remaining: u64) -> Result<u64> {
    let before = current().sleep_deadline.swap(0, Ordering::Relaxed);
    let deadline = if before != 0 { before } else { clock::monotonic_ns().saturating_add(ns) };
    match sleep_until(deadline) {
        Ok(()) => Ok(0),
        Err(_) => {
            user::write_if(remaining, timespec(deadline.saturating_sub(clock::monotonic_ns())))?;
            current().sleep_deadline.store(deadline, Ordering::Relaxed);
            Err(Errno::ERESTARTNOHAND)
        }
    }
}

fn nanosleep(args: &Args) -> Result<u64> {
    sleep_for(read_timespec(args[0])?, args[1])
}

fn clock_nanosleep(args: &Args) -> Result<u64> {
    const TIMER_ABSTIME: u64 = 1;
    let [id, flags, request, remaining, ..] = *args;
    let realtime = match id as u32 {
        linux::CLOCK_REALTIME | linux::CLOCK_TAI => true,
        linux::CLOCK_MONOTONIC | linux::CLOCK_BOOTTIME => false,
        linux::CLOCK_PROCESS_CPUTIME_ID => return Err(Errno::EOPNOTSUPP),
        _ => return Err(Errno::EINVAL),
    };
    let ns = read_timespec(request)?;
    if flags & TIMER_ABSTIME == 0 {
        return sleep_for(ns, remaining);
    }
    sleep_until(to_monotonic(ns, realtime)).map_err(|_| Errno::ERESTARTNOHAND)?;
    Ok(0)
}

/// `setitimer`'s timers: id and signal.
fn interval_timer(which: u64) -> Result<(u32, u32)> {
    match which as u32 {
        0 => Ok((ITIMER_BASE, linux::SIGALRM)),
        1 => Ok((ITIMER_BASE + 1, linux::SIGVTALRM)),
        2 => Ok((ITIMER_BASE + 2, linux::SIGPROF)),
        _ => Err(Errno::EINVAL),
    }
}

fn set_interval(which: u64, first: u64, interval: u64) -> Result<(u64, u64)> {
    let (id, signo) = interval_timer(which)?;
    let process = &current().process;
    let mut timers = process.timers.lock();
    timers.ensure(id, signo);
    let before = timers.get(id)?;
    let deadline = if first == 0 { 0 } else { clock::monotonic_ns().saturating_add(first) };
    timers.set(process.pid, id, deadline, interval)?;
    Ok(before)
}

fn alarm(args: &Args) -> Result<u64> {
    let (left, _) = set_interval(0, u64::from(args[0] as u32) * SECOND, 0)?;
    Ok(left.div_ceil(SECOND))
}

fn write_itimerval(address: u64, (left, interval): (u64, u64)) -> Result<()> {
    let ([a, b], [c, d]) = (timeval(interval), timeval(left));
    user::write_if(address, [a, b, c, d])
}

fn setitimer(args: &Args) -> Result<u64> {
    let [which, new, old, ..] = *args;
    let (first, interval) = if new == 0 { (0, 0) } else { (read_timeval(new + 16)?, read_timeval(new)?) };
    let before = set_interval(which, first, interval)?;
    write_itimerval(old, before)?;
    Ok(0)
}

fn getitimer(args: &Args) -> Result<u64> {
    let (id, signo) = interval_timer(args[0])?;
    let state = {
        let mut timers = current().process.timers.lock();
        timers.ensure(id, signo);
        timers.get(id)?
    };
    write_itimerval(args[1], state)?;
    Ok(0)
}

/// `struct sigevent`: value, signo, notify, thread id.
fn timer_create(args: &Args) -> Result<u64> {
    const SIGEV_SIGNAL: u32 = 0;
    const SIGEV_NONE: u32 = 1;
    const SIGEV_THREAD_ID: u32 = 4;
    let [id, event, out, ..] = *args;
    read_clock(id)?;
    let notification = match event {
        0 => None,
        at => {
            let value = user::read::<u64>(at)?;
            let [signo, notify] = user::read::<[u32; 2]>(at + 8)?;
            let tid = user::read::<u32>(at + 16)?;
            if notify != SIGEV_NONE && !(1..=crate::signal::COUNT).contains(&signo) {
                return Err(Errno::EINVAL);
            }
            Some(match notify {
                SIGEV_SIGNAL => Notification { signo, value, tid: 0, posix: true },
                SIGEV_NONE => Notification { signo: 0, value, tid: 0, posix: true },
                SIGEV_THREAD_ID => Notification { signo, value, tid, posix: true },
                _ => return Err(Errno::EINVAL),
            })
        }
    };
    let timer = current().process.timers.lock().create(notification, linux::SIGALRM)?;
    user::write(out, timer)?;
    Ok(0)
}

fn timer_settime(args: &Args) -> Result<u64> {
    const TIMER_ABSTIME: u64 = 1;
    let [id, flags, new, old, ..] = *args;
    let (interval, first) = (read_timespec(new)?, read_timespec(new + 16)?);
    let process = &current().process;
    let mut timers = process.timers.lock();
    let before = timers.get(id as u32)?;
    let deadline = match first {
        0 => 0,
        first if flags & TIMER_ABSTIME != 0 => {
            // Later than the monotonic clock can be in a lifetime: a time of day.
            let realtime =
                first > clock::realtime_ns() / 2 && clock::realtime_ns() > 4 * clock::monotonic_ns();
            to_monotonic(first, realtime).max(1)
        }
        first => clock::monotonic_ns().saturating_add(first),
    };
    timers.set(process.pid, id as u32, deadline, interval)?;
    drop(timers);
    write_itimerspec(old, before)?;
    Ok(0)
}

fn write_itimerspec(address: u64, (left, interval): (u64, u64)) -> Result<()> {
    let ([a, b], [c, d]) = (timespec(interval), timespec(left));
    user::write_if(address, [a, b, c, d])
}

fn timer_gettime(args: &Args) -> Result<u64> {
    let state = current().process.timers.lock().get(args[0] as u32)?;
    write_itimerspec(args[1], state)?;
    Ok(0)
}

fn timer_getoverrun(args: &Args) -> Result<u64> {
    current().process.timers.lock().overrun(args[0] as u32).map(u64::from)
}

fn timer_delete(args: &Args) -> Result<u64> {
    current().process.timers.lock().delete(args[0] as u32)?;
    Ok(0)
}
