//! The persistent memory device (Virtio 1.2 section 5.19), over read-only memory.
//!
//! The memory itself is mapped into the guest by somebody else; the device tells where it is, and answers flushes, for
//! which there is nothing to do.

use crate::interrupt::Interrupt;
use crate::mmio::Activation;
use crate::queue::{Chain, QueueError, Virtqueue};
use vm_memory::GuestMemoryMmap;

/// Size of the request queue.
pub const QUEUE_SIZES: [u16; 1] = [64];
/// `VIRTIO_PMEM_REQ_TYPE_FLUSH`.
const FLUSH: u32 = 0;
/// Answer to a flush that succeeded, and to one that did not.
const SUCCESS: u32 = 0;
const FAILURE: u32 = u32::MAX;

/// The device's configuration space: where the memory is.
pub fn config(start: u64, len: u64) -> [u8; 16] {
    let mut config = [0; 16];
    let (first, second) = config.split_at_mut(8);
    first.copy_from_slice(&start.to_le_bytes());
    second.copy_from_slice(&len.to_le_bytes());
    config
}

/// The persistent memory device.
pub struct Pmem<I> {
    interrupt: I,
    running: Option<(GuestMemoryMmap, Virtqueue)>,
}

impl<I: Interrupt> Pmem<I> {
    /// A device whose driver is not there yet.
    pub fn new(interrupt: I) -> Self {
        Self { interrupt, running: None }
    }

    /// The driver is ready.
    pub fn activate(&mut self, activation: &Activation, memory: &GuestMemoryMmap) -> Result<(), QueueError> {
        let layout = activation.queues.first().copied().flatten().ok_or(QueueError::Layout)?;
        self.running = Some((memory.clone(), Virtqueue::new(&layout, memory)?));
        Ok(())
    }

    /// The driver starts anew.
    pub fn reset(&mut self) {
        self.running = None;
    }

    /// Answers what the driver has asked, at most a queue full.
    pub fn process(&mut self) -> Result<(), QueueError> {
        let Some((memory, mut queue)) = self.running.take() else { return Ok(()) };
        for _ in 0..QUEUE_SIZES[0] {
            let Some(request) = queue.pop()? else { break };
            queue.push(request.head, answer(&request, &memory))?;
        }
        if queue.take_announcement()? {
            self.interrupt.used_buffers();
        }
        self.running = Some((memory, queue));
        Ok(())
    }
}

/// Answers a request. Says how many bytes that took.
fn answer(request: &Chain, memory: &GuestMemoryMmap) -> u32 {
    let mut kind = [0; 4];
    let is_flush = request.is_sound && request.read(memory, &mut kind) && u32::from_le_bytes(kind) == FLUSH;
    let answer = if is_flush { SUCCESS } else { FAILURE };
    if request.write(memory, &answer.to_le_bytes()) { 4 } else { 0 }
}
