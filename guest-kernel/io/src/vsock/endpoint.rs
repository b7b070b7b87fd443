//! One side of a connection: its state, what it has received, and its credit.
//!
//! Credit is counted as the device specification has it: both sides know how much room the other has, from
//! `buf_alloc` (size of the buffer) and `fwd_cnt` (bytes taken out of it so far).

use super::address::Address;
use super::header::{Header, TYPE_STREAM, op, shut};
use crate::bytes::ByteQueue;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use ampoule_kbase::{Errno, Events, Mutex, TimerId, WaitQueue};

/// The receive buffer of a socket, unless an option says otherwise.
pub const DEFAULT_BUFFER: u32 = 256 << 10;

/// Where a socket is in its life.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Phase {
    /// Neither connected nor listening.
    Idle,
    /// Takes connections.
    Listening,
    /// Has asked for a connection.
    Connecting,
    /// Has one.
    Connected,
    /// Had one.
    Closed,
}

/// Packets without payload that are still to be sent.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Pending {
    /// `REQUEST`.
    pub request: bool,
    /// `RESPONSE`.
    pub response: bool,
    /// `CREDIT_UPDATE`.
    pub credit: bool,
    /// `SHUTDOWN`, with what is over.
    pub shutdown: bool,
    /// `RST`.
    pub reset: bool,
}

impl Pending {
    /// Nothing to send.
    pub fn is_empty(self) -> bool {
        self == Self::default()
    }

    /// The next packet to send, in the order that keeps their meaning.
    pub fn next(&mut self) -> Option<u16> {
        let in_order = [
            (&mut self.request, op::REQUEST),
            (&mut self.response, op::RESPONSE),
            (&mut self.credit, op::CREDIT_UPDATE),
            (&mut self.shutdown, op::SHUTDOWN),
            (&mut self.reset, op::RST),
        ];
        in_order.into_iter().find_map(|(flag, op)| core::mem::take(flag).then_some(op))
    }

    /// Puts back what [`next`](Self::next) gave.
    pub fn put_back(&mut self, op: u16) {
        match op {
            op::REQUEST => self.request = true,
            op::RESPONSE => self.response = true,
            op::CREDIT_UPDATE => self.credit = true,
            op::SHUTDOWN => self.shutdown = true,
            _ => self.reset = true,
        }
    }
}

/// What the driver and the socket share.
pub struct Endpoint {
    /// Who waits for the socket.
    pub queue: WaitQueue,
    /// Taken after the driver's lock, where both are.
    pub state: Mutex<State>,
}

/// The state of an endpoint.
pub struct State {
    /// Where it is in its life.
    pub phase: Phase,
    /// The port, once it has one.
    pub port: Option<u32>,
    /// The other side.
    pub peer: Option<Address>,
    /// `SO_ERROR`.
    pub error: Option<Errno>,
    /// What has arrived.
    pub received: ByteQueue,
    /// What this side has shut down: [`shut`].
    pub shut: u32,
    /// What the peer has shut down.
    pub peer_shut: u32,
    /// Packets to send.
    pub pending: Pending,
    /// Connections nobody has accepted yet, of a listener.
    pub backlog: VecDeque<Arc<Endpoint>>,
    /// How many there may be.
    pub backlog_limit: usize,
    /// The socket is gone; the rest only waits for the peer's agreement.
    pub orphaned: bool,
    /// Wants to send this many bytes, but all memory for that is on its way.
    pub starved: Option<usize>,
    /// The connect or close timeout.
    pub timer: Option<TimerId>,
    /// Size of the receive buffer.
    pub buffer: u32,
    /// Bytes sent.
    pub sent: u32,
    /// The peer's `buf_alloc` and `fwd_cnt`.
    pub peer_buffer: u32,
    /// As above.
    pub peer_taken: u32,
    /// Bytes taken by this side's reader.
    pub taken: u32,
    /// What the peer was last told of that.
    pub taken_told: u32,
}

impl Endpoint {
    /// A new, idle one.
    pub fn new() -> Arc<Self> {
        let state = State {
            phase: Phase::Idle,
            port: None,
            peer: None,
            error: None,
            received: ByteQueue::default(),
            shut: 0,
            peer_shut: 0,
            pending: Pending::default(),
            backlog: VecDeque::new(),
            backlog_limit: 0,
            orphaned: false,
            starved: None,
            timer: None,
            buffer: DEFAULT_BUFFER,
            sent: 0,
            peer_buffer: 0,
            peer_taken: 0,
            taken: 0,
            taken_told: 0,
        };
        Arc::new(Self { queue: WaitQueue::new(), state: Mutex::new(state) })
    }
}

impl State {
    /// Bytes that the peer has room for.
    pub fn credit(&self) -> usize {
        self.peer_buffer.saturating_sub(self.sent.wrapping_sub(self.peer_taken)) as usize
    }

    /// Bytes that the peer may still send.
    fn window(&self) -> usize {
        (self.buffer as usize).saturating_sub(self.received.len())
    }

    /// Learns the peer's credit from any of its packets.
    pub fn learn_credit(&mut self, header: &Header) {
        (self.peer_buffer, self.peer_taken) = (header.buf_alloc, header.fwd_cnt);
    }

    /// Counts bytes that the reader has taken. The peer hears of it in steps of a quarter of the buffer, which keeps
    /// packets few and still gets a peer going that sees no room: once all is read, a whole buffer is untold.
    pub fn count_taken(&mut self, bytes: usize) {
        self.taken = self.taken.wrapping_add(bytes as u32);
        let untold = self.taken.wrapping_sub(self.taken_told);
        if untold >= self.buffer.div_ceil(4) && self.phase == Phase::Connected {
            self.pending.credit = true;
        }
    }

    /// A packet of this connection.
    pub fn header(&mut self, local_cid: u32, op: u16, len: usize) -> Option<Header> {
        let peer = self.peer?;
        self.taken_told = self.taken;
        Some(Header {
            src_cid: local_cid.into(),
            dst_cid: peer.cid.into(),
            src_port: self.port?,
            dst_port: peer.port,
            len: len as u32,
            kind: TYPE_STREAM,
            op,
            flags: if op == op::SHUTDOWN { self.shut } else { 0 },
            buf_alloc: self.buffer,
            fwd_cnt: self.taken,
        })
    }

    /// Takes data in; false if the peer had no right to send it, or there is no memory for it.
    #[must_use]
    pub fn take_in(&mut self, payload: &[u8]) -> bool {
        payload.len() <= self.window() && self.received.push(payload).is_ok()
    }

    /// The connection is over; what has arrived can still be read.
    pub fn close(&mut self, error: Option<Errno>) {
        self.phase = Phase::Closed;
        self.peer_shut = shut::BOTH;
        self.error = error.or(self.error);
        self.pending = Pending::default();
    }

    /// Nothing more will come than what is there.
    pub fn at_end(&self) -> bool {
        self.peer_shut & shut::SEND != 0 || self.shut & shut::RECEIVE != 0
    }

    /// What `poll(2)` says.
    pub fn events(&self) -> Events {
        let mut events = Events::empty();
        let readable = match self.phase {
            Phase::Listening => !self.backlog.is_empty(),
            _ => self.received.len() > 0 || self.at_end(),
        };
        events.set(Events::IN | Events::RDNORM, readable);
        events.set(Events::ERR, self.error.is_some());
        events.set(Events::RDHUP, self.at_end());
        let both_stopped = self.shut & self.peer_shut & shut::SEND != 0;
        events.set(Events::HUP, self.shut == shut::BOTH || both_stopped);
        let writable = match self.phase {
            Phase::Connected => self.credit() > 0 && self.starved.is_none(),
            Phase::Idle | Phase::Closed => true,
            Phase::Listening | Phase::Connecting => false,
        };
        events.set(Events::OUT | Events::WRNORM, writable && self.shut & shut::SEND == 0);
        events
    }
}
