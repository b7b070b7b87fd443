//! The inside of a datagram socket, and the operations on it.
//!
//! Locks: one endpoint's state at a time, and no state while the table of ports is asked.

use super::PORTS;
use crate::bytes::ByteQueue;
use crate::inet::address::{Address, Family, Given, is_local, route};
use crate::inet::lose;
use crate::inet::options::{DATAGRAM_BUFFER, Options};
use crate::inet::ports::{Bound, Claim, rank};
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use ampoule_kbase::{Errno, Events, Mutex, Result, Sink, Source, WaitQueue, platform};
use core::net::IpAddr;

/// What a datagram occupies of the receiver's buffer beside its bytes.
const OVERHEAD: usize = 768;
/// The longest datagram: what a packet can hold, less its headers.
const MAX_V4: usize = 65_507;
const MAX_V6: usize = 65_527;

/// Which directions are over; also `shutdown(2)`'s argument plus one.
const SHUT_RECEIVE: u32 = 1;
const SHUT_SEND: u32 = 2;
const SHUT_BOTH: u32 = 3;

/// A socket.
pub struct Endpoint {
    /// What its addresses look like.
    pub family: Family,
    /// Whose it is.
    uid: u32,
    /// Who waits for it.
    pub queue: WaitQueue,
    /// The rest.
    pub state: Mutex<State>,
}

/// The changeable part.
pub struct State {
    /// Its address.
    pub local: Option<Address>,
    /// The address was asked for, and stays when a peer goes.
    bound: Option<Address>,
    /// The only one whom it hears.
    pub remote: Option<Address>,
    /// What it was sent.
    bytes: ByteQueue,
    /// Who sent it, and how many bytes.
    letters: VecDeque<(Address, usize)>,
    shut: u32,
    /// `SO_ERROR`.
    pub error: Option<Errno>,
    /// Its options.
    pub options: Options,
}

impl State {
    /// Bytes in the first datagram.
    pub fn first_len(&self) -> usize {
        self.letters.front().map_or(0, |(_, len)| *len)
    }

    fn has_room(&self) -> bool {
        let buffer = self.options.receive_buffer.unwrap_or(DATAGRAM_BUFFER);
        self.bytes.len() + self.letters.len() * OVERHEAD < buffer as usize
    }
}

/// A datagram that was received.
pub struct Taken {
    /// Bytes that were put into the sink.
    pub bytes: usize,
    /// Bytes that it had.
    pub full_length: usize,
    /// Who sent it.
    pub from: Address,
}

impl Endpoint {
    /// A new socket.
    pub fn new(family: Family) -> Arc<Self> {
        let state = State {
            local: None,
            bound: None,
            remote: None,
            bytes: ByteQueue::default(),
            letters: VecDeque::new(),
            shut: 0,
            error: None,
            options: Options::default(),
        };
        let uid = platform().caller().fsuid;
        Arc::new(Self { family, uid, queue: WaitQueue::new(), state: Mutex::new(state) })
    }

    /// `bind(2)`.
    pub fn bind(self: &Arc<Self>, given: Given) -> Result<()> {
        let wanted = given.address()?;
        if !is_local(wanted.ip) {
            return Err(Errno::EADDRNOTAVAIL);
        }
        if self.state.lock().local.is_some() {
            return Err(Errno::EINVAL);
        }
        self.take_port(wanted.ip, wanted.port)?;
        let mut state = self.state.lock();
        state.bound = state.local;
        Ok(())
    }

    fn take_port(self: &Arc<Self>, ip: IpAddr, port: u16) -> Result<()> {
        let claim = Claim { ip, ..self.claim() };
        let port = PORTS.take(self, &claim, port)?;
        self.state.lock().local = Some(Address { ip, port });
        Ok(())
    }

    /// `connect(2)`: hears nobody else from now on.
    pub fn connect(self: &Arc<Self>, given: Given) -> Result<()> {
        let Given::Address(wanted) = given else {
            self.disconnect();
            return Ok(());
        };
        let (to, from) = self.route_from(wanted)?;
        let mut state = self.state.lock();
        state.local = Some(from);
        state.remote = Some(to);
        Ok(())
    }

    /// Hears everybody again. A port that it was not bound to goes.
    fn disconnect(&self) {
        let port = {
            let mut state = self.state.lock();
            state.remote = None;
            let bound = state.bound;
            core::mem::replace(&mut state.local, bound).filter(|_| bound.is_none())
        };
        if let Some(local) = port {
            PORTS.leave(self, local.port);
        }
    }

    /// Where a destination leads, and the address that is shown as the sender's; takes a port if there is none.
    fn route_from(self: &Arc<Self>, wanted: Address) -> Result<(Address, Address)> {
        let (to, natural) = route(wanted.ip)?;
        let claim = self.claim();
        if to.is_ipv4() && claim.v6_only {
            return Err(Errno::ENETUNREACH);
        }
        let bound = self.state.lock().local;
        if bound.is_none() {
            self.take_port(self.family.any(), 0)?;
        }
        let local = self.state.lock().local.ok_or(Errno::EADDRNOTAVAIL)?;
        Ok((Address { ip: to, port: wanted.port }, local.as_source(to, natural)?))
    }

    /// Sends a datagram, to the peer or to who is named. It is lost where nobody takes it.
    pub fn send(self: &Arc<Self>, source: &mut dyn Source, to: Option<Address>) -> Result<usize> {
        let len = source.remaining();
        if len > if self.family == Family::V4 { MAX_V4 } else { MAX_V6 } {
            return Err(Errno::EMSGSIZE);
        }
        let (connected, wanted) = {
            let state = self.state.lock();
            (to.is_none(), to.or(state.remote).ok_or(Errno::EDESTADDRREQ)?)
        };
        if wanted.port == 0 {
            return Err(Errno::EINVAL);
        }
        let (to, from) = self.route_from(wanted)?;
        {
            let mut state = self.state.lock();
            if let Some(error) = state.error.take() {
                return Err(error);
            }
            if state.shut & SHUT_SEND != 0 {
                return Err(Errno::EPIPE);
            }
        }
        if let Some(receiver) = find_receiver(to, from) {
            return receiver.deliver(source, from);
        }
        // What a network would tell, is told to those who have but one peer.
        if connected {
            self.state.lock().error = Some(Errno::ECONNREFUSED);
            self.queue.wake(Events::all());
        }
        lose(source)
    }

    fn deliver(&self, source: &mut dyn Source, from: Address) -> Result<usize> {
        let len = {
            let mut state = self.state.lock();
            if !state.has_room() {
                return lose(source);
            }
            let len = state.bytes.fill_whole(source)?;
            state.letters.push_back((from, len));
            len
        };
        self.queue.wake(Events::IN | Events::RDNORM);
        Ok(len)
    }

    /// Receives a datagram; none: there will be no more.
    pub fn receive(&self, sink: &mut dyn Sink, peek: bool) -> Result<Option<Taken>> {
        let mut state = self.state.lock();
        if let Some(error) = state.error.take() {
            return Err(error);
        }
        let Some(&(from, full_length)) = state.letters.front() else {
            return if state.shut & SHUT_RECEIVE != 0 { Ok(None) } else { Err(Errno::EAGAIN) };
        };
        let bytes = state.bytes.peek(sink, full_length)?;
        if !peek {
            state.letters.pop_front();
            state.bytes.discard(full_length);
        }
        Ok(Some(Taken { bytes, full_length, from }))
    }

    /// `shutdown(2)`.
    pub fn shut_down(&self, how: u32) -> Result<()> {
        if how > 2 {
            return Err(Errno::EINVAL);
        }
        {
            let mut state = self.state.lock();
            if state.remote.is_none() {
                return Err(Errno::ENOTCONN);
            }
            state.shut |= how + 1;
        }
        self.queue.wake(Events::all());
        Ok(())
    }

    /// What `poll(2)` says.
    pub fn events(&self) -> Events {
        let state = self.state.lock();
        let ended = state.shut & SHUT_RECEIVE != 0;
        let mut events = Events::OUT | Events::WRNORM;
        events.set(Events::IN | Events::RDNORM, ended || !state.letters.is_empty());
        events.set(Events::RDHUP, ended);
        events.set(Events::HUP, state.shut == SHUT_BOTH);
        events.set(Events::ERR, state.error.is_some());
        events
    }

    /// The owner has closed it.
    pub fn close(&self) {
        let local = self.state.lock().local.take();
        if let Some(local) = local {
            PORTS.leave(self, local.port);
        }
    }

    /// Whether it hears datagrams from there.
    fn hears(&self, from: Address) -> bool {
        self.state.lock().remote.is_none_or(|remote| remote == from)
    }
}

/// Who receives what is sent to an address: the one that is meant best, a peer before others, and of equals the latest.
fn find_receiver(to: Address, from: Address) -> Option<Arc<Endpoint>> {
    let mut best: Option<(u32, Arc<Endpoint>)> = None;
    for socket in PORTS.at(to.port) {
        let Some(rank) = rank(&socket.claim(), to.ip).filter(|_| socket.hears(from)) else { continue };
        let rank = rank * 2 + u32::from(socket.state.lock().remote.is_some());
        if best.as_ref().is_none_or(|(other, _)| rank > *other) {
            best = Some((rank, socket));
        }
    }
    best.map(|(_, socket)| socket)
}

impl Bound for Endpoint {
    fn claim(&self) -> Claim {
        let state = self.state.lock();
        Claim {
            ip: state.local.map_or(self.family.any(), |local| local.ip),
            v6_only: state.options.v6_only(),
            reuse_address: state.options.reuse_address(),
            reuse_port: state.options.reuse_port(),
            listening: false,
            uid: self.uid,
        }
    }
}
