//! The socket: what programs see of an endpoint.

use super::endpoint::{Endpoint, State};
use crate::inet::options::Whose;
use crate::socket::Kind;
use crate::socket_file::{Body, SocketFile};
use alloc::sync::Arc;
use alloc::vec::Vec;
use ampoule_kbase::{
    Ancillary, Errno, Events, File, Received, Result, Sink, Socket, SocketAddress, Source, WaitQueue,
};
use linux_raw_sys::net::{MSG_OOB, MSG_PEEK};

/// A datagram socket.
pub struct UdpSocket {
    endpoint: Arc<Endpoint>,
}

impl UdpSocket {
    /// Around an endpoint, which it closes in the end.
    pub(super) fn new(endpoint: Arc<Endpoint>) -> Arc<SocketFile<Self>> {
        SocketFile::new(Self { endpoint })
    }

    fn whose(&self, state: &State) -> Whose {
        Whose {
            family: self.endpoint.family,
            kind: Kind::Datagram,
            listening: false,
            bound: state.local.is_some(),
        }
    }
}

impl Body for UdpSocket {
    fn events(&self) -> Events {
        self.endpoint.events()
    }

    fn queue(&self) -> &WaitQueue {
        &self.endpoint.queue
    }

    fn readable_bytes(&self) -> Result<usize> {
        Ok(self.endpoint.state.lock().first_len())
    }

    fn unsent_bytes(&self) -> Result<usize> {
        Ok(0)
    }
}

impl Socket for UdpSocket {
    fn bind(&self, address: &SocketAddress) -> Result<()> {
        self.endpoint.bind(self.endpoint.family.parse(address)?)
    }

    fn listen(&self, _backlog: i32) -> Result<()> {
        Err(Errno::EOPNOTSUPP)
    }

    fn accept(&self) -> Result<Arc<dyn File>> {
        Err(Errno::EOPNOTSUPP)
    }

    fn connect(&self, address: &SocketAddress) -> Result<()> {
        self.endpoint.connect(self.endpoint.family.parse(address)?)
    }

    fn send(
        &self,
        source: &mut dyn Source,
        to: Option<&SocketAddress>,
        _ancillary: Ancillary,
        flags: u32,
    ) -> Result<usize> {
        if flags & MSG_OOB != 0 {
            return Err(Errno::EOPNOTSUPP);
        }
        let to = to.map(|to| self.endpoint.family.parse(to)?.address()).transpose()?;
        self.endpoint.send(source, to)
    }

    fn receive(&self, sink: &mut dyn Sink, flags: u32) -> Result<Received> {
        if flags & MSG_OOB != 0 {
            return Err(Errno::EOPNOTSUPP);
        }
        let Some(taken) = self.endpoint.receive(sink, flags & MSG_PEEK != 0)? else {
            return Ok(Received::default());
        };
        Ok(Received {
            bytes: taken.bytes,
            full_length: taken.full_length,
            from: Some(self.endpoint.family.to_raw(taken.from)),
            ancillary: Ancillary::default(),
        })
    }

    fn shutdown(&self, how: u32) -> Result<()> {
        self.endpoint.shut_down(how)
    }

    fn local_address(&self) -> Result<SocketAddress> {
        Ok(self.endpoint.family.name(self.endpoint.state.lock().local))
    }

    fn peer_address(&self) -> Result<SocketAddress> {
        let remote = self.endpoint.state.lock().remote.ok_or(Errno::ENOTCONN)?;
        Ok(self.endpoint.family.to_raw(remote))
    }

    fn take_error(&self) -> Option<Errno> {
        self.endpoint.state.lock().error.take()
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

impl Drop for UdpSocket {
    fn drop(&mut self) {
        self.endpoint.close();
    }
}
