//! Timers by deadline, and the one hardware timer behind them. The kernel is tickless: the hardware timer is armed
//! only for the next deadline, when a program is about to run or the CPU is about to idle.

use super::clock;
use crate::arch::interrupt;
use crate::task::sched;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use ampoule_kbase::{Mutex, TimerId, TimerTarget};
use core::sync::atomic::{AtomicU64, Ordering};

static TIMERS: Mutex<BTreeMap<(u64, TimerId), Arc<dyn TimerTarget>>> = Mutex::new(BTreeMap::new());
static DEADLINES: Mutex<BTreeMap<TimerId, u64>> = Mutex::new(BTreeMap::new());
static NEXT_ID: AtomicU64 = AtomicU64::new(1);
/// The earliest deadline of all timers.
static EARLIEST: AtomicU64 = AtomicU64::new(u64::MAX);
/// What the hardware timer is armed for.
static ARMED: AtomicU64 = AtomicU64::new(u64::MAX);
/// When it fired last.
static FIRED: AtomicU64 = AtomicU64::new(0);

/// A running program is not interrupted again before this time has passed, in nanoseconds. An interrupt, a signal and its handler
/// take some 40 us where ring 0 is emulated: with timers that are due more often than that, nobody would ever get on.
const GAP_NS: u64 = 100_000;

/// Calls `target` at a monotonic time.
pub fn arm(deadline_ns: u64, target: Arc<dyn TimerTarget>) -> TimerId {
    let id = TimerId(NEXT_ID.fetch_add(1, Ordering::Relaxed));
    TIMERS.lock().insert((deadline_ns, id), target);
    DEADLINES.lock().insert(id, deadline_ns);
    EARLIEST.fetch_min(deadline_ns, Ordering::Relaxed);
    id
}

/// Forgets a timer.
pub fn cancel(id: TimerId) {
    let deadline = DEADLINES.lock().remove(&id);
    if let Some(deadline) = deadline {
        let removed = TIMERS.lock().remove(&(deadline, id));
        drop(removed);
        update_earliest();
    }
}

fn update_earliest() {
    let earliest = TIMERS.lock().first_key_value().map_or(u64::MAX, |((deadline, _), _)| *deadline);
    EARLIEST.store(earliest, Ordering::Relaxed);
}

/// Calls all targets that are due.
pub fn run_due() {
    if EARLIEST.load(Ordering::Relaxed) == u64::MAX {
        return;
    }
    let now = clock::monotonic_ns();
    while EARLIEST.load(Ordering::Relaxed) <= now {
        let due = {
            let mut timers = TIMERS.lock();
            match timers.first_key_value() {
                Some(((deadline, _), _)) if *deadline <= now => timers.pop_first(),
                _ => None,
            }
        };
        if let Some(((_, id), _)) = &due {
            DEADLINES.lock().remove(id);
        }
        update_earliest();
        if let Some(((_, id), target)) = due {
            target.expired(id);
        }
    }
}

/// The hardware timer has fired.
pub fn fired() {
    let now = clock::monotonic_ns();
    ARMED.store(u64::MAX, Ordering::Relaxed);
    FIRED.store(now, Ordering::Relaxed);
    sched::tick(now);
}

fn arm_hardware(deadline: u64) {
    if deadline < ARMED.load(Ordering::Relaxed) {
        ARMED.store(deadline, Ordering::Relaxed);
        interrupt::arm_timer(clock::tsc_at(deadline));
    }
}

/// Before idling.
pub fn arm_for_idle() {
    arm_hardware(EARLIEST.load(Ordering::Relaxed));
}

/// Before a program runs: the next timer, the end of its time slice, or of its CPU time.
pub fn arm_for_run() {
    let next = EARLIEST.load(Ordering::Relaxed).min(sched::run_end());
    arm_hardware(next.max(FIRED.load(Ordering::Relaxed).saturating_add(GAP_NS)));
}
