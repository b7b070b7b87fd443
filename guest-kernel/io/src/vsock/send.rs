//! What goes out: packets that are owed, and data.

use super::driver::Inner;
use super::endpoint::{Endpoint, State};
use super::header::op;
use super::transport::{Payload, Transport};
use alloc::sync::Arc;
use alloc::vec::Vec;
use ampoule_kbase::{Errno, Events, Result, Source};

/// Bytes still to be copied that are worth a notification of their own for what is ready.
const WORTH_STARTING: usize = 32 << 10;

impl Inner {
    /// Sends what is pending, as far as there is room. Interrupts of the transmit queue are on only while something
    /// waits for room.
    pub(super) fn flush(&mut self) {
        if self.busy.is_empty() && self.refusals.is_empty() {
            return;
        }
        let Ok(cid) = self.cid() else { return };
        let Some(mut transport) = self.transport.take() else { return };
        loop {
            self.send_all_pending(&mut transport, cid);
            let waiting = !self.busy.is_empty() || !self.refusals.is_empty();
            transport.set_tx_interrupts(waiting);
            // What the device finished before it saw the wish for interrupts would go unnoticed.
            if !waiting || transport.reclaim() == 0 {
                break;
            }
        }
        self.transport = Some(transport);
    }

    pub(super) fn send_all_pending(&mut self, transport: &mut Transport, cid: u32) {
        while let Some(header) = self.refusals.front() {
            if !transport.send(*header, None) {
                break;
            }
            self.refusals.pop_front();
        }
        let mut freed = Vec::new();
        self.busy.retain(|endpoint| {
            let mut state = endpoint.state.lock();
            let sent = send_pending(&mut state, transport, cid);
            if state.starved.take_if(|len| transport.has_room_for_payload(*len)).is_some() {
                freed.push(endpoint.clone());
            }
            !sent || state.starved.is_some()
        });
        for endpoint in freed {
            self.wake(&endpoint, Events::OUT | Events::WRNORM);
        }
    }

    /// Sends as much of `source` as credit and memory allow; `EAGAIN` if that is nothing.
    pub(super) fn send(&mut self, endpoint: &Arc<Endpoint>, source: &mut dyn Source) -> Result<usize> {
        let cid = self.cid()?;
        let mut transport = self.transport.take().ok_or(Errno::ENODEV)?;
        let mut state = endpoint.state.lock();
        let result = send_data(&mut state, &mut transport, cid, source);
        let starved = state.starved.is_some();
        drop(state);
        self.transport = Some(transport);
        if starved {
            self.mark_busy(endpoint);
        }
        result
    }
}

fn send_data(
    state: &mut State,
    transport: &mut Transport,
    cid: u32,
    source: &mut dyn Source,
) -> Result<usize> {
    let mut total = 0;
    // What is owed first (the answer to a request) goes first.
    while source.remaining() > 0 && state.credit() > 0 && send_pending(state, transport, cid) {
        let wanted = state.credit().min(source.remaining());
        let Some(mut block) = transport.take_block(wanted) else {
            state.starved = Some(wanted);
            break;
        };
        let len = wanted.min(block.len());
        // SAFETY: the block came out of the pool, so the device does not have it.
        if let Err(error) = source.take(unsafe { block.bytes_mut(len) }) {
            transport.return_block(block);
            return if total > 0 { Ok(total) } else { Err(error) };
        }
        let header = state.header(cid, op::RW, len).ok_or(Errno::ENOTCONN)?;
        if !transport.send(header, Some(Payload { block, len })) {
            break;
        }
        state.sent = state.sent.wrapping_add(len as u32);
        total += len;
        if source.remaining() >= WORTH_STARTING {
            // The device can work on this one while the next is copied.
            transport.notify();
        }
    }
    if total > 0 { Ok(total) } else { Err(Errno::EAGAIN) }
}

/// Sends the packets without payload that an endpoint owes; false if some are left.
fn send_pending(state: &mut State, transport: &mut Transport, cid: u32) -> bool {
    while let Some(op) = state.pending.next() {
        let Some(header) = state.header(cid, op, 0) else { continue };
        if !transport.send(header, None) {
            state.pending.put_back(op);
            return false;
        }
    }
    true
}
