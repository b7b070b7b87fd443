//! The driver: who owns which port and connection, what happens to arriving packets, and timeouts.
//!
//! Lock order: [`Driver::inner`], then an endpoint's state, then wait queues. Waiters are woken without the first two.

use super::address::{ANY, Address, CID_LOCAL};
use super::endpoint::{Endpoint, Phase, State};
use super::header::{Header, TYPE_STREAM, op, shut};
use super::mmio::Registers;
use super::transport::{Incoming, Payload, Transport};
use alloc::collections::{BTreeMap, VecDeque};
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use ampoule_kbase::{Errno, Events, Mutex, Result, Source, TimerId, TimerTarget, platform};

/// Refusals that wait for room in the transmit queue, at most; beyond that strangers get no answer.
const REFUSALS: usize = 16;
/// The first port of those given to sockets that ask for none.
const FIRST_FREE_PORT: u32 = 1024;
/// How long a connection may take to come about, and to be taken down.
pub const CONNECT_TIMEOUT_NS: u64 = 2_000_000_000;
const CLOSE_TIMEOUT_NS: u64 = 8_000_000_000;

/// A connection's name: own port and the peer.
type Key = (u32, Address);

/// The driver of one device.
pub struct Driver {
    pub(super) inner: Mutex<Inner>,
}

/// What the lock protects.
pub struct Inner {
    registers: Option<Registers>,
    transport: Option<Transport>,
    cid: Option<u32>,
    connections: BTreeMap<Key, Arc<Endpoint>>,
    /// Sockets that were bound, or listen. The entry lives as long as the socket.
    bound: BTreeMap<u32, Weak<Endpoint>>,
    next_port: u32,
    /// Endpoints with packets to send, or that wait for transmit buffers.
    busy: Vec<Arc<Endpoint>>,
    refusals: VecDeque<Header>,
    wakes: Vec<(Arc<Endpoint>, Events)>,
}

impl Driver {
    /// A driver for a device that is not touched before it is needed.
    pub fn new(registers: Registers, cid: Option<u32>) -> Arc<Self> {
        let inner = Inner {
            registers: Some(registers),
            transport: None,
            cid,
            connections: BTreeMap::new(),
            bound: BTreeMap::new(),
            next_port: FIRST_FREE_PORT,
            busy: Vec::new(),
            refusals: VecDeque::new(),
            wakes: Vec::new(),
        };
        Arc::new(Self { inner: Mutex::new(inner) })
    }

    /// Runs `action` with the lock, sends what it left to send, then wakes whom it concerns.
    pub fn with<R>(&self, action: impl FnOnce(&mut Inner) -> R) -> R {
        let (result, wakes) = {
            let mut inner = self.inner.lock();
            let result = action(&mut inner);
            inner.flush();
            (result, core::mem::take(&mut inner.wakes))
        };
        for (endpoint, events) in wakes {
            endpoint.queue.wake(events);
        }
        result
    }

    /// Takes in what has arrived.
    pub fn process(&self) {
        self.with(Inner::process);
    }

    /// Asks for a connection; the answer comes later.
    pub fn connect(self: &Arc<Self>, endpoint: &Arc<Endpoint>, peer: Address, timeout_ns: u64) -> Result<()> {
        self.with(|inner| inner.connect(endpoint, peer))?;
        self.arm(endpoint, timeout_ns);
        Err(Errno::EINPROGRESS)
    }

    /// The socket is closed: says so to the peer, and keeps the connection until it has agreed.
    pub fn release(self: &Arc<Self>, endpoint: &Arc<Endpoint>) {
        if self.with(|inner| inner.release(endpoint)) {
            self.arm(endpoint, CLOSE_TIMEOUT_NS);
        }
    }

    fn arm(self: &Arc<Self>, endpoint: &Arc<Endpoint>, ns: u64) {
        let target = Timeout { driver: Arc::downgrade(self), endpoint: Arc::downgrade(endpoint) };
        let id = platform().timer_arm(platform().monotonic_ns().saturating_add(ns), Arc::new(target));
        let old = endpoint.state.lock().timer.replace(id);
        if let Some(old) = old {
            platform().timer_cancel(old);
        }
    }
}

/// Ends what takes too long.
struct Timeout {
    driver: Weak<Driver>,
    endpoint: Weak<Endpoint>,
}

impl TimerTarget for Timeout {
    fn expired(&self, id: TimerId) {
        if let (Some(driver), Some(endpoint)) = (self.driver.upgrade(), self.endpoint.upgrade()) {
            driver.with(|inner| inner.timed_out(&endpoint, id));
        }
    }
}

impl Inner {
    /// The device, which is set up at first use.
    pub fn transport(&mut self) -> Result<&mut Transport> {
        if let Some(registers) = self.registers.take() {
            self.transport = Some(Transport::start(registers)?);
        }
        self.transport.as_mut().ok_or(Errno::ENODEV)
    }

    /// This machine's context id.
    pub fn cid(&mut self) -> Result<u32> {
        let known = self.cid;
        let transport = self.transport()?;
        let cid = known.unwrap_or_else(|| transport.read_cid());
        self.cid = Some(cid);
        Ok(cid)
    }

    /// Notes that an endpoint's waiters are to be woken once the locks are free.
    pub fn wake(&mut self, endpoint: &Arc<Endpoint>, events: Events) {
        self.wakes.push((endpoint.clone(), events));
    }

    /// Notes that an endpoint has something to send.
    pub fn mark_busy(&mut self, endpoint: &Arc<Endpoint>) {
        if !self.busy.iter().any(|other| Arc::ptr_eq(other, endpoint)) {
            self.busy.push(endpoint.clone());
        }
    }

    fn is_bound(&self, port: u32) -> bool {
        self.bound.get(&port).is_some_and(|bound| bound.strong_count() > 0)
    }

    fn port_is_free(&self, port: u32) -> bool {
        let first = (port, Address { cid: 0, port: 0 });
        !self.is_bound(port) && self.connections.range(first..).next().is_none_or(|(key, _)| key.0 != port)
    }

    /// Gives an endpoint a port: a certain one, or (with [`ANY`]) one that is free.
    pub fn bind(&mut self, endpoint: &Arc<Endpoint>, port: u32) -> Result<()> {
        let port = if port != ANY {
            port
        } else {
            // As many ports are free as there are sockets fewer than 2^32.
            loop {
                let candidate = self.next_port;
                self.next_port = candidate.checked_add(1).filter(|p| *p != ANY).unwrap_or(FIRST_FREE_PORT);
                if self.port_is_free(candidate) {
                    break candidate;
                }
            }
        };
        if self.is_bound(port) {
            return Err(Errno::EADDRINUSE);
        }
        self.bound.insert(port, Arc::downgrade(endpoint));
        endpoint.state.lock().port = Some(port);
        Ok(())
    }

    fn connect(&mut self, endpoint: &Arc<Endpoint>, peer: Address) -> Result<()> {
        if peer.cid == CID_LOCAL || peer.cid == ANY || peer.port == ANY {
            return Err(Errno::ENODEV);
        }
        self.cid()?;
        if endpoint.state.lock().port.is_none() {
            self.bind(endpoint, ANY)?;
        }
        let mut state = endpoint.state.lock();
        let port = state.port.ok_or(Errno::EINVAL)?;
        if self.connections.contains_key(&(port, peer)) {
            return Err(Errno::EADDRINUSE);
        }
        (state.phase, state.peer) = (Phase::Connecting, Some(peer));
        (state.shut, state.peer_shut, state.error) = (0, 0, None);
        (state.sent, state.taken, state.taken_told) = (0, 0, 0);
        state.received.clear();
        state.pending.request = true;
        drop(state);
        self.connections.insert((port, peer), endpoint.clone());
        self.mark_busy(endpoint);
        Ok(())
    }

    /// Takes in what has arrived, and finds out what has been sent.
    pub fn process(&mut self) {
        let Some(mut transport) = self.transport.take() else { return };
        transport.reclaim();
        transport.poll(|incoming| match incoming {
            Incoming::Packet(header, payload) => self.dispatch(&header, payload),
            Incoming::Reset => {
                // The machine may have got a new context id.
                self.cid = None;
                self.reset_all();
            }
        });
        if transport.is_broken() && !self.connections.is_empty() {
            self.reset_all();
        }
        self.transport = Some(transport);
    }

    fn dispatch(&mut self, header: &Header, payload: &[u8]) {
        let peer = u32::try_from(header.src_cid).map(|cid| Address { cid, port: header.src_port });
        let Ok(peer) = peer else { return };
        if header.kind != TYPE_STREAM {
            return self.refuse(header);
        }
        if let Some(endpoint) = self.connections.get(&(header.dst_port, peer)).cloned() {
            return self.deliver(&endpoint, header, payload);
        }
        let listener = self.bound.get(&header.dst_port).and_then(Weak::upgrade);
        match listener {
            Some(listener) if header.op == op::REQUEST => self.welcome(&listener, peer, header),
            _ => self.refuse(header),
        }
    }

    /// Answers a packet that belongs to nobody.
    fn refuse(&mut self, header: &Header) {
        if header.op == op::RST || self.refusals.len() >= REFUSALS {
            return;
        }
        self.refusals.push_back(Header {
            src_cid: header.dst_cid,
            dst_cid: header.src_cid,
            src_port: header.dst_port,
            dst_port: header.src_port,
            kind: header.kind,
            op: op::RST,
            ..Header::default()
        });
    }

    /// A listener gets a connection.
    fn welcome(&mut self, listener: &Arc<Endpoint>, peer: Address, header: &Header) {
        let mut state = listener.state.lock();
        if state.phase != Phase::Listening || state.backlog.len() >= state.backlog_limit {
            drop(state);
            return self.refuse(header);
        }
        let endpoint = Endpoint::new();
        {
            let mut new = endpoint.state.lock();
            (new.phase, new.port, new.peer) = (Phase::Connected, state.port, Some(peer));
            new.buffer = state.buffer;
            new.pending.response = true;
            new.learn_credit(header);
        }
        state.backlog.push_back(endpoint.clone());
        drop(state);
        self.connections.insert((header.dst_port, peer), endpoint.clone());
        self.mark_busy(&endpoint);
        self.wake(listener, Events::IN | Events::RDNORM);
    }

    /// A packet of a connection.
    fn deliver(&mut self, endpoint: &Arc<Endpoint>, header: &Header, payload: &[u8]) {
        let mut state = endpoint.state.lock();
        state.learn_credit(header);
        let outcome = match state.phase {
            _ if state.orphaned => farewell(header),
            Phase::Connecting => answer(&mut state, header),
            _ => receive(&mut state, header, payload),
        };
        let timer = if matches!(outcome, Outcome::Established) { state.timer.take() } else { None };
        let key = (header.dst_port, state.peer.unwrap_or(Address { cid: 0, port: 0 }));
        if let Outcome::Over { error, tell_peer } = outcome {
            state.close(error);
            state.pending.reset = tell_peer;
        }
        let events = state.events();
        let must_send = !state.pending.is_empty();
        drop(state);
        timer.into_iter().for_each(|timer| platform().timer_cancel(timer));
        if must_send {
            self.mark_busy(endpoint);
        }
        if matches!(outcome, Outcome::Over { .. }) {
            self.forget(key);
        }
        if !matches!(outcome, Outcome::Nothing) {
            self.wake(endpoint, events);
        }
    }

    /// Takes a connection out of the table; packets that it still wants to send are sent.
    fn forget(&mut self, key: Key) {
        if let Some(endpoint) = self.connections.remove(&key) {
            let timer = endpoint.state.lock().timer.take();
            timer.into_iter().for_each(|timer| platform().timer_cancel(timer));
        }
    }

    fn reset_all(&mut self) {
        let all: Vec<_> = core::mem::take(&mut self.connections).into_values().collect();
        for endpoint in all {
            let timer = {
                let mut state = endpoint.state.lock();
                state.close(Some(Errno::ECONNRESET));
                state.timer.take()
            };
            timer.into_iter().for_each(|timer| platform().timer_cancel(timer));
            self.wake(&endpoint, Events::all());
        }
    }

    fn timed_out(&mut self, endpoint: &Arc<Endpoint>, id: TimerId) {
        let mut state = endpoint.state.lock();
        if state.timer != Some(id) {
            return;
        }
        state.timer = None;
        let connecting = state.phase == Phase::Connecting;
        if !connecting && !state.orphaned {
            return;
        }
        state.close(connecting.then_some(Errno::ETIMEDOUT));
        state.pending.reset = true;
        let (port, peer) = (state.port, state.peer);
        drop(state);
        if let (Some(port), Some(peer)) = (port, peer) {
            self.forget((port, peer));
        }
        self.mark_busy(endpoint);
        self.wake(endpoint, Events::all());
    }

    /// True if the connection has to wait for its peer.
    fn release(&mut self, endpoint: &Arc<Endpoint>) -> bool {
        let mut state = endpoint.state.lock();
        let unaccepted = core::mem::take(&mut state.backlog);
        state.orphaned = true;
        state.received.clear();
        let (port, peer) = (state.port, state.peer);
        let mut lingers = false;
        match state.phase {
            Phase::Connected => {
                state.pending.shutdown = state.shut != shut::BOTH;
                state.shut = shut::BOTH;
                lingers = true;
            }
            Phase::Connecting => {
                state.close(None);
                state.pending.reset = true;
            }
            Phase::Idle | Phase::Listening | Phase::Closed => {}
        }
        let must_send = !state.pending.is_empty();
        drop(state);
        if must_send {
            self.mark_busy(endpoint);
        }
        if let (false, Some(port), Some(peer)) = (lingers, port, peer)
            && self.connections.get(&(port, peer)).is_some_and(|other| Arc::ptr_eq(other, endpoint))
        {
            self.forget((port, peer));
        }
        if let Some(port) = port
            && self.bound.get(&port).is_some_and(|bound| bound.as_ptr() == Arc::as_ptr(endpoint))
        {
            self.bound.remove(&port);
        }
        for endpoint in unaccepted {
            self.abandon(&endpoint);
        }
        lingers
    }

    /// Refuses a connection that its listener did not live to accept.
    fn abandon(&mut self, endpoint: &Arc<Endpoint>) {
        let mut state = endpoint.state.lock();
        state.orphaned = true;
        let live = state.phase == Phase::Connected;
        state.close(None);
        state.pending.reset = live;
        let (port, peer) = (state.port, state.peer);
        drop(state);
        self.mark_busy(endpoint);
        if let (Some(port), Some(peer)) = (port, peer) {
            self.forget((port, peer));
        }
    }

    /// Sends what is pending, as far as there is room. Interrupts of the transmit queue are on only while something
    /// waits for room.
    fn flush(&mut self) {
        if self.busy.is_empty() && self.refusals.is_empty() {
            return;
        }
        let Ok(cid) = self.cid() else { return };
        let Some(mut transport) = self.transport.take() else { return };
        loop {
            self.send_all_pending(&mut transport, cid);
            let waiting = !self.busy.is_empty() || !self.refusals.is_empty();
            transport.set_tx_interrupts(waiting);
            // What the device finished before it saw the wish for interrupts would go unnoticed.
            if !waiting || transport.reclaim() == 0 {
                break;
            }
        }
        self.transport = Some(transport);
    }

    fn send_all_pending(&mut self, transport: &mut Transport, cid: u32) {
        while let Some(header) = self.refusals.front() {
            if !transport.send(*header, None) {
                break;
            }
            self.refusals.pop_front();
        }
        let mut freed = Vec::new();
        self.busy.retain(|endpoint| {
            let mut state = endpoint.state.lock();
            let sent = send_pending(&mut state, transport, cid);
            if state.starved && transport.has_room_for_payload() {
                state.starved = false;
                freed.push(endpoint.clone());
            }
            !sent || state.starved
        });
        for endpoint in freed {
            self.wake(&endpoint, Events::OUT | Events::WRNORM);
        }
    }

    /// Sends as much of `source` as credit and memory allow; `EAGAIN` if that is nothing.
    pub fn send(&mut self, endpoint: &Arc<Endpoint>, source: &mut dyn Source) -> Result<usize> {
        let cid = self.cid()?;
        let mut transport = self.transport.take().ok_or(Errno::ENODEV)?;
        let mut state = endpoint.state.lock();
        let result = send_data(&mut state, &mut transport, cid, source);
        let starved = state.starved;
        drop(state);
        self.transport = Some(transport);
        if starved {
            self.mark_busy(endpoint);
        }
        result
    }
}

fn send_data(
    state: &mut State,
    transport: &mut Transport,
    cid: u32,
    source: &mut dyn Source,
) -> Result<usize> {
    let mut total = 0;
    // What is owed first (the answer to a request) goes first.
    while source.remaining() > 0 && state.credit() > 0 && send_pending(state, transport, cid) {
        let Some(mut block) = transport.take_block() else {
            state.starved = true;
            break;
        };
        let len = state.credit().min(block.len()).min(source.remaining());
        // SAFETY: the block came out of the pool, so the device does not have it.
        if let Err(error) = source.take(unsafe { block.bytes_mut(len) }) {
            transport.return_block(block);
            return if total > 0 { Ok(total) } else { Err(error) };
        }
        let header = state.header(cid, op::RW, len).ok_or(Errno::ENOTCONN)?;
        if !transport.send(header, Some(Payload { block, len })) {
            break;
        }
        state.sent = state.sent.wrapping_add(len as u32);
        total += len;
    }
    if total > 0 { Ok(total) } else { Err(Errno::EAGAIN) }
}

/// Sends the packets without payload that an endpoint owes; false if some are left.
pub fn send_pending(state: &mut State, transport: &mut Transport, cid: u32) -> bool {
    while let Some(op) = state.pending.next() {
        let Some(header) = state.header(cid, op, 0) else { continue };
        if !transport.send(header, None) {
            state.pending.put_back(op);
            return false;
        }
    }
    true
}

/// What a packet has changed.
enum Outcome {
    /// Nothing that anybody waits for.
    Nothing,
    /// Readiness.
    Changed,
    /// The connection has come about.
    Established,
    /// The connection is over.
    Over { error: Option<Errno>, tell_peer: bool },
}

/// The peer's answer to a request.
fn answer(state: &mut State, header: &Header) -> Outcome {
    match header.op {
        op::RESPONSE => {
            state.phase = Phase::Connected;
            Outcome::Established
        }
        op::RST => Outcome::Over { error: Some(Errno::ECONNRESET), tell_peer: false },
        _ => Outcome::Over { error: Some(Errno::EPROTO), tell_peer: true },
    }
}

/// A packet of an established connection.
fn receive(state: &mut State, header: &Header, payload: &[u8]) -> Outcome {
    match header.op {
        op::RW if state.shut & shut::RECEIVE != 0 => {
            // Nobody will read it, but it counts as taken.
            state.count_taken(payload.len());
            Outcome::Nothing
        }
        op::RW if state.take_in(payload) => Outcome::Changed,
        op::CREDIT_UPDATE => Outcome::Changed,
        op::CREDIT_REQUEST => {
            state.pending.credit = true;
            Outcome::Nothing
        }
        op::SHUTDOWN => {
            state.peer_shut |= header.flags & shut::BOTH;
            if state.peer_shut == shut::BOTH {
                return Outcome::Over { error: None, tell_peer: true };
            }
            Outcome::Changed
        }
        op::RST => Outcome::Over { error: None, tell_peer: false },
        _ => Outcome::Over { error: Some(Errno::ECONNRESET), tell_peer: true },
    }
}

/// A packet for a connection whose socket is gone.
fn farewell(header: &Header) -> Outcome {
    match header.op {
        op::RST => Outcome::Over { error: None, tell_peer: false },
        op::SHUTDOWN if header.flags & shut::BOTH == shut::BOTH => {
            Outcome::Over { error: None, tell_peer: true }
        }
        _ => Outcome::Nothing,
    }
}
