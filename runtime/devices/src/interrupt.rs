//! How a device calls its driver.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// Used buffers: bit 0 of `InterruptStatus`.
const USED_BUFFERS: u32 = 1;
/// Configuration or status changed: bit 1.
const CONFIG_CHANGE: u32 = 2;

/// The line from a device to its driver.
pub trait Interrupt {
    /// Buffers were used. Each call interrupts, whether or not the driver has acknowledged the last one.
    fn used_buffers(&self);
    /// The configuration or the device's status changed.
    fn config_changed(&self);
}

/// The register `InterruptStatus`, which the device sets and the driver clears.
#[derive(Clone, Debug, Default)]
pub struct InterruptStatus(Arc<AtomicU32>);

impl InterruptStatus {
    /// Notes used buffers.
    pub fn set_used_buffers(&self) {
        self.0.fetch_or(USED_BUFFERS, Ordering::SeqCst);
    }

    /// Notes a changed configuration.
    pub fn set_config_changed(&self) {
        self.0.fetch_or(CONFIG_CHANGE, Ordering::SeqCst);
    }

    /// What is pending.
    pub fn get(&self) -> u32 {
        self.0.load(Ordering::SeqCst)
    }

    /// The driver acknowledges these bits.
    pub fn acknowledge(&self, bits: u32) {
        self.0.fetch_and(!bits, Ordering::SeqCst);
    }
}
