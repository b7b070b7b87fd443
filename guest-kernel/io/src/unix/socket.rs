//! The socket: what programs see of an endpoint.

use super::address::{Given, to_raw};
use super::endpoint::{Endpoint, Phase};
use super::{connect, transfer};
use crate::options::{self, Change, Facts};
use crate::socket::{AF_UNIX, Kind};
use crate::socket_file::{Body, SocketFile};
use alloc::sync::Arc;
use alloc::vec::Vec;
use ampoule_kbase::{
    Ancillary, Errno, Events, File, Received, Result, Sink, Socket, SocketAddress, Source, WaitQueue,
    platform,
};
use linux_raw_sys::general::SIGPIPE;
use linux_raw_sys::net::{MSG_NOSIGNAL, MSG_OOB, MSG_PEEK, SO_PASSCRED, SO_PEERCRED, SOL_SOCKET};

/// An `AF_UNIX` socket.
pub struct UnixSocket {
    endpoint: Arc<Endpoint>,
}

impl UnixSocket {
    /// Around an endpoint, which it closes in the end.
    pub(super) fn new(endpoint: Arc<Endpoint>) -> Arc<SocketFile<Self>> {
        SocketFile::new(Self { endpoint })
    }

    /// The Unix socket behind a file, if it is one.
    pub fn of(file: &dyn File) -> Option<&Self> {
        SocketFile::<Self>::of(file)
    }

    pub(super) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    fn facts(&self) -> Facts {
        let state = self.endpoint.state.lock();
        Facts {
            domain: AF_UNIX,
            kind: self.endpoint.kind,
            protocol: 0,
            listening: state.phase == Phase::Listening,
            send_buffer: state.send_buffer as u32,
            receive_buffer: state.receive_buffer as u32,
            settings: state.settings,
        }
    }

    fn set_generic(&self, name: u32, value: &[u8]) -> Result<()> {
        let mut state = self.endpoint.state.lock();
        match options::set(&mut state.settings, name, value)? {
            Change::SendBuffer(bytes) => state.send_buffer = bytes as usize,
            Change::ReceiveBuffer(bytes) => state.receive_buffer = bytes as usize,
            Change::None => {}
        }
        Ok(())
    }
}

impl Body for UnixSocket {
    fn events(&self) -> Events {
        self.endpoint.events()
    }

    fn queue(&self) -> &WaitQueue {
        &self.endpoint.queue
    }

    fn readable_bytes(&self) -> Result<usize> {
        let state = self.endpoint.state.lock();
        if state.phase == Phase::Listening {
            return Err(Errno::EINVAL);
        }
        Ok(match self.endpoint.kind {
            Kind::Datagram => state.inbox.first().map_or(0, |message| message.len),
            Kind::Stream | Kind::SeqPacket => state.inbox.bytes(),
        })
    }

    fn unsent_bytes(&self) -> Result<usize> {
        Ok(self.endpoint.in_flight())
    }
}

impl Socket for UnixSocket {
    fn bind(&self, address: &SocketAddress) -> Result<()> {
        connect::bind(&self.endpoint, Given::parse(address)?)
    }

    fn listen(&self, backlog: i32) -> Result<()> {
        connect::listen(&self.endpoint, backlog)
    }

    fn accept(&self) -> Result<Arc<dyn File>> {
        Ok(Self::new(connect::accept(&self.endpoint)?))
    }

    fn connect(&self, address: &SocketAddress) -> Result<()> {
        connect::connect(&self.endpoint, Given::parse(address)?)
    }

    fn send(
        &self,
        source: &mut dyn Source,
        to: Option<&SocketAddress>,
        ancillary: Ancillary,
        flags: u32,
    ) -> Result<usize> {
        if flags & MSG_OOB != 0 {
            return Err(Errno::EOPNOTSUPP);
        }
        if self.endpoint.kind != Kind::Stream {
            return transfer::send_message(&self.endpoint, source, to, ancillary);
        }
        let result = transfer::send_stream(&self.endpoint, source, to, ancillary);
        if result == Err(Errno::EPIPE) && flags & MSG_NOSIGNAL == 0 {
            platform().signal_caller(SIGPIPE);
        }
        result
    }

    fn receive(&self, sink: &mut dyn Sink, flags: u32) -> Result<Received> {
        if flags & MSG_OOB != 0 {
            return Err(Errno::EOPNOTSUPP);
        }
        let peek = flags & MSG_PEEK != 0;
        match self.endpoint.kind {
            Kind::Stream => transfer::receive_stream(&self.endpoint, sink, peek),
            Kind::Datagram | Kind::SeqPacket => transfer::receive_message(&self.endpoint, sink, peek),
        }
    }

    fn shutdown(&self, how: u32) -> Result<()> {
        transfer::shut_down(&self.endpoint, how)
    }

    fn local_address(&self) -> Result<SocketAddress> {
        Ok(to_raw(self.endpoint.state.lock().address.as_deref()))
    }

    fn peer_address(&self) -> Result<SocketAddress> {
        let peer = self.endpoint.state.lock().peer.clone().ok_or(Errno::ENOTCONN)?;
        Ok(to_raw(peer.state.lock().address.as_deref()))
    }

    fn take_error(&self) -> Option<Errno> {
        self.endpoint.state.lock().error.take()
    }

    fn get_option(&self, level: u32, name: u32) -> Result<Vec<u8>> {
        match (level, name) {
            (SOL_SOCKET, SO_PASSCRED) => {
                let passes = self.endpoint.state.lock().pass_credentials;
                Ok(u32::from(passes).to_ne_bytes().to_vec())
            }
            (SOL_SOCKET, SO_PEERCRED) => {
                let credentials = self.endpoint.state.lock().peer_credentials;
                let (pid, uid, gid) = credentials.unwrap_or((0, u32::MAX, u32::MAX));
                Ok([pid, uid, gid].map(u32::to_ne_bytes).concat())
            }
            (SOL_SOCKET, _) => options::get(&self.facts(), name),
            _ => Err(Errno::EOPNOTSUPP),
        }
    }

    fn set_option(&self, level: u32, name: u32, value: &[u8]) -> Result<()> {
        match (level, name) {
            (SOL_SOCKET, SO_PASSCRED) => {
                let on = value.first_chunk().map(|bytes| u32::from_ne_bytes(*bytes)).ok_or(Errno::EINVAL)?;
                self.endpoint.state.lock().pass_credentials = on != 0;
            }
            (SOL_SOCKET, _) => self.set_generic(name, value)?,
            _ => return Err(Errno::EOPNOTSUPP),
        }
        Ok(())
    }
}

impl Drop for UnixSocket {
    fn drop(&mut self) {
        self.endpoint.close();
    }
}
