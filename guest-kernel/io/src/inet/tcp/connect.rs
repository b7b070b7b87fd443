//! Addresses and connections: `bind`, `listen`, `connect`, `accept`.

use super::PORTS;
use super::endpoint::{Endpoint, Phase, shut};
use crate::inet::address::{Address, Given, is_local, route};
use crate::inet::ports::{Bound, Claim, rank};
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use ampoule_kbase::{Errno, Events, Result};
use core::net::IpAddr;

/// The most pending connections (`/proc/sys/net/core/somaxconn`).
const MAX_BACKLOG: usize = 4096;

/// `bind(2)`.
pub fn bind(socket: &Arc<Endpoint>, given: Given) -> Result<()> {
    let wanted = given.address()?;
    if !is_local(wanted.ip) {
        return Err(Errno::EADDRNOTAVAIL);
    }
    let claim = Claim { ip: wanted.ip, ..socket.claim() };
    let taken = {
        let state = socket.state.lock();
        state.phase != Phase::Closed || state.local.is_some()
    };
    if taken {
        return Err(Errno::EINVAL);
    }
    take_port(socket, &claim, wanted.port)
}

/// Gives a socket an address, with a port of its own choice if `port` is 0.
fn take_port(socket: &Arc<Endpoint>, claim: &Claim, port: u16) -> Result<()> {
    let port = PORTS.take(socket, claim, port)?;
    let mut state = socket.state.lock();
    state.local = Some(Address { ip: claim.ip, port });
    state.holds_port = true;
    Ok(())
}

/// `listen(2)`.
pub fn listen(socket: &Arc<Endpoint>, backlog: i32) -> Result<()> {
    let (phase, local) = {
        let state = socket.state.lock();
        (state.phase, state.local)
    };
    match phase {
        Phase::Closed | Phase::Listening => {}
        Phase::Connecting | Phase::Connected => return Err(Errno::EINVAL),
    }
    let claim = Claim { listening: true, ..socket.claim() };
    match local {
        None => take_port(socket, &claim, 0)?,
        Some(local) if !PORTS.may_have(socket, &claim, local.port) => return Err(Errno::EADDRINUSE),
        Some(_) => {}
    }
    let mut state = socket.state.lock();
    state.phase = Phase::Listening;
    state.shut = 0;
    // More than can be counted is as much as there may be.
    state.backlog = usize::try_from(backlog).unwrap_or(MAX_BACKLOG).min(MAX_BACKLOG);
    Ok(())
}

/// `accept(2)`: the connection that has waited longest.
pub fn accept(socket: &Arc<Endpoint>) -> Result<Arc<Endpoint>> {
    let (accepted, next) = {
        let mut state = socket.state.lock();
        if state.phase != Phase::Listening {
            return Err(Errno::EINVAL);
        }
        let accepted = state.pending.pop_front().ok_or(Errno::EAGAIN)?;
        let next = loop {
            match state.knocking.pop_front().as_ref().map(Weak::upgrade) {
                // Who was closed meanwhile.
                Some(None) => {}
                Some(Some(client)) => break Some(client),
                None => break None,
            }
        };
        (accepted, next)
    };
    if let Some(client) = next {
        let still = client.state.lock().phase == Phase::Connecting;
        if still {
            establish(&client, socket);
        }
    }
    Ok(accepted)
}

/// `connect(2)`. A connection that was made, or refused, is told as one that takes time: who waits finds at once that
/// it is over.
pub fn connect(socket: &Arc<Endpoint>, given: Given) -> Result<()> {
    let Given::Address(wanted) = given else {
        socket.disconnect();
        return Ok(());
    };
    if let Attempt::Told = attempt(socket)? {
        return Ok(());
    }
    let (to, natural) = route(wanted.ip)?;
    if to.is_ipv4() && socket.claim().v6_only {
        return Err(Errno::ENETUNREACH);
    }
    let from = choose_source(socket, to, natural)?;
    {
        let mut state = socket.state.lock();
        state.local = Some(from);
        state.remote = Some(Address { ip: to, port: wanted.port });
        (state.shut, state.ended, state.error) = (0, false, None);
    }
    match find_listener(Address { ip: to, port: wanted.port }, from.port) {
        None => socket.refuse(),
        Some(listener) if is_full(&listener) => {
            socket.state.lock().phase = Phase::Connecting;
            listener.state.lock().knocking.push_back(Arc::downgrade(socket));
        }
        Some(listener) => establish(socket, &listener),
    }
    Err(Errno::EINPROGRESS)
}

/// What a call of `connect(2)` is about.
enum Attempt {
    /// A connection that is to be made.
    New,
    /// One that was made, whose owner did not wait for it, and asks whether it is there.
    Told,
}

fn attempt(socket: &Endpoint) -> Result<Attempt> {
    let mut state = socket.state.lock();
    let unannounced = core::mem::take(&mut state.unannounced);
    match state.phase {
        Phase::Connected if unannounced => Ok(Attempt::Told),
        Phase::Connected | Phase::Listening => Err(Errno::EISCONN),
        Phase::Connecting => Err(Errno::EALREADY),
        // How the attempt before this one went.
        Phase::Closed => state.error.take().map_or(Ok(Attempt::New), Err),
    }
}

/// The address that a connection comes from: what the socket is bound to, as far as it is, else what is natural.
fn choose_source(socket: &Arc<Endpoint>, to: IpAddr, natural: IpAddr) -> Result<Address> {
    let claim = socket.claim();
    let bound = socket.state.lock().local;
    if bound.is_none() {
        take_port(socket, &Claim { ip: natural, ..claim }, 0)?;
    }
    let local = socket.state.lock().local.ok_or(Errno::EADDRNOTAVAIL)?;
    local.as_source(to, natural)
}

/// Who takes connections at an address. Those who share a port share them by the client's port.
fn find_listener(to: Address, client_port: u16) -> Option<Arc<Endpoint>> {
    let ranked = |socket: &Arc<Endpoint>| {
        let claim = socket.claim();
        rank(&claim, to.ip).filter(|_| claim.listening)
    };
    let all: Vec<_> =
        PORTS.at(to.port).into_iter().filter_map(|socket| Some((ranked(&socket)?, socket))).collect();
    let best = all.iter().map(|(rank, _)| *rank).max()?;
    let mut best: Vec<_> =
        all.into_iter().filter(|(rank, _)| *rank == best).map(|(_, socket)| socket).collect();
    let at = usize::from(client_port) % best.len();
    Some(best.swap_remove(at))
}

fn is_full(listener: &Endpoint) -> bool {
    let state = listener.state.lock();
    state.pending.len() > state.backlog
}

/// Connects a client, and leaves its peer with the listener.
fn establish(client: &Arc<Endpoint>, listener: &Arc<Endpoint>) {
    let connection = Endpoint::new(listener.family);
    let (local, remote) = {
        let mut state = client.state.lock();
        state.phase = Phase::Connected;
        state.peer = Some(connection.clone());
        state.unannounced = true;
        (state.remote, state.local)
    };
    let options = listener.state.lock().options.clone();
    {
        let mut state = connection.state.lock();
        state.phase = Phase::Connected;
        (state.local, state.remote) = (local, remote);
        state.peer = Some(client.clone());
        state.options = options;
    }
    listener.state.lock().pending.push_back(connection);
    listener.queue.wake(Events::IN | Events::RDNORM);
    client.queue.wake(Events::OUT | Events::WRNORM);
}

/// `shutdown(2)`.
pub fn shut_down(socket: &Arc<Endpoint>, how: u32) -> Result<()> {
    if how > 2 {
        return Err(Errno::EINVAL);
    }
    let what = how + 1;
    let (phase, over, peer) = {
        let state = socket.state.lock();
        (state.phase, state.is_over(), state.peer.clone())
    };
    match phase {
        Phase::Listening if what & shut::RECEIVE == 0 => return Ok(()),
        Phase::Listening | Phase::Connecting => {
            socket.disconnect();
            return Ok(());
        }
        _ if over => return Err(Errno::ENOTCONN),
        Phase::Closed | Phase::Connected => {}
    }
    let sent_before = {
        let mut state = socket.state.lock();
        let before = state.shut & shut::SEND != 0;
        state.shut |= what;
        before
    };
    if what & shut::SEND != 0
        && !sent_before
        && let Some(peer) = peer
    {
        peer.end();
    }
    socket.queue.wake(Events::all());
    Ok(())
}
