//! Packets from the guest.

use super::connection::Connection;
use super::device::{Running, Vsock, Work};
use super::key::Key;
use super::packet::{HEADER_LEN, Header, Op, TYPE_STREAM};
use super::{HOST_CID, MAX_CONNECTIONS, MAX_PAYLOAD};
use crate::guest_io::GuestBuffers;
use crate::interrupt::Interrupt;
use crate::queue::{Chain, QueueError, total};
use vm_memory::GuestMemoryMmap;

/// Most resets that wait for a buffer of the guest. As long as there are so many, no packet of it is looked at.
pub const MAX_RESETS: usize = 64;

/// A packet of the guest that belongs nowhere: what its reset needs to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stray {
    /// Whom the guest has called.
    pub cid: u64,
    /// The ports.
    pub key: Key,
    /// The type of socket.
    pub socket_type: u16,
}

/// A packet of the guest whose payload is as long as its header says.
struct Packet<'m> {
    header: Header,
    memory: &'m GuestMemoryMmap,
    chain: Chain,
}

impl<I: Interrupt> Vsock<I> {
    /// Takes packets from the guest until there are none, or `budget` is used up.
    pub(super) fn process_tx(&mut self, running: &mut Running, budget: usize) -> Result<Work, QueueError> {
        let Running { memory, tx, .. } = running;
        tx.disable_notifications()?;
        for _ in 0..budget {
            if self.over_rate().is_some() {
                // Whoever asks next is told for how long.
                return Ok(Work::Done);
            }
            if self.resets.len() == MAX_RESETS {
                // The guest gives no buffers; once it does, there is more to do here.
                return Ok(Work::Done);
            }
            let Some(chain) = tx.pop()? else {
                if tx.enable_notifications()? {
                    tx.disable_notifications()?;
                    continue;
                }
                return Ok(Work::Done);
            };
            let head = chain.head;
            match Packet::read(chain, memory) {
                Some(packet) => {
                    self.charge(usize::try_from(packet.header.len).unwrap_or(MAX_PAYLOAD) + HEADER_LEN);
                    self.handle(&packet);
                }
                None => self.charge(HEADER_LEN),
            }
            tx.push(head, 0)?;
        }
        Ok(Work::More)
    }

    fn handle(&mut self, packet: &Packet<'_>) {
        let header = &packet.header;
        if header.src_cid != self.guest_cid {
            return;
        }
        let key = Key { host_port: header.dst_port, guest_port: header.src_port };
        let op = Op::from_number(header.op);
        let is_for_us = header.dst_cid == HOST_CID && header.socket_type == TYPE_STREAM;
        match op {
            Some(Op::Request) if is_for_us => self.accept(key, header),
            Some(op) if is_for_us && self.connections.get(&key).is_some_and(Connection::is_known) => {
                self.handle_known(key, op, packet);
            }
            // A reset is not answered, or two sides would do so for ever.
            Some(Op::Reset) => {}
            _ => self.resets.push_back(Stray { cid: header.dst_cid, key, socket_type: header.socket_type }),
        }
    }

    /// The guest wants to connect to a port of the host.
    fn accept(&mut self, key: Key, request: &Header) {
        if let Some(connection) = self.connections.get_mut(&key).filter(|connection| connection.is_known()) {
            connection.break_off();
            return self.settle(key);
        }
        let has_room = self.connections.len() + self.hosts.clients() < MAX_CONNECTIONS
            && !self.connections.contains_key(&key);
        match has_room.then(|| self.hosts.take_port(key.host_port)).flatten() {
            Some(socket) => {
                self.accepted += 1;
                self.insert(key, Connection::accepted(socket, request));
            }
            None => self.resets.push_back(Stray { cid: HOST_CID, key, socket_type: TYPE_STREAM }),
        }
    }

    fn handle_known(&mut self, key: Key, op: Op, packet: &Packet<'_>) {
        let Some(connection) = self.connections.get_mut(&key) else { return };
        connection.take_credit(&packet.header);
        match op {
            Op::ReadWrite => packet.deliver(connection),
            Op::Shutdown => connection.shut_down(packet.header.flags),
            Op::Reset => connection.forget(),
            Op::CreditRequest => connection.ask_for_credit(),
            Op::CreditUpdate => {}
            Op::Response if connection.is_requested() => {
                connection.open();
                let answer = format!("OK {}\n", key.host_port);
                // Nothing was written to that socket before, so there is room.
                match rustix::net::send(connection.socket(), answer.as_bytes(), super::receive::SEND_FLAGS) {
                    Ok(len) if len == answer.len() => {}
                    _ => connection.break_off(),
                }
            }
            Op::Request | Op::Response => connection.break_off(),
        }
        self.settle(key);
    }
}

impl<'m> Packet<'m> {
    /// Reads a packet. `None` if it is none.
    fn read(chain: Chain, memory: &'m GuestMemoryMmap) -> Option<Self> {
        let mut header = [0; HEADER_LEN];
        if !chain.is_sound || !chain.read(memory, &mut header) {
            return None;
        }
        let header = Header::from_bytes(&header);
        let len = usize::try_from(header.len).ok()?;
        let is_sound = len <= MAX_PAYLOAD && len <= total(&chain.readable).saturating_sub(HEADER_LEN);
        is_sound.then_some(Self { header, memory, chain })
    }

    /// Passes the payload on to the host, or keeps what the host does not take.
    fn deliver(&self, connection: &mut Connection) {
        let len = self.header.len;
        if !connection.takes_data() || len > connection.room() {
            return connection.break_off();
        }
        let Ok(wanted) = usize::try_from(len) else { return };
        connection.received(len);
        let sent = match connection.is_direct() && wanted > 0 {
            true => {
                let Some(payload) = GuestBuffers::new(self.memory, &self.chain.readable, HEADER_LEN, wanted)
                else {
                    connection.forwarded(len);
                    return connection.break_off();
                };
                let result = payload.send(connection.socket());
                connection.sent_to_host(result, Some(wanted))
            }
            false => 0,
        };
        let rest = wanted - sent;
        let rest_len = u32::try_from(rest).unwrap_or(len);
        if connection.is_refused() {
            connection.forwarded(rest_len);
        } else if !connection.backlog().append(self.memory, &self.chain.readable, HEADER_LEN + sent, rest) {
            connection.forwarded(rest_len);
            connection.break_off();
        }
    }
}
