//! Virtio devices, and the registers through which a guest drives them.
//!
//! ```text
//!   guest --- register accesses ---> mmio::Registers --- Action ---> whoever owns the device
//!   guest --- notifications ----------------------------------------> Vsock, Pmem
//!   guest <-- Interrupt --------------------------------------------- Vsock, Pmem
//!   host  <-- sockets, a Poller ------------------------------------> Vsock
//! ```
//!
//! Nothing here knows KVM, threads or an address: [`mmio::Registers`] is a state machine over offsets, and a device is
//! driven by its owner (`activate`, `process`, `handle_event`, `reset`) and talks back through [`Interrupt`].
//! Everything that a guest writes is hostile: no value makes a device panic, loop without bound, or allocate more than
//! its fixed share.

#![deny(unsafe_code)]

pub mod mmio;
pub mod pmem;
pub mod poller;
pub mod queue;
pub mod vsock;

#[expect(unsafe_code, reason = "system calls on guest memory, which no reference may point to")]
mod guest_io;
mod interrupt;

pub use interrupt::{Interrupt, InterruptStatus};
