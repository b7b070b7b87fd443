//! Names and connections: `bind`, `listen`, `connect`, `accept`.

use super::address::{Address, Given};
use super::endpoint::{Endpoint, Phase, caller_credentials, shut};
use super::names;
use crate::socket::Kind;
use alloc::sync::Arc;
use ampoule_kbase::{Errno, Events, Result};

/// The most pending connections (`/proc/sys/net/core/somaxconn`).
const MAX_BACKLOG: usize = 4096;

/// `bind(2)`.
pub fn bind(socket: &Arc<Endpoint>, given: Given) -> Result<()> {
    let bound = socket.state.lock().address.is_some();
    let address = match given {
        Given::Unnamed => return bind_automatically(socket),
        given => given.name()?,
    };
    if bound {
        return Err(Errno::EINVAL);
    }
    names::bind(&address, socket)?;
    socket.state.lock().address = Some(Arc::new(address));
    Ok(())
}

fn bind_automatically(socket: &Arc<Endpoint>) -> Result<()> {
    if socket.state.lock().address.is_none() {
        let address = names::bind_automatically(socket)?;
        socket.state.lock().address = Some(Arc::new(address));
    }
    Ok(())
}

/// Who passes credentials needs a name for them to come from.
pub fn name_if_credentials_pass(socket: &Arc<Endpoint>) -> Result<()> {
    if socket.state.lock().pass_credentials { bind_automatically(socket) } else { Ok(()) }
}

/// `listen(2)`.
pub fn listen(socket: &Arc<Endpoint>, backlog: i32) -> Result<()> {
    if socket.kind == Kind::Datagram {
        return Err(Errno::EOPNOTSUPP);
    }
    {
        let mut state = socket.state.lock();
        if state.address.is_none() || state.phase == Phase::Established {
            return Err(Errno::EINVAL);
        }
        state.phase = Phase::Listening;
        state.backlog = usize::try_from(backlog).unwrap_or(MAX_BACKLOG).min(MAX_BACKLOG);
        state.peer_credentials = Some(caller_credentials());
    }
    socket.unblock();
    Ok(())
}

/// `accept(2)`: the connection that has waited longest.
pub fn accept(socket: &Arc<Endpoint>) -> Result<Arc<Endpoint>> {
    if socket.kind == Kind::Datagram {
        return Err(Errno::EOPNOTSUPP);
    }
    let accepted = {
        let mut state = socket.state.lock();
        if state.phase != Phase::Listening {
            return Err(Errno::EINVAL);
        }
        let ended = state.shut & shut::RECEIVE != 0;
        state.pending.pop_front().ok_or(if ended { Errno::EINVAL } else { Errno::EAGAIN })?
    };
    socket.unblock();
    Ok(accepted)
}

/// `connect(2)`. `EAGAIN`: a listener's backlog is full; the wait queue is woken when it may not be any more.
pub fn connect(socket: &Arc<Endpoint>, given: Given) -> Result<()> {
    match (socket.kind, given) {
        (Kind::Datagram, Given::Unspecified) => {
            set_datagram_peer(socket, None);
            Ok(())
        }
        (Kind::Datagram, given) => {
            let address = given.name()?;
            name_if_credentials_pass(socket)?;
            let other = names::find(&address, socket.kind)?;
            if !may_send(socket, &other) {
                return Err(Errno::EPERM);
            }
            set_datagram_peer(socket, Some(other));
            Ok(())
        }
        (_, given) => {
            let address = given.name()?;
            name_if_credentials_pass(socket)?;
            connect_to_listener(socket, &address)
        }
    }
}

/// A datagram socket with a peer takes messages from that one only.
pub fn may_send(from: &Arc<Endpoint>, to: &Arc<Endpoint>) -> bool {
    to.state.lock().peer.as_ref().is_none_or(|peer| Arc::ptr_eq(peer, from))
}

fn set_datagram_peer(socket: &Arc<Endpoint>, peer: Option<Arc<Endpoint>>) {
    let old = {
        let mut state = socket.state.lock();
        state.phase = if peer.is_some() { Phase::Established } else { Phase::Closed };
        core::mem::replace(&mut state.peer, peer.clone())
    };
    let Some(old) = old else { return };
    if !peer.is_some_and(|peer| Arc::ptr_eq(&peer, &old)) {
        disconnected(socket, &old);
    }
}

/// Messages of a former peer are lost, and it hears of that if it is connected to this side.
pub fn disconnected(socket: &Arc<Endpoint>, old: &Arc<Endpoint>) {
    let mut refunds = alloc::vec::Vec::new();
    let lost = {
        let mut state = socket.state.lock();
        if state.inbox.is_empty() {
            return;
        }
        state.inbox.clear(&mut refunds)
    };
    Endpoint::refund(refunds);
    socket.unblock();
    drop(lost);
    let told = {
        let mut state = old.state.lock();
        let mutual = !state.dead && state.peer.as_ref().is_some_and(|peer| Arc::ptr_eq(peer, socket));
        if mutual {
            state.error = Some(Errno::ECONNRESET);
        }
        mutual
    };
    if told {
        old.queue.wake(Events::ERR);
    }
}

fn connect_to_listener(socket: &Arc<Endpoint>, address: &Address) -> Result<()> {
    let listener = names::find(address, socket.kind)?;
    let full = {
        let state = listener.state.lock();
        if state.phase != Phase::Listening || state.shut & shut::RECEIVE != 0 {
            return Err(Errno::ECONNREFUSED);
        }
        state.pending.len() > state.backlog
    };
    if full {
        listener.block(socket);
        return Err(Errno::EAGAIN);
    }
    let phase = socket.state.lock().phase;
    match phase {
        Phase::Closed => {}
        Phase::Established => return Err(Errno::EISCONN),
        Phase::Listening => return Err(Errno::EINVAL),
    }
    let connection = Endpoint::new(socket.kind);
    {
        let mut new = connection.state.lock();
        let listening = listener.state.lock();
        new.address = listening.address.clone();
        new.pass_credentials = listening.pass_credentials;
    }
    let listener_credentials = listener.state.lock().peer_credentials;
    establish(&connection, socket, Some(caller_credentials()));
    establish(socket, &connection, listener_credentials);
    listener.state.lock().pending.push_back(connection);
    listener.queue.wake(Events::IN | Events::RDNORM);
    Ok(())
}

fn establish(
    socket: &Arc<Endpoint>,
    peer: &Arc<Endpoint>,
    peer_credentials: Option<super::inbox::Credentials>,
) {
    let mut state = socket.state.lock();
    state.phase = Phase::Established;
    state.peer = Some(peer.clone());
    state.peer_credentials = peer_credentials;
}

/// `socketpair(2)`.
pub fn pair(kind: Kind) -> (Arc<Endpoint>, Arc<Endpoint>) {
    let (one, other) = (Endpoint::new(kind), Endpoint::new(kind));
    establish(&one, &other, Some(caller_credentials()));
    establish(&other, &one, Some(caller_credentials()));
    (one, other)
}
