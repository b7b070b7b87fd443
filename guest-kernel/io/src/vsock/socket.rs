//! The socket: what programs see of an endpoint.

use super::address::{ANY, Address};
use super::driver::{CONNECT_TIMEOUT_NS, Driver};
use super::endpoint::{Endpoint, Phase};
use super::header::shut;
use crate::options::{self, Change, Facts, Settings};
use crate::socket::{AF_VSOCK, Kind};
use crate::socket_file::{Body, SocketFile};
use alloc::sync::Arc;
use alloc::vec::Vec;
use ampoule_kbase::{
    Ancillary, Errno, Events, File, Mutex, Received, Result, Sink, Socket, SocketAddress, Source, WaitQueue,
    platform,
};
use linux_raw_sys::general::SIGPIPE;
use linux_raw_sys::net::{MSG_NOSIGNAL, MSG_OOB, MSG_PEEK, SOL_SOCKET};

/// The most that `listen(2)` gives (`/proc/sys/net/core/somaxconn` is larger, but a host has no need for more).
const MAX_BACKLOG: usize = 128;
/// `SO_VM_SOCKETS_*`.
const BUFFER_SIZE: u32 = 0;
const BUFFER_MIN_SIZE: u32 = 1;
const BUFFER_MAX_SIZE: u32 = 2;
const CONNECT_TIMEOUT: u32 = 6;
/// Receive buffers go from `MIN_BUFFER` to `MAX_BUFFER` bytes.
const MIN_BUFFER: u64 = 128;
const MAX_BUFFER: u64 = 256 << 10;

/// A `SOCK_STREAM` socket of `AF_VSOCK`.
pub struct VsockSocket {
    driver: Arc<Driver>,
    endpoint: Arc<Endpoint>,
    connect_timeout_ns: Mutex<u64>,
    settings: Mutex<Settings>,
}

impl VsockSocket {
    /// A socket of its own, or around an accepted connection.
    pub(super) fn new(driver: Arc<Driver>, endpoint: Arc<Endpoint>) -> Arc<SocketFile<Self>> {
        let connect_timeout_ns = Mutex::new(CONNECT_TIMEOUT_NS);
        let settings = Mutex::new(Settings::default());
        SocketFile::new(Self { driver, endpoint, connect_timeout_ns, settings })
    }

    fn facts(&self) -> Facts {
        let state = self.endpoint.state.lock();
        Facts {
            domain: AF_VSOCK,
            kind: Kind::Stream,
            protocol: 0,
            listening: state.phase == Phase::Listening,
            send_buffer: state.buffer,
            receive_buffer: state.buffer,
            settings: *self.settings.lock(),
        }
    }

    /// What can be received now; `EAGAIN` if that depends on what is still to come.
    fn receive_ready(&self, sink: &mut dyn Sink, peek: bool) -> Result<usize> {
        let mut state = self.endpoint.state.lock();
        if let Some(error) = state.error.take() {
            return Err(error);
        }
        if state.shut & shut::RECEIVE != 0 || sink.remaining() == 0 {
            return Ok(0);
        }
        if state.received.len() > 0 {
            let count =
                if peek { state.received.peek(sink, usize::MAX)? } else { state.received.pop(sink)? };
            if !peek {
                state.count_taken(count);
            }
            return Ok(count);
        }
        match state.phase {
            Phase::Connected if !state.at_end() => Err(Errno::EAGAIN),
            Phase::Connected | Phase::Closed => Ok(0),
            Phase::Idle | Phase::Listening | Phase::Connecting => Err(Errno::ENOTCONN),
        }
    }

    fn may_send(&self) -> Result<()> {
        let mut state = self.endpoint.state.lock();
        if let Some(error) = state.error.take() {
            return Err(error);
        }
        if state.shut & shut::SEND != 0 || state.peer_shut & shut::RECEIVE != 0 {
            return Err(Errno::EPIPE);
        }
        if state.phase == Phase::Connected { Ok(()) } else { Err(Errno::ENOTCONN) }
    }

    fn set_buffer(&self, bytes: u64) {
        self.endpoint.state.lock().buffer = bytes.clamp(MIN_BUFFER, MAX_BUFFER) as u32;
    }
}

impl Body for VsockSocket {
    fn events(&self) -> Events {
        self.endpoint.state.lock().events()
    }

    fn queue(&self) -> &WaitQueue {
        &self.endpoint.queue
    }

    fn readable_bytes(&self) -> Result<usize> {
        Ok(self.endpoint.state.lock().received.len())
    }
}

impl Socket for VsockSocket {
    fn bind(&self, address: &SocketAddress) -> Result<()> {
        let address = Address::parse(address)?;
        self.driver.with(|inner| {
            if address.cid != ANY && address.cid != inner.cid()? {
                return Err(Errno::EADDRNOTAVAIL);
            }
            if address.port < 1024 && platform().caller().uid != 0 {
                return Err(Errno::EACCES);
            }
            if self.endpoint.state.lock().port.is_some() {
                return Err(Errno::EINVAL);
            }
            inner.bind(&self.endpoint, address.port)
        })
    }

    fn listen(&self, backlog: i32) -> Result<()> {
        let mut state = self.endpoint.state.lock();
        if !matches!(state.phase, Phase::Idle | Phase::Listening) || state.port.is_none() {
            return Err(Errno::EINVAL);
        }
        state.phase = Phase::Listening;
        state.backlog_limit = usize::try_from(backlog).unwrap_or(0).clamp(1, MAX_BACKLOG);
        Ok(())
    }

    fn accept(&self) -> Result<Arc<dyn File>> {
        self.driver.process();
        let mut state = self.endpoint.state.lock();
        if state.phase != Phase::Listening {
            return Err(Errno::EINVAL);
        }
        let endpoint = state.backlog.pop_front().ok_or(Errno::EAGAIN)?;
        drop(state);
        Ok(Self::new(self.driver.clone(), endpoint))
    }

    fn connect(&self, address: &SocketAddress) -> Result<()> {
        let phase = self.endpoint.state.lock().phase;
        match phase {
            Phase::Connected => return Err(Errno::EISCONN),
            Phase::Connecting => return Err(Errno::EALREADY),
            Phase::Listening => return Err(Errno::EINVAL),
            Phase::Idle | Phase::Closed => {}
        }
        let timeout_ns = *self.connect_timeout_ns.lock();
        self.driver.connect(&self.endpoint, Address::parse(address)?, timeout_ns)
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
        if to.is_some() {
            let connected = self.endpoint.state.lock().phase == Phase::Connected;
            return Err(if connected { Errno::EISCONN } else { Errno::EOPNOTSUPP });
        }
        let result = self.may_send().and_then(|()| match source.remaining() {
            0 => Ok(0),
            _ => self.driver.with(|inner| match inner.send(&self.endpoint, source) {
                Err(Errno::EAGAIN) => {
                    // The peer may have made room meanwhile.
                    inner.process();
                    inner.send(&self.endpoint, source)
                }
                done => done,
            }),
        });
        if result == Err(Errno::EPIPE) && flags & MSG_NOSIGNAL == 0 {
            platform().signal_caller(SIGPIPE);
        }
        result
    }

    fn receive(&self, sink: &mut dyn Sink, flags: u32) -> Result<Received> {
        if flags & MSG_OOB != 0 {
            return Err(Errno::EOPNOTSUPP);
        }
        if self.endpoint.state.lock().received.len() < sink.remaining() {
            self.driver.process();
        }
        let bytes = self.receive_ready(sink, flags & MSG_PEEK != 0)?;
        if self.endpoint.state.lock().pending.credit {
            self.driver.with(|inner| inner.mark_busy(&self.endpoint));
        }
        Ok(Received { bytes, full_length: bytes, ..Received::default() })
    }

    fn shutdown(&self, how: u32) -> Result<()> {
        if how > 2 {
            return Err(Errno::EINVAL);
        }
        self.driver.with(|inner| {
            let mut state = self.endpoint.state.lock();
            match state.phase {
                Phase::Connected => state.pending.shutdown = true,
                Phase::Closed => {}
                Phase::Idle | Phase::Listening | Phase::Connecting => return Err(Errno::ENOTCONN),
            }
            state.shut |= how + 1;
            let events = state.events();
            drop(state);
            inner.mark_busy(&self.endpoint);
            inner.wake(&self.endpoint, events);
            Ok(())
        })
    }

    fn local_address(&self) -> Result<SocketAddress> {
        let port = self.endpoint.state.lock().port;
        let cid = match port {
            Some(_) => self.driver.with(|inner| inner.cid())?,
            None => ANY,
        };
        Ok(Address { cid, port: port.unwrap_or(ANY) }.to_raw())
    }

    fn peer_address(&self) -> Result<SocketAddress> {
        let state = self.endpoint.state.lock();
        match (state.phase, state.peer) {
            (Phase::Connected | Phase::Closed, Some(peer)) => Ok(peer.to_raw()),
            _ => Err(Errno::ENOTCONN),
        }
    }

    fn take_error(&self) -> Option<Errno> {
        self.endpoint.state.lock().error.take()
    }

    fn get_option(&self, level: u32, name: u32) -> Result<Vec<u8>> {
        match (level, name) {
            (SOL_SOCKET, _) => options::get(&self.facts(), name),
            (AF_VSOCK, BUFFER_SIZE) => {
                Ok(u64::from(self.endpoint.state.lock().buffer).to_ne_bytes().to_vec())
            }
            (AF_VSOCK, BUFFER_MIN_SIZE) => Ok(MIN_BUFFER.to_ne_bytes().to_vec()),
            (AF_VSOCK, BUFFER_MAX_SIZE) => Ok(MAX_BUFFER.to_ne_bytes().to_vec()),
            (AF_VSOCK, CONNECT_TIMEOUT) => {
                let ns = *self.connect_timeout_ns.lock();
                let (seconds, micros) = (ns / 1_000_000_000, ns % 1_000_000_000 / 1000);
                Ok([seconds.to_ne_bytes(), micros.to_ne_bytes()].concat())
            }
            _ => Err(Errno::ENOPROTOOPT),
        }
    }

    fn set_option(&self, level: u32, name: u32, value: &[u8]) -> Result<()> {
        let word = |at: usize| {
            let bytes = value.get(at..).and_then(|rest| rest.first_chunk());
            bytes.map(|bytes| u64::from_ne_bytes(*bytes)).ok_or(Errno::EINVAL)
        };
        match (level, name) {
            (SOL_SOCKET, _) => match options::set(&mut self.settings.lock(), name, value)? {
                // A program sees the double of what it asks for.
                Change::ReceiveBuffer(bytes) => self.set_buffer(u64::from(bytes) / 2),
                Change::SendBuffer(_) | Change::None => {}
            },
            (AF_VSOCK, BUFFER_SIZE) => self.set_buffer(word(0)?),
            // The limits are fixed; a wish for others is taken for granted.
            (AF_VSOCK, BUFFER_MIN_SIZE | BUFFER_MAX_SIZE) => {
                word(0)?;
            }
            (AF_VSOCK, CONNECT_TIMEOUT) => {
                let (seconds, micros) = (word(0)?, word(8)?);
                let valid = seconds < 1 << 32 && micros < 1_000_000 && (seconds, micros) != (0, 0);
                if !valid {
                    return Err(Errno::ERANGE);
                }
                *self.connect_timeout_ns.lock() = seconds * 1_000_000_000 + micros * 1000;
            }
            _ => return Err(Errno::ENOPROTOOPT),
        }
        Ok(())
    }
}

impl Drop for VsockSocket {
    fn drop(&mut self) {
        self.driver.release(&self.endpoint);
    }
}
