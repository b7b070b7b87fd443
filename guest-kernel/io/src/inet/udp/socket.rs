//! The socket: what programs see of an endpoint.

use super::endpoint::Endpoint;
use crate::inet::IPPROTO_UDP;
use crate::inet::address::Address;
use crate::options::{self, Change, Facts};
use crate::socket::Kind;
use crate::socket_file::{Body, SocketFile};
use alloc::sync::Arc;
use alloc::vec::Vec;
use ampoule_kbase::{
    Ancillary, Errno, Events, File, Received, Result, Sink, Socket, SocketAddress, Source, WaitQueue,
};
use linux_raw_sys::net::{MSG_OOB, MSG_PEEK, SOL_SOCKET};

/// A datagram socket.
pub struct UdpSocket {
    endpoint: Arc<Endpoint>,
}

impl UdpSocket {
    /// Around an endpoint, which it closes in the end.
    pub(super) fn new(endpoint: Arc<Endpoint>) -> Arc<SocketFile<Self>> {
        SocketFile::new(Self { endpoint })
    }

    fn facts(&self) -> Facts {
        let state = self.endpoint.state.lock();
        Facts {
            domain: self.endpoint.family.domain(),
            kind: Kind::Datagram,
            protocol: IPPROTO_UDP,
            listening: false,
            send_buffer: state.send_buffer,
            receive_buffer: state.receive_buffer,
            settings: state.options.generic,
        }
    }

    fn set_generic(&self, name: u32, value: &[u8]) -> Result<()> {
        let mut state = self.endpoint.state.lock();
        match options::set(&mut state.options.generic, name, value)? {
            Change::SendBuffer(bytes) => state.send_buffer = bytes,
            Change::ReceiveBuffer(bytes) => state.receive_buffer = bytes,
            Change::None => {}
        }
        Ok(())
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
        let family = self.endpoint.family;
        let local = self.endpoint.state.lock().local;
        Ok(family.to_raw(local.unwrap_or(Address { ip: family.any(), port: 0 })))
    }

    fn peer_address(&self) -> Result<SocketAddress> {
        let remote = self.endpoint.state.lock().remote.ok_or(Errno::ENOTCONN)?;
        Ok(self.endpoint.family.to_raw(remote))
    }

    fn take_error(&self) -> Option<Errno> {
        self.endpoint.state.lock().error.take()
    }

    fn get_option(&self, level: u32, name: u32) -> Result<Vec<u8>> {
        if level == SOL_SOCKET {
            return options::get(&self.facts(), name);
        }
        self.endpoint.state.lock().options.get(self.endpoint.family, false, level, name)
    }

    fn set_option(&self, level: u32, name: u32, value: &[u8]) -> Result<()> {
        if level == SOL_SOCKET {
            return self.set_generic(name, value);
        }
        let mut state = self.endpoint.state.lock();
        let bound = state.local.is_some();
        state.options.set(self.endpoint.family, false, (level, name), value, bound)
    }
}

impl Drop for UdpSocket {
    fn drop(&mut self) {
        self.endpoint.close();
    }
}
