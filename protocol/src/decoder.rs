//! From a byte stream to frames.

use crate::error::Error;
use crate::frame::{Frame, HEADER_LEN, Header, MAX_DATA, decode};
use crate::message::Message;
use alloc::vec;
use alloc::vec::Vec;
use core::marker::PhantomData;

/// First size of a buffer: enough for every frame of a quiet connection.
const SMALL: usize = 4096;
/// Size that a busy connection's buffer grows to: two full data frames, so that one can arrive while one is handled.
const LARGE: usize = 2 * (HEADER_LEN + MAX_DATA);

/// Turns a byte stream, in pieces of any size, into frames with messages of type `M`.
///
/// Read from the connection into [`spare`](Self::spare), say how much with [`commit`](Self::commit), then take frames
/// with [`next_frame`](Self::next_frame) until it gives `None`. The buffer grows with what is really received: it
/// holds at most one frame of `M::MAX_BODY`, or `LARGE` bytes if that is more.
///
/// After an error the decoder gives the same error for ever.
#[derive(Debug)]
pub struct Decoder<M> {
    /// All initialized; `start..end` is received and not yet decoded.
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// The last read filled the buffer, so a larger one would save reads.
    filled: bool,
    error: Option<Error>,
    messages: PhantomData<fn() -> M>,
}

impl<M: Message> Default for Decoder<M> {
    fn default() -> Self {
        Self::new()
    }
}

impl<M: Message> Decoder<M> {
    /// A decoder at the start of a connection. Allocates nothing yet.
    pub const fn new() -> Self {
        Self { buffer: Vec::new(), start: 0, end: 0, filled: false, error: None, messages: PhantomData }
    }

    /// Room for received bytes, never empty while all frames that are there were taken.
    pub fn spare(&mut self) -> &mut [u8] {
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        if self.end == 0 && self.buffer.len() > LARGE {
            // One long message is over: give its memory back.
            self.buffer = Vec::new();
        }
        let wanted = self.wanted();
        if self.buffer.is_empty() {
            // From an allocator that has zeroed memory, this touches none of it.
            self.buffer = vec![0; wanted];
        } else if let Some(more) = wanted.checked_sub(self.buffer.len()) {
            self.buffer.reserve_exact(more);
            self.buffer.resize(wanted, 0);
        }
        self.filled = false;
        self.buffer.get_mut(self.end..).unwrap_or_default()
    }

    /// Size that the buffer should have for the next read.
    fn wanted(&self) -> usize {
        let received = self.buffer.get(..self.end).unwrap_or_default();
        let frame = match Header::parse::<M>(received) {
            Ok(Some(header)) => HEADER_LEN + header.body_len,
            _ => HEADER_LEN,
        };
        // A frame beyond LARGE gets its buffer in steps, as it arrives: a header alone must not claim megabytes.
        let step = if self.filled { self.buffer.len().saturating_mul(2) } else { 0 };
        match frame <= LARGE {
            true => frame.max(step.min(LARGE)).max(SMALL),
            false => frame.min(step.max(LARGE)),
        }
    }

    /// Says that the first `len` bytes of [`spare`](Self::spare) were received.
    pub fn commit(&mut self, len: usize) {
        self.end = self.end.saturating_add(len).min(self.buffer.len());
        self.filled = self.end == self.buffer.len();
    }

    /// Copies bytes in, for callers that have them in a buffer already, and says how many were taken. Not all of them
    /// are when the buffer is at its limit: take frames, then push the rest.
    pub fn push(&mut self, bytes: &[u8]) -> usize {
        let mut taken = 0;
        while let Some(rest) = bytes.get(taken..).filter(|rest| !rest.is_empty()) {
            let spare = self.spare();
            let len = rest.len().min(spare.len());
            if len == 0 {
                break;
            }
            if let (Some(to), Some(from)) = (spare.get_mut(..len), rest.get(..len)) {
                to.copy_from_slice(from);
            }
            self.commit(len);
            taken += len;
        }
        taken
    }

    /// The next frame, or `None` if the rest of it has not been received.
    pub fn next_frame(&mut self) -> Result<Option<Frame<'_, M>>, Error> {
        if let Some(error) = &self.error {
            return Err(error.clone());
        }
        match decode(self.buffer.get(self.start..self.end).unwrap_or_default()) {
            Ok(Some((frame, len))) => {
                self.start += len;
                Ok(Some(frame))
            }
            Ok(None) => Ok(None),
            Err(error) => {
                self.error = Some(error.clone());
                Err(error)
            }
        }
    }

    /// Whether the stream may end here: no part of a frame is left over.
    pub fn is_at_boundary(&self) -> bool {
        self.start == self.end && self.error.is_none()
    }

    /// Bytes of memory that the decoder holds.
    pub fn capacity(&self) -> usize {
        self.buffer.capacity()
    }
}
