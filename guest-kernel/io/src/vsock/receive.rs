//! What to do with packets that arrive.

use super::address::Address;
use super::driver::{Inner, REFUSALS};
use super::endpoint::{Endpoint, Phase, State};
use super::header::{Header, TYPE_STREAM, op, shut};
use super::transport::Incoming;
use alloc::sync::{Arc, Weak};
use ampoule_kbase::{Errno, Events, platform};

impl Inner {
    /// Takes in what has arrived, and finds out what has been sent.
    pub(super) fn process(&mut self) {
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

    pub(super) fn dispatch(&mut self, header: &Header, payload: &[u8]) {
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
    pub(super) fn refuse(&mut self, header: &Header) {
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
    pub(super) fn welcome(&mut self, listener: &Arc<Endpoint>, peer: Address, header: &Header) {
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
    pub(super) fn deliver(&mut self, endpoint: &Arc<Endpoint>, header: &Header, payload: &[u8]) {
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
