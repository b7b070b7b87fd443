//! One end of a pipe, and the pipe that the ends share.

use super::fifo::Opening;
use super::ring::{MAX_SLOTS, Ring};
use crate::anon::{self, Device};
use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;
use ampoule_kbase::{
    Errno, Events, File, FileType, Mutex, PAGE_SIZE, Result, Sink, Source, Stat, UserMemory, WaitQueue,
    platform,
};
use core::any::Any;
use core::sync::atomic::{AtomicBool, Ordering};
use linux_raw_sys::general::{O_DIRECT, SIGPIPE};
use linux_raw_sys::ioctl::FIONREAD;

/// What the ends of a pipe share.
pub(super) struct Pipe {
    pub(super) ino: u64,
    pub(super) state: Mutex<State>,
    /// Who waits at read ends, write ends, and ends that are both.
    read_ends: WaitQueue,
    write_ends: WaitQueue,
    both_ends: WaitQueue,
}

pub(super) struct State {
    pub(super) ring: Ring,
    pub(super) readers: usize,
    pub(super) writers: usize,
    /// How often it was opened for reading; who waits for a reader to come compares two values.
    pub(super) readers_ever: u64,
    pub(super) writers_ever: u64,
}

impl Pipe {
    pub(super) fn new() -> Arc<Self> {
        let state = State { ring: Ring::new(), readers: 0, writers: 0, readers_ever: 0, writers_ever: 0 };
        Arc::new(Self {
            ino: anon::next_ino(),
            state: Mutex::new(state),
            read_ends: WaitQueue::new(),
            write_ends: WaitQueue::new(),
            both_ends: WaitQueue::new(),
        })
    }

    fn wake_readers(&self, events: Events) {
        self.read_ends.wake(events);
        self.both_ends.wake(events);
    }

    fn wake_writers(&self, events: Events) {
        self.write_ends.wake(events);
        self.both_ends.wake(events);
    }

    fn wake_all(&self) {
        self.wake_readers(Events::all());
        self.write_ends.wake(Events::all());
    }
}

/// An open end of a pipe or FIFO; both at once for a FIFO that is opened `O_RDWR`.
pub struct PipeEnd {
    pipe: Arc<Pipe>,
    reads: bool,
    writes: bool,
    /// `O_DIRECT`: each write is a packet.
    packets: AtomicBool,
    /// A FIFO opened for reading while nobody wrote is not hung up before a writer has come: no HUP while
    /// `writers_ever` is still this.
    no_writer_yet: Option<u64>,
}

/// Makes a pipe: its read end and its write end. For `pipe2(O_DIRECT)` call `set_status_flags` on the write end.
pub fn pipe() -> (Arc<dyn File>, Arc<dyn File>) {
    let pipe = Pipe::new();
    let reader = PipeEnd::open(pipe.clone(), true, false);
    let writer = PipeEnd::open(pipe, false, true);
    (Arc::new(reader), Arc::new(writer))
}

impl PipeEnd {
    pub(super) fn open(pipe: Arc<Pipe>, reads: bool, writes: bool) -> Self {
        let no_writer_yet = {
            let mut state = pipe.state.lock();
            state.readers += usize::from(reads);
            state.writers += usize::from(writes);
            state.readers_ever += u64::from(reads);
            state.writers_ever += u64::from(writes);
            (state.writers == 0).then_some(state.writers_ever)
        };
        // Who waits for the other side to open sees it.
        pipe.wake_all();
        Self { pipe, reads, writes, packets: AtomicBool::new(false), no_writer_yet }
    }

    /// The pipe end behind a file, if it is one.
    pub fn of(file: &dyn File) -> Option<&Self> {
        file.as_any().downcast_ref()
    }

    /// `F_GETPIPE_SZ`, in bytes.
    pub fn capacity(&self) -> usize {
        self.pipe.state.lock().ring.capacity() * PAGE_SIZE
    }

    /// `F_SETPIPE_SZ`: rounds up to a power of two of pages and returns what it has become, in bytes. `EBUSY` if more
    /// is in use, `EPERM` above the limit.
    pub fn set_capacity(&self, bytes: usize) -> Result<usize> {
        if bytes > 1 << 31 {
            return Err(Errno::EINVAL);
        }
        let slots = bytes.div_ceil(PAGE_SIZE).max(1).next_power_of_two();
        let had = {
            let mut state = self.pipe.state.lock();
            if slots > MAX_SLOTS && slots > state.ring.capacity() {
                return Err(Errno::EPERM);
            }
            let had = state.ring.capacity();
            state.ring.set_capacity(slots)?;
            had
        };
        if slots > had {
            self.pipe.wake_writers(Events::OUT | Events::WRNORM);
        }
        Ok(slots * PAGE_SIZE)
    }

    /// Opens a pipe without a name again, as `/proc/PID/fd/N` allows.
    pub fn reopen(&self, flags: u32) -> Result<Opening> {
        Opening::of(&self.pipe, flags, false)
    }

    pub(super) fn reads(&self) -> bool {
        self.reads
    }

    pub(super) fn shared(&self) -> &Pipe {
        &self.pipe
    }
}

impl File for PipeEnd {
    fn read(&self, _offset: u64, sink: &mut dyn Sink) -> Result<usize> {
        if !self.reads {
            return Err(Errno::EBADF);
        }
        if sink.remaining() == 0 {
            return Ok(0);
        }
        let (count, was_full) = {
            let mut state = self.pipe.state.lock();
            if state.ring.is_empty() {
                return if state.writers == 0 { Ok(0) } else { Err(Errno::EAGAIN) };
            }
            let was_full = state.ring.is_full();
            (state.ring.drain(sink)?, was_full && !state.ring.is_full())
        };
        if was_full {
            self.pipe.wake_writers(Events::OUT | Events::WRNORM);
        }
        Ok(count)
    }

    fn write(&self, _offset: u64, source: &mut dyn Source) -> Result<usize> {
        if !self.writes {
            return Err(Errno::EBADF);
        }
        if source.remaining() == 0 {
            return Ok(0);
        }
        let count = {
            let mut state = self.pipe.state.lock();
            if state.readers == 0 {
                drop(state);
                platform().signal_caller(SIGPIPE);
                return Err(Errno::EPIPE);
            }
            state.ring.fill(source, self.packets.load(Ordering::Relaxed))?
        };
        if count == 0 {
            return Err(Errno::EAGAIN);
        }
        self.pipe.wake_readers(Events::IN | Events::RDNORM);
        Ok(count)
    }

    fn poll(&self) -> Events {
        let state = self.pipe.state.lock();
        let mut events = Events::empty();
        if self.reads {
            events.set(Events::IN | Events::RDNORM, !state.ring.is_empty());
            events.set(Events::HUP, state.writers == 0 && self.no_writer_yet != Some(state.writers_ever));
        }
        if self.writes {
            events.set(Events::OUT | Events::WRNORM, !state.ring.is_full());
            events.set(Events::ERR, state.readers == 0);
        }
        events
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        Some(match (self.reads, self.writes) {
            (true, false) => &self.pipe.read_ends,
            (false, true) => &self.pipe.write_ends,
            _ => &self.pipe.both_ends,
        })
    }

    fn ioctl(&self, command: u32, argument: u64, memory: &dyn UserMemory) -> Result<u64> {
        if command != FIONREAD {
            return Err(Errno::ENOTTY);
        }
        let bytes = self.pipe.state.lock().ring.bytes();
        memory.write_u32(argument, bytes as u32)?;
        Ok(0)
    }

    fn stat(&self) -> Result<Stat> {
        Ok(anon::stat(Device::Pipes, self.pipe.ino, Some(FileType::Fifo), 0o600))
    }

    fn set_status_flags(&self, flags: u32) {
        self.packets.store(flags & O_DIRECT != 0, Ordering::Relaxed);
    }

    fn proc_name(&self) -> Vec<u8> {
        format!("pipe:[{}]", self.pipe.ino).into_bytes()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Drop for PipeEnd {
    fn drop(&mut self) {
        {
            let mut state = self.pipe.state.lock();
            state.readers -= usize::from(self.reads);
            state.writers -= usize::from(self.writes);
            if state.readers == 0 && state.writers == 0 {
                state.ring.clear();
            }
        }
        self.pipe.wake_all();
    }
}
