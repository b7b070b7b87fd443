//! The connection to the host: frames out, bytes in.

use crate::Fatal;
use ampoule_protocol::{Decoder, Encoder, GuestMessage, HostMessage, Stream, frame};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::{Errno, IoSlice};
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags, recv, send, sendmsg};
use rustix::thread::Timespec;

/// Data up to this length is copied behind the messages that wait and goes out with them and with what follows.
const SMALL: usize = 4096;
/// No more messages are taken from the host while this much waits for it, in bytes.
const QUEUE_LIMIT: usize = 256 * 1024;

/// The connection.
#[derive(Debug)]
pub struct Connection {
    socket: OwnedFd,
    queue: Encoder<GuestMessage>,
    /// The socket took less than it was given.
    blocked: bool,
}

/// What a read gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// Something.
    Bytes,
    /// Nothing yet.
    Nothing,
}

impl Connection {
    /// A connection over this stream socket.
    pub const fn new(socket: OwnedFd) -> Self {
        Self { socket, queue: Encoder::new(), blocked: false }
    }

    /// The socket, to wait for.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Whether the host does not take what there is. Then nothing that is not small should be added to it.
    pub const fn is_blocked(&self) -> bool {
        self.blocked
    }

    /// Whether the host may send more: it takes the answers.
    pub fn may_receive(&self) -> bool {
        self.queue.len() <= QUEUE_LIMIT
    }

    /// Queues a message for the next [`flush`](Self::flush).
    pub fn say(&mut self, message: &GuestMessage) -> Result<(), Fatal> {
        Ok(self.queue.message(message)?)
    }

    /// Sends stream data, or queues it.
    pub fn data(&mut self, stream: Stream, bytes: &[u8]) -> Result<(), Fatal> {
        if bytes.len() <= SMALL || self.blocked {
            self.queue.data(stream, bytes)?;
            return if self.queue.len() > frame::MAX_DATA { self.flush() } else { Ok(()) };
        }
        let header = frame::data_header(stream, bytes.len())?;
        let waiting = self.queue.pending();
        let slices = [IoSlice::new(waiting), IoSlice::new(&header), IoSlice::new(bytes)];
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        let sent = sent(sendmsg(&self.socket, &slices, &mut SendAncillaryBuffer::default(), flags))?;
        self.blocked = sent < waiting.len() + header.len() + bytes.len();
        match sent.checked_sub(waiting.len()) {
            None => {
                self.queue.advance(sent);
                self.queue.data(stream, bytes)?;
            }
            Some(sent) => {
                self.queue.advance(waiting.len());
                self.queue.rest_of_data(stream, bytes, sent)?;
            }
        }
        Ok(())
    }

    /// Sends what waits, as far as the socket takes it.
    pub fn flush(&mut self) -> Result<(), Fatal> {
        self.blocked = false;
        while !self.queue.is_empty() && !self.blocked {
            let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
            let sent = sent(send(&self.socket, self.queue.pending(), flags))?;
            self.blocked = sent < self.queue.len();
            self.queue.advance(sent);
        }
        Ok(())
    }

    /// Waits until the socket takes what waits or has something, at most `timeout_ns`, and drops what it has. Fails
    /// when the host is gone.
    pub fn discard(&self, timeout_ns: u64) -> Result<(), Fatal> {
        let events = if self.blocked { PollFlags::IN | PollFlags::OUT } else { PollFlags::IN };
        let mut fds = [PollFd::new(&self.socket, events)];
        let ns = i64::try_from(timeout_ns).unwrap_or(i64::MAX);
        let timeout = Timespec { tv_sec: ns / 1_000_000_000, tv_nsec: ns % 1_000_000_000 };
        let _time_is_up = poll(&mut fds, Some(&timeout));
        let mut bytes = [0; 512];
        match recv(&self.socket, &mut bytes, RecvFlags::DONTWAIT) {
            Ok((1.., _)) | Err(Errno::AGAIN | Errno::INTR) => Ok(()),
            Ok((0, _)) | Err(_) => Err(Fatal::HostGone),
        }
    }

    /// Reads once.
    pub fn receive(&self, decoder: &mut Decoder<HostMessage>) -> Result<Received, Fatal> {
        let spare = decoder.spare();
        match recv(&self.socket, spare, RecvFlags::DONTWAIT) {
            Ok((0, _)) => Err(Fatal::HostGone),
            Ok((len, _)) => {
                decoder.commit(len);
                Ok(Received::Bytes)
            }
            Err(Errno::AGAIN | Errno::INTR) => Ok(Received::Nothing),
            Err(_reset) => Err(Fatal::HostGone),
        }
    }
}

/// How much a send took. Any failure but a full socket means that nobody listens any more.
fn sent(result: Result<usize, Errno>) -> Result<usize, Fatal> {
    match result {
        Ok(len) => Ok(len),
        Err(Errno::AGAIN | Errno::INTR) => Ok(0),
        Err(_gone) => Err(Fatal::HostGone),
    }
}
