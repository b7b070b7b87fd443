//! The socket: what programs see of an endpoint.

use super::endpoint::{Endpoint, Phase, State};
use super::{connect, transfer};
use crate::inet::options::Whose;
use crate::socket::Kind;
use crate::socket_file::{Body, SocketFile};
use alloc::sync::Arc;
use alloc::vec::Vec;
use ampoule_kbase::{
    Ancillary, Errno, Events, File, Received, Result, Sink, Socket, SocketAddress, Source, WaitQueue,
    platform,
};
use linux_raw_sys::general::SIGPIPE;
use linux_raw_sys::net::{MSG_NOSIGNAL, MSG_OOB, MSG_PEEK};

/// A stream socket.
pub struct TcpSocket {
    endpoint: Arc<Endpoint>,
}

impl TcpSocket {
    /// Around an endpoint, which it closes in the end.
    pub(super) fn new(endpoint: Arc<Endpoint>) -> Arc<SocketFile<Self>> {
        SocketFile::new(Self { endpoint })
    }

    fn whose(&self, state: &State) -> Whose {
        Whose {
            family: self.endpoint.family,
            kind: Kind::Stream,
            listening: state.phase == Phase::Listening,
            bound: state.local.is_some(),
        }
    }
}

impl Body for TcpSocket {
    fn events(&self) -> Events {
        self.endpoint.events()
    }

    fn queue(&self) -> &WaitQueue {
        &self.endpoint.queue
    }

    fn readable_bytes(&self) -> Result<usize> {
        let state = self.endpoint.state.lock();
        if state.phase == Phase::Listening { Err(Errno::EINVAL) } else { Ok(state.incoming.len()) }
    }

    fn unsent_bytes(&self) -> Result<usize> {
        Ok(0)
    }
}

impl Socket for TcpSocket {
    fn bind(&self, address: &SocketAddress) -> Result<()> {
        connect::bind(&self.endpoint, self.endpoint.family.parse(address)?)
    }

    fn listen(&self, backlog: i32) -> Result<()> {
        connect::listen(&self.endpoint, backlog)
    }

    fn accept(&self) -> Result<Arc<dyn File>> {
        Ok(Self::new(connect::accept(&self.endpoint)?))
    }

    fn connect(&self, address: &SocketAddress) -> Result<()> {
        connect::connect(&self.endpoint, self.endpoint.family.parse(address)?)
    }

    /// Whom a stream is for was said when it was connected: another address is not looked at.
    fn send(
        &self,
        source: &mut dyn Source,
        _to: Option<&SocketAddress>,
        _ancillary: Ancillary,
        flags: u32,
    ) -> Result<usize> {
        if flags & MSG_OOB != 0 {
            return Err(Errno::EOPNOTSUPP);
        }
        let result = transfer::send(&self.endpoint, source);
        if result == Err(Errno::EPIPE) && flags & MSG_NOSIGNAL == 0 {
            platform().signal_caller(SIGPIPE);
        }
        result
    }

    fn receive(&self, sink: &mut dyn Sink, flags: u32) -> Result<Received> {
        if flags & MSG_OOB != 0 {
            return Err(Errno::EINVAL);
        }
        let bytes = transfer::receive(&self.endpoint, sink, flags & MSG_PEEK != 0)?;
        Ok(Received { bytes, full_length: bytes, ..Received::default() })
    }

    fn shutdown(&self, how: u32) -> Result<()> {
        connect::shut_down(&self.endpoint, how)
    }

    fn local_address(&self) -> Result<SocketAddress> {
        Ok(self.endpoint.family.name(self.endpoint.state.lock().local))
    }

    fn peer_address(&self) -> Result<SocketAddress> {
        let state = self.endpoint.state.lock();
        match (state.phase, state.remote) {
            (Phase::Connected, Some(remote)) if !state.is_over() => Ok(self.endpoint.family.to_raw(remote)),
            _ => Err(Errno::ENOTCONN),
        }
    }

    fn take_error(&self) -> Option<Errno> {
        let mut state = self.endpoint.state.lock();
        // Whoever asks after a connection was made knows that it is there.
        state.unannounced = false;
        state.error.take()
    }

    fn get_option(&self, level: u32, name: u32) -> Result<Vec<u8>> {
        let state = self.endpoint.state.lock();
        state.options.get(self.whose(&state), level, name)
    }

    fn set_option(&self, level: u32, name: u32, value: &[u8]) -> Result<()> {
        let mut state = self.endpoint.state.lock();
        let whose = self.whose(&state);
        state.options.set(whose, level, name, value)
    }
}

impl Drop for TcpSocket {
    fn drop(&mut self) {
        self.endpoint.close();
    }
}
