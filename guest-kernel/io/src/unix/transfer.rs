//! Sending and receiving.

use super::address::{Given, to_raw};
use super::connect::{disconnected, may_send, name_if_credentials_pass};
use super::endpoint::{Endpoint, Phase, State, shut};
use super::inbox::{Credentials, Refund, Segment};
use super::names;
use super::passed::Passed;
use crate::socket::Kind;
use alloc::sync::Arc;
use ampoule_kbase::{Ancillary, Errno, Events, Received, Result, Sink, SocketAddress, Source, platform};
use core::sync::atomic::Ordering;

/// What is shown as the sender of a message that came without credentials.
const NOBODY: Credentials = (0, 65534, 65534);

/// Who is said to have sent a message: what the caller claims, which has to be true, or what it is.
fn credentials(claimed: Option<Credentials>, wanted: bool) -> Result<Option<Credentials>> {
    let caller = platform().caller();
    let Some((pid, uid, gid)) = claimed else {
        return Ok(wanted.then_some((caller.pid, caller.uid, caller.gid)));
    };
    let privileged = caller.fsuid == 0;
    let own_user = uid == caller.uid || uid == caller.fsuid;
    let own_group = gid == caller.gid || gid == caller.fsgid;
    if privileged || (pid == caller.pid && own_user && own_group) {
        Ok(Some((pid, uid, gid)))
    } else {
        Err(Errno::EPERM)
    }
}

/// A message without its bytes.
fn envelope(socket: &Arc<Endpoint>, peer: &Endpoint, ancillary: Ancillary) -> Result<Segment> {
    let mine = socket.state.lock().pass_credentials;
    let wanted = mine || peer.state.lock().pass_credentials;
    Ok(Segment {
        len: 0,
        credentials: credentials(ancillary.credentials, wanted)?,
        passed: Passed::new(ancillary.files)?,
        sender: socket.clone(),
    })
}

/// Sends part of a stream; `EPIPE` without a signal.
pub fn send_stream(
    socket: &Arc<Endpoint>,
    source: &mut dyn Source,
    to: Option<&SocketAddress>,
    ancillary: Ancillary,
) -> Result<usize> {
    let (peer, ended, room) = {
        let state = socket.state.lock();
        if to.is_some() {
            let connected = state.phase == Phase::Established;
            return Err(if connected { Errno::EISCONN } else { Errno::EOPNOTSUPP });
        }
        let peer = state.peer.clone().ok_or(Errno::ENOTCONN)?;
        let room = state.send_buffer.saturating_sub(socket.in_flight());
        (peer, state.shut & shut::SEND != 0, room)
    };
    let segment = envelope(socket, &peer, ancillary)?;
    if ended {
        return Err(Errno::EPIPE);
    }
    if source.remaining() == 0 {
        return Ok(0);
    }
    if let Some(error) = socket.state.lock().error.take() {
        return Err(error);
    }
    if room == 0 {
        return Err(Errno::EAGAIN);
    }
    let count = {
        let mut state = peer.state.lock();
        if state.dead || state.shut & shut::RECEIVE != 0 {
            return Err(Errno::EPIPE);
        }
        let count = state.inbox.fill(source, room)?;
        let cost = state.inbox.close_run(Segment { len: count, ..segment });
        socket.sent.fetch_add(cost, Ordering::Relaxed);
        count
    };
    peer.queue.wake(Events::IN | Events::RDNORM);
    Ok(count)
}

/// Sends one message. `EAGAIN`: no room in the own buffer or at the receiver's; the wait queue tells when there may be.
pub fn send_message(
    socket: &Arc<Endpoint>,
    source: &mut dyn Source,
    to: Option<&SocketAddress>,
    ancillary: Ancillary,
) -> Result<usize> {
    let to = match to {
        Some(to) if socket.kind == Kind::Datagram => Some(Given::parse(to)?.name()?),
        _ => None,
    };
    if socket.kind == Kind::SeqPacket {
        let mut state = socket.state.lock();
        if let Some(error) = state.error.take() {
            return Err(error);
        }
        if state.phase != Phase::Established {
            return Err(Errno::ENOTCONN);
        }
    }
    name_if_credentials_pass(socket)?;
    let len = source.remaining();
    may_send_message(socket, len)?;
    let peer = match to {
        Some(address) => names::find(&address, socket.kind)?,
        None => socket.state.lock().peer.clone().ok_or(Errno::ENOTCONN)?,
    };
    if socket.kind == Kind::Datagram && !may_send(socket, &peer) {
        return Err(Errno::EPERM);
    }
    let (dead, ended) = {
        let state = peer.state.lock();
        (state.dead, state.shut & shut::RECEIVE != 0)
    };
    if dead {
        return Err(lose_peer(socket, &peer));
    }
    if ended {
        return Err(Errno::EPIPE);
    }
    if peer.is_full_for(socket) {
        peer.block(socket);
        return Err(Errno::EAGAIN);
    }
    let message = envelope(socket, &peer, ancillary)?;
    let cost = {
        // An error drops the lock before the message with its descriptors.
        let mut state = peer.state.lock();
        let len = state.inbox.fill_all(source)?;
        state.inbox.close_message(Segment { len, ..message })
    };
    socket.sent.fetch_add(cost, Ordering::Relaxed);
    peer.queue.wake(Events::IN | Events::RDNORM);
    Ok(len)
}

/// Whether a message of this length may leave, whomever it is for.
fn may_send_message(socket: &Endpoint, len: usize) -> Result<()> {
    let mut state = socket.state.lock();
    if len > state.send_buffer.saturating_sub(32) {
        return Err(Errno::EMSGSIZE);
    }
    if let Some(error) = state.error.take() {
        return Err(error);
    }
    if state.shut & shut::SEND != 0 {
        return Err(Errno::EPIPE);
    }
    if socket.in_flight() >= state.send_buffer { Err(Errno::EAGAIN) } else { Ok(()) }
}

/// The peer of a datagram socket is gone.
fn lose_peer(socket: &Arc<Endpoint>, peer: &Arc<Endpoint>) -> Errno {
    if socket.kind == Kind::SeqPacket {
        return Errno::EPIPE;
    }
    {
        let mut state = socket.state.lock();
        state.peer = None;
        state.phase = Phase::Closed;
    }
    disconnected(socket, peer);
    Errno::ECONNREFUSED
}

/// Nothing to receive: an error, the end, or later.
fn nothing(state: &mut State) -> Result<Received> {
    match state.error.take() {
        Some(error) => Err(error),
        None if state.shut & shut::RECEIVE != 0 => Ok(Received::default()),
        None => Err(Errno::EAGAIN),
    }
}

fn shown_credentials(state: &State, of: Option<Credentials>) -> Option<Credentials> {
    state.pass_credentials.then(|| of.unwrap_or(NOBODY))
}

/// What was received, in the making: who sent it is looked up when the receiver's lock is free.
struct Taken {
    bytes: usize,
    full_length: usize,
    sender: Arc<Endpoint>,
    ancillary: Ancillary,
    refund: Option<Refund>,
}

impl Taken {
    fn finish(self) -> Received {
        let from = self.sender.state.lock().address.clone();
        Endpoint::refund(self.refund);
        Received {
            bytes: self.bytes,
            full_length: self.full_length,
            from: from.map(|address| to_raw(Some(&address))),
            ancillary: self.ancillary,
        }
    }
}

/// Receives from a stream.
pub fn receive_stream(socket: &Arc<Endpoint>, sink: &mut dyn Sink, peek: bool) -> Result<Received> {
    let taken = {
        let mut state = socket.state.lock();
        if state.phase != Phase::Established {
            return Err(Errno::EINVAL);
        }
        let Some(first) = state.inbox.first() else { return nothing(&mut state) };
        let sender = first.sender.clone();
        let credentials = shown_credentials(&state, first.credentials);
        let limit = state.inbox.stream_limit(sink.remaining(), state.pass_credentials);
        let bytes = state.inbox.peek(sink, limit)?;
        let (files, refund) = if peek {
            (state.inbox.peek_passed(bytes), None)
        } else {
            let (passed, refund) = state.inbox.consume(bytes);
            (passed.arrive(), refund)
        };
        Taken { bytes, full_length: bytes, sender, ancillary: Ancillary { files, credentials }, refund }
    };
    Ok(taken.finish())
}

/// Receives one message.
pub fn receive_message(socket: &Arc<Endpoint>, sink: &mut dyn Sink, peek: bool) -> Result<Received> {
    let taken = {
        let mut state = socket.state.lock();
        if socket.kind == Kind::SeqPacket && state.phase != Phase::Established {
            return Err(Errno::ENOTCONN);
        }
        if let Some(error) = state.error.take() {
            return Err(error);
        }
        let Some(first) = state.inbox.first() else { return nothing(&mut state) };
        let (full_length, sender) = (first.len, first.sender.clone());
        let credentials = shown_credentials(&state, first.credentials);
        let bytes = state.inbox.peek(sink, full_length)?;
        let (files, refund) = if peek {
            (state.inbox.first().map(|first| first.passed.files().to_vec()), None)
        } else {
            state.inbox.take_message().map(|(message, refund)| (message.passed.arrive(), refund)).unzip()
        };
        let ancillary = Ancillary { files: files.unwrap_or_default(), credentials };
        Taken { bytes, full_length, sender, ancillary, refund }
    };
    if !peek {
        socket.unblock();
    }
    Ok(taken.finish())
}

/// `shutdown(2)`: the peer of a connection sees the reverse.
pub fn shut_down(socket: &Arc<Endpoint>, how: u32) -> Result<()> {
    if how > 2 {
        return Err(Errno::EINVAL);
    }
    let what = how + 1;
    let peer = {
        let mut state = socket.state.lock();
        state.shut |= what;
        state.peer.clone().filter(|_| socket.kind != Kind::Datagram)
    };
    if let Some(peer) = peer {
        let mut reverse = 0;
        if what & shut::RECEIVE != 0 {
            reverse |= shut::SEND;
        }
        if what & shut::SEND != 0 {
            reverse |= shut::RECEIVE;
        }
        peer.state.lock().shut |= reverse;
        peer.queue.wake(Events::all());
    }
    socket.queue.wake(Events::all());
    socket.unblock();
    Ok(())
}
