//! What the engine tells a VMM process, and what the VMM process tells the engine.
//!
//! The engine starts `ampoule-vmm CONFIG` with [`VmConfig`] as JSON; every file is an open descriptor that the process
//! inherits. When the VM ends, the VMM writes one [`VmStatus`] as a line of JSON to `status_fd` and exits with
//! [`Reason::exit_code`]. A VMM that was killed writes nothing.
#![forbid(unsafe_code)]

mod config;
mod error;
mod status;

pub use config::{
    FileSlice, Guest, MAX_CMDLINE_LEN, MAX_IMAGES, MAX_INITRD_PARTS, MAX_MEMORY_MIB, MAX_VSOCK_PORTS,
    MIN_MEMORY_MIB, PAGE_SIZE, ValidVmConfig, VmConfig, VsockConfig, VsockPort,
};
pub use error::Error;
pub use status::{CONSOLE_TAIL_LEN, MAX_STATUS_LEN, Reason, Timings, VmStatus};

/// The context identifier of the host on vsock.
pub const HOST_CID: u64 = 2;
/// The context identifier of every guest on vsock.
pub const GUEST_CID: u64 = 3;
/// The host's vsock port to which the agent connects as soon as it is up.
pub const CONTROL_PORT: u32 = 1024;
