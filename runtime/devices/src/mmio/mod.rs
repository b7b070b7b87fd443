//! The registers of a virtio device on the memory-mapped transport: Virtio 1.2 section 4.2.
//!
//! [`Registers`] is plain data and a pure state machine: accesses go in, [`Action`]s for the device come out.

mod registers;
mod select;
#[cfg(test)]
mod tests;

pub use registers::{Action, Activation, DeviceType, Registers};
pub use select::{MAX_QUEUES, QueueLayout};

/// Offsets of the registers.
pub mod offset {
    /// "virt".
    pub const MAGIC: u64 = 0x000;
    /// Version of the transport.
    pub const VERSION: u64 = 0x004;
    /// Kind of device.
    pub const DEVICE_ID: u64 = 0x008;
    /// Who made it.
    pub const VENDOR_ID: u64 = 0x00c;
    /// Features that the device has, 32 at a time.
    pub const DEVICE_FEATURES: u64 = 0x010;
    /// Which 32.
    pub const DEVICE_FEATURES_SEL: u64 = 0x014;
    /// Features that the driver wants.
    pub const DRIVER_FEATURES: u64 = 0x020;
    /// Which 32.
    pub const DRIVER_FEATURES_SEL: u64 = 0x024;
    /// Which queue the registers below are about.
    pub const QUEUE_SEL: u64 = 0x030;
    /// Its greatest possible size.
    pub const QUEUE_NUM_MAX: u64 = 0x034;
    /// Its size.
    pub const QUEUE_NUM: u64 = 0x038;
    /// Whether it is in use.
    pub const QUEUE_READY: u64 = 0x044;
    /// The number of a queue that has new buffers.
    pub const QUEUE_NOTIFY: u64 = 0x050;
    /// Why the device interrupts.
    pub const INTERRUPT_STATUS: u64 = 0x060;
    /// That the driver knows.
    pub const INTERRUPT_ACK: u64 = 0x064;
    /// How far the driver is.
    pub const STATUS: u64 = 0x070;
    /// Address of the descriptor table.
    pub const QUEUE_DESC_LOW: u64 = 0x080;
    /// Its upper half.
    pub const QUEUE_DESC_HIGH: u64 = 0x084;
    /// Address of the available ring.
    pub const QUEUE_DRIVER_LOW: u64 = 0x090;
    /// Its upper half.
    pub const QUEUE_DRIVER_HIGH: u64 = 0x094;
    /// Address of the used ring.
    pub const QUEUE_DEVICE_LOW: u64 = 0x0a0;
    /// Its upper half.
    pub const QUEUE_DEVICE_HIGH: u64 = 0x0a4;
    /// Length of a shared memory region.
    pub const SHM_LEN_LOW: u64 = 0x0b0;
    /// Upper half of its address, the last of its registers.
    pub const SHM_BASE_HIGH: u64 = 0x0bc;
    /// Changes with the configuration.
    pub const CONFIG_GENERATION: u64 = 0x0fc;
    /// The device's own configuration.
    pub const CONFIG: u64 = 0x100;
}

/// Bits of the register `Status` (section 2.1).
pub mod status {
    /// The driver has seen the device.
    pub const ACKNOWLEDGE: u32 = 1;
    /// It knows how to drive it.
    pub const DRIVER: u32 = 2;
    /// It is ready.
    pub const DRIVER_OK: u32 = 4;
    /// Features are agreed on.
    pub const FEATURES_OK: u32 = 8;
    /// The device cannot go on.
    pub const DEVICE_NEEDS_RESET: u32 = 64;
    /// The driver has given up.
    pub const FAILED: u32 = 128;
}

/// `VIRTIO_F_VERSION_1`: every device has it, every driver must want it.
pub const VERSION_1: u64 = 1 << 32;
