//! The file around a socket: what is the same for every family.

use crate::anon::{self, Device};
use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;
use ampoule_kbase::{
    Ancillary, Errno, Events, File, FileType, Result, Sink, Socket, Source, Stat, UserMemory, WaitQueue,
};
use core::any::Any;
use core::ops::Deref;
use linux_raw_sys::ioctl::{FIONREAD, TIOCOUTQ};

/// What a file needs of its socket beside the calls for sockets.
pub trait Body: Socket + Send + Sync + 'static {
    /// What `poll(2)` says.
    fn events(&self) -> Events;
    /// Who waits for that to change.
    fn queue(&self) -> &WaitQueue;
    /// Bytes that can be received now, as `FIONREAD` counts them.
    fn readable_bytes(&self) -> Result<usize>;
    /// Bytes that were sent and that nobody has received yet, where that is told.
    fn unsent_bytes(&self) -> Result<usize> {
        Err(Errno::ENOTTY)
    }
}

/// A file that is a socket.
pub struct SocketFile<B> {
    ino: u64,
    body: B,
}

impl<B: Body> SocketFile<B> {
    /// Around a socket.
    pub fn new(body: B) -> Arc<Self> {
        Arc::new(Self { ino: anon::next_ino(), body })
    }

    /// The socket of this family behind a file, if it is one.
    pub fn of(file: &dyn File) -> Option<&B> {
        file.as_any().downcast_ref::<Self>().map(|file| &file.body)
    }
}

impl<B> Deref for SocketFile<B> {
    type Target = B;

    fn deref(&self) -> &B {
        &self.body
    }
}

impl<B: Body> File for SocketFile<B> {
    fn read(&self, _offset: u64, sink: &mut dyn Sink) -> Result<usize> {
        if sink.remaining() == 0 {
            return Ok(0);
        }
        Ok(self.body.receive(sink, 0)?.bytes)
    }

    fn write(&self, _offset: u64, source: &mut dyn Source) -> Result<usize> {
        self.body.send(source, None, Ancillary::default(), 0)
    }

    fn poll(&self) -> Events {
        self.body.events()
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        Some(self.body.queue())
    }

    fn ioctl(&self, command: u32, argument: u64, memory: &dyn UserMemory) -> Result<u64> {
        let value = match command {
            FIONREAD => self.body.readable_bytes()?,
            TIOCOUTQ => self.body.unsent_bytes()?,
            _ => return Err(Errno::ENOTTY),
        };
        memory.write_u32(argument, value as u32)?;
        Ok(0)
    }

    fn stat(&self) -> Result<Stat> {
        Ok(anon::stat(Device::Sockets, self.ino, Some(FileType::Socket), 0o777))
    }

    fn socket(&self) -> Option<&dyn Socket> {
        Some(&self.body)
    }

    fn proc_name(&self) -> Vec<u8> {
        format!("socket:[{}]", self.ino).into_bytes()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
