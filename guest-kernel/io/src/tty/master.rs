//! The master side: what a terminal emulator holds.

use super::ioctl::{self, Side};
use super::pair::{Pair, State};
use crate::anon;
use alloc::sync::Arc;
use alloc::vec::Vec;
use ampoule_kbase::{Errno, Events, File, FileType, Result, Sink, Source, Stat, UserMemory, WaitQueue};
use core::any::Any;

/// `makedev(5, 2)`.
const RDEV: u64 = 5 << 8 | 2;
/// Bytes that are taken from a writer at a time.
const PIECE: usize = 256;

/// An open `/dev/ptmx`.
pub struct Master {
    /// The terminal.
    pub pair: Arc<Pair>,
}

fn read_output(state: &mut State, sink: &mut dyn Sink) -> Result<usize> {
    let was_full = state.discipline.output.room() < 8;
    let output = state.discipline.output.bytes();
    let mut done = 0;
    let (first, second) = output.as_slices();
    for part in [first, second] {
        let part = part.get(..part.len().min(sink.remaining())).unwrap_or(part);
        match sink.put(part) {
            Ok(()) => done += part.len(),
            Err(error) if done == 0 => return Err(error),
            Err(_) => break,
        }
    }
    output.drain(..done);
    if was_full {
        state.discipline.flush_echoes();
    }
    Ok(done)
}

fn write_input(state: &mut State, source: &mut dyn Source) -> Result<usize> {
    let mut done = 0;
    let mut piece = [0; PIECE];
    loop {
        let count = state.master_room().min(source.remaining()).min(PIECE);
        let Some(buffer) = piece.get_mut(..count).filter(|buffer| !buffer.is_empty()) else { break };
        match source.take(buffer) {
            Ok(()) => state.discipline.incoming.extend(buffer.iter()),
            Err(error) if done == 0 => return Err(error),
            Err(_) => break,
        }
        done += count;
        state.discipline.pump();
    }
    Ok(done)
}

impl File for Master {
    fn read(&self, _offset: u64, sink: &mut dyn Sink) -> Result<usize> {
        if sink.remaining() == 0 {
            return Ok(0);
        }
        self.pair.with(|state| {
            if state.discipline.output.len() > 0 {
                return read_output(state, sink);
            }
            Err(if state.slave_closed { Errno::EIO } else { Errno::EAGAIN })
        })
    }

    fn write(&self, _offset: u64, source: &mut dyn Source) -> Result<usize> {
        if source.remaining() == 0 {
            return Ok(0);
        }
        match self.pair.with(|state| write_input(state, source))? {
            0 => Err(Errno::EAGAIN),
            count => Ok(count),
        }
    }

    fn poll(&self) -> Events {
        let mut state = self.pair.state.lock();
        let mut events = Events::empty();
        events.set(Events::IN | Events::RDNORM, state.discipline.output.bytes().front().is_some());
        events.set(Events::OUT | Events::WRNORM, state.master_room() > 0);
        events.set(Events::HUP, state.slave_closed);
        events
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        Some(&self.pair.master_queue)
    }

    fn ioctl(&self, command: u32, argument: u64, memory: &dyn UserMemory) -> Result<u64> {
        ioctl::control(&self.pair, Side::Master, command, argument, memory)
    }

    fn stat(&self) -> Result<Stat> {
        Ok(Stat {
            dev: anon::DEVPTS,
            ino: 2,
            mode: FileType::CharDevice as u32 | 0o666,
            nlink: 1,
            rdev: RDEV,
            blksize: 1024,
            ..Stat::default()
        })
    }

    fn proc_name(&self) -> Vec<u8> {
        b"/dev/ptmx".to_vec()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Drop for Master {
    fn drop(&mut self) {
        self.pair.close_master();
    }
}
