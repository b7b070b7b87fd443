//! The slave side: what programs on a terminal hold.

use super::ioctl::{self, Side};
use super::pair::{Pair, ReadWait, State};
use super::session;
use alloc::format;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use ampoule_kbase::{
    Errno, Events, File, Result, Sink, Source, Stat, TimerId, TimerTarget, UserMemory, WaitQueue, platform,
};
use core::any::Any;
use core::sync::atomic::{AtomicBool, Ordering};
use linux_raw_sys::general::{O_NOCTTY, O_NONBLOCK, ONLCR, OPOST, SIGTTIN, SIGTTOU, TABDLY, TOSTOP, XTABS};
use linux_raw_sys::ioctl::TIOCSPGRP;

/// Bytes that are taken from a writer at a time.
const PIECE: usize = 256;
/// How long after its deadline a timed read is still taken to be the same one.
const SLACK_NS: u64 = 100_000_000;

/// An open `/dev/pts/N`: one for each `open`, since non-blocking reads follow other rules.
pub struct Slave {
    pair: Arc<Pair>,
    /// The terminal's `hang_ups` when this was opened.
    born: u64,
    nonblocking: AtomicBool,
}

impl Slave {
    /// Opens the slave of a pair; `EIO` while it is locked or when the master is closed.
    pub fn open(pair: Arc<Pair>, flags: u32) -> Result<Arc<Self>> {
        let born = {
            let mut state = pair.state.lock();
            if state.locked || !state.master_open {
                return Err(Errno::EIO);
            }
            if state.exclusive && platform().caller().fsuid != 0 {
                return Err(Errno::EBUSY);
            }
            state.slaves += 1;
            state.slave_closed = false;
            state.hang_ups
        };
        if flags & O_NOCTTY == 0 {
            session::acquire_by_opening(&pair);
        }
        let nonblocking = AtomicBool::new(flags & O_NONBLOCK != 0);
        Ok(Arc::new(Self { pair, born, nonblocking }))
    }

    fn is_dead(&self) -> bool {
        self.pair.state.lock().hang_ups != self.born
    }

    fn read_raw(&self, state: &mut State, wanted: usize) -> Result<Vec<u8>> {
        let available = state.discipline.input.len();
        let minimum = state.minimum();
        let timeout_ns = state.timeout_ns();
        let nonblocking = self.nonblocking.load(Ordering::Relaxed);
        let enough = match (minimum, timeout_ns) {
            (0, _) => available > 0,
            _ if nonblocking => available > 0,
            _ => available >= minimum.min(wanted),
        };
        if enough || (minimum == 0 && timeout_ns == 0) {
            end_wait(state);
            return Ok(state.discipline.input.take(wanted));
        }
        if nonblocking || timeout_ns == 0 || (minimum > 0 && available == 0) {
            return Err(Errno::EAGAIN);
        }
        // With a minimum, time counts from the last byte, else from the beginning of the read.
        let since_input = state.last_input_ns.saturating_add(timeout_ns);
        if self.time_is_up(state, timeout_ns, (minimum > 0).then_some(since_input)) {
            return Ok(state.discipline.input.take(wanted));
        }
        Err(Errno::EAGAIN)
    }

    /// Whether a timed read has waited long enough; if not, it will be woken. `until`: when that is, where it does not depend on
    /// when the read began.
    fn time_is_up(&self, state: &mut State, timeout_ns: u64, until: Option<u64>) -> bool {
        let now = platform().monotonic_ns();
        let tid = platform().caller().tid;
        // A thread that comes back is taken to be waiting still, unless it is late: then its last read was interrupted.
        let begun =
            state.read_wait.as_ref().filter(|wait| wait.tid == tid && now < wait.deadline_ns + SLACK_NS);
        let deadline_ns =
            until.or(begun.map(|wait| wait.deadline_ns)).unwrap_or(now.saturating_add(timeout_ns));
        let armed = begun.is_some_and(|wait| wait.deadline_ns == deadline_ns);
        if now >= deadline_ns {
            end_wait(state);
            return true;
        }
        if !armed {
            end_wait(state);
            let target = Wakeup(Arc::downgrade(&self.pair));
            let timer = platform().timer_arm(deadline_ns, Arc::new(target));
            state.read_wait = Some(ReadWait { tid, deadline_ns, timer });
        }
        false
    }
}

fn end_wait(state: &mut State) {
    if let Some(wait) = state.read_wait.take() {
        platform().timer_cancel(wait.timer);
    }
}

/// Wakes readers when their time is up.
struct Wakeup(Weak<Pair>);

impl TimerTarget for Wakeup {
    fn expired(&self, _id: TimerId) {
        if let Some(pair) = self.0.upgrade() {
            pair.slave_queue.wake(Events::IN | Events::RDNORM);
        }
    }
}

fn write_output(state: &mut State, source: &mut dyn Source) -> Result<usize> {
    state.discipline.flush_echoes();
    let termios = state.discipline.termios;
    // How much one byte may become.
    let growth = match termios.output(OPOST) {
        true if termios.output & TABDLY == XTABS => 8,
        true if termios.output(ONLCR) => 2,
        _ => 1,
    };
    let mut done = 0;
    let mut piece = [0; PIECE];
    while !state.discipline.is_stopped() {
        let count = (state.discipline.output.room() / growth).min(source.remaining()).min(PIECE);
        let Some(buffer) = piece.get_mut(..count).filter(|buffer| !buffer.is_empty()) else { break };
        match source.take(buffer) {
            Ok(()) => {}
            Err(error) if done == 0 => return Err(error),
            Err(_) => break,
        }
        // There is room for all of it.
        done += buffer.iter().filter(|byte| state.discipline.output.put(**byte, &termios)).count();
    }
    Ok(done)
}

impl File for Slave {
    fn read(&self, _offset: u64, sink: &mut dyn Sink) -> Result<usize> {
        if sink.remaining() == 0 || self.is_dead() {
            return Ok(0);
        }
        session::check_foreground(&self.pair, SIGTTIN)?;
        let bytes = self.pair.with(|state| {
            let wanted = sink.remaining();
            let bytes = if !state.discipline.reads_lines() {
                self.read_raw(state, wanted)?
            } else if state.discipline.input.finished() > 0 {
                state.discipline.input.take_line(wanted)
            } else {
                return Err(Errno::EAGAIN);
            };
            state.discipline.pump();
            Ok(bytes)
        })?;
        sink.put(&bytes)?;
        Ok(bytes.len())
    }

    fn write(&self, _offset: u64, source: &mut dyn Source) -> Result<usize> {
        if self.is_dead() {
            return Err(Errno::EIO);
        }
        let must_be_foreground = self.pair.state.lock().discipline.termios.local(TOSTOP);
        if must_be_foreground {
            session::check_foreground(&self.pair, SIGTTOU)?;
        }
        if source.remaining() == 0 {
            return Ok(0);
        }
        match self.pair.with(|state| write_output(state, source))? {
            0 => Err(Errno::EAGAIN),
            count => Ok(count),
        }
    }

    fn poll(&self) -> Events {
        let readable = Events::IN | Events::RDNORM;
        let writable = Events::OUT | Events::WRNORM;
        if self.is_dead() {
            return readable | writable | Events::ERR | Events::HUP;
        }
        let state = self.pair.state.lock();
        let mut events = Events::empty();
        events.set(readable, state.has_input());
        events.set(writable, state.slave_room() > 0);
        events
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        Some(&self.pair.slave_queue)
    }

    fn ioctl(&self, command: u32, argument: u64, memory: &dyn UserMemory) -> Result<u64> {
        if self.is_dead() {
            return Err(if command == TIOCSPGRP { Errno::ENOTTY } else { Errno::EIO });
        }
        ioctl::control(&self.pair, Side::Slave, command, argument, memory)
    }

    fn stat(&self) -> Result<Stat> {
        Ok(self.pair.stat())
    }

    fn set_status_flags(&self, flags: u32) {
        self.nonblocking.store(flags & O_NONBLOCK != 0, Ordering::Relaxed);
    }

    fn proc_name(&self) -> Vec<u8> {
        format!("/dev/pts/{}", self.pair.index).into_bytes()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Drop for Slave {
    fn drop(&mut self) {
        self.pair.close_slave();
    }
}
