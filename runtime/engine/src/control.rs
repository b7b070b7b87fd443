//! The connection to the agent: a stream socket, used without blocking.

use ampoule_protocol::{Decoder, Encoder, GuestMessage, HostMessage};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};
use std::os::fd::OwnedFd;

/// What a receive brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Received {
    /// Bytes, and there may be more.
    More,
    /// Bytes (or none), and that was all for now.
    All,
    /// The connection has ended.
    End,
}

/// Our end of the connection and the bytes that are not a frame yet.
#[derive(Debug)]
pub(crate) struct Control {
    socket: OwnedFd,
    pub(crate) decoder: Decoder<GuestMessage>,
}

impl Control {
    pub(crate) fn new(socket: OwnedFd) -> Self {
        Self { socket, decoder: Decoder::new() }
    }

    pub(crate) fn socket(&self) -> &OwnedFd {
        &self.socket
    }

    /// Receives what is there into the decoder.
    pub(crate) fn receive(&mut self) -> Received {
        let spare = self.decoder.spare();
        let room = spare.len();
        match recv(&self.socket, spare, RecvFlags::DONTWAIT) {
            Ok((0, _)) => Received::End,
            Ok((len, _)) => {
                self.decoder.commit(len);
                if len == room { Received::More } else { Received::All }
            }
            Err(Errno::AGAIN | Errno::INTR) => Received::All,
            // A reset, as from a VMM that was killed with data of ours unread.
            Err(_) => Received::End,
        }
    }

    /// Sends what waits, as far as the socket takes it. Says whether something is left.
    pub(crate) fn send(&mut self, outgoing: &mut Encoder<HostMessage>) -> bool {
        while !outgoing.is_empty() {
            match send(&self.socket, outgoing.pending(), SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
                Ok(len) => outgoing.advance(len),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return true,
                // The other end is gone, as the next receive will tell.
                Err(_) => {
                    let len = outgoing.len();
                    outgoing.advance(len);
                }
            }
        }
        false
    }
}
