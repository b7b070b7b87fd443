//! Sending and receiving, with waiting: what `read` and `write` on sockets share with the socket calls.

use super::timeouts;
use crate::mm::buffers::Replay;
use crate::task::sched;
use ampoule_kbase::{Ancillary, Errno, OpenFile, Received, Result, Sink, Socket, SocketAddress};
use linux_raw_sys::net::{MSG_NOSIGNAL, MSG_PEEK, MSG_WAITALL, SO_TYPE, SOCK_STREAM, SOL_SOCKET};

/// What is sent beside the bytes.
#[derive(Default)]
pub struct Message<'a> {
    /// To whom, if not to the peer.
    pub to: Option<&'a SocketAddress>,
    /// Descriptors and credentials.
    pub ancillary: Ancillary,
    /// `MSG_*`.
    pub flags: u32,
}

/// Repeats an operation on a socket until it can be done, or the deadline has passed (`EAGAIN`).
pub fn wait<R>(
    open: &OpenFile,
    nowait: bool,
    deadline: Option<u64>,
    mut operation: impl FnMut() -> Result<R>,
) -> Result<R> {
    if nowait {
        return operation();
    }
    match sched::retry(open.file.wait_queue(), deadline, Errno::EAGAIN, operation) {
        // The call must not begin again with the whole time limit.
        Err(Errno::ERESTARTSYS) if deadline.is_some() => Err(Errno::EINTR),
        result => result,
    }
}

/// `read(2)` on a socket.
pub fn read(open: &OpenFile, socket: &dyn Socket, sink: &mut dyn Sink, nowait: bool) -> Result<usize> {
    if sink.remaining() == 0 {
        return Ok(0);
    }
    let deadline = timeouts::receive_deadline(open);
    Ok(wait(open, nowait, deadline, || socket.receive(sink, 0))?.bytes)
}

/// Receives one message, or what a stream has; with `MSG_WAITALL` as much of a stream as there is room for.
pub fn receive(
    open: &OpenFile,
    socket: &dyn Socket,
    sink: &mut dyn Sink,
    flags: u32,
    nowait: bool,
) -> Result<Received> {
    let deadline = timeouts::receive_deadline(open);
    let mut received = wait(open, nowait, deadline, || socket.receive(sink, flags))?;
    let all = flags & (MSG_WAITALL | MSG_PEEK) == MSG_WAITALL && is_stream(socket);
    while all && sink.remaining() > 0 && received.bytes > 0 && received.ancillary.files.is_empty() {
        match wait(open, nowait, deadline, || socket.receive(sink, flags)) {
            Ok(more) if more.bytes > 0 => {
                received.bytes += more.bytes;
                received.full_length += more.bytes;
                received.ancillary.files = more.ancillary.files;
            }
            _ => break,
        }
    }
    Ok(received)
}

fn is_stream(socket: &dyn Socket) -> bool {
    socket.get_option(SOL_SOCKET, SO_TYPE).is_ok_and(|kind| kind == SOCK_STREAM.to_ne_bytes())
}

/// Sends a message. A stream that waits takes everything, or stops early with a count.
pub fn send(
    open: &OpenFile,
    socket: &dyn Socket,
    source: &mut dyn Replay,
    message: Message<'_>,
    nowait: bool,
    deadline: Option<u64>,
) -> Result<usize> {
    let Message { to, mut ancillary, mut flags } = message;
    let mut total = 0;
    loop {
        let mark = source.mark();
        let result = wait(open, nowait, deadline, || {
            source.rewind(mark);
            socket.send(source, to, ancillary.clone(), flags)
        });
        match result {
            Ok(count) => total += count,
            Err(error) if total == 0 => return Err(error),
            Err(_) => return Ok(total),
        }
        if nowait || source.remaining() == 0 {
            return Ok(total);
        }
        // What goes beside the bytes goes with the first of them, and a broken connection is signalled only
        // where nothing was sent.
        ancillary = Ancillary::default();
        flags |= MSG_NOSIGNAL;
    }
}
