//! Our side: what the system-call layer would do.

use super::op::{self, Op};
use super::{Outcome, System};
use crate::testing::{self, call_as, context};
use crate::vfs::{Context, Credentials, Follow, Location, SetTime, location};
use crate::volume::Volume;
use alloc::format;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use ampoule_kbase::{Errno, FileType, OpenFile, Result, SliceSink, SliceSource, Stat};
use linux_raw_sys::general::{AT_EMPTY_PATH, AT_SYMLINK_NOFOLLOW, O_APPEND};
use std::string::{String, ToString};

pub struct Ours {
    context: Context,
    slots: [Option<Arc<OpenFile>>; 3],
    uid: u32,
    /// How often the user has changed, now and when each slot was opened.
    identity: u32,
    opened_by: [u32; 3],
}

impl Ours {
    pub fn new(volume: Arc<Volume>) -> Self {
        call_as(0);
        Self { context: context(volume), slots: [None, None, None], uid: 0, identity: 0, opened_by: [0; 3] }
    }

    fn file(&self, slot: usize) -> Result<&Arc<OpenFile>> {
        self.slots[slot].as_ref().ok_or(Errno::EBADF)
    }

    /// An open file that is more than a location.
    fn data_file(&self, slot: usize) -> Result<&Arc<OpenFile>> {
        self.file(slot).and_then(|open| if open.path_only() { Err(Errno::EBADF) } else { Ok(open) })
    }

    fn place(&self, slot: usize) -> Result<Location> {
        location(self.file(slot)?).cloned().ok_or(Errno::EINVAL)
    }

    fn cwd(&self) -> &Location {
        &self.context.cwd
    }

    fn resolve(&self, path: &str, flags: u32) -> Result<Location> {
        self.context.resolve_at(self.cwd(), path.as_bytes(), flags)
    }

    fn open(&mut self, slot: usize, base: &Location, path: &str, flags: u32, mode: u32) -> Outcome {
        let opened = self.context.open(base, path.as_bytes(), flags, mode)?.file;
        self.slots[slot] = Some(opened);
        self.opened_by[slot] = self.identity;
        Ok(String::new())
    }

    fn read(&self, slot: usize, offset: u64, length: usize) -> Outcome {
        let open = self.data_file(slot)?;
        if !open.readable() {
            return Err(Errno::EBADF);
        }
        let mut buffer = vec![0u8; length];
        let count = open.file.read(offset, &mut SliceSink::new(&mut buffer))?;
        buffer.truncate(count);
        Ok(format!("{buffer:?}"))
    }

    fn write(&self, slot: usize, offset: u64, length: usize) -> Outcome {
        let open = self.data_file(slot)?;
        if !open.writable() {
            return Err(Errno::EBADF);
        }
        let bytes = op::pattern(offset, length);
        let offset = if open.flags() & O_APPEND != 0 { open.file.stat()?.size } else { offset };
        open.file.write(offset, &mut SliceSource::new(&bytes)).map(|count| count.to_string())
    }

    fn map(&self, slot: usize, offset: u64, length: usize, write: bool) -> Outcome {
        let open = self.data_file(slot)?;
        if !open.readable() || (write && !open.writable()) {
            return Err(Errno::EACCES);
        }
        let page = open.file.page(offset / 4096, write)?;
        let within = (offset % 4096) as usize;
        let left = open.file.stat()?.size.saturating_sub(offset) as usize;
        let mut part = vec![0; length.min(4096 - within).min(left)];
        if write {
            part = op::pattern(offset + 7, part.len());
            page.write(within, &part);
        } else if ampoule_kbase::frames::is_ram(page.physical()) {
            page.read(within, &mut part);
        } else {
            // The image itself: there is no direct map of it here, so let `read` show the bytes.
            open.file.read(offset, &mut SliceSink::new(&mut part))?;
        }
        Ok(format!("{part:?}"))
    }

    fn set_length(&self, slot: usize, length: u64) -> Outcome {
        let open = self.data_file(slot)?;
        let regular = FileType::from_mode(open.file.stat()?.mode) == Some(FileType::Regular);
        if !open.writable() || !regular {
            return Err(Errno::EINVAL);
        }
        open.file.truncate(length).map(|()| String::new())
    }

    fn allocate(&self, slot: usize, flags: u32, offset: u64, length: u64) -> Outcome {
        let open = self.data_file(slot)?;
        if !open.writable() {
            return Err(Errno::EBADF);
        }
        self.place(slot)?.inode().allocate(flags, offset, length).map(|()| String::new())
    }

    fn seek(&self, slot: usize, offset: u64, hole: bool) -> Outcome {
        let stat = self.data_file(slot)?.file.stat()?;
        if FileType::from_mode(stat.mode) == Some(FileType::Directory) {
            return Err(Errno::EINVAL);
        }
        if FileType::from_mode(stat.mode) == Some(FileType::CharDevice) {
            // The null device, which has no position.
            return Ok("0".into());
        }
        if offset >= stat.size {
            return Err(Errno::ENXIO);
        }
        self.place(slot)?.inode().seek(offset, hole).map(|at| at.to_string())
    }

    fn list(&self, slot: usize) -> Outcome {
        let open = self.data_file(slot)?;
        let mut entries: Vec<String> = Vec::new();
        let mut offset = 0;
        loop {
            let before = entries.len();
            open.file.read_directory(offset, &mut |entry| {
                offset = entry.next_offset;
                entries.push(format!(
                    "{}:{}",
                    String::from_utf8_lossy(&entry.name),
                    entry.file_type.dirent_type()
                ));
                entries.len() < before + 2
            })?;
            if entries.len() == before {
                break;
            }
        }
        entries.sort();
        Ok(entries.join(" "))
    }
}

fn show(stat: Stat) -> String {
    let Stat { mode, nlink, uid, gid, rdev, size, .. } = stat;
    let size = if FileType::from_mode(mode) == Some(FileType::Directory) { 0 } else { size };
    format!("{mode:o} links {nlink} owner {uid}:{gid} rdev {rdev} size {size}")
}

fn done<T>(result: Result<T>) -> Outcome {
    result.map(|_| String::new())
}

fn time(seconds: Option<i64>, now: bool) -> SetTime {
    match (seconds, now) {
        (Some(seconds), _) => SetTime::At(seconds * 1_000_000_000 + 5),
        (None, true) => SetTime::Now,
        (None, false) => SetTime::Keep,
    }
}

impl System for Ours {
    fn times(&self) -> super::times::Times {
        call_as(0);
        let top = Context::new(self.context.root.clone());
        let mut times = super::times::Times::new();
        let mut todo = vec![Vec::new()];
        while let Some(path) = todo.pop() {
            let full = [b"/", &path[..]].concat();
            let at = top.resolve(&top.root, &full, Follow::Never).expect("the file is there");
            let stat = at.stat();
            if at.attributes().is_directory() {
                let names =
                    testing::list(&top, &full).expect("a directory").into_iter().map(|entry| entry.name);
                todo.extend(
                    names.map(|name| if path.is_empty() { name } else { [&path, &b"/"[..], &name].concat() }),
                );
            }
            times.insert(path, (stat.ino, stat.mtime_ns, stat.ctime_ns));
        }
        call_as(self.uid);
        times
    }

    fn apply(&mut self, op: &Op) -> Outcome {
        let context = self.context.clone();
        let here = &context.cwd;
        match op {
            Op::Open { slot, path, flags, mode } => self.open(*slot, here, path, *flags, *mode),
            Op::OpenAt { slot, base, path, flags } => {
                let base = self.place(*base)?;
                self.open(*slot, &base, path, *flags, 0o666)
            }
            Op::Close { slot } => {
                self.slots[*slot] = None;
                Ok(String::new())
            }
            Op::Read { slot, offset, length } => self.read(*slot, *offset, *length),
            Op::Write { slot, offset, length } => self.write(*slot, *offset, *length),
            Op::SetLength { slot, length } => self.set_length(*slot, *length),
            Op::Allocate { slot, flags, offset, length } => self.allocate(*slot, *flags, *offset, *length),
            Op::Seek { slot, offset, hole } => self.seek(*slot, *offset, *hole),
            Op::MapWrite { slot, offset, length } => self.map(*slot, *offset, *length, true),
            Op::MapRead { slot, offset, length } => self.map(*slot, *offset, *length, false),
            Op::StatFd { slot } => Ok(show(self.file(*slot)?.file.stat()?)),
            Op::ListFd { slot } => self.list(*slot),
            Op::LinkFd { slot, path } => {
                self.file(*slot)?;
                // What our caller has to check.
                if self.uid != 0 && self.opened_by[*slot] != self.identity {
                    return Err(Errno::ENOENT);
                }
                done(context.link((&self.place(*slot)?, b""), (here, path.as_bytes()), AT_EMPTY_PATH))
            }
            Op::Mkdir { path, mode } => done(context.mkdir(here, path.as_bytes(), *mode)),
            Op::Mknod { path, mode } => done(context.mknod(here, path.as_bytes(), *mode, 0x103)),
            Op::Symlink { target, path } => done(context.symlink(target.as_bytes(), here, path.as_bytes())),
            Op::Link { old, new, flags } => {
                done(context.link((here, old.as_bytes()), (here, new.as_bytes()), *flags))
            }
            Op::Unlink { path } => done(context.unlink(here, path.as_bytes())),
            Op::Rmdir { path } => done(context.rmdir(here, path.as_bytes())),
            Op::Rename { old, new, flags } => {
                done(context.rename((here, old.as_bytes()), (here, new.as_bytes()), *flags))
            }
            Op::Stat { path } => Ok(show(self.resolve(path, 0)?.stat())),
            Op::Lstat { path } => Ok(show(self.resolve(path, AT_SYMLINK_NOFOLLOW)?.stat())),
            Op::ReadLink { path } => {
                let target = context.read_link(here, path.as_bytes())?;
                Ok(String::from_utf8_lossy(&target).into_owned())
            }
            Op::Access { path, mode } => done(self.resolve(path, 0)?.access(*mode, Credentials::current())),
            Op::Chmod { path, mode } => done(self.resolve(path, 0)?.chmod(*mode)),
            Op::Chown { path, uid, gid } => done(self.resolve(path, 0)?.chown(*uid, *gid)),
            Op::Lchown { path, uid } => {
                done(self.resolve(path, AT_SYMLINK_NOFOLLOW)?.chown(Some(*uid), None))
            }
            Op::SetTimes { path, seconds, now } => {
                // With nothing to set, the path is not even looked at.
                if seconds.is_none() && !now {
                    return Ok(String::new());
                }
                done(self.resolve(path, 0)?.set_times(time(*seconds, *now), time(None, *now)))
            }
            Op::Truncate { path, length } => done(self.resolve(path, 0)?.truncate(*length)),
            Op::Chdir { path } => {
                let directory = context.resolve(here, path.as_bytes(), Follow::Last)?;
                done(self.context.set_cwd(directory))
            }
            Op::Fchdir { slot } => {
                let directory = self.place(*slot)?;
                done(self.context.set_cwd(directory))
            }
            Op::Getcwd => Ok(String::from_utf8_lossy(&context.current_directory()?).into_owned()),
            Op::User { uid } => {
                call_as(*uid);
                self.uid = *uid;
                self.identity += 1;
                Ok(String::new())
            }
            Op::Umask { mask } => {
                self.context.umask = *mask;
                Ok(String::new())
            }
        }
    }
}
