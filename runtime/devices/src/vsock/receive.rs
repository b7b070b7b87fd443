//! Packets to the guest.

use super::connection::Owed;
use super::device::{Running, Vsock, Work};
use super::key::Key;
use super::packet::{HEADER_LEN, Header, Op, TYPE_STREAM};
use super::{HOST_CID, MAX_PAYLOAD};
use crate::guest_io::GuestBuffers;
use crate::interrupt::Interrupt;
use crate::queue::{Chain, QueueError, total};
use rustix::net::SendFlags;
use vm_memory::GuestMemoryMmap;

/// For small messages to the host.
pub const SEND_FLAGS: SendFlags = SendFlags::DONTWAIT.union(SendFlags::NOSIGNAL);

impl<I: Interrupt> Vsock<I> {
    /// Gives the guest packets until there are none, or no buffers, or `budget` is used up.
    pub(super) fn process_rx(&mut self, running: &mut Running, budget: usize) -> Result<Work, QueueError> {
        running.rx.disable_notifications()?;
        for _ in 0..budget {
            if self.resets.is_empty() && self.ready.is_empty() {
                return Ok(Work::Done);
            }
            if self.over_rate().is_some() {
                return Ok(Work::Done);
            }
            let Some(chain) = running.rx.pop()? else {
                if running.rx.enable_notifications()? {
                    running.rx.disable_notifications()?;
                    continue;
                }
                return Ok(Work::Done);
            };
            match self.fill(&chain, &running.memory) {
                Some(written) => {
                    self.charge(usize::try_from(written).unwrap_or(MAX_PAYLOAD));
                    running.rx.push(chain.head, written)?;
                }
                None => running.rx.unpop(),
            }
        }
        Ok(Work::More)
    }

    /// Puts the next packet into a buffer. Says how long it is; `None` if there is none after all.
    fn fill(&mut self, chain: &Chain, memory: &GuestMemoryMmap) -> Option<u32> {
        if !chain.is_sound || total(&chain.writable) < HEADER_LEN {
            // Useless. The guest may have it back.
            return Some(0);
        }
        if let Some(stray) = self.resets.pop_front() {
            let header = Header {
                src_cid: stray.cid,
                dst_cid: self.guest_cid,
                src_port: stray.key.host_port,
                dst_port: stray.key.guest_port,
                socket_type: stray.socket_type,
                op: Op::Reset as u16,
                ..Header::default()
            };
            return Some(write(chain, memory, &header));
        }
        let (key, owed) = self.next_ready()?;
        let written = match owed {
            Owed::Control(op, flags) => Some(self.give(key, op, flags, chain, memory)),
            Owed::Data(credit) => self.give_data(key, credit, chain, memory),
        };
        self.settle(key);
        written
    }

    fn give(&mut self, key: Key, op: Op, flags: u32, chain: &Chain, memory: &GuestMemoryMmap) -> u32 {
        let Some(connection) = self.connections.get_mut(&key) else { return 0 };
        connection.gave(op, flags);
        let (buf_alloc, fwd_cnt) = connection.announce();
        let header = Header { flags, buf_alloc, fwd_cnt, ..self.header(key, op) };
        write(chain, memory, &header)
    }

    fn give_data(&mut self, key: Key, credit: u32, chain: &Chain, memory: &GuestMemoryMmap) -> Option<u32> {
        let connection = self.connections.get_mut(&key)?;
        let limit = usize::try_from(credit).unwrap_or(MAX_PAYLOAD).min(MAX_PAYLOAD);
        let Some(room) = GuestBuffers::new(memory, &chain.writable, HEADER_LEN, limit) else {
            return Some(0);
        };
        if room.len() == 0 {
            return Some(0);
        }
        let (result, wanted) = (room.receive(connection.socket()), room.len());
        let len = connection.read_from_host(result, wanted);
        if len == 0 {
            return None;
        }
        let len = u32::try_from(len).unwrap_or(0);
        let (buf_alloc, fwd_cnt) = connection.announce();
        let header = Header { len, buf_alloc, fwd_cnt, ..self.header(key, Op::ReadWrite) };
        Some(write(chain, memory, &header).saturating_add(len))
    }

    fn header(&self, key: Key, op: Op) -> Header {
        Header {
            src_cid: HOST_CID,
            dst_cid: self.guest_cid,
            src_port: key.host_port,
            dst_port: key.guest_port,
            socket_type: TYPE_STREAM,
            op: op as u16,
            ..Header::default()
        }
    }
}

/// Writes a header to a buffer that has room for it. Says how long it is: 0 if the buffer is not in memory.
fn write(chain: &Chain, memory: &GuestMemoryMmap, header: &Header) -> u32 {
    match chain.write(memory, &header.to_bytes()) {
        true => HEADER_LEN as u32,
        false => 0,
    }
}
