//! From messages and data to a byte stream.

use crate::error::Error;
use crate::frame::{HEADER_LEN, data_header, message_header};
use crate::ids::Stream;
use crate::message::Message;
use alloc::vec::Vec;
use core::marker::PhantomData;

/// Collects frames with messages of type `M` until they can be written to the connection.
///
/// The queue itself has no limit: whoever fills it stops when [`len`](Self::len) is beyond its own. Bulk data need
/// not pass through it: write [`crate::frame::data_header`] and the data with one vectored write when it is empty.
#[derive(Debug)]
pub struct Encoder<M> {
    /// `start..` is to be written.
    queue: Vec<u8>,
    start: usize,
    messages: PhantomData<fn(M)>,
}

impl<M: Message> Default for Encoder<M> {
    fn default() -> Self {
        Self::new()
    }
}

impl<M: Message> Encoder<M> {
    /// An empty encoder. Allocates nothing yet.
    pub const fn new() -> Self {
        Self { queue: Vec::new(), start: 0, messages: PhantomData }
    }

    /// Queues a message. On an error nothing is queued.
    pub fn message(&mut self, message: &M) -> Result<(), Error> {
        let at = self.queue.len();
        self.queue.extend_from_slice(&[0; HEADER_LEN]);
        let header = postcard::serialize_with_flavor(message, Tail(&mut self.queue))
            .map_err(Error::Malformed)
            .and_then(|()| message_header::<M>(self.queue.len() - at - HEADER_LEN));
        match (header, self.queue.get_mut(at..at + HEADER_LEN)) {
            (Ok(header), Some(place)) => {
                place.copy_from_slice(&header);
                Ok(())
            }
            (header, _) => {
                self.queue.truncate(at);
                header.map(drop)
            }
        }
    }

    /// Queues one data frame with a copy of `bytes`. On an error nothing is queued.
    pub fn data(&mut self, stream: Stream, bytes: &[u8]) -> Result<(), Error> {
        self.queue.extend_from_slice(&data_header(stream, bytes.len())?);
        self.queue.extend_from_slice(bytes);
        Ok(())
    }

    /// Queues what is left of a data frame whose first `written` bytes, header included, went to the connection
    /// directly. The queue must have been empty. On an error nothing is queued.
    pub fn rest_of_data(&mut self, stream: Stream, bytes: &[u8], written: usize) -> Result<(), Error> {
        let header = data_header(stream, bytes.len())?;
        self.queue.extend_from_slice(header.get(written..).unwrap_or_default());
        self.queue.extend_from_slice(bytes.get(written.saturating_sub(HEADER_LEN)..).unwrap_or_default());
        Ok(())
    }

    /// What is to be written to the connection next.
    pub fn pending(&self) -> &[u8] {
        self.queue.get(self.start..).unwrap_or_default()
    }

    /// Says that the first `len` bytes of [`pending`](Self::pending) were written.
    pub fn advance(&mut self, len: usize) {
        self.start = self.start.saturating_add(len).min(self.queue.len());
        // Move what is left once it is less than what was written: each byte is moved at most once.
        if self.start * 2 >= self.queue.len() {
            self.queue.copy_within(self.start.., 0);
            self.queue.truncate(self.queue.len() - self.start);
            self.start = 0;
        }
    }

    /// Bytes that wait to be written.
    pub fn len(&self) -> usize {
        self.queue.len() - self.start
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Appends to a queue, which survives an error.
struct Tail<'a>(&'a mut Vec<u8>);

impl postcard::ser_flavors::Flavor for Tail<'_> {
    type Output = ();

    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.0.push(byte);
        Ok(())
    }

    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }

    fn finalize(self) -> postcard::Result<()> {
        Ok(())
    }
}
