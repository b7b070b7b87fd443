//! Transfers between pipes and other files: `splice`, `vmsplice`. Bytes are copied; what makes these calls useful here is
//! that one call moves what would take two.

use super::handle::{ask, offset as checked_offset, only, usable};
use super::transfer::{self, Mode};
use super::{Args, Call, call};
use crate::mm::buffers::{Mark, Replay};
use crate::mm::user::{self, UserBuffers};
use crate::task::sched;
use alloc::vec;
use ampoule_kbase::{Errno, Events, OpenFile, PAGE_SIZE, Result, SliceSink, SliceSource, Source};
use ampoule_kio::pipe::PipeEnd;
use linux_raw_sys::general as linux;
use linux_raw_sys::general::{SPLICE_F_GIFT, SPLICE_F_MORE, SPLICE_F_MOVE, SPLICE_F_NONBLOCK};
use linux_raw_sys::ioctl::FIONREAD;

/// The calls of this family.
pub const CALLS: &[Call] = &[
    call(linux::__NR_splice, "splice", "dxdxux", splice),
    call(linux::__NR_vmsplice, "vmsplice", "dxux", vmsplice),
];

const FLAGS: u32 = SPLICE_F_MOVE | SPLICE_F_NONBLOCK | SPLICE_F_MORE | SPLICE_F_GIFT;

/// Bytes that wait in a pipe.
fn waiting(pipe: &OpenFile) -> Result<usize> {
    Ok(ask(&*pipe.file, FIONREAD)? as usize)
}

/// The first bytes of a pipe as what is written to another file: nothing is lost where that one takes less.
struct PipeSource<'a> {
    pipe: &'a OpenFile,
    remaining: usize,
}

impl Source for PipeSource<'_> {
    fn remaining(&self) -> usize {
        self.remaining
    }

    fn take(&mut self, mut buffer: &mut [u8]) -> Result<()> {
        while !buffer.is_empty() {
            let count = self.pipe.file.read(0, &mut SliceSink::new(buffer))?;
            if count == 0 {
                return Err(Errno::EIO);
            }
            self.remaining = self.remaining.saturating_sub(count);
            buffer = &mut buffer[count..];
        }
        Ok(())
    }
}

impl Replay for PipeSource<'_> {
    fn mark(&self) -> Mark {
        Mark::default()
    }

    // What was taken cannot be put back. Of the files that ask for that, none takes bytes that it has no room for, but for
    // event counters, to which `splice` does not write.
    fn rewind(&mut self, _mark: Mark) {}

    fn limit(&mut self, count: usize) {
        self.remaining = self.remaining.min(count);
    }
}

/// Waits until a file is ready for something.
fn wait_for(open: &OpenFile, wanted: Events, nowait: bool) -> Result<()> {
    let wanted = wanted | Events::ERR | Events::HUP;
    let ready = || if open.file.poll().intersects(wanted) { Ok(()) } else { Err(Errno::EAGAIN) };
    if nowait { ready() } else { sched::retry(open.file.wait_queue(), None, Errno::EAGAIN, ready) }
}

/// Where a file that is no pipe is read or written: the offset that the caller keeps, or the file's own.
fn place(open: &OpenFile, address: u64) -> Result<Option<u64>> {
    if address == 0 {
        return Ok(None);
    }
    let offset = user::read::<u64>(address)?;
    if open.file.seekable() { Ok(Some(checked_offset(offset)?)) } else { Err(Errno::EINVAL) }
}

fn from_pipe(
    pipe: &OpenFile,
    output: &OpenFile,
    at: Option<u64>,
    length: usize,
    nowait: bool,
) -> Result<usize> {
    wait_for(pipe, Events::IN, nowait)?;
    let remaining = waiting(pipe)?.min(length);
    if remaining == 0 {
        return Ok(0);
    }
    let is_counter = output.file.as_any().is::<ampoule_kio::event::EventFd>();
    let appends = output.flags() & linux::O_APPEND != 0 && PipeEnd::of(&*output.file).is_none();
    if is_counter || appends {
        return Err(Errno::EINVAL);
    }
    transfer::write(output, &mut PipeSource { pipe, remaining }, at, Mode { nowait, append: None })
}

/// A page at a time: a pipe that is ready takes at least that much.
fn to_pipe(input: &OpenFile, at: Option<u64>, pipe: &OpenFile, length: usize, nowait: bool) -> Result<usize> {
    let mut piece = vec![0; PAGE_SIZE];
    let mut total = 0;
    while total < length {
        let step = match step_to_pipe(
            input,
            at.map(|at| at + total as u64),
            pipe,
            &mut piece,
            length - total,
            nowait || total > 0,
        ) {
            Ok(step) => step,
            Err(error) if total == 0 => return Err(error),
            Err(_) => break,
        };
        total += step;
        if step < PAGE_SIZE {
            break;
        }
    }
    Ok(total)
}

fn step_to_pipe(
    input: &OpenFile,
    at: Option<u64>,
    pipe: &OpenFile,
    piece: &mut [u8],
    length: usize,
    nowait: bool,
) -> Result<usize> {
    wait_for(pipe, Events::OUT, nowait)?;
    let wanted = length.min(piece.len());
    let piece = &mut piece[..wanted];
    // A pipe that nobody reads is found out before anything is taken.
    if pipe.file.poll().contains(Events::ERR) {
        return pipe.file.write(0, &mut SliceSource::new(&[0]));
    }
    let count = transfer::read(input, &mut SliceSink::new(piece), at, Mode { nowait, append: None })?;
    pipe.file.write(0, &mut SliceSource::new(&piece[..count]))
}

fn splice(args: &Args) -> Result<u64> {
    let nowait = only(args[5], FLAGS)? & SPLICE_F_NONBLOCK != 0;
    let length = args[4].min(crate::mm::buffers::MAX_TRANSFER as u64) as usize;
    if length == 0 {
        return Ok(0);
    }
    let (input, output) = (usable(args[0])?, usable(args[2])?);
    if !input.readable() || !output.writable() {
        return Err(Errno::EBADF);
    }
    let pipes = (PipeEnd::of(&*input.file).is_some(), PipeEnd::of(&*output.file).is_some());
    if (pipes.0 && args[1] != 0) || (pipes.1 && args[3] != 0) {
        return Err(Errno::ESPIPE);
    }
    let (from, to) = (place(&input, args[1])?, place(&output, args[3])?);
    let count = match pipes {
        (false, false) => return Err(Errno::EINVAL),
        (true, true) if input.file.stat()?.ino == output.file.stat()?.ino => return Err(Errno::EINVAL),
        (true, _) => from_pipe(&input, &output, to, length, nowait || input.nonblocking())?,
        (false, true) => to_pipe(&input, from, &output, length, nowait || output.nonblocking())?,
    };
    for (offset, address) in [(from, args[1]), (to, args[3])] {
        if let Some(offset) = offset {
            user::write(address, offset + count as u64)?;
        }
    }
    Ok(count as u64)
}

/// Pages of the program into a pipe, or out of one: here `writev` and `readv`.
fn vmsplice(args: &Args) -> Result<u64> {
    let nowait = only(args[3], FLAGS)? & SPLICE_F_NONBLOCK != 0;
    let open = usable(args[0])?;
    if PipeEnd::of(&*open.file).is_none() {
        return Err(Errno::EBADF);
    }
    let mut buffers = UserBuffers::vector(args[1], args[2])?;
    let mode = Mode { nowait, append: None };
    let count = if open.writable() {
        transfer::write(&open, &mut buffers, None, mode)?
    } else {
        transfer::read(&open, &mut buffers, None, mode)?
    };
    Ok(count as u64)
}
