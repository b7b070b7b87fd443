//! What a file descriptor names.
//!
//! An [`OpenFile`] is an *open file description* of POSIX: offset, status flags, and a [`File`] that does the work. Pipes,
//! sockets, ttys, epoll instances and files of file systems all implement [`File`]. No operation blocks: `EAGAIN` says
//! "not now", and the system-call layer waits on [`File::wait_queue`] where the caller wants to wait.

use crate::{Errno, Events, Frame, Mutex, Result, Sink, Source, UserMemory, WaitQueue};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::any::Any;
use core::sync::atomic::{AtomicU32, Ordering};

/// The type bits of a mode (`inode(7)`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
#[expect(missing_docs, reason = "inode(7)")]
pub enum FileType {
    Fifo = 0o010_000,
    CharDevice = 0o020_000,
    Directory = 0o040_000,
    BlockDevice = 0o060_000,
    Regular = 0o100_000,
    Symlink = 0o120_000,
    Socket = 0o140_000,
}

impl FileType {
    /// From the mode's type bits.
    pub fn from_mode(mode: u32) -> Option<Self> {
        Some(match mode & 0o170_000 {
            0o010_000 => Self::Fifo,
            0o020_000 => Self::CharDevice,
            0o040_000 => Self::Directory,
            0o060_000 => Self::BlockDevice,
            0o100_000 => Self::Regular,
            0o120_000 => Self::Symlink,
            0o140_000 => Self::Socket,
            _ => return None,
        })
    }

    /// The `DT_*` value of a directory entry.
    pub fn dirent_type(self) -> u8 {
        (self as u32 >> 12) as u8
    }
}

/// What `stat(2)` reports. Times are nanoseconds since 1970.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "stat(2)")]
pub struct Stat {
    pub dev: u64,
    pub ino: u64,
    /// Type and permission bits.
    pub mode: u32,
    pub nlink: u32,
    pub uid: u32,
    pub gid: u32,
    /// Major and minor, encoded as `makedev(3)` of glibc does.
    pub rdev: u64,
    pub size: u64,
    pub blksize: u32,
    /// In units of 512 bytes.
    pub blocks: u64,
    pub atime_ns: i64,
    pub mtime_ns: i64,
    pub ctime_ns: i64,
}

/// One entry of a directory listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirEntry {
    /// Inode number.
    pub ino: u64,
    /// The position *after* this entry: what `lseek` takes to go on from here.
    pub next_offset: u64,
    /// The file's type.
    pub file_type: FileType,
    /// The name, neither empty nor with a slash.
    pub name: Vec<u8>,
}

/// The behaviour behind an open file description.
pub trait File: Send + Sync + Any {
    /// Reads at `offset` (which streams ignore) and returns the count; 0 is end of file; `EAGAIN`: nothing yet.
    fn read(&self, offset: u64, sink: &mut dyn Sink) -> Result<usize> {
        let _ = (offset, sink);
        Err(Errno::EINVAL)
    }

    /// Writes at `offset` (which streams ignore) and returns the count; `EAGAIN`: no room yet. Growing a regular file is
    /// the file's own matter.
    fn write(&self, offset: u64, source: &mut dyn Source) -> Result<usize> {
        let _ = (offset, source);
        Err(Errno::EINVAL)
    }

    /// Whether there is an offset to keep (`lseek` gives `ESPIPE` otherwise).
    fn seekable(&self) -> bool {
        false
    }

    /// What is ready now. Regular files always are.
    fn poll(&self) -> Events {
        Events::IN | Events::OUT | Events::RDNORM | Events::WRNORM
    }

    /// The queue that is woken when [`poll`](Self::poll) may have changed; none: it never changes.
    fn wait_queue(&self) -> Option<&WaitQueue> {
        None
    }

    /// Device-specific control.
    fn ioctl(&self, command: u32, argument: u64, memory: &dyn UserMemory) -> Result<u64> {
        let _ = (command, argument, memory);
        Err(Errno::ENOTTY)
    }

    /// Status.
    fn stat(&self) -> Result<Stat>;

    /// `ftruncate`.
    fn truncate(&self, length: u64) -> Result<()> {
        let _ = length;
        Err(Errno::EINVAL)
    }

    /// The page frame that holds bytes `index * 4096 ..` for a memory mapping. `write`: a shared writable mapping wants
    /// to change it (a hole must get its own page). Beyond the last page: `EFAULT` (the process gets `SIGBUS`).
    /// `ENODEV`: not mappable.
    fn page(&self, index: u64, write: bool) -> Result<Frame> {
        let _ = (index, write);
        Err(Errno::ENODEV)
    }

    /// As [`page`](Self::page) for reading, but up to `most` (at least 1) pages at once, where they lie together in memory:
    /// the frame of the first one, and how many there are. Runs longer than one page are of device frames only.
    fn page_run(&self, index: u64, most: u64) -> Result<(Frame, u64)> {
        let _ = most;
        Ok((self.page(index, false)?, 1))
    }

    /// Directory entries from position `offset` on, passed to `each` until it returns false or none is left.
    fn read_directory(&self, offset: u64, each: &mut dyn FnMut(DirEntry) -> bool) -> Result<()> {
        let _ = (offset, each);
        Err(Errno::ENOTDIR)
    }

    /// The socket, if this is one (`ENOTSOCK` otherwise).
    fn socket(&self) -> Option<&dyn Socket> {
        None
    }

    /// Called when the status flags change (`fcntl(F_SETFL)`), for those who care.
    fn set_status_flags(&self, flags: u32) {
        let _ = flags;
    }

    /// The name that `/proc/PID/fd/N` shows: a path, or `pipe:[7]`, `socket:[9]`, `anon_inode:[eventpoll]`.
    fn proc_name(&self) -> Vec<u8>;

    /// For downcasts to the concrete type.
    fn as_any(&self) -> &dyn Any;
}

/// A socket address as the system calls carry it: family and the rest, unparsed.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct SocketAddress(pub Vec<u8>);

/// What travels beside the bytes of a message.
#[derive(Clone, Default)]
pub struct Ancillary {
    /// `SCM_RIGHTS`.
    pub files: Vec<Arc<OpenFile>>,
    /// `SCM_CREDENTIALS`: pid, uid, gid.
    pub credentials: Option<(u32, u32, u32)>,
}

/// What came with a received message.
#[derive(Default)]
pub struct Received {
    /// Bytes put into the sink.
    pub bytes: usize,
    /// The length of the whole message (more than `bytes`: it was cut, `MSG_TRUNC`).
    pub full_length: usize,
    /// The sender, where it has a name.
    pub from: Option<SocketAddress>,
    /// Passed descriptors and credentials.
    pub ancillary: Ancillary,
}

/// The operations of `socket(2)`'s family. None blocks. `flags` are `MSG_*` values.
pub trait Socket {
    /// `bind(2)`.
    fn bind(&self, address: &SocketAddress) -> Result<()>;
    /// `listen(2)`.
    fn listen(&self, backlog: i32) -> Result<()>;
    /// `accept(2)`: the new connection; `EAGAIN`: none yet.
    fn accept(&self) -> Result<Arc<dyn File>>;
    /// `connect(2)`: `EINPROGRESS` where it takes time; OUT readiness and `take_error` tell the end.
    fn connect(&self, address: &SocketAddress) -> Result<()>;
    /// Sends one message, or as much of a stream as there is room for.
    fn send(
        &self,
        source: &mut dyn Source,
        to: Option<&SocketAddress>,
        ancillary: Ancillary,
        flags: u32,
    ) -> Result<usize>;
    /// Receives.
    fn receive(&self, sink: &mut dyn Sink, flags: u32) -> Result<Received>;
    /// `shutdown(2)`: how is 0, 1 or 2.
    fn shutdown(&self, how: u32) -> Result<()>;
    /// `getsockname(2)`.
    fn local_address(&self) -> Result<SocketAddress>;
    /// `getpeername(2)`.
    fn peer_address(&self) -> Result<SocketAddress>;
    /// `SO_ERROR`: the pending error, once.
    fn take_error(&self) -> Option<Errno>;
    /// Other options, as raw bytes.
    fn get_option(&self, level: u32, name: u32) -> Result<Vec<u8>>;
    /// Other options, as raw bytes.
    fn set_option(&self, level: u32, name: u32, value: &[u8]) -> Result<()>;
}

/// An open file description: what `open(2)` makes and `dup(2)` shares.
pub struct OpenFile {
    /// What it does.
    pub file: Arc<dyn File>,
    /// The file offset, for those that are seekable.
    pub offset: Mutex<u64>,
    /// `O_*`: access mode and status flags. `O_CLOEXEC` is not here, it belongs to the descriptor.
    flags: AtomicU32,
    /// The file system's own view of a special file (FIFO, device) whose work `file` does: the inode it was opened by.
    pub place: Option<Arc<dyn File>>,
}

impl OpenFile {
    /// A description with offset 0.
    pub fn new(file: Arc<dyn File>, flags: u32) -> Arc<Self> {
        Arc::new(Self { file, offset: Mutex::new(0), flags: AtomicU32::new(flags), place: None })
    }

    /// A description of a special file that was opened through the inode `place`.
    pub fn with_place(file: Arc<dyn File>, flags: u32, place: Arc<dyn File>) -> Arc<Self> {
        Arc::new(Self { file, offset: Mutex::new(0), flags: AtomicU32::new(flags), place: Some(place) })
    }

    /// The flags of `fcntl(F_GETFL)`.
    pub fn flags(&self) -> u32 {
        self.flags.load(Ordering::Relaxed)
    }

    /// Replaces the status flags.
    pub fn set_flags(&self, flags: u32) {
        self.flags.store(flags, Ordering::Relaxed);
        self.file.set_status_flags(flags);
    }

    /// `O_NONBLOCK`.
    pub fn nonblocking(&self) -> bool {
        self.flags() & 0o4000 != 0
    }

    /// Open for reading, and not only a location (`O_PATH`).
    pub fn readable(&self) -> bool {
        self.flags() & 0o3 != 1 && !self.path_only()
    }

    /// Open for writing.
    pub fn writable(&self) -> bool {
        self.flags() & 0o3 != 0 && !self.path_only()
    }

    /// `O_PATH`.
    pub fn path_only(&self) -> bool {
        self.flags() & 0o10_000_000 != 0
    }
}
