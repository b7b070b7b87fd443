//! The registers of a virtio-mmio device (Virtio 1.2 section 4.2.2), and its initialization in few accesses.
//!
//! Under a hypervisor each access costs as much as a thousand instructions. The device is known to be a fresh
//! virtio-vsock device, so nothing is read to find that out, and registers whose reset value is right (zero) are not
//! written. Where the VMM takes batches of writes ([`Batches`]), the whole initialization is one access.

use super::queue::Layout;
use alloc::vec::Vec;
use ampoule_kbase::{Frame, PAGE_SIZE};
use core::ptr::{read_volatile, write_volatile};

const DRIVER_FEATURES: usize = 0x020;
const DRIVER_FEATURES_SEL: usize = 0x024;
const QUEUE_SEL: usize = 0x030;
const QUEUE_NUM: usize = 0x038;
const QUEUE_READY: usize = 0x044;
const QUEUE_NOTIFY: usize = 0x050;
const STATUS: usize = 0x070;
const QUEUE_DESC: usize = 0x080;
const QUEUE_DRIVER: usize = 0x090;
const QUEUE_DEVICE: usize = 0x0a0;
const CONFIG: usize = 0x100;

/// Status bits.
const ACKNOWLEDGE: u32 = 1;
const DRIVER: u32 = 2;
const DRIVER_OK: u32 = 4;
const FEATURES_OK: u32 = 8;
/// Bit 32: `VIRTIO_F_VERSION_1`.
const VERSION_1_IN_WORD_1: u32 = 1;

/// How the VMM takes many register writes as one: a store of their list's physical address.
#[derive(Clone, Copy)]
pub struct Batches {
    /// Where the address is stored.
    port: *mut u64,
    /// How far the device's registers lie behind the first address that a batch can name, in bytes.
    base: u32,
}

impl Batches {
    /// # Safety
    /// A store of a physical address to `port`, which is mapped for ever, has the VMM read a list there and make its
    /// writes, of which offset 0 is `base` bytes before the registers of the device that this is given for.
    pub unsafe fn new(port: *mut u64, base: u32) -> Self {
        Self { port, base }
    }
}

/// Register writes that have not been made yet: the device's initialization.
pub struct Setup {
    writes: Vec<(usize, u32)>,
}

/// Accesses, for tests.
#[cfg(test)]
pub type Log = alloc::sync::Arc<ampoule_kbase::Mutex<alloc::vec::Vec<(usize, Option<u32>)>>>;

/// A register block.
pub struct Registers {
    at: *mut u8,
    batches: Option<Batches>,
    /// Accesses, in order: offset and value written (none: read).
    #[cfg(test)]
    pub log: Log,
}

// SAFETY: registers can be written from any thread; whoever has the block has it alone.
unsafe impl Send for Registers {}

impl Registers {
    /// # Safety
    /// `at` is the register block of a virtio-mmio device, mapped for ever, and nobody else uses it.
    pub unsafe fn new(at: *mut u8, batches: Option<Batches>) -> Self {
        Self {
            at,
            batches,
            #[cfg(test)]
            log: alloc::sync::Arc::default(),
        }
    }

    fn write(&self, offset: usize, value: u32) {
        #[cfg(test)]
        self.log.lock().push((offset, Some(value)));
        // SAFETY: the constants above are aligned registers of the block.
        unsafe { write_volatile(self.at.add(offset).cast(), value) }
    }

    fn read(&self, offset: usize) -> u32 {
        #[cfg(test)]
        self.log.lock().push((offset, None));
        // SAFETY: as in `write`.
        unsafe { read_volatile(self.at.add(offset).cast()) }
    }

    /// Makes the writes of a set-up: as a batch if the VMM takes those, whose list is put at `offset` of `page`.
    pub fn apply(&self, setup: &Setup, page: &Frame, offset: usize) {
        match self.batches {
            Some(batches) if offset + setup.list_len() <= PAGE_SIZE => {
                setup.list(batches.base, |at, word| page.write(offset + at, &word.to_le_bytes()));
                #[cfg(test)]
                self.log.lock().extend(setup.writes.iter().map(|&(register, value)| (register, Some(value))));
                // SAFETY: the promise to `Batches::new`.
                unsafe { write_volatile(batches.port, page.physical() + offset as u64) }
            }
            _ => setup.writes.iter().for_each(|&(register, value)| self.write(register, value)),
        }
    }

    /// Tells the device that queue `index` has new buffers.
    pub fn notify(&self, index: u32) {
        self.write(QUEUE_NOTIFY, index);
    }

    /// The guest's context id, of which the upper half is reserved (`struct virtio_vsock_config`).
    pub fn read_cid(&self) -> u32 {
        self.read(CONFIG)
    }
}

impl Setup {
    /// Takes a device from its reset state to the point where queues can be set up.
    pub fn begin() -> Self {
        let mut setup = Self { writes: Vec::with_capacity(32) };
        setup.write(STATUS, ACKNOWLEDGE | DRIVER);
        setup.write(DRIVER_FEATURES_SEL, 1);
        setup.write(DRIVER_FEATURES, VERSION_1_IN_WORD_1);
        setup.write(STATUS, ACKNOWLEDGE | DRIVER | FEATURES_OK);
        setup
    }

    /// Tells where queue `index` lies: at physical address `base` with `layout`.
    pub fn set_queue(&mut self, index: u32, base: u64, layout: Layout) {
        self.write(QUEUE_SEL, index);
        self.write(QUEUE_NUM, layout.size.into());
        self.write_address(QUEUE_DESC, base + layout.descriptors as u64);
        self.write_address(QUEUE_DRIVER, base + layout.available as u64);
        self.write_address(QUEUE_DEVICE, base + layout.used as u64);
        self.write(QUEUE_READY, 1);
    }

    fn write_address(&mut self, register: usize, address: u64) {
        self.write(register, address as u32);
        let high = (address >> 32) as u32;
        if high != 0 {
            self.write(register + 4, high);
        }
    }

    /// The queues are ready: lets the device run.
    pub fn finish(&mut self) {
        self.write(STATUS, ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK);
    }

    /// Tells the device that queue `index` has buffers.
    pub fn notify(&mut self, index: u32) {
        self.write(QUEUE_NOTIFY, index);
    }

    fn write(&mut self, register: usize, value: u32) {
        self.writes.push((register, value));
    }

    /// Bytes of the list that a batch is.
    fn list_len(&self) -> usize {
        4 + 8 * self.writes.len()
    }

    /// Hands out the words of that list, with their offsets: the number of writes, and each register and value.
    fn list(&self, base: u32, mut word: impl FnMut(usize, u32)) {
        word(0, self.writes.len() as u32);
        for (at, &(register, value)) in (4..).step_by(8).zip(&self.writes) {
            word(at, base + register as u32);
            word(at + 4, value);
        }
    }
}
