//! The registers of one queue.

/// Most queues of a device.
pub const MAX_QUEUES: usize = 3;

/// Where a queue lies in guest memory. Not checked against that memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueLayout {
    /// Number of descriptors.
    pub size: u16,
    /// Address of the descriptor table.
    pub descriptors: u64,
    /// Address of the available ring.
    pub available: u64,
    /// Address of the used ring.
    pub used: u64,
}

/// A queue as the driver sets it up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueRegisters {
    /// Its greatest size; 0 if there is no such queue.
    pub max_size: u16,
    /// What the driver wrote.
    pub layout: QueueLayout,
    /// Whether the driver is done with it.
    pub ready: bool,
}

impl QueueRegisters {
    /// As it is after a reset.
    pub fn new(max_size: u16) -> Self {
        Self { max_size, layout: QueueLayout { size: max_size, ..QueueLayout::default() }, ready: false }
    }

    /// The driver changes something, unless the queue is in use.
    pub fn change(&mut self, change: impl FnOnce(&mut QueueLayout)) {
        if !self.ready {
            change(&mut self.layout);
        }
    }

    /// The driver says that it is done (1), or wants the queue back (0).
    pub fn set_ready(&mut self, value: u32) {
        let QueueLayout { size, descriptors, available, used } = self.layout;
        let valid = size.is_power_of_two()
            && size <= self.max_size
            && descriptors.is_multiple_of(16)
            && available.is_multiple_of(2)
            && used.is_multiple_of(4);
        self.ready = value & 1 == 1 && valid;
    }
}

/// Replaces the lower half of an address.
pub fn set_low(address: &mut u64, value: u32) {
    *address = (*address & !u64::from(u32::MAX)) | u64::from(value);
}

/// Replaces the upper half of an address.
pub fn set_high(address: &mut u64, value: u32) {
    *address = (*address & u64::from(u32::MAX)) | u64::from(value) << 32;
}
