//! The status of files: `stat` in all its forms, `statx`, `access`, `statfs`.

use super::handle::{PathArgument, base, context, only};
use super::{Args, Call, call, file};
use crate::mm::user;
use ampoule_kbase::{Errno, File, FileType, OpenFile, Result, Stat};
use ampoule_kfs::{Location, Statfs, location, vfs::Credentials};
use linux_raw_sys::general as linux;
use linux_raw_sys::general::{
    AT_EACCESS, AT_EMPTY_PATH, AT_FDCWD, AT_NO_AUTOMOUNT, AT_STATX_SYNC_TYPE, AT_SYMLINK_NOFOLLOW,
};

/// The calls of this family.
pub const CALLS: &[Call] = &[
    call(linux::__NR_stat, "stat", "sx", |args| stat_path(HERE, args[0], args[1], 0)),
    call(linux::__NR_lstat, "lstat", "sx", |args| stat_path(HERE, args[0], args[1], AT_SYMLINK_NOFOLLOW)),
    call(linux::__NR_fstat, "fstat", "dx", |args| write_stat(args[1], &stat_open(&*file(args[0])?)?)),
    call(linux::__NR_newfstatat, "newfstatat", "dsxx", newfstatat),
    call(linux::__NR_statx, "statx", "dsxxx", statx),
    call(linux::__NR_access, "access", "so", |args| access(HERE, args[0], args[1], 0)),
    call(linux::__NR_faccessat, "faccessat", "dso", |args| access(args[0], args[1], args[2], 0)),
    call(linux::__NR_faccessat2, "faccessat2", "dsox", |args| access(args[0], args[1], args[2], args[3])),
    call(linux::__NR_statfs, "statfs", "sx", statfs),
    call(linux::__NR_fstatfs, "fstatfs", "dx", fstatfs),
];

/// What stands for the working directory.
const HERE: u64 = AT_FDCWD as u64;
const NS: i64 = 1_000_000_000;

/// The status of what a descriptor names: of a special file, that of its inode.
pub fn stat_open(open: &OpenFile) -> Result<Stat> {
    open.place.as_ref().unwrap_or(&open.file).stat()
}

/// `struct stat`.
fn write_stat(address: u64, stat: &Stat) -> Result<u64> {
    let time = |ns: i64| [ns.div_euclid(NS) as u64, ns.rem_euclid(NS) as u64];
    let ([atime, atime_ns], [mtime, mtime_ns], [ctime, ctime_ns]) =
        (time(stat.atime_ns), time(stat.mtime_ns), time(stat.ctime_ns));
    let words: [u64; 18] = [
        stat.dev,
        stat.ino,
        stat.nlink.into(),
        u64::from(stat.mode) | u64::from(stat.uid) << 32,
        stat.gid.into(),
        stat.rdev,
        stat.size,
        stat.blksize.into(),
        stat.blocks,
        atime,
        atime_ns,
        mtime,
        mtime_ns,
        ctime,
        ctime_ns,
        0,
        0,
        0,
    ];
    user::write(address, words)?;
    Ok(0)
}

/// What a path and a descriptor name together, which for the empty path need not be a file of a file system.
enum Found {
    Location(Location),
    Open(alloc::sync::Arc<OpenFile>),
}

impl Found {
    fn new(directory: u64, path: u64, flags: u32) -> Result<Self> {
        let path = user::read_path(path)?;
        if path.is_empty() && flags & AT_EMPTY_PATH != 0 && directory as i32 != AT_FDCWD {
            return Ok(Self::Open(file(directory)?));
        }
        let context = context();
        let base = base(&context, directory, &path)?;
        Ok(Self::Location(context.resolve_at(&base, &path, flags)?))
    }

    fn stat(&self) -> Result<Stat> {
        match self {
            Self::Location(location) => Ok(location.stat()),
            Self::Open(open) => stat_open(open),
        }
    }

    fn location(&self) -> Option<&Location> {
        match self {
            Self::Location(location) => Some(location),
            Self::Open(open) => location(open),
        }
    }
}

fn stat_path(directory: u64, path: u64, buffer: u64, flags: u32) -> Result<u64> {
    write_stat(buffer, &Found::new(directory, path, flags)?.stat()?)
}

/// Flags that ask for nothing here: there are no automounts and no remote servers.
const WITHOUT_EFFECT: u32 = AT_NO_AUTOMOUNT | AT_STATX_SYNC_TYPE;

fn newfstatat(args: &Args) -> Result<u64> {
    let flags = only(args[3], AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH | AT_NO_AUTOMOUNT)?;
    stat_path(args[0], args[1], args[2], flags)
}

fn statx(args: &Args) -> Result<u64> {
    let flags = only(args[2], AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH | WITHOUT_EFFECT)?;
    if args[3] as u32 & linux::STATX__RESERVED != 0 || flags & AT_STATX_SYNC_TYPE == AT_STATX_SYNC_TYPE {
        return Err(Errno::EINVAL);
    }
    let found = Found::new(args[0], args[1], flags)?;
    let is_mount_root = found.location().is_some_and(|location| *location == location.mount().root());
    user::write_bytes(args[4], &encode_statx(&found.stat()?, is_mount_root))?;
    Ok(0)
}

/// `struct statx`. The time of birth is not known.
fn encode_statx(stat: &Stat, is_mount_root: bool) -> [u8; 256] {
    let mut bytes = [0; 256];
    let mut put = |at: usize, value: &[u8]| bytes[at..at + value.len()].copy_from_slice(value);
    let root_attribute = u64::from(linux::STATX_ATTR_MOUNT_ROOT);
    put(0, &linux::STATX_BASIC_STATS.to_ne_bytes());
    put(4, &stat.blksize.to_ne_bytes());
    put(8, &(if is_mount_root { root_attribute } else { 0 }).to_ne_bytes());
    put(16, &stat.nlink.to_ne_bytes());
    put(20, &stat.uid.to_ne_bytes());
    put(24, &stat.gid.to_ne_bytes());
    put(28, &(stat.mode as u16).to_ne_bytes());
    put(32, &stat.ino.to_ne_bytes());
    put(40, &stat.size.to_ne_bytes());
    put(48, &stat.blocks.to_ne_bytes());
    put(56, &root_attribute.to_ne_bytes());
    for (at, ns) in [(64, stat.atime_ns), (96, stat.ctime_ns), (112, stat.mtime_ns)] {
        put(at, &ns.div_euclid(NS).to_ne_bytes());
        put(at + 8, &(ns.rem_euclid(NS) as u32).to_ne_bytes());
    }
    for (at, device) in [(128, stat.rdev), (136, stat.dev)] {
        let (major, minor) = ampoule_kfs::dev::split_device_number(device);
        put(at, &major.to_ne_bytes());
        put(at + 4, &minor.to_ne_bytes());
    }
    bytes
}

fn access(directory: u64, path: u64, mode: u64, flags: u64) -> Result<u64> {
    let mode = only(mode, 7)?;
    let flags = only(flags, AT_EACCESS | AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)?;
    let identity = if flags & AT_EACCESS != 0 { Credentials::current() } else { Credentials::real() };
    PathArgument::at(directory, path)?.resolve(flags)?.access(mode, identity)?;
    Ok(0)
}

/// `struct statfs`.
fn write_statfs(address: u64, statfs: &Statfs) -> Result<u64> {
    let words: [u64; 15] = [
        statfs.kind,
        statfs.block_size,
        statfs.blocks,
        statfs.blocks_free,
        statfs.blocks_free,
        statfs.files,
        statfs.files_free,
        statfs.id,
        statfs.name_length,
        statfs.block_size,
        statfs.flags,
        0,
        0,
        0,
        0,
    ];
    user::write(address, words)?;
    Ok(0)
}

fn statfs(args: &Args) -> Result<u64> {
    write_statfs(args[1], &PathArgument::here(args[0])?.resolve(0)?.statfs())
}

fn fstatfs(args: &Args) -> Result<u64> {
    let open = file(args[0])?;
    let statfs = match location(&open) {
        Some(place) => place.statfs(),
        None => nameless_statfs(&*open.file)?,
    };
    write_statfs(args[1], &statfs)
}

/// The file systems that pipes, sockets and event files would be on.
fn nameless_statfs(file: &dyn File) -> Result<Statfs> {
    const PIPEFS_MAGIC: u64 = 0x5049_5045;
    const SOCKFS_MAGIC: u64 = 0x534f_434b;
    const ANON_INODE_FS_MAGIC: u64 = 0x0904_1934;
    let kind = match FileType::from_mode(file.stat()?.mode) {
        Some(FileType::Fifo) => PIPEFS_MAGIC,
        Some(FileType::Socket) => SOCKFS_MAGIC,
        _ => ANON_INODE_FS_MAGIC,
    };
    Ok(Statfs { kind, block_size: 4096, name_length: 255, flags: 0x20, ..Statfs::default() })
}
