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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interrupt::InterruptStatus;
    use crate::queue::driver::{DriverQueue, NEXT, WRITE};
    use vm_memory::{Bytes, GuestAddress};

    impl Interrupt for InterruptStatus {
        fn used_buffers(&self) {
            self.set_used_buffers();
        }

        fn config_changed(&self) {
            self.set_config_changed();
        }
    }

    fn device() -> (GuestMemoryMmap, DriverQueue, Pmem<InterruptStatus>, InterruptStatus) {
        let memory = GuestMemoryMmap::from_ranges(&[(GuestAddress(0), 0x10000)]).unwrap();
        let (driver, status) = (DriverQueue::new(&memory, 0x1000, 8), InterruptStatus::default());
        let mut pmem = Pmem::new(status.clone());
        let activation = Activation { features: 1 << 32, queues: [Some(driver.layout()), None, None] };
        pmem.activate(&activation, &memory).unwrap();
        (memory, driver, pmem, status)
    }

    /// Offers a request, and gives the answer and how long it is said to be.
    fn request(kind: u32, request_len: u32, answer_len: u32) -> (u32, u32) {
        let (memory, mut driver, mut pmem, status) = device();
        memory.write_obj(kind, GuestAddress(0x4000)).unwrap();
        memory.write_obj(0x5555_5555u32, GuestAddress(0x5000)).unwrap();
        driver.describe(0, 0x4000, request_len, NEXT, 1);
        driver.describe(1, 0x5000, answer_len, WRITE, 0);
        driver.offer_head(0);
        pmem.process().unwrap();
        assert_eq!(status.get(), 1, "an interrupt");
        let (head, len) = driver.take_used().unwrap();
        assert_eq!(head, 0);
        (memory.read_obj(GuestAddress(0x5000)).unwrap(), len)
    }

    #[test]
    fn the_configuration_says_where_the_memory_is() {
        let config = config(0x1_0000_0000, 0x3000);
        assert_eq!(config, [0, 0, 0, 0, 1, 0, 0, 0, 0, 0x30, 0, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn a_flush_succeeds_and_nothing_else() {
        assert_eq!(request(FLUSH, 4, 4), (SUCCESS, 4));
        assert_eq!(request(7, 4, 4), (FAILURE, 4));
        assert_eq!(request(FLUSH, 3, 4), (FAILURE, 4));
        assert_eq!(request(FLUSH, 4, 3).1, 0);
    }

    #[test]
    fn a_driver_that_breaks_the_rules_has_no_device() {
        let (_, mut driver, mut pmem, status) = device();
        driver.set_available(1000);
        assert!(pmem.process().is_err());
        assert!(pmem.process().is_ok());
        assert_eq!(status.get(), 0);
    }
}
