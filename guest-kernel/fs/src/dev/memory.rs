//! `null`, `zero`, `full`, `random`, `urandom`, `kmsg` (`mem(4)`, `null(4)`, `full(4)`, `random(4)`).

use super::device_number;
use alloc::sync::Arc;
use alloc::vec::Vec;
use ampoule_kbase::{Errno, File, Result, Sink, Source, Stat, UserMemory, platform};
use core::any::Any;
use linux_raw_sys::ioctl::RNDGETENTCNT;

/// One of the devices without hardware.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MemoryDevice {
    /// Reads end of file, swallows what is written.
    Null,
    /// Reads zeros, swallows what is written.
    Zero,
    /// Reads zeros, is full.
    Full,
    /// Reads random bytes.
    Random,
    /// What is written goes to the kernel log.
    KernelLog,
}

impl MemoryDevice {
    /// By device number.
    pub fn from_number(device: u64) -> Option<Self> {
        const NULL: u64 = device_number(1, 3);
        const ZERO: u64 = device_number(1, 5);
        const FULL: u64 = device_number(1, 7);
        const RANDOM: u64 = device_number(1, 8);
        const URANDOM: u64 = device_number(1, 9);
        const KMSG: u64 = device_number(1, 11);
        Some(match device {
            NULL => Self::Null,
            ZERO => Self::Zero,
            FULL => Self::Full,
            RANDOM | URANDOM => Self::Random,
            KMSG => Self::KernelLog,
            _ => return None,
        })
    }
}

/// A memory device that is open.
///
/// `/dev/zero` can be mapped: [`File::page`] says `ENODEV` as for the others, and [`Memory::device`] tells that the mapping
/// is to be anonymous memory.
pub struct Memory {
    device: MemoryDevice,
    place: Arc<dyn File>,
}

impl Memory {
    pub(super) fn open(device: MemoryDevice, place: Arc<dyn File>) -> Arc<dyn File> {
        Arc::new(Self { device, place })
    }

    /// Which one.
    pub fn device(&self) -> MemoryDevice {
        self.device
    }
}

fn fill_random(sink: &mut dyn Sink) -> Result<usize> {
    let mut done = 0;
    let mut buffer = [0; 256];
    while sink.remaining() > 0 {
        let count = sink.remaining().min(buffer.len());
        let Some(part) = buffer.get_mut(..count) else { break };
        platform().random(part);
        match sink.put(part) {
            Ok(()) => done += count,
            Err(error) => return if done > 0 { Ok(done) } else { Err(error) },
        }
    }
    Ok(done)
}

/// Takes all that is offered in pieces and passes each to `each`. Returns the count.
fn drain(source: &mut dyn Source, mut each: impl FnMut(&[u8])) -> Result<usize> {
    let mut done = 0;
    let mut buffer = [0; 256];
    while source.remaining() > 0 {
        let count = source.remaining().min(buffer.len());
        let Some(part) = buffer.get_mut(..count) else { break };
        if let Err(error) = source.take(part) {
            return if done > 0 { Ok(done) } else { Err(error) };
        }
        each(part);
        done += count;
    }
    Ok(done)
}

impl File for Memory {
    fn read(&self, _offset: u64, sink: &mut dyn Sink) -> Result<usize> {
        match self.device {
            MemoryDevice::Null => Ok(0),
            MemoryDevice::KernelLog => Err(Errno::EAGAIN),
            MemoryDevice::Random => fill_random(sink),
            MemoryDevice::Zero | MemoryDevice::Full => {
                let count = sink.remaining();
                sink.put_zeros(count)?;
                Ok(count)
            }
        }
    }

    fn write(&self, _offset: u64, source: &mut dyn Source) -> Result<usize> {
        match self.device {
            // Linux does not look at the bytes either.
            MemoryDevice::Null | MemoryDevice::Zero => Ok(source.remaining()),
            MemoryDevice::Full => Err(Errno::ENOSPC),
            MemoryDevice::Random => drain(source, |_| ()),
            MemoryDevice::KernelLog => drain(source, |bytes| platform().log_bytes(bytes)),
        }
    }

    fn seekable(&self) -> bool {
        true
    }

    fn ioctl(&self, command: u32, argument: u64, memory: &dyn UserMemory) -> Result<u64> {
        if self.device == MemoryDevice::Random && command == RNDGETENTCNT {
            memory.write_u32(argument, 256)?;
            return Ok(0);
        }
        Err(if self.device == MemoryDevice::Random { Errno::EINVAL } else { Errno::ENOTTY })
    }

    fn stat(&self) -> Result<Stat> {
        self.place.stat()
    }

    fn proc_name(&self) -> Vec<u8> {
        self.place.proc_name()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
