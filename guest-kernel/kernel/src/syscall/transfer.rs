//! Reading and writing with everything that the calls of that kind share: access modes, offsets, blocking, `O_APPEND`,
//! the file size limit, transfers that are cut short.

use super::socket_transfer::{self, Message};
use super::timeouts;
use crate::mm::buffers::Replay;
use crate::task::limits::{INFINITY, resource};
use crate::task::{current, sched};
use ampoule_kbase::{Errno, FileType, OpenFile, Result, Sink, platform};
use ampoule_kio::event::EventFd;
use linux_raw_sys::general::{O_APPEND, SIGXFSZ};

/// How a transfer differs from plain `read(2)` and `write(2)`.
#[derive(Clone, Copy, Default)]
pub struct Mode {
    /// Do not wait, whatever the file's flags say.
    pub nowait: bool,
    /// Write at the end, whatever the file's flags say; `Some(false)`: not even if they say so.
    pub append: Option<bool>,
}

/// Reads into `sink`, at `position` or else at the file's own offset, which then moves on.
#[inline]
pub fn read(open: &OpenFile, sink: &mut dyn Sink, position: Option<u64>, mode: Mode) -> Result<usize> {
    if !open.readable() {
        return Err(Errno::EBADF);
    }
    let file = &*open.file;
    let nowait = mode.nowait || open.nonblocking();
    if !file.seekable() {
        if position.is_some() {
            return Err(Errno::ESPIPE);
        }
        if let Some(socket) = file.socket() {
            return socket_transfer::read(open, socket, sink, nowait);
        }
        return unless_now(open, nowait, || file.read(0, sink));
    }
    let at = position.unwrap_or_else(|| *open.offset.lock());
    let count = unless_now(open, nowait, || file.read(at, sink))?;
    if position.is_none() {
        *open.offset.lock() = at + count as u64;
    }
    Ok(count)
}

/// Carries out an operation; where it cannot be done now, waits, unless that is not wanted.
#[inline]
fn unless_now<R>(open: &OpenFile, nowait: bool, mut operation: impl FnMut() -> Result<R>) -> Result<R> {
    if nowait { operation() } else { sched::retry(open.file.wait_queue(), None, Errno::EAGAIN, operation) }
}

/// Writes from `source`, at `position` or else at the file's own offset, which then moves on. A stream that waits takes
/// everything, or stops early with a count.
#[inline]
pub fn write(open: &OpenFile, source: &mut dyn Replay, position: Option<u64>, mode: Mode) -> Result<usize> {
    if !open.writable() {
        return Err(Errno::EBADF);
    }
    let nowait = mode.nowait || open.nonblocking();
    if open.file.seekable() {
        return write_seekable(open, source, position, mode, nowait);
    }
    if position.is_some() {
        return Err(Errno::ESPIPE);
    }
    match open.file.socket() {
        Some(socket) => {
            let deadline = timeouts::send_deadline(open);
            socket_transfer::send(open, socket, source, Message::default(), nowait, deadline)
        }
        None => write_stream(open, source, nowait),
    }
}

fn write_seekable(
    open: &OpenFile,
    source: &mut dyn Replay,
    position: Option<u64>,
    mode: Mode,
    nowait: bool,
) -> Result<usize> {
    let file = &*open.file;
    let append = mode.append.unwrap_or(open.flags() & O_APPEND != 0);
    let at = if append { file.stat()?.size } else { position.unwrap_or_else(|| *open.offset.lock()) };
    let limit = current().process.limits.lock().soft(resource::FSIZE);
    if limit != INFINITY && source.remaining() > 0 && is_regular(open)? {
        let room = limit.checked_sub(at).filter(|room| *room > 0).ok_or_else(too_large)?;
        source.limit(usize::try_from(room).unwrap_or(usize::MAX));
    }
    let mark = source.mark();
    let count = unless_now(open, nowait, || {
        source.rewind(mark);
        file.write(at, source)
    })?;
    if position.is_none() {
        *open.offset.lock() = at + count as u64;
    }
    Ok(count)
}

/// Whether a file is a regular one.
pub fn is_regular(open: &OpenFile) -> Result<bool> {
    Ok(FileType::from_mode(open.file.stat()?.mode) == Some(FileType::Regular))
}

/// Tells the caller that a file would grow beyond its limit.
pub fn too_large() -> Errno {
    platform().signal_caller(SIGXFSZ);
    Errno::EFBIG
}

/// Refuses to make a regular file of `size` bytes larger than the caller's limit.
pub fn check_size(size: u64, wanted: u64) -> Result<()> {
    let limit = current().process.limits.lock().soft(resource::FSIZE);
    if wanted > size && wanted > limit { Err(too_large()) } else { Ok(()) }
}

fn write_stream(open: &OpenFile, source: &mut dyn Replay, nowait: bool) -> Result<usize> {
    let file = &*open.file;
    let mut total = 0;
    loop {
        let mark = source.mark();
        let result = unless_now(open, nowait, || {
            source.rewind(mark);
            file.write(0, source)
        });
        match result {
            Ok(count) if count == 0 || nowait => return Ok(total + count),
            Ok(count) => total += count,
            Err(error) if total == 0 => return Err(error),
            Err(_) => return Ok(total),
        }
        // An event counter takes one number, however much is offered.
        if source.remaining() == 0 || file.wait_queue().is_none() || file.as_any().is::<EventFd>() {
            return Ok(total);
        }
    }
}
