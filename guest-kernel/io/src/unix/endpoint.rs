//! The inside of a socket: what its peer, its name and messages on their way may still refer to when the socket itself
//! is closed.
//!
//! Locks: one socket's state at a time. Wait queues are woken, and descriptors dropped, with no state locked.

use super::address::Address;
use super::inbox::{Credentials, Inbox, Refund};
use super::names;
use super::passed::{self, Passed};
use crate::options::Settings;
use crate::socket::Kind;
use alloc::collections::VecDeque;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use ampoule_kbase::{Errno, Events, Mutex, OpenFile, WaitQueue, platform};
use core::sync::atomic::{AtomicUsize, Ordering};

/// `SO_SNDBUF` and `SO_RCVBUF` of a new socket (`/proc/sys/net/core/wmem_default`).
pub const DEFAULT_BUFFER: usize = 212_992;
/// Messages that a datagram socket takes before its senders have to wait (`/proc/sys/net/unix/max_dgram_qlen`).
pub const DATAGRAM_BACKLOG: usize = 10;

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
    /// Not connected.
    Closed,
    /// Takes connections.
    Listening,
    /// Connected, now or once.
    Established,
}

/// A socket.
pub struct Endpoint {
    /// What it carries.
    pub kind: Kind,
    /// Who waits for it.
    pub queue: WaitQueue,
    /// Bytes that it has sent and that nobody has received yet, with overhead.
    pub sent: AtomicUsize,
    /// The rest.
    pub state: Mutex<State>,
}

/// The changeable part.
pub struct State {
    /// Where it is in its life.
    pub phase: Phase,
    /// Its name.
    pub address: Option<Arc<Address>>,
    /// The other side.
    pub peer: Option<Arc<Endpoint>>,
    /// `SO_PEERCRED`.
    pub peer_credentials: Option<Credentials>,
    /// `SO_PASSCRED`.
    pub pass_credentials: bool,
    /// What is over: [`shut`].
    pub shut: u32,
    /// `SO_ERROR`.
    pub error: Option<Errno>,
    /// Closed by its owner.
    pub dead: bool,
    /// What it was sent.
    pub inbox: Inbox,
    /// Connections that nobody has accepted yet, of a listener.
    pub pending: VecDeque<Arc<Endpoint>>,
    /// How many more than one there may be; for datagrams, messages.
    pub backlog: usize,
    /// Who waits for room in the inbox or among the pending connections.
    pub blocked: Vec<Weak<Endpoint>>,
    /// `SO_SNDBUF`.
    pub send_buffer: usize,
    /// `SO_RCVBUF`: only a number, since a message occupies its sender's buffer.
    pub receive_buffer: usize,
    /// Other options.
    pub settings: Settings,
}

/// The credentials of the caller, as `SO_PEERCRED` shows them.
pub fn caller_credentials() -> Credentials {
    let caller = platform().caller();
    (caller.pid, caller.fsuid, caller.fsgid)
}

impl Endpoint {
    /// A new socket.
    pub fn new(kind: Kind) -> Arc<Self> {
        let state = State {
            phase: Phase::Closed,
            address: None,
            peer: None,
            peer_credentials: None,
            pass_credentials: false,
            shut: 0,
            error: None,
            dead: false,
            inbox: Inbox::default(),
            pending: VecDeque::new(),
            backlog: DATAGRAM_BACKLOG,
            blocked: Vec::new(),
            send_buffer: DEFAULT_BUFFER,
            receive_buffer: DEFAULT_BUFFER,
            settings: Settings::default(),
        };
        Arc::new(Self { kind, queue: WaitQueue::new(), sent: AtomicUsize::new(0), state: Mutex::new(state) })
    }

    /// Bytes on their way.
    pub fn in_flight(&self) -> usize {
        self.sent.load(Ordering::Relaxed)
    }

    /// Whether it is worth writing: at most a quarter of the buffer is in use.
    fn is_writable(&self, send_buffer: usize) -> bool {
        self.in_flight() * 4 <= send_buffer
    }

    /// Gives senders back what their messages occupied, and wakes those that may go on.
    pub fn refund(refunds: impl IntoIterator<Item = Refund>) {
        for (sender, amount) in refunds {
            let send_buffer = sender.state.lock().send_buffer;
            let could = sender.is_writable(send_buffer);
            sender.sent.fetch_sub(amount, Ordering::Relaxed);
            if !could && sender.is_writable(send_buffer) {
                sender.queue.wake(Events::OUT | Events::WRNORM);
            }
        }
    }

    /// Wakes those who waited for room here.
    pub fn unblock(&self) {
        let blocked = core::mem::take(&mut self.state.lock().blocked);
        for other in blocked.iter().filter_map(Weak::upgrade) {
            other.queue.wake(Events::OUT | Events::WRNORM);
        }
    }

    /// Notes that `other` waits for room here.
    pub fn block(&self, other: &Arc<Self>) {
        let mut state = self.state.lock();
        state.blocked.retain(|known| known.strong_count() > 0 && known.as_ptr() != Arc::as_ptr(other));
        state.blocked.push(Arc::downgrade(other));
    }

    /// More datagrams wait than should, for those who are not its peer.
    pub fn is_full_for(&self, sender: &Arc<Self>) -> bool {
        let state = self.state.lock();
        let mutual = state.peer.as_ref().is_some_and(|peer| Arc::ptr_eq(peer, sender));
        !mutual && !core::ptr::eq(self, &raw const **sender) && state.inbox.messages() > state.backlog
    }

    /// What `poll(2)` says.
    pub fn events(self: &Arc<Self>) -> Events {
        let (mut events, peer) = {
            let state = self.state.lock();
            let mut events = Events::empty();
            let readable = !state.inbox.is_empty() || !state.pending.is_empty();
            let ended = state.shut & shut::RECEIVE != 0;
            let connects = self.kind != Kind::Datagram;
            events.set(Events::IN | Events::RDNORM, readable || ended);
            events.set(Events::RDHUP, ended);
            events.set(Events::ERR, state.error.is_some());
            let closed = connects && state.phase == Phase::Closed;
            events.set(Events::HUP, state.shut == shut::BOTH || closed);
            let writable = self.is_writable(state.send_buffer) && state.phase != Phase::Listening;
            events.set(Events::OUT | Events::WRNORM, writable);
            (events, state.peer.clone().filter(|_| self.kind == Kind::Datagram))
        };
        if let Some(peer) = peer
            && events.contains(Events::OUT)
            && peer.is_full_for(self)
        {
            peer.block(self);
            events.remove(Events::OUT | Events::WRNORM);
        }
        events
    }

    /// The descriptors that wait here, and in connections that nobody has accepted.
    pub fn each_passed(&self, each: &mut dyn FnMut(&Arc<OpenFile>)) {
        let state = self.state.lock();
        state.inbox.each_passed(each);
        for pending in &state.pending {
            pending.state.lock().inbox.each_passed(each);
        }
    }

    /// Takes those out.
    pub fn take_passed(&self) -> Vec<Passed> {
        let mut state = self.state.lock();
        let mut passed = state.inbox.take_passed();
        for pending in &state.pending {
            passed.extend(pending.state.lock().inbox.take_passed());
        }
        passed
    }

    /// The owner has closed it: its peer hears of it, its messages are lost.
    pub fn close(self: &Arc<Self>) {
        let mut refunds = Vec::new();
        let (peer, address, pending, lost, unread) = {
            let mut state = self.state.lock();
            state.dead = true;
            state.shut = shut::BOTH;
            // Linux does not count a single empty message.
            let unread = state.inbox.bytes() > 0 || state.inbox.messages() > 1;
            let lost = state.inbox.clear(&mut refunds);
            let pending = core::mem::take(&mut state.pending);
            (state.peer.take(), state.address.clone(), pending, lost, unread)
        };
        if let Some(address) = address {
            names::forget(&address, self);
        }
        if let Some(peer) = peer {
            self.part(&peer, unread);
        }
        for connection in pending {
            connection.abandon();
        }
        Self::refund(refunds);
        self.unblock();
        drop(lost);
        passed::collect_if_worthwhile();
    }

    /// A connection that its listener did not live to accept.
    fn abandon(self: &Arc<Self>) {
        // As if data had been lost, whether or not there was any.
        let mut refunds = Vec::new();
        let (peer, lost) = {
            let mut state = self.state.lock();
            state.dead = true;
            (state.peer.take(), state.inbox.clear(&mut refunds))
        };
        if let Some(peer) = peer {
            self.part(&peer, true);
        }
        Self::refund(refunds);
        drop(lost);
    }

    /// Tells the peer that this side is gone; `unread`: and with it what the peer had sent.
    fn part(self: &Arc<Self>, peer: &Arc<Self>, unread: bool) {
        if self.kind == Kind::Datagram {
            peer.queue.wake(Events::OUT | Events::WRNORM);
            return;
        }
        {
            let mut state = peer.state.lock();
            if !state.peer.as_ref().is_some_and(|other| Arc::ptr_eq(other, self)) {
                return;
            }
            state.shut = shut::BOTH;
            if unread {
                state.error = Some(Errno::ECONNRESET);
            }
        }
        peer.queue.wake(Events::all());
    }
}
