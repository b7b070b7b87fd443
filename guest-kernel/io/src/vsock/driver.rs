//! The driver: who owns which port and connection, what happens to arriving packets, and timeouts.
//!
//! Lock order: [`Driver::inner`], then an endpoint's state, then wait queues. Waiters are woken without the first two.

use super::address::{ANY, Address, CID_LOCAL};
use super::endpoint::{Endpoint, Phase};
use super::header::Header;
use super::mmio::Registers;
use super::transport::Transport;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use ampoule_kbase::{Errno, Events, Mutex, Result, TimerId, TimerTarget, platform};

/// Refusals that wait for room in the transmit queue, at most; beyond that strangers get no answer.
pub(super) const REFUSALS: usize = 16;
/// The first port of those given to sockets that ask for none.
const FIRST_FREE_PORT: u32 = 1024;
/// How long a connection may take to come about, and to be taken down.
pub const CONNECT_TIMEOUT_NS: u64 = 2_000_000_000;
const CLOSE_TIMEOUT_NS: u64 = 8_000_000_000;

/// A connection's name: own port and the peer.
pub(super) type Key = (u32, Address);

/// The driver of one device.
pub struct Driver {
    pub(super) inner: Mutex<Inner>,
}

/// What the lock protects.
pub struct Inner {
    registers: Option<Registers>,
    pub(super) transport: Option<Transport>,
    pub(super) cid: Option<u32>,
    pub(super) connections: BTreeMap<Key, Arc<Endpoint>>,
    /// Sockets that were bound, or listen. The entry lives as long as the socket.
    pub(super) bound: BTreeMap<u32, Weak<Endpoint>>,
    next_port: u32,
    /// Endpoints with packets to send, or that wait for transmit buffers.
    pub(super) busy: Vec<Arc<Endpoint>>,
    pub(super) refusals: VecDeque<Header>,
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
            if let Some(transport) = &mut inner.transport {
                transport.notify();
            }
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
}
