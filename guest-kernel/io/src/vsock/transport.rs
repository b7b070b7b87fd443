//! The device's three queues and the memory behind them: sends packets, hands out received ones.
//!
//! Everything small lies in one page, since the first touch of a page costs as much as several register writes:
//!
//! ```text
//!   | rx queue | tx queue | event queue | events | headers of packets to send |
//! ```
//!
//! Payload lies in blocks: those for receiving are posted to the device and reposted once their contents were copied;
//! those for sending come from a [`Pool`].

use super::block::Block;
use super::header::{HEADER_SIZE, Header};
use super::mmio::{Registers, Setup};
use super::pool::Pool;
use super::queue::{Descriptor, Layout, NEXT, Queue, WRITE};
use alloc::vec::Vec;
use ampoule_kbase::{Frame, PAGE_SIZE, Result};

/// Queue numbers of the device.
const RX: u32 = 0;
const TX: u32 = 1;
const EVENT: u32 = 2;

/// Receive buffers at most, of 16 KiB each; the device's queue is as long.
const RX_SIZE: u16 = 16;
/// Receive buffers at the start.
const RX_AT_FIRST: u16 = 4;
const RX_ORDER: usize = 2;
/// Packets on their way at most. Each has two descriptors: number `i` for the header, `i + TX_SLOTS` for the payload.
const TX_SLOTS: u16 = 32;
/// Slots that payload leaves to packets without any, which must not wait for each other.
const TX_RESERVED: usize = 8;
const EVENT_SIZE: u16 = 2;
/// Bytes of an event, `struct virtio_vsock_event`.
const EVENT_BYTES: usize = 8;

const RX_LAYOUT: Layout = Layout::at(0, RX_SIZE);
const TX_LAYOUT: Layout = Layout::at(RX_LAYOUT.end, 2 * TX_SLOTS);
const EVENT_LAYOUT: Layout = Layout::at(TX_LAYOUT.end, EVENT_SIZE);
const EVENTS: usize = EVENT_LAYOUT.end;
const HEADERS: usize = EVENTS + EVENT_BYTES * EVENT_SIZE as usize;
const HEADER_STRIDE: usize = 48;
const _: () =
    assert!(HEADERS + HEADER_STRIDE * TX_SLOTS as usize <= PAGE_SIZE && HEADER_SIZE <= HEADER_STRIDE);

/// Payload that a sender has filled in: the first `len` bytes of a block.
pub struct Payload {
    /// The memory.
    pub block: Block,
    /// How much of it counts.
    pub len: usize,
}

/// What comes out of [`Transport::poll`].
pub enum Incoming<'a> {
    /// A packet; the payload is as long as its header says.
    Packet(Header, &'a [u8]),
    /// The device has lost all connections (`VIRTIO_VSOCK_EVENT_TRANSPORT_RESET`).
    Reset,
}

/// A running device.
pub struct Transport {
    registers: Registers,
    page: Frame,
    rx: Queue,
    tx: Queue,
    event: Queue,
    rx_blocks: Vec<Block>,
    tx_free: Vec<u16>,
    /// What is on its way: one entry a slot; the outer option says whether the slot is in use.
    tx_busy: [Option<Option<Block>>; TX_SLOTS as usize],
    pool: Pool,
    tx_interrupts: bool,
    /// Packets were offered that the device has not been told of.
    unannounced: bool,
}

impl Transport {
    /// Sets the device up. Fails for want of memory alone.
    pub fn start(registers: Registers) -> Result<Self> {
        let page = Frame::for_kernel()?;
        let memory = page.as_ptr();
        // SAFETY: the layouts are disjoint parts of the page, which is zeroed, and which the transport keeps for ever.
        let (rx, tx, event) = unsafe {
            (Queue::new(memory, RX_LAYOUT), Queue::new(memory, TX_LAYOUT), Queue::new(memory, EVENT_LAYOUT))
        };
        let mut transport = Self {
            registers,
            page,
            rx,
            tx,
            event,
            rx_blocks: Vec::new(),
            tx_free: (0..TX_SLOTS).rev().collect(),
            tx_busy: [const { None }; TX_SLOTS as usize],
            pool: Pool::default(),
            tx_interrupts: false,
            unannounced: false,
        };
        transport.add_rx_buffers(RX_AT_FIRST)?;
        transport.tx.set_interrupts(false);
        (0..EVENT_SIZE).for_each(|index| transport.post_event(index));
        let (registers, base) = (&transport.registers, transport.page.physical());
        let mut setup = Setup::begin();
        setup.set_queue(RX, base, RX_LAYOUT);
        setup.set_queue(TX, base, TX_LAYOUT);
        setup.set_queue(EVENT, base, EVENT_LAYOUT);
        setup.finish();
        setup.notify(RX);
        // Where headers of packets will lie: there are none yet.
        registers.apply(&setup, &transport.page, HEADERS);
        Ok(transport)
    }

    /// The guest's context id (a slow register read).
    pub fn read_cid(&self) -> u32 {
        self.registers.read_cid()
    }

    /// The device has broken the rules of its queues: nothing will come or go any more.
    pub fn is_broken(&self) -> bool {
        self.rx.is_broken() || self.tx.is_broken()
    }

    fn add_rx_buffers(&mut self, up_to: u16) -> Result<()> {
        for index in self.rx_blocks.len() as u16..up_to.min(RX_SIZE) {
            let block = Block::new(RX_ORDER)?;
            let (address, len) = (block.physical(), block.len() as u32);
            self.rx_blocks.push(block);
            self.rx.describe(index, Descriptor { address, len, flags: WRITE, next: 0 });
            self.rx.offer(index);
        }
        Ok(())
    }

    fn post_event(&mut self, index: u16) {
        let address = self.page.physical() + (EVENTS + EVENT_BYTES * usize::from(index)) as u64;
        let descriptor = Descriptor { address, len: EVENT_BYTES as u32, flags: WRITE, next: 0 };
        self.event.describe(index, descriptor);
        self.event.offer(index);
    }

    /// Whether a packet with `len` bytes of payload, or as many of them as one takes, can be sent. Some slots are kept for packets
    /// without payload.
    pub fn has_room_for_payload(&mut self, len: usize) -> bool {
        self.reclaim();
        self.tx_free.len() > TX_RESERVED && self.pool.has_some(len)
    }

    /// Memory for `len` bytes of payload, or the first of them; none while all of it is on its way.
    pub fn take_block(&mut self, len: usize) -> Option<Block> {
        if self.has_room_for_payload(len) { self.pool.take(len) } else { None }
    }

    /// Returns memory that was not sent.
    pub fn return_block(&mut self, block: Block) {
        self.pool.give(block);
    }

    /// Offers a packet to the device; false, and nothing offered, when no slot is free. The device hears of it with the next
    /// [`notify`](Self::notify).
    #[must_use]
    pub fn send(&mut self, header: Header, payload: Option<Payload>) -> bool {
        self.reclaim();
        let Some(slot) = self.tx_free.pop() else {
            payload.into_iter().for_each(|payload| self.pool.give(payload.block));
            return false;
        };
        let offset = HEADERS + HEADER_STRIDE * usize::from(slot);
        self.page.write(offset, &header.to_bytes());
        let address = self.page.physical() + offset as u64;
        let flags = if payload.is_some() { NEXT } else { 0 };
        let next = slot + TX_SLOTS;
        self.tx.describe(slot, Descriptor { address, len: HEADER_SIZE as u32, flags, next });
        if let Some(Payload { block, len }) = &payload {
            let (address, len) = (block.physical(), *len as u32);
            self.tx.describe(next, Descriptor { address, len, flags: 0, next: 0 });
        }
        if let Some(busy) = self.tx_busy.get_mut(usize::from(slot)) {
            *busy = Some(payload.map(|p| p.block));
        }
        self.tx.offer(slot);
        self.unannounced = true;
        true
    }

    /// Tells the device of what was offered since the last time, if it wants to be told.
    pub fn notify(&mut self) {
        if core::mem::take(&mut self.unannounced) && self.tx.wants_notification() {
            self.registers.notify(TX);
        }
    }

    /// Takes back what the device has sent; how many packets that was.
    pub fn reclaim(&mut self) -> usize {
        let mut reclaimed = 0;
        while let Some(used) = self.tx.take_used() {
            // A device that returns what it does not have is ignored.
            let Ok(slot) = u16::try_from(used.id) else { continue };
            let Some(busy) = self.tx_busy.get_mut(usize::from(slot)) else { continue };
            if let Some(block) = busy.take() {
                block.into_iter().for_each(|block| self.pool.give(block));
                self.tx_free.push(slot);
                reclaimed += 1;
            }
        }
        reclaimed
    }

    /// Whether the device is to interrupt when it has sent something.
    pub fn set_tx_interrupts(&mut self, on: bool) {
        if self.tx_interrupts != on {
            self.tx_interrupts = on;
            self.tx.set_interrupts(on);
        }
    }

    /// Hands everything that has arrived to `each`, and the buffers back to the device.
    pub fn poll(&mut self, mut each: impl FnMut(Incoming<'_>)) {
        let mut taken = 0;
        while let Some(used) = self.rx.take_used() {
            let Some(block) = self.rx_blocks.get(used.id as usize) else { continue };
            // SAFETY: the device has given the block back.
            let bytes = unsafe { block.bytes(used.len as usize) };
            if let Some((header, rest)) = bytes.split_first_chunk::<HEADER_SIZE>() {
                let header = Header::from_bytes(header);
                match rest.get(..header.len as usize) {
                    Some(payload) => each(Incoming::Packet(header, payload)),
                    None => each(Incoming::Packet(Header { op: 0, len: 0, ..header }, &[])),
                }
            }
            self.rx.offer(used.id as u16);
            taken += 1;
        }
        if taken > 0 {
            let had = self.rx_blocks.len() as u16;
            if taken >= had && had < RX_SIZE {
                // Without memory it goes on with what it has.
                let _ = self.add_rx_buffers(2 * had);
            }
            if self.rx.wants_notification() {
                self.registers.notify(RX);
            }
        }
        self.poll_events(each);
    }

    fn poll_events(&mut self, mut each: impl FnMut(Incoming<'_>)) {
        let mut taken = false;
        while let Some(used) = self.event.take_used() {
            // There is only one event: `VIRTIO_VSOCK_EVENT_TRANSPORT_RESET`, 0.
            each(Incoming::Reset);
            self.post_event(used.id as u16 & (EVENT_SIZE - 1));
            taken = true;
        }
        if taken {
            self.registers.notify(EVENT);
        }
    }
}
