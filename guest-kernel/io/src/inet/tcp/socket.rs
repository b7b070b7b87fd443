//! The socket: what programs see of an endpoint.

use super::endpoint::{Endpoint, Phase, RECEIVE_BUFFER, SEND_BUFFER};
use super::{connect, transfer};
use crate::inet::IPPROTO_TCP;
use crate::inet::address::Address;
use crate::options::{self, Change, Facts};
use crate::socket::Kind;
use crate::socket_file::{Body, SocketFile};
use alloc::sync::Arc;
use alloc::vec::Vec;
use ampoule_kbase::{
    Ancillary, Errno, Events, File, Received, Result, Sink, Socket, SocketAddress, Source, WaitQueue,
    platform,
};
use linux_raw_sys::general::SIGPIPE;
use linux_raw_sys::net::{MSG_NOSIGNAL, MSG_OOB, MSG_PEEK, SOL_SOCKET};

/// A stream socket.
pub struct TcpSocket {
    endpoint: Arc<Endpoint>,
}

impl TcpSocket {
    /// Around an endpoint, which it closes in the end.
    pub(super) fn new(endpoint: Arc<Endpoint>) -> Arc<SocketFile<Self>> {
        SocketFile::new(Self { endpoint })
    }

    fn facts(&self) -> Facts {
        let state = self.endpoint.state.lock();
        Facts {
            domain: self.endpoint.family.domain(),
            kind: Kind::Stream,
            protocol: IPPROTO_TCP,
            listening: state.phase == Phase::Listening,
            send_buffer: state.send_buffer.unwrap_or(SEND_BUFFER),
            receive_buffer: state.receive_buffer.unwrap_or(RECEIVE_BUFFER),
            settings: state.options.generic,
        }
    }

    fn set_generic(&self, name: u32, value: &[u8]) -> Result<()> {
        let mut state = self.endpoint.state.lock();
        match options::set(&mut state.options.generic, name, value)? {
            Change::SendBuffer(bytes) => state.send_buffer = Some(bytes),
            Change::ReceiveBuffer(bytes) => state.receive_buffer = Some(bytes),
            Change::None => {}
        }
        Ok(())
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
        let family = self.endpoint.family;
        let local = self.endpoint.state.lock().local;
        Ok(family.to_raw(local.unwrap_or(Address { ip: family.any(), port: 0 })))
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
        if level == SOL_SOCKET {
            return options::get(&self.facts(), name);
        }
        self.endpoint.state.lock().options.get(self.endpoint.family, true, level, name)
    }

    fn set_option(&self, level: u32, name: u32, value: &[u8]) -> Result<()> {
        if level == SOL_SOCKET {
            return self.set_generic(name, value);
        }
        let mut state = self.endpoint.state.lock();
        let bound = state.local.is_some();
        state.options.set(self.endpoint.family, true, (level, name), value, bound)
    }
}

impl Drop for TcpSocket {
    fn drop(&mut self) {
        self.endpoint.close();
    }
}
