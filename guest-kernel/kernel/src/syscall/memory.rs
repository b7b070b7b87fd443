//! Memory: `mmap(2)` and its relatives.

use super::{Args, Call, call, file};
use crate::mm::{Backing, MapRequest, PAGE, Placement, Protection, page_up, user};
use crate::task::current;
use ampoule_kbase::{Errno, FileType, Result};
use ampoule_kfs::dev::{Memory, MemoryDevice};
use linux_raw_sys::general as linux;

/// The calls of this family.
pub const CALLS: &[Call] = &[
    call(linux::__NR_mmap, "mmap", "xuxxdx", mmap),
    call(linux::__NR_munmap, "munmap", "xu", munmap),
    call(linux::__NR_mprotect, "mprotect", "xux", mprotect),
    call(linux::__NR_mremap, "mremap", "xuuxx", mremap),
    call(linux::__NR_brk, "brk", "x", brk),
    call(linux::__NR_madvise, "madvise", "xui", madvise),
    call(linux::__NR_msync, "msync", "xux", msync),
    call(linux::__NR_mincore, "mincore", "xux", mincore),
    call(linux::__NR_mlock, "mlock", "xu", lock),
    call(linux::__NR_mlock2, "mlock2", "xux", lock),
    call(linux::__NR_munlock, "munlock", "xu", lock),
    call(linux::__NR_mlockall, "mlockall", "x", nothing),
    call(linux::__NR_munlockall, "munlockall", "", nothing),
    call(linux::__NR_process_vm_readv, "process_vm_readv", "ixuxux", process_vm),
    call(linux::__NR_process_vm_writev, "process_vm_writev", "ixuxux", process_vm),
];

fn mmap(args: &Args) -> Result<u64> {
    let [address, length, protection, flags, fd, offset] = *args;
    let protection = protection_of(protection)?;
    let flags = flags as u32;
    let shared = match flags & linux::MAP_TYPE {
        linux::MAP_SHARED | linux::MAP_SHARED_VALIDATE => true,
        linux::MAP_PRIVATE => false,
        _ => return Err(Errno::EINVAL),
    };
    if length == 0 || !offset.is_multiple_of(PAGE) {
        return Err(Errno::EINVAL);
    }
    let placement = if flags & linux::MAP_FIXED_NOREPLACE != 0 {
        Placement::FixedIfFree(address)
    } else if flags & linux::MAP_FIXED != 0 {
        Placement::Fixed(address)
    } else {
        Placement::Any(address)
    };
    let (backing, may_write) = if flags & linux::MAP_ANONYMOUS != 0 {
        anonymous(length, shared)?
    } else {
        file_backing(fd, offset, length, protection, shared)?
    };
    current().memory().lock().map(MapRequest {
        placement,
        length,
        protection,
        shared,
        may_write,
        backing,
        label: "",
        populate: flags & linux::MAP_POPULATE != 0,
    })
}

fn protection_of(bits: u64) -> Result<Protection> {
    const GROWS: u64 = (linux::PROT_GROWSDOWN | linux::PROT_GROWSUP) as u64;
    u32::try_from(bits & !GROWS).ok().and_then(Protection::from_bits).ok_or(Errno::EINVAL)
}

/// Private zeros, or a nameless file that those who inherit the mapping share.
fn anonymous(length: u64, shared: bool) -> Result<(Backing, bool)> {
    if !shared {
        return Ok((Backing::Anonymous, true));
    }
    let file = ampoule_kfs::volume::memfd(b"zero", false)?.file.clone();
    file.truncate(page_up(length).ok_or(Errno::ENOMEM)?)?;
    Ok((Backing::File { file, offset: 0 }, true))
}

fn file_backing(
    fd: u64,
    offset: u64,
    length: u64,
    protection: Protection,
    shared: bool,
) -> Result<(Backing, bool)> {
    let open = file(fd)?;
    if open.path_only() {
        return Err(Errno::EBADF);
    }
    if !open.readable() || shared && protection.contains(Protection::WRITE) && !open.writable() {
        return Err(Errno::EACCES);
    }
    if offset.checked_add(length).is_none_or(|end| end > i64::MAX as u64) {
        return Err(Errno::EOVERFLOW);
    }
    let stat = open.file.stat()?;
    match FileType::from_mode(stat.mode) {
        Some(FileType::Regular) => {}
        Some(FileType::CharDevice) => {
            let memory = open.file.as_any().downcast_ref::<Memory>().ok_or(Errno::ENODEV)?;
            if memory.device() == MemoryDevice::Zero {
                return anonymous(length, shared);
            }
            return Err(Errno::ENODEV);
        }
        _ => return Err(Errno::ENODEV),
    }
    let sealed = shared && super::fcntl::is_sealed_for_writing(&open);
    if sealed && protection.contains(Protection::WRITE) {
        return Err(Errno::EPERM);
    }
    let may_write = !shared || open.writable() && !sealed;
    Ok((Backing::File { file: open.file.clone(), offset }, may_write))
}

fn munmap(args: &Args) -> Result<u64> {
    current().memory().lock().unmap(args[0], args[1])?;
    Ok(0)
}

fn mprotect(args: &Args) -> Result<u64> {
    let protection = protection_of(args[2])?;
    current().memory().lock().protect(args[0], args[1], protection)?;
    Ok(0)
}

fn mremap(args: &Args) -> Result<u64> {
    let [start, old, new, flags, target, _] = *args;
    let flags = flags as u32;
    let fixed = flags & linux::MREMAP_FIXED != 0;
    let may_move = flags & linux::MREMAP_MAYMOVE != 0;
    if flags & !(linux::MREMAP_FIXED | linux::MREMAP_MAYMOVE) != 0 || fixed && !may_move {
        return Err(Errno::EINVAL);
    }
    current().memory().lock().remap(start, old, new, may_move, fixed.then_some(target))
}

fn brk(args: &Args) -> Result<u64> {
    Ok(current().memory().lock().set_break(args[0]))
}

fn madvise(args: &Args) -> Result<u64> {
    let [start, length, advice, ..] = *args;
    if !start.is_multiple_of(PAGE) {
        return Err(Errno::EINVAL);
    }
    let end = page_up(length).and_then(|length| start.checked_add(length)).ok_or(Errno::EINVAL)?;
    match advice as u32 {
        linux::MADV_DONTNEED | linux::MADV_FREE => current().memory().lock().discard(start, end)?,
        // Hints that change nothing that a program could see.
        linux::MADV_NORMAL..=linux::MADV_WILLNEED
        | linux::MADV_MERGEABLE..=linux::MADV_WIPEONFORK
        | linux::MADV_COLD..=linux::MADV_COLLAPSE
        | linux::MADV_DONTFORK
        | linux::MADV_DOFORK => {}
        _ => return Err(Errno::EINVAL),
    }
    Ok(0)
}

fn mapped_range(start: u64, length: u64) -> Result<(u64, u64)> {
    if !start.is_multiple_of(PAGE) {
        return Err(Errno::EINVAL);
    }
    let end = page_up(length).and_then(|length| start.checked_add(length)).ok_or(Errno::ENOMEM)?;
    current().memory().lock().check_mapped(start, end)?;
    Ok((start, end))
}

/// Shared pages *are* the file's pages, so there is nothing to write back.
fn msync(args: &Args) -> Result<u64> {
    const KNOWN: u64 = (linux::MS_ASYNC | linux::MS_INVALIDATE | linux::MS_SYNC) as u64;
    if args[2] & !KNOWN != 0 || args[2] & 5 == 5 {
        return Err(Errno::EINVAL);
    }
    mapped_range(args[0], args[1])?;
    Ok(0)
}

fn mincore(args: &Args) -> Result<u64> {
    let (start, end) = mapped_range(args[0], args[1])?;
    let memory = current().memory();
    for (at, page) in (args[2]..).zip((start..end).step_by(PAGE as usize)) {
        let resident = memory.lock().is_accessible(page, crate::mm::Access::Read);
        user::write(at, u8::from(resident))?;
    }
    Ok(0)
}

/// Nothing is ever swapped out.
fn lock(args: &Args) -> Result<u64> {
    let start = args[0] & !(PAGE - 1);
    let length = args[1].checked_add(args[0] % PAGE).ok_or(Errno::EINVAL)?;
    mapped_range(start, length)?;
    Ok(0)
}

fn nothing(_args: &Args) -> Result<u64> {
    Ok(0)
}

/// Other processes' memory is out of reach: there are no debuggers here.
fn process_vm(_args: &Args) -> Result<u64> {
    Err(Errno::EPERM)
}
