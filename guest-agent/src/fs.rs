//! Small helpers on files.

use alloc::vec::Vec;
use rustix::fs::{CWD, Mode, OFlags, mkdirat, openat};
use rustix::io::{Errno, read};

/// Reads a small file: at most `limit` bytes of it. Never waits, even if a job has put a pipe in the file's place.
pub fn read_file(path: &[u8], limit: usize) -> Result<Vec<u8>, Errno> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOCTTY | OFlags::NONBLOCK;
    let fd = openat(CWD, path, flags, Mode::empty())?;
    let mut bytes = Vec::new();
    while bytes.len() < limit {
        bytes.reserve(1024);
        let space = rustix::buffer::spare_capacity(&mut bytes);
        match read(&fd, space) {
            Ok(0) => break,
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(limit);
    Ok(bytes)
}

/// Creates the parent directories of an absolute path, as `mkdir -p` does.
pub fn make_parents(path: &[u8]) -> Result<(), Errno> {
    let slashes = path.iter().enumerate().skip(1).filter(|&(_, &byte)| byte == b'/');
    for parent in slashes.filter_map(|(at, _)| path.get(..at)) {
        match mkdirat(CWD, parent, Mode::from_raw_mode(0o755)) {
            // EROFS, EACCES and the like are told for a directory that is there as well.
            Ok(()) | Err(Errno::EXIST | Errno::ISDIR | Errno::ROFS | Errno::ACCESS | Errno::PERM) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
