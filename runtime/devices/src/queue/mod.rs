//! A split virtqueue in guest memory (Virtio 1.2 section 2.7), from the device's side.

mod chain;
#[cfg(test)]
pub(crate) mod driver;
#[cfg(test)]
mod tests;

pub(crate) use chain::total;
pub use chain::{Chain, MAX_PARTS, Part};

use crate::mmio::QueueLayout;
use std::sync::atomic::{Ordering, fence};
use thiserror::Error;
use virtio_bindings::virtio_ring::VRING_AVAIL_F_NO_INTERRUPT;
use virtio_queue::{Queue, QueueOwnedT, QueueT};
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

/// The driver has broken the rules of a queue; it cannot be used any more.
#[derive(Debug, Error)]
pub enum QueueError {
    /// Size or addresses are not those of a queue in guest memory.
    #[error("the queue does not lie in guest memory as it should")]
    Layout,
    /// Its rings cannot be followed.
    #[error("the queue's rings are inconsistent: {0}")]
    Rings(#[from] virtio_queue::Error),
}

/// A queue that is in use.
#[derive(Debug)]
pub struct Virtqueue {
    queue: Queue,
    memory: GuestMemoryMmap,
    /// Used buffers were returned since the driver was last asked whether it wants to know.
    unannounced: bool,
    /// Whether the driver is to tell of new buffers.
    notifications: bool,
}

impl Virtqueue {
    /// The queue of this layout.
    pub fn new(layout: &QueueLayout, memory: &GuestMemoryMmap) -> Result<Self, QueueError> {
        let mut queue = Queue::new(layout.size)?;
        queue.try_set_desc_table_address(GuestAddress(layout.descriptors))?;
        queue.try_set_avail_ring_address(GuestAddress(layout.available))?;
        queue.try_set_used_ring_address(GuestAddress(layout.used))?;
        queue.set_ready(true);
        // An available ring at 0 is "not set up" to the library.
        if !queue.is_valid(memory) || layout.available == 0 {
            return Err(QueueError::Layout);
        }
        Ok(Self { queue, memory: memory.clone(), unannounced: false, notifications: true })
    }

    /// Takes the next buffer that the driver offers.
    pub fn pop(&mut self) -> Result<Option<Chain>, QueueError> {
        let mut available = self.queue.iter(&self.memory)?;
        Ok(available.next().map(Chain::new))
    }

    /// Puts the last buffer back: it comes again.
    pub fn unpop(&mut self) {
        self.queue.go_to_previous_position();
    }

    /// Returns a buffer of which `written` bytes were filled.
    pub fn push(&mut self, head: u16, written: u32) -> Result<(), QueueError> {
        self.queue.add_used(&self.memory, head, written)?;
        self.unannounced = true;
        Ok(())
    }

    /// Whether the driver wants to be told of the buffers returned since this was last asked.
    pub fn take_announcement(&mut self) -> Result<bool, QueueError> {
        if !std::mem::take(&mut self.unannounced) {
            return Ok(false);
        }
        // The used index must be visible before the driver's flag is read.
        fence(Ordering::SeqCst);
        let flags: u16 = self
            .memory
            .load(GuestAddress(self.queue.avail_ring()), Ordering::Relaxed)
            .map_err(virtio_queue::Error::GuestMemory)?;
        Ok(u32::from(u16::from_le(flags)) & VRING_AVAIL_F_NO_INTERRUPT == 0)
    }

    /// The driver need not tell of new buffers: they are looked for.
    pub fn disable_notifications(&mut self) -> Result<(), QueueError> {
        if std::mem::take(&mut self.notifications) {
            self.queue.disable_notification(&self.memory)?;
        }
        Ok(())
    }

    /// The driver has to tell of new buffers from now on. True if there are some already.
    pub fn enable_notifications(&mut self) -> Result<bool, QueueError> {
        self.notifications = true;
        Ok(self.queue.enable_notification(&self.memory)?)
    }
}
