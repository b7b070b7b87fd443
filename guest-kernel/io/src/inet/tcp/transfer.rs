//! Sending and receiving.

use super::endpoint::{Endpoint, Phase, shut};
use crate::inet::lose;
use alloc::sync::Arc;
use ampoule_kbase::{Errno, Events, Result, Sink, Source};

/// Sends as much as there is room for; `EPIPE` without a signal.
pub fn send(socket: &Arc<Endpoint>, source: &mut dyn Source) -> Result<usize> {
    let (peer, share) = {
        let mut state = socket.state.lock();
        if let Some(error) = state.error.take() {
            return Err(error);
        }
        match state.phase {
            Phase::Connecting => return Err(Errno::EAGAIN),
            Phase::Closed | Phase::Listening => return Err(Errno::EPIPE),
            Phase::Connected if state.shut & shut::SEND != 0 => return Err(Errno::EPIPE),
            Phase::Connected => (state.peer.clone().ok_or(Errno::EPIPE)?, state.send_share()),
        }
    };
    if source.remaining() == 0 {
        return Ok(0);
    }
    let count = {
        let mut state = peer.state.lock();
        if state.dead || state.shut == shut::BOTH {
            drop(state);
            return send_in_vain(socket, &peer, source);
        }
        match state.capacity(share).saturating_sub(state.incoming.len()) {
            0 => return Err(Errno::EAGAIN),
            room => state.incoming.fill(source, room)?,
        }
    };
    peer.queue.wake(Events::IN | Events::RDNORM);
    Ok(count)
}

/// What is sent to somebody who has closed both directions leaves, and what comes back breaks the connection off.
fn send_in_vain(socket: &Endpoint, peer: &Endpoint, source: &mut dyn Source) -> Result<usize> {
    let count = lose(source)?;
    socket.reset();
    peer.reset();
    Ok(count)
}

/// Receives what is there.
pub fn receive(socket: &Arc<Endpoint>, sink: &mut dyn Sink, peek: bool) -> Result<usize> {
    let (count, peer) = {
        let mut state = socket.state.lock();
        if state.phase == Phase::Listening {
            return Err(Errno::ENOTCONN);
        }
        if state.incoming.len() == 0 {
            let error = match (state.ended, state.error.take()) {
                // An error stays for who sends.
                (true, error) => {
                    state.error = error;
                    return Ok(0);
                }
                (false, Some(error)) => error,
                (false, None) if state.shut & shut::RECEIVE != 0 => return Ok(0),
                (false, None) if state.phase == Phase::Closed => Errno::ENOTCONN,
                (false, None) => Errno::EAGAIN,
            };
            return Err(error);
        }
        if peek {
            return state.incoming.peek(sink, usize::MAX);
        }
        (state.incoming.pop(sink)?, state.peer.clone())
    };
    if let Some(peer) = peer {
        tell_of_room(socket, &peer, count);
    }
    Ok(count)
}

/// Wakes who sends to `socket`, if it is worth it now, and was not before `count` bytes were taken.
fn tell_of_room(socket: &Endpoint, sender: &Endpoint, count: usize) {
    let share = sender.state.lock().send_share();
    let now_and_not_before = {
        let state = socket.state.lock();
        let enough = state.capacity(share) / 3 * 2;
        let waiting = state.incoming.len();
        waiting <= enough && waiting + count > enough
    };
    if now_and_not_before {
        sender.queue.wake(Events::OUT | Events::WRNORM);
    }
}
