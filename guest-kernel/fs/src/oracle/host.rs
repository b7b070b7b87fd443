//! The host's side: plain system calls.

use super::op::{self, Op};
use super::{Outcome, System};
use alloc::format;
use alloc::vec;
use alloc::vec::Vec;
use ampoule_kbase::{Errno, Result};
use std::ffi::{CStr, CString};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::string::{String, ToString};

pub struct Host {
    slots: [Option<OwnedFd>; 3],
}

fn check(result: i64) -> Result<i64> {
    if result < 0 {
        return Err(Errno(std::io::Error::last_os_error().raw_os_error().expect("an error number") as u16));
    }
    Ok(result)
}

fn done(result: i64) -> Outcome {
    check(result).map(|_| String::new())
}

fn c(path: &str) -> CString {
    CString::new(path).expect("no zero byte")
}

impl Host {
    /// Makes `root` the root of this thread alone.
    pub fn enter(root: &Path) -> Self {
        let root = CString::new(root.as_os_str().as_bytes()).expect("no zero byte");
        // SAFETY: plain calls with valid strings; the thread's file system context is unshared first.
        unsafe {
            check(i64::from(libc::unshare(libc::CLONE_FS))).expect("unshare");
            check(i64::from(libc::chroot(root.as_ptr()))).expect("chroot");
            check(i64::from(libc::chdir(c"/".as_ptr()))).expect("chdir");
            libc::umask(0);
        }
        Self { slots: [None, None, None] }
    }

    fn fd(&self, slot: usize) -> Result<i32> {
        self.slots[slot].as_ref().map(AsRawFd::as_raw_fd).ok_or(Errno::EBADF)
    }

    fn open(&mut self, slot: usize, base: i32, path: &str, flags: u32, mode: u32) -> Outcome {
        let path = c(path);
        // SAFETY: a valid string; the new descriptor is owned by nobody else.
        let fd = unsafe {
            let fd = check(i64::from(libc::openat(base, path.as_ptr(), flags as i32, mode)))?;
            OwnedFd::from_raw_fd(fd as i32)
        };
        self.slots[slot] = Some(fd);
        Ok(String::new())
    }

    fn read(&self, slot: usize, offset: u64, length: usize) -> Outcome {
        let mut buffer = vec![0u8; length];
        // SAFETY: the buffer is live and as long as said.
        let count = check(unsafe {
            libc::pread(self.fd(slot)?, buffer.as_mut_ptr().cast(), length, offset as i64) as i64
        })?;
        buffer.truncate(count as usize);
        Ok(format!("{buffer:?}"))
    }

    fn write(&self, slot: usize, offset: u64, length: usize) -> Outcome {
        let bytes = op::pattern(offset, length);
        // SAFETY: as above.
        check(unsafe { libc::pwrite(self.fd(slot)?, bytes.as_ptr().cast(), length, offset as i64) as i64 })
            .map(|count| count.to_string())
    }

    /// Maps the page that `offset` is in, and reads or writes there, to the end of the page at most.
    fn map(&self, slot: usize, offset: u64, length: usize, write: bool) -> Outcome {
        let fd = self.fd(slot)?;
        let start = offset / 4096 * 4096;
        let protection = if write { libc::PROT_READ | libc::PROT_WRITE } else { libc::PROT_READ };
        // SAFETY: a new mapping, which is unmapped before the end; it is touched only where the file has a page.
        unsafe {
            let at = libc::mmap(core::ptr::null_mut(), 4096, protection, libc::MAP_SHARED, fd, start as i64);
            if at == libc::MAP_FAILED {
                return done(-1);
            }
            let mut stat: libc::stat = core::mem::zeroed();
            libc::fstat(fd, &mut stat);
            let outcome = if start >= stat.st_size as u64 {
                Err(Errno::EFAULT)
            } else {
                let page = core::slice::from_raw_parts_mut(at.cast::<u8>(), 4096);
                let within = (offset - start) as usize;
                // Not behind the end of the file: what is left there shows up later on some systems, not on ours.
                let end = (within + length).min((stat.st_size as u64 - start).min(4096) as usize);
                let part = &mut page[within.min(end)..end];
                if write {
                    part.copy_from_slice(&op::pattern(offset + 7, part.len()));
                }
                Ok(format!("{part:?}"))
            };
            libc::munmap(at, 4096);
            outcome
        }
    }

    fn stat(&self, base: i32, path: &CStr, flags: i32) -> Outcome {
        // SAFETY: a valid string and room for a stat.
        let stat = unsafe {
            let mut stat: libc::stat = core::mem::zeroed();
            check(i64::from(libc::fstatat(base, path.as_ptr(), &mut stat, flags)))?;
            stat
        };
        let size = if stat.st_mode & libc::S_IFMT == libc::S_IFDIR { 0 } else { stat.st_size };
        let libc::stat { st_mode, st_nlink, st_uid, st_gid, st_rdev, .. } = stat;
        Ok(format!("{st_mode:o} links {st_nlink} owner {st_uid}:{st_gid} rdev {st_rdev} size {size}"))
    }

    fn list(&self, slot: usize) -> Outcome {
        let fd = self.fd(slot)?;
        // SAFETY: a valid descriptor.
        check(unsafe { libc::lseek(fd, 0, libc::SEEK_SET) })?;
        let mut entries = Vec::new();
        let mut buffer = vec![0u8; 1000];
        loop {
            // SAFETY: the buffer is live and as long as said.
            let count =
                check(unsafe { libc::syscall(libc::SYS_getdents64, fd, buffer.as_mut_ptr(), buffer.len()) })?;
            if count == 0 {
                break;
            }
            let mut at = 0;
            while at < count as usize {
                let length = usize::from(u16::from_ne_bytes([buffer[at + 16], buffer[at + 17]]));
                let name = CStr::from_bytes_until_nul(&buffer[at + 19..at + length]).expect("a name");
                entries.push(format!("{}:{}", name.to_string_lossy(), buffer[at + 18]));
                at += length;
            }
        }
        entries.sort();
        Ok(entries.join(" "))
    }

    fn read_link(&self, path: &str) -> Outcome {
        let path = c(path);
        let mut buffer = vec![0u8; 5000];
        // SAFETY: the buffer is live and as long as said.
        let count =
            check(unsafe { libc::readlink(path.as_ptr(), buffer.as_mut_ptr().cast(), buffer.len()) as i64 })?;
        Ok(String::from_utf8_lossy(&buffer[..count as usize]).into_owned())
    }

    fn current_directory() -> Outcome {
        let mut buffer = vec![0u8; 10_000];
        // SAFETY: as above.
        let count = check(unsafe { libc::syscall(libc::SYS_getcwd, buffer.as_mut_ptr(), buffer.len()) })?;
        Ok(String::from_utf8_lossy(&buffer[..count as usize - 1]).into_owned())
    }

    fn set_user(uid: u32) {
        // SAFETY: changes this thread's file system identity alone. Group first: a mere user may not.
        unsafe {
            libc::syscall(libc::SYS_setfsuid, 0);
            libc::syscall(libc::SYS_setfsgid, uid);
            libc::syscall(libc::SYS_setfsuid, uid);
        }
    }
}

fn time(seconds: Option<i64>, now: bool) -> libc::timespec {
    let tv_nsec = match (seconds, now) {
        (Some(_), _) => 5,
        (None, true) => libc::UTIME_NOW,
        (None, false) => libc::UTIME_OMIT,
    };
    libc::timespec { tv_sec: seconds.unwrap_or(0), tv_nsec }
}

const HERE: i32 = libc::AT_FDCWD;

impl System for Host {
    fn times(&self) -> super::times::Times {
        super::times::wait_for_tick();
        // SAFETY: sets this thread's identity to what it is.
        let uid = unsafe { libc::syscall(libc::SYS_setfsuid, u32::MAX) };
        Self::set_user(0);
        let mut times = super::times::Times::new();
        let mut todo = vec![Vec::new()];
        while let Some(path) = todo.pop() {
            let full = Path::new("/").join(std::ffi::OsStr::from_bytes(&path));
            let meta = std::fs::symlink_metadata(&full).expect("the file is there");
            if meta.is_dir() {
                let names = std::fs::read_dir(&full).expect("a directory");
                todo.extend(names.map(|entry| {
                    let name = entry.expect("an entry").file_name();
                    if path.is_empty() {
                        name.as_bytes().to_vec()
                    } else {
                        [&path, &b"/"[..], name.as_bytes()].concat()
                    }
                }));
            }
            let ns = |seconds: i64, ns: i64| seconds.wrapping_mul(1_000_000_000).wrapping_add(ns);
            let (mtime, ctime) = (ns(meta.mtime(), meta.mtime_nsec()), ns(meta.ctime(), meta.ctime_nsec()));
            times.insert(path, (meta.ino(), mtime, ctime));
        }
        Self::set_user(uid as u32);
        times
    }

    fn apply(&mut self, op: &Op) -> Outcome {
        const KEEP: u32 = u32::MAX;
        // SAFETY: all strings are valid for the call, and descriptors are open or the call fails.
        unsafe {
            match op {
                Op::Open { slot, path, flags, mode } => self.open(*slot, HERE, path, *flags, *mode),
                Op::OpenAt { slot, base, path, flags } => {
                    let base = self.fd(*base)?;
                    self.open(*slot, base, path, *flags, 0o666)
                }
                Op::Close { slot } => {
                    self.slots[*slot] = None;
                    Ok(String::new())
                }
                Op::Read { slot, offset, length } => self.read(*slot, *offset, *length),
                Op::Write { slot, offset, length } => self.write(*slot, *offset, *length),
                Op::SetLength { slot, length } => {
                    done(libc::ftruncate(self.fd(*slot)?, *length as i64).into())
                }
                Op::Allocate { slot, flags, offset, length } => done(
                    libc::fallocate(self.fd(*slot)?, *flags as i32, *offset as i64, *length as i64).into(),
                ),
                Op::Seek { slot, offset, hole } => {
                    let whence = if *hole { libc::SEEK_HOLE } else { libc::SEEK_DATA };
                    check(libc::lseek(self.fd(*slot)?, *offset as i64, whence)).map(|at| at.to_string())
                }
                Op::MapWrite { slot, offset, length } => self.map(*slot, *offset, *length, true),
                Op::MapRead { slot, offset, length } => self.map(*slot, *offset, *length, false),
                Op::StatFd { slot } => self.stat(self.fd(*slot)?, c"", libc::AT_EMPTY_PATH),
                Op::ListFd { slot } => self.list(*slot),
                Op::LinkFd { slot, path } => {
                    let fd = self.fd(*slot)?;
                    done(libc::linkat(fd, c"".as_ptr(), HERE, c(path).as_ptr(), libc::AT_EMPTY_PATH).into())
                }
                Op::Mkdir { path, mode } => done(libc::mkdir(c(path).as_ptr(), *mode).into()),
                Op::Mknod { path, mode } => done(libc::mknod(c(path).as_ptr(), *mode, 0x103).into()),
                Op::Symlink { target, path } => {
                    done(libc::symlink(c(target).as_ptr(), c(path).as_ptr()).into())
                }
                Op::Link { old, new, flags } => {
                    done(libc::linkat(HERE, c(old).as_ptr(), HERE, c(new).as_ptr(), *flags as i32).into())
                }
                Op::Unlink { path } => done(libc::unlink(c(path).as_ptr()).into()),
                Op::Rmdir { path } => done(libc::rmdir(c(path).as_ptr()).into()),
                Op::Rename { old, new, flags } => done(libc::syscall(
                    libc::SYS_renameat2,
                    HERE,
                    c(old).as_ptr(),
                    HERE,
                    c(new).as_ptr(),
                    *flags,
                )),
                Op::Stat { path } => self.stat(HERE, &c(path), 0),
                Op::Lstat { path } => self.stat(HERE, &c(path), libc::AT_SYMLINK_NOFOLLOW),
                Op::ReadLink { path } => self.read_link(path),
                Op::Access { path, mode } => {
                    // With the effective identity, which is what the other side has.
                    done(libc::syscall(libc::SYS_faccessat2, HERE, c(path).as_ptr(), *mode, libc::AT_EACCESS))
                }
                Op::Chmod { path, mode } => done(libc::chmod(c(path).as_ptr(), *mode).into()),
                Op::Chown { path, uid, gid } => {
                    done(libc::chown(c(path).as_ptr(), uid.unwrap_or(KEEP), gid.unwrap_or(KEEP)).into())
                }
                Op::Lchown { path, uid } => done(libc::lchown(c(path).as_ptr(), *uid, KEEP).into()),
                Op::SetTimes { path, seconds, now } => {
                    let times = [time(*seconds, *now), time(None, *now)];
                    done(libc::utimensat(HERE, c(path).as_ptr(), times.as_ptr(), 0).into())
                }
                Op::Truncate { path, length } => {
                    done(libc::truncate(c(path).as_ptr(), *length as i64).into())
                }
                Op::Chdir { path } => done(libc::chdir(c(path).as_ptr()).into()),
                Op::Fchdir { slot } => done(libc::fchdir(self.fd(*slot)?).into()),
                Op::Getcwd => Self::current_directory(),
                Op::User { uid } => {
                    Self::set_user(*uid);
                    Ok(String::new())
                }
                Op::Umask { mask } => {
                    libc::umask(*mask);
                    Ok(String::new())
                }
            }
        }
    }
}
