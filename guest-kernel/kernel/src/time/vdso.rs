//! The vDSO: clock functions that programs call without entering the kernel. Not built yet: programs use the system
//! call, which is a jump.

use crate::mm::AddressSpace;
use ampoule_kbase::Result;

/// Maps it; its address, if there is one.
pub fn map(_space: &mut AddressSpace) -> Result<Option<u64>> {
    Ok(None)
}
