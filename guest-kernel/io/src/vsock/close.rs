//! How connections end: by agreement, by timeout, or with the device.

use super::driver::{Inner, Key};
use super::endpoint::{Endpoint, Phase};
use super::header::shut;
use alloc::sync::Arc;
use alloc::vec::Vec;
use ampoule_kbase::{Errno, Events, TimerId, platform};

impl Inner {
    /// Takes a connection out of the table; packets that it still wants to send are sent.
    pub(super) fn forget(&mut self, key: Key) {
        if let Some(endpoint) = self.connections.remove(&key) {
            let timer = endpoint.state.lock().timer.take();
            timer.into_iter().for_each(|timer| platform().timer_cancel(timer));
        }
    }

    pub(super) fn reset_all(&mut self) {
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

    pub(super) fn timed_out(&mut self, endpoint: &Arc<Endpoint>, id: TimerId) {
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
    pub(super) fn release(&mut self, endpoint: &Arc<Endpoint>) -> bool {
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
    pub(super) fn abandon(&mut self, endpoint: &Arc<Endpoint>) {
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
}
