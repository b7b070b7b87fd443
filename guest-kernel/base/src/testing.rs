//! Runs the kernel's crates on the host: RAM is an ordinary allocation, the platform a small fake with a clock that
//! tests move by hand.

use crate::platform::Caller;
use crate::{Mutex, PAGE_SIZE, Platform, TimerId, TimerTarget, WaitQueue, frames};
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicU64, Ordering};
use std::alloc::{Layout, alloc_zeroed};
use std::sync::OnceLock;
use std::vec::Vec;

/// The fake platform; [`setup`] returns it.
pub struct TestPlatform {
    now_ns: AtomicU64,
    timers: Mutex<BTreeMap<(u64, TimerId), Arc<dyn TimerTarget>>>,
    next_timer: AtomicU64,
    caller: Mutex<Caller>,
    /// Signals sent: to a group (pgid, signo), or to the caller (0, signo).
    pub signals: Mutex<Vec<(u32, u32)>>,
}

/// Prepares 64 MiB of fake RAM and the fake platform, once a process.
pub fn setup() -> &'static TestPlatform {
    static SETUP: OnceLock<&'static TestPlatform> = OnceLock::new();
    SETUP.get_or_init(|| {
        const PAGES: usize = 16384;
        let ram = Layout::from_size_align(PAGES * PAGE_SIZE, 4 << 20).expect("a valid layout");
        let meta = Layout::from_size_align(PAGES * frames::META_SIZE, 64).expect("a valid layout");
        // SAFETY: both blocks are zeroed, live for ever and are used by the allocator alone.
        unsafe { frames::init(alloc_zeroed(ram), alloc_zeroed(meta), 1..PAGES as u32, 0..0) };
        let platform = std::boxed::Box::leak(std::boxed::Box::new(TestPlatform {
            now_ns: AtomicU64::new(1_000_000_000),
            timers: Mutex::new(BTreeMap::new()),
            next_timer: AtomicU64::new(1),
            caller: Mutex::new(Caller { pid: 10, tid: 10, pgid: 10, sid: 10, ..Caller::default() }),
            signals: Mutex::new(Vec::new()),
        }));
        crate::platform::install(platform);
        platform
    })
}

impl TestPlatform {
    /// Moves the clock and fires what is due.
    pub fn advance(&self, ns: u64) {
        let now = self.now_ns.fetch_add(ns, Ordering::Relaxed) + ns;
        loop {
            let due = {
                let mut timers = self.timers.lock();
                match timers.first_key_value() {
                    Some(((at, _), _)) if *at <= now => timers.pop_first(),
                    _ => None,
                }
            };
            let Some(((_, id), target)) = due else { break };
            target.expired(id);
        }
    }

    /// Changes who calls.
    pub fn set_caller(&self, caller: Caller) {
        *self.caller.lock() = caller;
    }
}

impl Platform for TestPlatform {
    fn monotonic_ns(&self) -> u64 {
        self.now_ns.load(Ordering::Relaxed)
    }
    fn realtime_ns(&self) -> u64 {
        1_700_000_000_000_000_000 + self.monotonic_ns()
    }
    fn timer_arm(&self, deadline_ns: u64, target: Arc<dyn TimerTarget>) -> TimerId {
        let id = TimerId(self.next_timer.fetch_add(1, Ordering::Relaxed));
        self.timers.lock().insert((deadline_ns, id), target);
        id
    }
    fn timer_cancel(&self, id: TimerId) {
        self.timers.lock().retain(|(_, other), _| *other != id);
    }
    fn caller(&self) -> Caller {
        *self.caller.lock()
    }
    fn caller_in_group(&self, gid: u32) -> bool {
        self.caller.lock().gid == gid
    }
    fn signal_group(&self, pgid: u32, signo: u32) {
        self.signals.lock().push((pgid, signo));
    }
    fn signal_caller(&self, signo: u32) {
        self.signals.lock().push((0, signo));
    }
    fn caller_ignores(&self, _signo: u32) -> bool {
        false
    }
    fn group_is_orphaned(&self, _pgid: u32) -> bool {
        false
    }
    fn caller_signals(&self) -> Option<Arc<WaitQueue>> {
        None
    }
    fn random(&self, buffer: &mut [u8]) {
        buffer.iter_mut().enumerate().for_each(|(i, byte)| *byte = (i as u8).wrapping_mul(167));
    }
    fn pages(&self) -> (u64, u64) {
        frames::usage()
    }
    fn log_bytes(&self, bytes: &[u8]) {
        std::eprint!("{}", alloc::string::String::from_utf8_lossy(bytes));
    }
    fn log(&self, text: core::fmt::Arguments<'_>) {
        std::eprintln!("{text}");
    }
}
