//! Transfers from file to file: `sendfile`, `copy_file_range`.

use super::handle::{offset as checked_offset, usable};
use super::transfer::{self, Mode};
use super::{Args, Call, call};
use crate::mm::buffers::{KernelBytes, MAX_TRANSFER};
use crate::mm::user;
use crate::signal;
use crate::task::{current, sched};
use alloc::sync::Arc;
use alloc::vec;
use ampoule_kbase::{Errno, FileType, OpenFile, Result, SliceSink};
use linux_raw_sys::general as linux;

/// The calls of this family.
pub const CALLS: &[Call] = &[
    call(linux::__NR_sendfile, "sendfile", "ddxu", sendfile),
    call(linux::__NR_copy_file_range, "copy_file_range", "dxdxux", copy_file_range),
];

/// Bytes that are on their way at a time.
const PIECE: usize = 64 << 10;

/// Copies up to `length` bytes from `input` at `from` to `output` at `to`, or at its own offset. Stops at the end of
/// the input, where the output takes no more, or for a signal.
fn copy(input: &OpenFile, mut from: u64, output: &OpenFile, to: Option<u64>, length: usize) -> Result<usize> {
    let mut piece = vec![0; length.min(PIECE)];
    let mut total = 0;
    while total < length {
        let wanted = piece.len().min(length - total);
        let mut sink = SliceSink::new(&mut piece[..wanted]);
        let nowait = Mode { nowait: true, append: None };
        let count = match transfer::read(input, &mut sink, Some(from), nowait) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if total == 0 => return Err(error),
            Err(_) => break,
        };
        let mut source = KernelBytes::new(&piece[..count]);
        let to = to.map(|to| to + total as u64);
        let written = match transfer::write(output, &mut source, to, Mode::default()) {
            Ok(written) => written,
            Err(error) if total == 0 => return Err(error),
            Err(_) => break,
        };
        total += written;
        from += written as u64;
        if written < count || signal::interrupts(current()) {
            break;
        }
        sched::yield_now();
    }
    Ok(total)
}

fn sendfile(args: &Args) -> Result<u64> {
    let input = usable(args[1])?;
    if !input.readable() {
        return Err(Errno::EBADF);
    }
    let given = match args[2] {
        0 => None,
        address => Some(checked_offset(user::read::<u64>(address)?)?),
    };
    if given.is_some() && !input.file.seekable() {
        return Err(Errno::ESPIPE);
    }
    let output = usable(args[0])?;
    if !output.writable() {
        return Err(Errno::EBADF);
    }
    let unfit = !input.file.seekable() || is_directory(&input)? || output.flags() & linux::O_APPEND != 0;
    if unfit {
        return Err(Errno::EINVAL);
    }
    let from = given.unwrap_or_else(|| *input.offset.lock());
    let length = args[3].min(MAX_TRANSFER as u64) as usize;
    let count = copy(&input, from, &output, None, length)?;
    match given {
        Some(_) => user::write(args[2], from + count as u64)?,
        None => *input.offset.lock() = from + count as u64,
    }
    Ok(count as u64)
}

fn is_directory(open: &OpenFile) -> Result<bool> {
    Ok(FileType::from_mode(open.file.stat()?.mode) == Some(FileType::Directory))
}

/// A regular file and where in it to start; none: at its own offset.
fn regular(open: &Arc<OpenFile>, offset: u64) -> Result<(u64, bool)> {
    if is_directory(open)? {
        return Err(Errno::EISDIR);
    }
    if !transfer::is_regular(open)? {
        return Err(Errno::EINVAL);
    }
    match offset {
        0 => Ok((*open.offset.lock(), true)),
        address => Ok((checked_offset(user::read::<u64>(address)?)?, false)),
    }
}

fn copy_file_range(args: &Args) -> Result<u64> {
    let (input, output) = (usable(args[0])?, usable(args[2])?);
    if args[5] != 0 {
        return Err(Errno::EINVAL);
    }
    let (from, moves_input) = regular(&input, args[1])?;
    let (to, moves_output) = regular(&output, args[3])?;
    let appends = output.flags() & linux::O_APPEND != 0;
    if !input.readable() || !output.writable() || appends {
        return Err(Errno::EBADF);
    }
    let length = args[4].min(MAX_TRANSFER as u64);
    let (from_end, to_end) = match (from.checked_add(length), to.checked_add(length)) {
        (Some(from_end), Some(to_end)) => (from_end, to_end),
        _ => return Err(Errno::EOVERFLOW),
    };
    let (a, b) = (input.file.stat()?, output.file.stat()?);
    if (a.dev, a.ino) == (b.dev, b.ino) && from < to_end && to < from_end {
        return Err(Errno::EINVAL);
    }
    if length == 0 || from >= a.size {
        return Ok(0);
    }
    let count = copy(&input, from, &output, Some(to), length as usize)? as u64;
    move_on(&input, args[1], from + count, moves_input)?;
    move_on(&output, args[3], to + count, moves_output)?;
    Ok(count)
}

/// Notes how far a file was used: in its own offset, or where the caller keeps it.
fn move_on(open: &OpenFile, address: u64, offset: u64, own: bool) -> Result<()> {
    if own {
        *open.offset.lock() = offset;
        return Ok(());
    }
    user::write(address, offset)
}
