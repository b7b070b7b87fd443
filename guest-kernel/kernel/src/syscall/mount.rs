//! `mount(2)` and `umount2(2)`.

use super::handle::context;
use super::{Args, Call, call};
use crate::mm::{PAGE, user};
use alloc::vec::Vec;
use ampoule_kbase::{Errno, Result};
use linux_raw_sys::general as linux;

/// The calls of this family.
pub const CALLS: &[Call] =
    &[call(linux::__NR_mount, "mount", "sssxx", mount), call(linux::__NR_umount2, "umount2", "sx", umount)];

/// A string argument that may be left out.
fn optional(address: u64) -> Result<Vec<u8>> {
    if address == 0 { Ok(Vec::new()) } else { user::read_string(address, PAGE as usize).map_err(too_long) }
}

fn too_long(error: Errno) -> Errno {
    if error == Errno::ENAMETOOLONG { Errno::EINVAL } else { error }
}

fn mount(args: &Args) -> Result<u64> {
    let kind = optional(args[2])?;
    let source = optional(args[0])?;
    let data = optional(args[4])?;
    let target = user::read_path(args[1])?;
    context().mount(&source, &target, &kind, args[3] as u32, &data)?;
    Ok(0)
}

fn umount(args: &Args) -> Result<u64> {
    let target = user::read_path(args[0])?;
    context().unmount(&target, args[1] as u32)?;
    Ok(0)
}
