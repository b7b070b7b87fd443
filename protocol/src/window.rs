//! Credit: how many bytes of a stream may still be sent.
//!
//! Every stream starts with [`INITIAL_WINDOW`] bytes granted. Sending spends credit; the receiver grants more as its
//! consumer takes the data, so a slow consumer holds up its own stream and never fills anybody's memory.

use crate::error::Error;
use crate::ids::Stream;
use core::num::NonZeroU32;

/// Bytes that a sender may send on a new stream before it hears from the receiver.
pub const INITIAL_WINDOW: u32 = 256 * 1024;
/// Most bytes that may be granted and unspent at any time.
pub const MAX_WINDOW: u32 = 16 * 1024 * 1024;

/// The sender's side of a stream's credit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SendWindow {
    stream: Stream,
    credit: u32,
}

impl SendWindow {
    /// The window of a new stream.
    pub const fn new(stream: Stream) -> Self {
        Self { stream, credit: INITIAL_WINDOW }
    }

    /// Bytes that may be sent now.
    pub const fn available(&self) -> usize {
        self.credit as usize
    }

    /// Counts `len` bytes as sent. An error is a bug of the sender: nothing was counted.
    pub fn spend(&mut self, len: usize) -> Result<(), Error> {
        self.credit = spend(self.stream, self.credit, len)?;
        Ok(())
    }

    /// Takes a grant of the receiver. An error is a violation by the receiver.
    pub fn grant(&mut self, bytes: u32) -> Result<(), Error> {
        match self.credit.checked_add(bytes) {
            Some(credit) if credit <= MAX_WINDOW => {
                self.credit = credit;
                Ok(())
            }
            _ => Err(Error::WindowOverflow { stream: self.stream, bytes }),
        }
    }
}

/// The receiver's side of a stream's credit. At any time, the bytes granted and not received, received and not
/// consumed, and consumed and not granted again add up to [`INITIAL_WINDOW`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceiveWindow {
    stream: Stream,
    granted: u32,
    buffered: u32,
}

impl ReceiveWindow {
    /// The window of a new stream.
    pub const fn new(stream: Stream) -> Self {
        Self { stream, granted: INITIAL_WINDOW, buffered: 0 }
    }

    /// Bytes that were received and not yet consumed.
    pub const fn buffered(&self) -> usize {
        self.buffered as usize
    }

    /// Counts `len` bytes as received. An error is a violation by the sender.
    pub fn receive(&mut self, len: usize) -> Result<(), Error> {
        let left = spend(self.stream, self.granted, len)?;
        // Never more than INITIAL_WINDOW: see the invariant of the type.
        self.buffered += self.granted - left;
        self.granted = left;
        Ok(())
    }

    /// Counts up to `len` received bytes as consumed, and says what to grant the sender for it: nothing until half
    /// the window is used up, so that grants are few.
    pub fn consume(&mut self, len: usize) -> Option<NonZeroU32> {
        let len = u32::try_from(len).unwrap_or(u32::MAX).min(self.buffered);
        self.buffered -= len;
        let owed = INITIAL_WINDOW - self.granted - self.buffered;
        if owed < INITIAL_WINDOW / 2 {
            return None;
        }
        self.granted += owed;
        NonZeroU32::new(owed)
    }
}

fn spend(stream: Stream, credit: u32, len: usize) -> Result<u32, Error> {
    u32::try_from(len).ok().and_then(|len| credit.checked_sub(len)).ok_or(Error::CreditExceeded {
        stream,
        len,
        credit,
    })
}
