//! Memory: page tables, the address spaces of programs, page faults, access to user memory, the kernel's heap.
//!
//! ```text
//!   0000_0000_0001_0000   program, heap (brk) upwards
//!          ...            mappings, from below the stack downwards
//!   0000_7fff_ffff_f000   top of the stack
//!   ffff_8080_0000_0000   direct map of physical memory (PML4 slot 257; slot 256 hangs some hosts)
//!   ffff_ffff_8000_0000   the kernel's image (slot 511): physical address + this base
//! ```
//!
//! A trap costs 15 times as much as a system call on some hosts, so mappings are filled in eagerly: whole neighbourhoods of
//! file pages and clusters of anonymous pages at once. RAM that was never used is zero and costs nothing to map.

mod area;
pub mod buffers;
mod fault;
mod fork;
pub mod heap;
mod map;
pub mod paging;
mod space;
pub mod user;

pub use area::{Area, Backing, Protection};
pub use fault::{Access, Fault};
pub use map::{MapRequest, Placement};
pub use space::AddressSpace;

use ampoule_kbase::PAGE_SIZE;

/// Where the kernel's image is linked, less its physical address.
pub const KERNEL_BASE: u64 = 0xffff_ffff_8000_0000;
/// Where physical address 0 is mapped.
pub const DIRECT_MAP: u64 = 0xffff_8080_0000_0000;
/// The end of what a program may map.
pub const USER_END: u64 = 0x7fff_ffff_f000;
/// The lowest address that a program may map (`vm.mmap_min_addr`).
pub const USER_START: u64 = 0x1_0000;
/// Bytes in a page, as addresses count.
pub const PAGE: u64 = PAGE_SIZE as u64;

/// Rounds down to a page.
pub const fn page_down(address: u64) -> u64 {
    address & !(PAGE - 1)
}

/// Rounds up to a page; `None` where that overflows.
pub const fn page_up(address: u64) -> Option<u64> {
    match address.checked_add(PAGE - 1) {
        Some(sum) => Some(sum & !(PAGE - 1)),
        None => None,
    }
}
