//! A virtio-vsock device in the test's own memory: the other side of the driver's queues.

use super::super::header::{HEADER_SIZE, Header, TYPE_STREAM};
use super::super::mmio::{Batches, Log, Registers};
use super::super::queue::{Descriptor, NEXT, WRITE};
use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;
use ampoule_kbase::frames;
use core::ptr::{copy_nonoverlapping, read_volatile, write_volatile};

/// One queue, seen by the device.
#[derive(Clone, Copy, Default, Debug)]
pub struct DeviceQueue {
    pub size: u16,
    descriptors: u64,
    available: u64,
    pub used: u64,
    next_available: u16,
    pub next_used: u16,
}

/// A guest-physical address as the test can reach it.
fn at<T>(address: u64) -> *mut T {
    frames::direct(address).cast()
}

fn load<T>(address: u64) -> T {
    // SAFETY: the driver's queues lie in the fake RAM; tests are single-threaded.
    unsafe { read_volatile(at(address)) }
}

pub fn store<T>(address: u64, value: T) {
    // SAFETY: as above.
    unsafe { write_volatile(at(address), value) }
}

impl DeviceQueue {
    /// The next chain that the driver has offered: its head and its descriptors.
    pub fn pop(&mut self) -> Option<(u16, Vec<Descriptor>)> {
        if load::<u16>(self.available + 2) == self.next_available {
            return None;
        }
        let slot = u64::from(self.next_available % self.size);
        let head: u16 = load(self.available + 4 + 2 * slot);
        self.next_available = self.next_available.wrapping_add(1);
        let mut chain = vec![load::<Descriptor>(self.descriptors + 16 * u64::from(head))];
        while chain.last().unwrap().flags & NEXT != 0 {
            let next = chain.last().unwrap().next;
            chain.push(load(self.descriptors + 16 * u64::from(next)));
        }
        Some((head, chain))
    }

    /// Gives a chain back.
    pub fn push(&mut self, id: u32, len: u32) {
        let entry = self.used + 4 + 8 * u64::from(self.next_used % self.size);
        store(entry, id);
        store(entry + 4, len);
        self.next_used = self.next_used.wrapping_add(1);
        store(self.used + 2, self.next_used);
    }

    /// Whether the driver wants interrupts.
    pub fn interrupts(&self) -> bool {
        load::<u16>(self.available) == 0
    }

    /// Asks the driver not to notify.
    pub fn suppress_notifications(&self) {
        store(self.used, 1u16);
    }
}

/// The device.
pub struct Device {
    pub log: Log,
    pub queues: [DeviceQueue; 3],
}

/// The registers of a device whose context id is 3, and the log of accesses to them.
pub fn registers() -> (Registers, Log) {
    let block = Box::leak(Box::new([0u32; 1024]));
    block[0x100 / 4] = 3;
    // SAFETY: a block of memory that is never freed.
    let registers = unsafe { Registers::new(block.as_mut_ptr().cast(), None) };
    let log = registers.log.clone();
    (registers, log)
}

/// The same, for a VMM that takes batches of writes. Also gives where their addresses are stored.
pub fn batching_registers(base: u32) -> (Registers, Log, &'static u64) {
    let port = Box::into_raw(Box::new(0));
    let block = Box::leak(Box::new([0u32; 1024]));
    // SAFETY: blocks of memory that are never freed; who takes the batches is the test.
    let registers = unsafe { Registers::new(block.as_mut_ptr().cast(), Some(Batches::new(port, base))) };
    let log = registers.log.clone();
    // SAFETY: as above; tests are single-threaded, and read it when the driver has stored.
    (registers, log, unsafe { &*port })
}

/// The writes of a batch: the number of registers, then each register and its value.
pub fn batch(address: u64) -> Vec<(u32, u32)> {
    let word = |index: u64| load::<u32>(address + 4 * index);
    (0..u64::from(word(0))).map(|index| (word(1 + 2 * index), word(2 + 2 * index))).collect()
}

impl Device {
    /// Learns from the driver's accesses where the queues are.
    pub fn attach(log: Log) -> Self {
        let mut queues = [DeviceQueue::default(); 3];
        let mut selected = 0;
        for (offset, value) in log.lock().iter() {
            let Some(value) = value else { continue };
            let queue: &mut DeviceQueue = &mut queues[selected];
            let low = u64::from(*value);
            match offset {
                0x30 => selected = *value as usize,
                0x38 => queue.size = *value as u16,
                0x80 => queue.descriptors |= low,
                0x84 => queue.descriptors |= low << 32,
                0x90 => queue.available |= low,
                0x94 => queue.available |= low << 32,
                0xa0 => queue.used |= low,
                0xa4 => queue.used |= low << 32,
                _ => {}
            }
        }
        Self { log, queues }
    }

    /// How often the driver has notified a queue.
    pub fn notifications(&self, queue: u32) -> usize {
        self.log.lock().iter().filter(|access| **access == (0x50, Some(queue))).count()
    }

    /// Takes one packet that the driver has sent, and gives its buffers back.
    pub fn sent(&mut self) -> Option<(Header, Vec<u8>)> {
        let (head, packet) = self.hold()?;
        self.queues[1].push(head.into(), 0);
        Some(packet)
    }

    /// Takes one packet that the driver has sent, and keeps its buffers.
    pub fn hold(&mut self) -> Option<(u16, (Header, Vec<u8>))> {
        let (head, chain) = self.queues[1].pop()?;
        let mut bytes = Vec::new();
        for part in &chain {
            assert_eq!(part.flags & WRITE, 0);
            let mut buffer = vec![0; part.len as usize];
            // SAFETY: the driver's buffers lie in the fake RAM.
            unsafe { copy_nonoverlapping(at(part.address), buffer.as_mut_ptr(), buffer.len()) };
            bytes.extend(buffer);
        }
        let header = Header::from_bytes(bytes.first_chunk().unwrap());
        let payload = bytes.split_off(HEADER_SIZE);
        assert_eq!(payload.len(), header.len as usize);
        assert_eq!((header.src_cid, header.dst_cid, header.kind), (3, 2, TYPE_STREAM));
        Some((head, (header, payload)))
    }

    /// Sends a packet to the driver; false if it has offered no buffer.
    pub fn deliver(&mut self, header: Header, payload: &[u8]) -> bool {
        let Some((head, chain)) = self.queues[0].pop() else { return false };
        let bytes = [&header.to_bytes()[..], payload].concat();
        assert!(chain.len() == 1 && chain[0].flags == WRITE && bytes.len() <= chain[0].len as usize);
        // SAFETY: as above.
        unsafe { copy_nonoverlapping(bytes.as_ptr(), at(chain[0].address), bytes.len()) };
        self.queues[0].push(head.into(), bytes.len() as u32);
        true
    }
}

impl Device {
    /// Takes one packet, whatever it is; false if there is none.
    pub fn sent_unchecked(&mut self) -> bool {
        let Some((head, _)) = self.queues[1].pop() else { return false };
        self.queues[1].push(head.into(), 0);
        true
    }
}
