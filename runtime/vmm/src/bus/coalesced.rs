//! KVM's ring of coalesced stores: a page shared with the host kernel.

use crate::error::Error;
use kvm_bindings::{KVM_COALESCED_MMIO_PAGE_OFFSET, kvm_coalesced_mmio, kvm_coalesced_mmio_ring};
use rustix::mm::{MapFlags, ProtFlags, mmap};
use std::os::fd::BorrowedFd;
use std::ptr::{NonNull, null_mut};
use std::sync::atomic::{AtomicU32, Ordering};

const PAGE: usize = 4096;
/// `KVM_COALESCED_MMIO_MAX`.
const ENTRIES: u32 = ((PAGE - size_of::<kvm_coalesced_mmio_ring>()) / size_of::<kvm_coalesced_mmio>()) as u32;

/// The ring of one vCPU, mapped until the process ends. KVM appends to it, we take from it.
pub struct Ring {
    page: NonNull<kvm_coalesced_mmio_ring>,
}

// SAFETY: the page is a mapping of this process, not of a thread; who has the `&mut Ring` has it alone.
unsafe impl Send for Ring {}

/// A store that KVM put aside.
#[derive(Clone, Copy)]
pub struct Store {
    /// Guest physical address.
    pub address: u64,
    data: [u8; 8],
    len: u32,
}

impl Store {
    /// The bytes that were stored: at most eight.
    pub fn data(&self) -> &[u8] {
        usize::try_from(self.len).ok().and_then(|len| self.data.get(..len)).unwrap_or(&self.data)
    }
}

impl Ring {
    /// The ring of a vCPU.
    pub fn map(vcpu: BorrowedFd<'_>) -> Result<Self, Error> {
        let offset = u64::from(KVM_COALESCED_MMIO_PAGE_OFFSET) * PAGE as u64;
        // SAFETY: a new mapping wherever there is room.
        let page = unsafe {
            mmap(null_mut(), PAGE, ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED, vcpu, offset)
        }
        .map_err(Error::host("map the ring of coalesced stores"))?;
        NonNull::new(page.cast()).map(|page| Self { page }).ok_or(Error::KvmVersion)
    }

    /// Takes the oldest store.
    pub fn pop(&mut self) -> Option<Store> {
        let page = self.page.as_ptr();
        // SAFETY: both are aligned u32s in the page, which stays mapped. KVM accesses them concurrently, hence atomics.
        let (first, last) = unsafe {
            (AtomicU32::from_ptr(&raw mut (*page).first), AtomicU32::from_ptr(&raw mut (*page).last))
        };
        let index = first.load(Ordering::Relaxed);
        // KVM writes an entry before it moves `last` on.
        if index == last.load(Ordering::Acquire) || index >= ENTRIES {
            return None;
        }
        // SAFETY: the index is within the page, and KVM leaves entries between first and last alone.
        let entry = unsafe {
            (&raw mut (*page).coalesced_mmio).cast::<kvm_coalesced_mmio>().add(index as usize).read()
        };
        first.store((index + 1) % ENTRIES, Ordering::Release);
        Some(Store { address: entry.phys_addr, data: entry.data, len: entry.len })
    }
}

const _: () = assert!(ENTRIES == 170);
