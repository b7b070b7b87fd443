//! The platform of this crate's tests: with a clock, a caller and signals for each thread, since tests run in parallel. And what tests share to compare with the host's Linux.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use ampoule_kbase::platform::Caller;
use ampoule_kbase::{
    Errno, Events, File, Mutex, Platform, Result, SliceSink, SliceSource, TimerId, TimerTarget, UserMemory,
    WaitQueue, Waiter, frames,
};
use core::cell::RefCell;
use std::sync::Once;

/// What one test thread sees.
#[derive(Default)]
pub struct Local {
    now_ns: u64,
    timers: BTreeMap<(u64, u64), Arc<dyn TimerTarget>>,
    next_timer: u64,
    caller: Caller,
    /// Signals sent: (pgid, signo) to a group, (0, signo) to the caller.
    signals: Vec<(u32, u32)>,
    /// Signals that the caller ignores.
    pub ignored: Vec<u32>,
    /// Orphaned process groups.
    pub orphaned: Vec<u32>,
    /// What went to the kernel log.
    pub logged: Vec<u8>,
}

std::thread_local! {
    static LOCAL: RefCell<Local> = RefCell::new(Local {
        now_ns: 1_000_000_000,
        next_timer: 1,
        caller: Caller { pid: 10, tid: 10, pgid: 10, sid: 10, ..Caller::default() },
        ..Local::default()
    });
}

struct TestPlatform;

/// Prepares RAM and platform; every test calls it first.
pub fn setup() {
    static SETUP: Once = Once::new();
    SETUP.call_once(|| {
        ampoule_kbase::platform::install(&TestPlatform);
        ampoule_kbase::testing::setup();
    });
}

/// Changes or asks this thread's state.
pub fn local<R>(f: impl FnOnce(&mut Local) -> R) -> R {
    LOCAL.with(|local| f(&mut local.borrow_mut()))
}

/// Makes the thread another process.
pub fn call_as(caller: Caller) {
    local(|l| l.caller = caller);
}

/// Takes the signals that were sent.
pub fn take_signals() -> Vec<(u32, u32)> {
    local(|l| core::mem::take(&mut l.signals))
}

/// Moves the clock and fires what is due.
pub fn advance(ns: u64) {
    let until = local(|l| l.now_ns + ns);
    loop {
        let due = local(|l| match l.timers.first_key_value() {
            Some(((at, _), _)) if *at <= until => {
                let ((at, id), target) = l.timers.pop_first()?;
                l.now_ns = l.now_ns.max(at);
                Some((id, target))
            }
            _ => None,
        });
        let Some((id, target)) = due else { break };
        target.expired(TimerId(id));
    }
    local(|l| l.now_ns = until);
}

/// How many timers are armed.
pub fn armed_timers() -> usize {
    local(|l| l.timers.len())
}

impl Platform for TestPlatform {
    fn monotonic_ns(&self) -> u64 {
        local(|l| l.now_ns)
    }
    fn realtime_ns(&self) -> u64 {
        1_700_000_000_000_000_000 + self.monotonic_ns()
    }
    fn timer_arm(&self, deadline_ns: u64, target: Arc<dyn TimerTarget>) -> TimerId {
        local(|l| {
            let id = l.next_timer;
            l.next_timer += 1;
            l.timers.insert((deadline_ns, id), target);
            TimerId(id)
        })
    }
    fn timer_cancel(&self, id: TimerId) {
        let removed: Vec<_> = local(|l| {
            let keys: Vec<_> = l.timers.keys().filter(|key| key.1 == id.0).copied().collect();
            keys.iter().filter_map(|key| l.timers.remove(key)).collect()
        });
        drop(removed);
    }
    fn caller(&self) -> Caller {
        local(|l| l.caller)
    }
    fn caller_in_group(&self, gid: u32) -> bool {
        local(|l| l.caller.gid == gid)
    }
    fn signal_group(&self, pgid: u32, signo: u32) {
        local(|l| l.signals.push((pgid, signo)));
    }
    fn signal_caller(&self, signo: u32) {
        local(|l| l.signals.push((0, signo)));
    }
    fn caller_ignores(&self, signo: u32) -> bool {
        local(|l| l.ignored.contains(&signo))
    }
    fn group_is_orphaned(&self, pgid: u32) -> bool {
        local(|l| l.orphaned.contains(&pgid))
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
        local(|l| l.logged.extend_from_slice(bytes));
    }
    fn log(&self, text: core::fmt::Arguments<'_>) {
        std::eprintln!("{text}");
    }
}

/// Writes a slice.
pub fn write(file: &dyn File, bytes: &[u8]) -> Result<usize> {
    file.write(0, &mut SliceSource::new(bytes))
}

/// Reads up to `count` bytes.
pub fn read(file: &dyn File, count: usize) -> Result<Vec<u8>> {
    let mut buffer = vec![0; count];
    let got = file.read(0, &mut SliceSink::new(&mut buffer))?;
    buffer.truncate(got);
    Ok(buffer)
}

/// Remembers that it was woken, and by what.
#[derive(Default)]
pub struct Alarm {
    woken: Mutex<Option<Events>>,
}

impl Alarm {
    /// Waits on a file.
    pub fn on(file: &dyn File) -> Arc<Self> {
        let alarm = Arc::new(Self::default());
        file.wait_queue().expect("the file can be waited for").add(alarm.clone());
        alarm
    }

    /// Whether it was woken since the last time, and by which events.
    pub fn take(&self) -> Option<Events> {
        self.woken.lock().take()
    }
}

impl Waiter for Alarm {
    fn wake(&self, events: Events) {
        let mut woken = self.woken.lock();
        *woken = Some(woken.unwrap_or_default() | events);
    }
}

/// User memory for `ioctl`: addresses are offsets into it.
pub struct FakeMemory(pub RefCell<Vec<u8>>);

impl FakeMemory {
    /// 4 KiB of zeros.
    pub fn new() -> Self {
        Self(RefCell::new(vec![0; 4096]))
    }
}

impl UserMemory for FakeMemory {
    fn read_bytes(&self, from: u64, to: &mut [u8]) -> Result<()> {
        let memory = self.0.borrow();
        let from = from as usize;
        to.copy_from_slice(memory.get(from..from + to.len()).ok_or(Errno::EFAULT)?);
        Ok(())
    }
    fn write_bytes(&self, to: u64, from: &[u8]) -> Result<()> {
        let mut memory = self.0.borrow_mut();
        let to = to as usize;
        memory.get_mut(to..to + from.len()).ok_or(Errno::EFAULT)?.copy_from_slice(from);
        Ok(())
    }
}

/// The host's Linux: what the tests compare with.
pub mod host {
    use super::*;
    use std::os::fd::{AsRawFd, OwnedFd};

    /// The error of the last call.
    pub fn errno() -> Errno {
        Errno(std::io::Error::last_os_error().raw_os_error().expect("an error number") as u16)
    }

    /// A call's result, as ours are.
    pub fn check(result: isize) -> Result<usize> {
        usize::try_from(result).map_err(|_| errno())
    }

    /// `write(2)`.
    pub fn write(fd: &OwnedFd, bytes: &[u8]) -> Result<usize> {
        // SAFETY: the buffer is live and as long as said.
        check(unsafe { libc::write(fd.as_raw_fd(), bytes.as_ptr().cast(), bytes.len()) })
    }

    /// `read(2)`.
    pub fn read(fd: &OwnedFd, count: usize) -> Result<Vec<u8>> {
        let mut buffer = vec![0u8; count];
        // SAFETY: as above.
        let got = check(unsafe { libc::read(fd.as_raw_fd(), buffer.as_mut_ptr().cast(), count) })?;
        buffer.truncate(got);
        Ok(buffer)
    }

    /// `poll(2)` for everything there is, without waiting.
    pub fn poll(fd: &OwnedFd) -> Events {
        let all = Events::all() - Events::NVAL;
        let mut entry = libc::pollfd { fd: fd.as_raw_fd(), events: all.bits() as i16, revents: 0 };
        // SAFETY: one valid entry.
        unsafe { libc::poll(&mut entry, 1, 0) };
        Events::from_bits_retain(entry.revents as u16 as u32)
    }

    /// An `int` that an `ioctl` writes.
    pub fn ioctl_int(fd: &OwnedFd, command: u64) -> Result<i32> {
        let mut value = 0i32;
        // SAFETY: the commands that tests use write one int.
        check(unsafe { libc::ioctl(fd.as_raw_fd(), command as _, &mut value) } as isize)?;
        Ok(value)
    }
}

/// An `int` that an `ioctl` of ours writes.
pub fn ioctl_int(file: &dyn File, command: u32) -> Result<i32> {
    let memory = FakeMemory::new();
    file.ioctl(command, 8, &memory)?;
    let memory: &dyn UserMemory = &memory;
    Ok(memory.read_u32(8)? as i32)
}
