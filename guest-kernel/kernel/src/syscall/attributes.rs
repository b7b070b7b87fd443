//! Changing the attributes of files: `chmod`, `chown`, `utimensat` in all their forms; extended attributes, of which there
//! are none.

use super::handle::{PathArgument, only, usable};
use super::{Args, Call, call};
use crate::mm::user;
use ampoule_kbase::{Errno, Result};
use ampoule_kfs::location;
use ampoule_kfs::vfs::SetTime;
use linux_raw_sys::general as linux;
use linux_raw_sys::general::{AT_EMPTY_PATH, AT_FDCWD, AT_SYMLINK_NOFOLLOW, UTIME_NOW, UTIME_OMIT};

/// The calls of this family.
pub const CALLS: &[Call] = &[
    call(linux::__NR_chmod, "chmod", "so", |args| chmod(HERE, args[0], args[1], 0)),
    call(linux::__NR_fchmod, "fchmod", "do", fchmod),
    call(linux::__NR_fchmodat, "fchmodat", "dso", |args| chmod(args[0], args[1], args[2], 0)),
    call(linux::__NR_fchmodat2, "fchmodat2", "dsox", |args| chmod(args[0], args[1], args[2], args[3])),
    call(linux::__NR_chown, "chown", "sii", |args| chown(HERE, args[0], &args[1..3], 0)),
    call(linux::__NR_lchown, "lchown", "sii", |args| {
        chown(HERE, args[0], &args[1..3], AT_SYMLINK_NOFOLLOW.into())
    }),
    call(linux::__NR_fchown, "fchown", "dii", fchown),
    call(linux::__NR_fchownat, "fchownat", "dsiix", |args| chown(args[0], args[1], &args[2..4], args[4])),
    call(linux::__NR_utime, "utime", "sx", utime),
    call(linux::__NR_utimes, "utimes", "sx", |args| futimesat(HERE, args[0], args[1])),
    call(linux::__NR_futimesat, "futimesat", "dsx", |args| futimesat(args[0], args[1], args[2])),
    call(linux::__NR_utimensat, "utimensat", "dsxx", utimensat),
    call(linux::__NR_setxattr, "setxattr", "ssxux", |args| no_attribute(args[0], 0)),
    call(linux::__NR_lsetxattr, "lsetxattr", "ssxux", |args| no_attribute(args[0], AT_SYMLINK_NOFOLLOW)),
    call(linux::__NR_fsetxattr, "fsetxattr", "dsxux", no_attribute_of_open),
    call(linux::__NR_getxattr, "getxattr", "ssxu", |args| no_attribute(args[0], 0)),
    call(linux::__NR_lgetxattr, "lgetxattr", "ssxu", |args| no_attribute(args[0], AT_SYMLINK_NOFOLLOW)),
    call(linux::__NR_fgetxattr, "fgetxattr", "dsxu", no_attribute_of_open),
    call(linux::__NR_removexattr, "removexattr", "ss", |args| no_attribute(args[0], 0)),
    call(linux::__NR_lremovexattr, "lremovexattr", "ss", |args| no_attribute(args[0], AT_SYMLINK_NOFOLLOW)),
    call(linux::__NR_fremovexattr, "fremovexattr", "ds", no_attribute_of_open),
    call(linux::__NR_listxattr, "listxattr", "sxu", |args| empty_list(args[0], 0)),
    call(linux::__NR_llistxattr, "llistxattr", "sxu", |args| empty_list(args[0], AT_SYMLINK_NOFOLLOW)),
    call(linux::__NR_flistxattr, "flistxattr", "dxu", |args| usable(args[0]).map(|_| 0)),
];

/// What stands for the working directory.
const HERE: u64 = AT_FDCWD as u64;

fn chmod(directory: u64, path: u64, mode: u64, flags: u64) -> Result<u64> {
    let flags = only(flags, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)?;
    PathArgument::at(directory, path)?.resolve(flags)?.chmod(mode as u32)?;
    Ok(0)
}

/// Pipes and sockets have permissions that mean nothing, so a change of theirs is granted and forgotten.
fn fchmod(args: &Args) -> Result<u64> {
    let open = usable(args[0])?;
    location(&open).map_or(Ok(()), |place| place.chmod(args[1] as u32))?;
    Ok(0)
}

/// A user or group id; -1 is none.
fn id(value: u64) -> Option<u32> {
    let value = value as u32;
    (value != u32::MAX).then_some(value)
}

fn chown(directory: u64, path: u64, ids: &[u64], flags: u64) -> Result<u64> {
    let flags = only(flags, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)?;
    let (uid, gid) = (id(ids[0]), id(ids[1]));
    PathArgument::at(directory, path)?.resolve(flags)?.chown(uid, gid)?;
    Ok(0)
}

fn fchown(args: &Args) -> Result<u64> {
    let open = usable(args[0])?;
    location(&open).map_or(Ok(()), |place| place.chown(id(args[1]), id(args[2])))?;
    Ok(0)
}

const SECOND: i64 = 1_000_000_000;
/// Access time and modification time.
type Times = (SetTime, SetTime);

fn at(seconds: i64, nanoseconds: i64) -> SetTime {
    SetTime::At(seconds.saturating_mul(SECOND).saturating_add(nanoseconds))
}

/// `struct utimbuf`.
fn utime(args: &Args) -> Result<u64> {
    let times = match args[1] {
        0 => (SetTime::Now, SetTime::Now),
        address => {
            let [atime, mtime] = user::read::<[i64; 2]>(address)?;
            (at(atime, 0), at(mtime, 0))
        }
    };
    set_times(HERE, args[0], times, 0)
}

/// Two `struct timeval`.
fn futimesat(directory: u64, path: u64, address: u64) -> Result<u64> {
    let times = match address {
        0 => (SetTime::Now, SetTime::Now),
        address => {
            let [atime, atime_us, mtime, mtime_us] = user::read::<[i64; 4]>(address)?;
            let valid = 0..1_000_000;
            if !valid.contains(&atime_us) || !valid.contains(&mtime_us) {
                return Err(Errno::EINVAL);
            }
            (at(atime, atime_us * 1000), at(mtime, mtime_us * 1000))
        }
    };
    if path == 0 && directory as i32 != AT_FDCWD {
        return set_times_of_open(directory, times);
    }
    set_times(directory, path, times, 0)
}

fn utimensat(args: &Args) -> Result<u64> {
    let flags = args[3];
    let times = match args[2] {
        0 => (SetTime::Now, SetTime::Now),
        address => {
            let [atime, atime_ns, mtime, mtime_ns] = user::read::<[i64; 4]>(address)?;
            let times = (timespec(atime, atime_ns)?, timespec(mtime, mtime_ns)?);
            if times == (SetTime::Keep, SetTime::Keep) {
                return Ok(0);
            }
            times
        }
    };
    if args[1] == 0 && args[0] as i32 != AT_FDCWD {
        return if flags == 0 { set_times_of_open(args[0], times) } else { Err(Errno::EINVAL) };
    }
    let flags = only(flags, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)?;
    set_times(args[0], args[1], times, flags)
}

fn timespec(seconds: i64, nanoseconds: i64) -> Result<SetTime> {
    const NOW: i64 = UTIME_NOW as i64;
    const OMIT: i64 = UTIME_OMIT as i64;
    match nanoseconds {
        NOW => Ok(SetTime::Now),
        OMIT => Ok(SetTime::Keep),
        0..SECOND => Ok(at(seconds, nanoseconds)),
        _ => Err(Errno::EINVAL),
    }
}

fn set_times(directory: u64, path: u64, (atime, mtime): Times, flags: u32) -> Result<u64> {
    PathArgument::at(directory, path)?.resolve(flags)?.set_times(atime, mtime)?;
    Ok(0)
}

fn set_times_of_open(fd: u64, (atime, mtime): Times) -> Result<u64> {
    let open = usable(fd)?;
    location(&open).map_or(Ok(()), |place| place.set_times(atime, mtime))?;
    Ok(0)
}

fn no_attribute(path: u64, flags: u32) -> Result<u64> {
    PathArgument::here(path)?.resolve(flags)?;
    Err(Errno::EOPNOTSUPP)
}

fn no_attribute_of_open(args: &Args) -> Result<u64> {
    usable(args[0])?;
    Err(Errno::EOPNOTSUPP)
}

fn empty_list(path: u64, flags: u32) -> Result<u64> {
    PathArgument::here(path)?.resolve(flags)?;
    Ok(0)
}
