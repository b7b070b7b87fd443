//! Where a job's input comes from.

use super::kind::Kind;
use rustix::io::{Errno, IoSliceMut, ReadWriteFlags, preadv2, read};
use rustix::net::{RecvFlags, recv};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// What a read gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece {
    /// This many bytes.
    Data(usize),
    /// Nothing now.
    NotYet,
    /// Nothing any more.
    End,
}

/// A file to read from when poll says that there is something.
#[derive(Debug)]
pub struct Source {
    fd: OwnedFd,
    kind: Kind,
}

impl Source {
    /// Takes the file.
    pub fn new(fd: OwnedFd) -> rustix::io::Result<Self> {
        let kind = Kind::of(&fd)?;
        Ok(Self { fd, kind })
    }

    /// Reads what is there. To be called when poll says that there is something.
    pub fn read(&mut self, buffer: &mut [u8]) -> rustix::io::Result<Piece> {
        match self.read_now(buffer) {
            Ok(0) => Ok(Piece::End),
            Ok(len) => Ok(Piece::Data(len)),
            Err(Errno::AGAIN | Errno::INTR) => Ok(Piece::NotYet),
            // The other side of a terminal hung up.
            Err(Errno::IO) if self.kind == Kind::Device => Ok(Piece::End),
            Err(error) => Err(error),
        }
    }

    fn read_now(&self, buffer: &mut [u8]) -> rustix::io::Result<usize> {
        match self.kind {
            Kind::Socket => recv(&self.fd, buffer, RecvFlags::DONTWAIT).map(|(len, _)| len),
            Kind::Pipe => {
                let mut pieces = [IoSliceMut::new(buffer)];
                match preadv2(&self.fd, &mut pieces, u64::MAX, ReadWriteFlags::NOWAIT) {
                    Err(Errno::OPNOTSUPP | Errno::NOSYS) => read(&self.fd, buffer),
                    result => result,
                }
            }
            Kind::Regular | Kind::Device => read(&self.fd, buffer),
        }
    }
}

impl AsFd for Source {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
