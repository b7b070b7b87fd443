//! The inside of a stream socket: what its peer may still refer to when the socket itself is closed.
//!
//! Locks: one endpoint's state at a time, and no state while the table of ports is asked. Queues are woken with no state locked.

use super::PORTS;
use crate::bytes::ByteQueue;
use crate::inet::address::{Address, Family};
use crate::inet::options::Options;
use crate::inet::ports::{Bound, Claim};
use alloc::collections::VecDeque;
use alloc::sync::{Arc, Weak};
use ampoule_kbase::{Errno, Events, Mutex, WaitQueue, platform};

/// What each side's buffer adds to the bytes that may be on their way, while nobody has set its size. Linux lets buffers grow
/// to several times that.
const SHARE: usize = 512 << 10;

/// Which directions are over; also `shutdown(2)`'s argument plus one.
pub mod shut {
    /// No more is received.
    pub const RECEIVE: u32 = 1;
    /// No more is sent.
    pub const SEND: u32 = 2;
    /// Both.
    pub const BOTH: u32 = 3;
}

/// Where a socket is in its life.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Phase {
    /// Not connected: not yet, or not any more.
    Closed,
    /// Waits until the listener has room for it.
    Connecting,
    /// Takes connections.
    Listening,
    /// Connected.
    Connected,
}

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
    /// Where it is in its life.
    pub phase: Phase,
    /// Its address.
    pub local: Option<Address>,
    /// It has an entry in the table of ports.
    pub holds_port: bool,
    /// The peer's address.
    pub remote: Option<Address>,
    /// The other side of a connection.
    pub peer: Option<Arc<Endpoint>>,
    /// What it was sent.
    pub incoming: ByteQueue,
    /// What is over: [`shut`].
    pub shut: u32,
    /// The peer will send no more.
    pub ended: bool,
    /// `SO_ERROR`.
    pub error: Option<Errno>,
    /// The connection is there, and its owner, who did not wait for that, has not heard it from `connect` yet.
    pub unannounced: bool,
    /// Closed by its owner.
    pub dead: bool,
    /// Connections that nobody has accepted yet, of a listener.
    pub pending: VecDeque<Arc<Endpoint>>,
    /// Who wants to become one of those.
    pub knocking: VecDeque<Weak<Endpoint>>,
    /// How many more than one may be pending.
    pub backlog: usize,
    /// Its options.
    pub options: Options,
}

impl State {
    /// What its buffer for sending adds to the bytes that may be on their way.
    pub fn send_share(&self) -> usize {
        self.options.send_buffer.map_or(SHARE, |bytes| bytes as usize)
    }

    /// Bytes that may wait here, if the sender's buffer adds this much.
    pub fn capacity(&self, send_share: usize) -> usize {
        send_share + self.options.receive_buffer.map_or(SHARE, |bytes| bytes as usize)
    }

    /// Whether it is worth sending to it: a third of the room is free.
    pub fn takes_more(&self, send_share: usize) -> bool {
        self.dead || self.incoming.len() <= self.capacity(send_share) / 3 * 2
    }

    /// Both sides have ended the connection.
    pub fn is_over(&self) -> bool {
        self.phase == Phase::Closed || (self.ended && self.shut & shut::SEND != 0)
    }

    /// As it is after a connection was broken off.
    fn break_off(&mut self, error: Errno) {
        self.phase = Phase::Closed;
        self.error = Some(error);
        self.shut = shut::BOTH;
    }
}

impl Endpoint {
    /// A new socket.
    pub fn new(family: Family) -> Arc<Self> {
        let state = State {
            phase: Phase::Closed,
            local: None,
            holds_port: false,
            remote: None,
            peer: None,
            incoming: ByteQueue::default(),
            shut: 0,
            ended: false,
            error: None,
            unannounced: false,
            dead: false,
            pending: VecDeque::new(),
            knocking: VecDeque::new(),
            backlog: 0,
            options: Options::default(),
        };
        let uid = platform().caller().fsuid;
        Arc::new(Self { family, uid, queue: WaitQueue::new(), state: Mutex::new(state) })
    }

    /// What `poll(2)` says.
    pub fn events(&self) -> Events {
        let state = self.state.lock();
        let mut events = Events::empty();
        events.set(Events::ERR, state.error.is_some());
        if state.phase == Phase::Listening {
            events.set(Events::IN | Events::RDNORM, !state.pending.is_empty());
            return events;
        }
        let ended = state.shut & shut::RECEIVE != 0;
        events.set(Events::HUP, state.shut == shut::BOTH || state.phase == Phase::Closed);
        events.set(Events::RDHUP, ended);
        events.set(Events::IN | Events::RDNORM, ended || state.incoming.len() > 0);
        let peer = match state.phase {
            Phase::Connecting => return events,
            _ if state.shut & shut::SEND != 0 => None,
            _ => state.peer.clone(),
        };
        let share = state.send_share();
        drop(state);
        let writable = peer.is_none_or(|peer| peer.state.lock().takes_more(share));
        events.set(Events::OUT | Events::WRNORM, writable);
        events
    }

    /// The owner has closed it: its peer hears of that, and who was not accepted yet.
    pub fn close(self: &Arc<Self>) {
        let (peer, breaks, pending, knocking) = {
            let mut state = self.state.lock();
            let loses = state.incoming.len() > 0 || state.options.generic.lingers_not();
            let breaks = loses && !state.is_over();
            state.dead = true;
            state.phase = Phase::Closed;
            state.incoming.clear();
            let pending = core::mem::take(&mut state.pending);
            (state.peer.take(), breaks, pending, core::mem::take(&mut state.knocking))
        };
        self.give_port_back();
        if let Some(peer) = peer {
            if breaks { peer.reset() } else { peer.end() }
        }
        turn_away(pending, knocking);
    }

    /// Stops listening, or takes a connection back: the socket is as new, but has the address that it was bound to.
    pub fn disconnect(self: &Arc<Self>) {
        let (peer, pending, knocking) = {
            let mut state = self.state.lock();
            state.phase = Phase::Closed;
            state.remote = None;
            state.shut = 0;
            state.ended = false;
            state.error = None;
            state.incoming.clear();
            let pending = core::mem::take(&mut state.pending);
            (state.peer.take(), pending, core::mem::take(&mut state.knocking))
        };
        if let Some(peer) = peer {
            peer.reset();
        }
        turn_away(pending, knocking);
        self.queue.wake(Events::all());
    }

    fn give_port_back(&self) {
        let port = {
            let mut state = self.state.lock();
            core::mem::take(&mut state.holds_port).then_some(state.local).flatten()
        };
        if let Some(local) = port {
            PORTS.leave(self, local.port);
        }
    }

    /// The peer sends no more (FIN).
    pub fn end(&self) {
        {
            let mut state = self.state.lock();
            state.ended = true;
            state.shut |= shut::RECEIVE;
        }
        self.queue.wake(Events::all());
    }

    /// The connection is broken off (RST), or was not made.
    pub fn reset(&self) {
        let peer = {
            let mut state = self.state.lock();
            let error = match (state.phase, state.ended) {
                (Phase::Connecting, _) => Errno::ECONNREFUSED,
                (_, true) => Errno::EPIPE,
                (_, false) => Errno::ECONNRESET,
            };
            state.break_off(error);
            state.peer.take()
        };
        drop(peer);
        self.queue.wake(Events::all());
    }

    /// Nobody takes connections where it wanted to.
    pub fn refuse(&self) {
        self.state.lock().break_off(Errno::ECONNREFUSED);
        self.queue.wake(Events::all());
    }
}

/// Those who a listener did not live to accept.
fn turn_away(pending: VecDeque<Arc<Endpoint>>, knocking: VecDeque<Weak<Endpoint>>) {
    for connection in pending {
        let peer = {
            let mut state = connection.state.lock();
            state.dead = true;
            state.peer.take()
        };
        if let Some(peer) = peer {
            peer.reset();
        }
    }
    for client in knocking.iter().filter_map(Weak::upgrade) {
        client.refuse();
    }
}

impl Bound for Endpoint {
    fn claim(&self) -> Claim {
        let state = self.state.lock();
        Claim {
            ip: state.local.map_or(self.family.any(), |local| local.ip),
            v6_only: state.options.v6_only(),
            reuse_address: state.options.reuse_address(),
            reuse_port: state.options.reuse_port(),
            listening: state.phase == Phase::Listening,
            uid: self.uid,
        }
    }
}
