//! timerfd with a clock that the test moves.

use super::*;
use crate::testing::{Alarm, advance, armed_timers};

const MS: u64 = 1_000_000;

fn setting(value_ns: u64, interval_ns: u64) -> TimerSetting {
    TimerSetting { interval_ns, value_ns }
}

fn timer() -> Arc<TimerFd> {
    testing::setup();
    TimerFd::new(libc::CLOCK_MONOTONIC as u32).unwrap()
}

fn ticks(timer: &TimerFd) -> Result<u64> {
    read(timer, 8).map(|bytes| u64::from_ne_bytes(bytes.try_into().unwrap()))
}

#[test]
fn fires_once() {
    let timer = timer();
    let alarm = Alarm::on(&*timer);
    assert_eq!(ticks(&timer), Err(Errno::EAGAIN));
    assert_eq!(timer.set(0, setting(10 * MS, 0)), Ok(setting(0, 0)));
    advance(9 * MS);
    assert_eq!((timer.poll(), alarm.take(), timer.get()), (Events::empty(), None, setting(MS, 0)));
    advance(MS);
    assert!(alarm.take().is_some());
    assert_eq!((timer.poll(), timer.get()), (Events::IN, setting(0, 0)));
    assert_eq!(ticks(&timer), Ok(1));
    assert_eq!(ticks(&timer), Err(Errno::EAGAIN));
    assert_eq!(armed_timers(), 0);
}

#[test]
fn a_period_is_counted_without_being_watched() {
    let timer = timer();
    timer.set(0, setting(10 * MS, 3 * MS)).unwrap();
    advance(10 * MS + 7 * MS);
    // It has expired at 10, 13 and 16 ms; only the first one cost an interrupt.
    assert_eq!(armed_timers(), 0);
    assert_eq!(ticks(&timer), Ok(3));
    assert_eq!(timer.get(), setting(2 * MS, 3 * MS));
    advance(2 * MS);
    assert_eq!(ticks(&timer), Ok(1));
    assert_eq!(timer.set(0, setting(0, 0)), Ok(setting(3 * MS, 3 * MS)));
    assert_eq!(armed_timers(), 0);
}

#[test]
fn absolute_times_and_the_time_of_day() {
    let timer = timer();
    timer.set(1, setting(1_000_000_000 + 5 * MS, 0)).unwrap();
    advance(5 * MS);
    assert_eq!(ticks(&timer), Ok(1));
    // Long past: fires at once, and a period has expired many times.
    timer.set(1, setting(1, 1_000_000_000)).unwrap();
    assert_eq!(ticks(&timer), Ok(2));
    let timer = TimerFd::new(libc::CLOCK_REALTIME as u32).unwrap();
    let now = ampoule_kbase::platform().realtime_ns();
    timer.set(3, setting(now + MS, 0)).unwrap();
    assert_eq!(timer.get(), setting(MS, 0));
    advance(MS);
    assert_eq!(ticks(&timer), Ok(1));
}

#[test]
fn what_is_wrong_is_refused_and_nothing_stays_behind() {
    let timer = timer();
    assert_eq!(TimerFd::new(2).err(), Some(Errno::EINVAL));
    assert_eq!(timer.set(4, setting(1, 0)), Err(Errno::EINVAL));
    assert_eq!(read(&*timer, 7), Err(Errno::EINVAL));
    timer.set(0, setting(5, 5)).unwrap();
    assert_eq!(armed_timers(), 1);
    drop(timer);
    assert_eq!(armed_timers(), 0);
}

#[test]
fn readings_agree_with_the_hosts() {
    // The host's clock moves by itself, so only what does not depend on it is compared.
    let ours = timer();
    // SAFETY: no pointers.
    let theirs = owned(unsafe { libc::timerfd_create(1, libc::TFD_NONBLOCK | libc::TFD_CLOEXEC) }).unwrap();
    let mut spec = libc::itimerspec {
        it_interval: libc::timespec { tv_sec: 1_000_000, tv_nsec: 0 },
        it_value: libc::timespec { tv_sec: 0, tv_nsec: 1 },
    };
    // SAFETY: valid pointers.
    unsafe {
        libc::timerfd_settime(theirs.as_raw_fd(), libc::TFD_TIMER_ABSTIME, &spec, core::ptr::null_mut())
    };
    ours.set(1, setting(1, 1_000_000_000_000_000)).unwrap();
    assert_eq!(ours.poll(), host::poll(&theirs));
    assert_eq!(read(&*ours, 8), host::read(&theirs, 8));
    assert_eq!(read(&*ours, 8), host::read(&theirs, 8));
    // SAFETY: as above.
    unsafe { libc::timerfd_gettime(theirs.as_raw_fd(), &mut spec) };
    assert_eq!(spec.it_interval.tv_sec as u64, ours.get().interval_ns / 1_000_000_000);
}
