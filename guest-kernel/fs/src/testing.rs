//! What the tests share: a platform with a caller for each thread, images made with `mkfs.erofs`, and pictures of whole
//! trees, ours and the host's, which can be compared.

use crate::erofs::Image;
use crate::special::{Slot, SpecialFile, SpecialFiles};
use crate::vfs::{Context, Follow, Location};
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use ampoule_kbase::platform::Caller;
use ampoule_kbase::{
    DirEntry, Errno, File, FileType, Mutex, OpenFile, Platform, Result, SliceSink, SliceSource, TimerId,
    TimerTarget, WaitQueue, frames,
};
use core::cell::Cell;
use std::alloc::{Layout, alloc_zeroed};
use std::ffi::OsStr;
use std::io::Read;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;
use std::sync::Once;

std::thread_local! {
    static CALLER: Cell<Caller> = Cell::new(Caller { pid: 10, tid: 10, pgid: 10, sid: 10, ..Caller::default() });
    static NOW_NS: Cell<u64> = const { Cell::new(1_000_000_000) };
}

struct TestPlatform;

/// Prepares RAM and platform; every test calls it first.
pub fn setup() {
    static SETUP: Once = Once::new();
    SETUP.call_once(|| {
        ampoule_kbase::platform::install(&TestPlatform);
        ampoule_kbase::testing::setup();
        crate::install(&Drivers);
    });
}

/// Makes this thread call as another user, in that user's group and no other.
pub fn call_as(uid: u32) {
    let caller = CALLER.get();
    CALLER.set(Caller { uid, gid: uid, fsuid: uid, fsgid: uid, ..caller });
}

impl Platform for TestPlatform {
    fn monotonic_ns(&self) -> u64 {
        NOW_NS.set(NOW_NS.get() + 1);
        NOW_NS.get()
    }
    fn realtime_ns(&self) -> u64 {
        4_000_000_000_000_000_000 + self.monotonic_ns()
    }
    fn timer_arm(&self, _deadline_ns: u64, _target: Arc<dyn TimerTarget>) -> TimerId {
        TimerId(0)
    }
    fn timer_cancel(&self, _id: TimerId) {}
    fn caller(&self) -> Caller {
        CALLER.get()
    }
    fn caller_in_group(&self, gid: u32) -> bool {
        CALLER.get().gid == gid
    }
    fn signal_group(&self, _pgid: u32, _signo: u32) {}
    fn signal_caller(&self, _signo: u32) {}
    fn caller_ignores(&self, _signo: u32) -> bool {
        false
    }
    fn group_is_orphaned(&self, _pgid: u32) -> bool {
        false
    }
    fn caller_signals(&self) -> Option<Arc<WaitQueue>> {
        None
    }
    fn random(&self, buffer: &mut [u8]) {
        buffer.iter_mut().enumerate().for_each(|(i, byte)| *byte = (i as u8).wrapping_mul(167));
    }
    fn pages(&self) -> (u64, u64) {
        frames::usage()
    }
    fn log_bytes(&self, _bytes: &[u8]) {}
    fn log(&self, text: core::fmt::Arguments<'_>) {
        std::eprintln!("{text}");
    }
}

/// Drivers that hand the place itself out, and remember what was asked.
struct Drivers;

impl SpecialFiles for Drivers {
    fn open_fifo(&self, slot: &Slot, _flags: u32, place: &Arc<dyn File>) -> Result<SpecialFile> {
        let count = slot.get_or_make(|| Arc::new(Mutex::new(0u32))).ok_or(Errno::EIO)?;
        *count.lock() += 1;
        let waits = *count.lock() == 1;
        let complete = move || *count.lock() > 1;
        let complete: Box<dyn Fn() -> bool + Send> = Box::new(complete);
        Ok(SpecialFile { file: place.clone(), complete: waits.then_some(complete) })
    }

    fn open_char_device(&self, device: u64, _flags: u32, place: &Arc<dyn File>) -> Result<SpecialFile> {
        if device == 0x501 { Ok(place.clone().into()) } else { Err(Errno::ENXIO) }
    }

    fn reopen(&self, open: &Arc<OpenFile>, _flags: u32) -> Result<SpecialFile> {
        match FileType::from_mode(open.file.stat()?.mode) {
            Some(FileType::Fifo) => Ok(open.file.clone().into()),
            _ => Err(Errno::ENXIO),
        }
    }
}

/// Where images lie, as far as the code under test can tell.
pub const IMAGE_PHYSICAL: u64 = 1 << 40;

/// An image with these bytes; it is never freed.
pub fn image(bytes: &[u8]) -> Image {
    let length = bytes.len().next_multiple_of(4096).max(4096);
    let layout = Layout::from_size_align(length, 4096).expect("a valid layout");
    // SAFETY: the block is as large as the image, page-aligned, and never freed or written to again.
    unsafe {
        let base = alloc_zeroed(layout);
        core::ptr::copy_nonoverlapping(bytes.as_ptr(), base, bytes.len());
        Image::new(IMAGE_PHYSICAL, base, bytes.len())
    }
}

/// What `mkfs.erofs` makes of a directory.
pub fn mkfs(directory: &Path, options: &[&str]) -> Vec<u8> {
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    let output = Command::new("mkfs.erofs")
        .args(["--quiet", "--preserve-mtime"])
        .args(options)
        .args([file.path(), directory])
        .output()
        .expect("mkfs.erofs (package erofs-utils) is installed");
    assert!(
        output.status.success(),
        "mkfs.erofs {options:?}: {}",
        std::string::String::from_utf8_lossy(&output.stderr)
    );
    std::fs::read(file.path()).expect("the image can be read")
}

/// One file in the picture of a tree.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Picture {
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    /// Not compared for directories.
    pub nlink: u32,
    /// Of regular files and links.
    pub size: u64,
    pub rdev: u64,
    pub mtime_ns: Option<i64>,
    /// The contents of a file, or the target of a link.
    pub content: Vec<u8>,
}

/// A tree: the root is the empty path.
pub type Tree = BTreeMap<Vec<u8>, Picture>;

/// Whether modification times are part of the picture.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Times {
    Compared,
    Ignored,
}

/// As much of a file's contents as goes into a picture: there are sparse files of a terabyte.
const CONTENT_MAX: u64 = 400_000;

fn host_content(path: &Path) -> Vec<u8> {
    let mut content = Vec::new();
    let file = std::fs::File::open(path).expect("readable");
    file.take(CONTENT_MAX).read_to_end(&mut content).expect("readable");
    content
}

fn our_content(context: &Context, path: &[u8]) -> Vec<u8> {
    let file = open(context, path, linux_raw_sys::general::O_RDONLY).expect("readable");
    let mut content = vec![0; CONTENT_MAX as usize];
    let mut count = 0;
    loop {
        // In pieces of an odd size.
        let end = content.len().min(count + 5000);
        let got =
            file.file.read(count as u64, &mut SliceSink::new(&mut content[count..end])).expect("readable");
        count += got;
        if got == 0 {
            break;
        }
    }
    content.truncate(count);
    content
}

/// The host's tree below a directory.
pub fn host_tree(root: &Path, times: Times) -> Tree {
    let mut tree = Tree::new();
    let mut todo = vec![Vec::new()];
    while let Some(path) = todo.pop() {
        let full = root.join(OsStr::from_bytes(&path));
        let meta = std::fs::symlink_metadata(&full).expect("the file is there");
        let file_type = FileType::from_mode(meta.mode()).expect("a valid type");
        let content = match file_type {
            FileType::Regular => host_content(&full),
            FileType::Symlink => std::fs::read_link(&full).expect("a link").into_os_string().into_vec(),
            _ => Vec::new(),
        };
        if file_type == FileType::Directory {
            for entry in std::fs::read_dir(&full).expect("a directory") {
                let name = entry.expect("an entry").file_name().into_vec();
                todo.push(join(&path, &name));
            }
        }
        let picture = Picture {
            mode: meta.mode(),
            uid: meta.uid(),
            gid: meta.gid(),
            nlink: if file_type == FileType::Directory { 0 } else { meta.nlink() as u32 },
            size: if file_type == FileType::Directory { 0 } else { meta.size() },
            rdev: meta.rdev(),
            mtime_ns: (times == Times::Compared).then(|| meta.mtime() * 1_000_000_000 + meta.mtime_nsec()),
            content,
        };
        tree.insert(path, picture);
    }
    tree
}

fn join(path: &[u8], name: &[u8]) -> Vec<u8> {
    if path.is_empty() { name.to_vec() } else { [path, b"/", name].concat() }
}

/// Our tree as seen from a context's root.
pub fn our_tree(context: &Context, times: Times) -> Tree {
    let mut tree = Tree::new();
    let mut todo = vec![Vec::new()];
    while let Some(path) = todo.pop() {
        let full = [b"/", &path[..]].concat();
        let at = context.resolve(&context.root, &full, Follow::Never).expect("the file is there");
        let stat = at.stat();
        let file_type = FileType::from_mode(stat.mode).expect("a valid type");
        let content = match file_type {
            FileType::Regular => our_content(context, &full),
            FileType::Symlink => context.read_link(&context.root, &full).expect("a link"),
            _ => Vec::new(),
        };
        if file_type == FileType::Directory {
            for entry in list(context, &full).expect("a directory") {
                let child = context.resolve(&context.root, &join(&full, &entry.name), Follow::Never);
                let child = child.expect("what is listed is there");
                assert_eq!((entry.ino, entry.file_type), (child.stat().ino, child.attributes().file_type()));
                todo.push(join(&path, &entry.name));
            }
        }
        let picture = Picture {
            mode: stat.mode,
            uid: stat.uid,
            gid: stat.gid,
            nlink: if file_type == FileType::Directory { 0 } else { stat.nlink },
            size: if file_type == FileType::Directory { 0 } else { stat.size },
            rdev: stat.rdev,
            mtime_ns: (times == Times::Compared).then_some(stat.mtime_ns),
            content,
        };
        assert!(tree.insert(path, picture).is_none(), "a name is listed once");
    }
    tree
}

/// Opens a file.
pub fn open(context: &Context, path: &[u8], flags: u32) -> Result<Arc<OpenFile>> {
    context.open(&context.cwd, path, flags, 0o666).map(|opening| opening.file)
}

/// Reads all of a small file.
pub fn read_path(context: &Context, path: &[u8]) -> Result<Vec<u8>> {
    let file = open(context, path, linux_raw_sys::general::O_RDONLY)?;
    let mut content = vec![0; 4096];
    let count = file.file.read(0, &mut SliceSink::new(&mut content))?;
    content.truncate(count);
    Ok(content)
}

/// Makes a file with this contents, or replaces its contents.
pub fn write_path(context: &Context, path: &[u8], bytes: &[u8]) -> Result<()> {
    use linux_raw_sys::general::{O_CREAT, O_TRUNC, O_WRONLY};
    let open = open(context, path, O_CREAT | O_TRUNC | O_WRONLY)?;
    let count = open.file.write(0, &mut SliceSource::new(bytes))?;
    if count == bytes.len() { Ok(()) } else { Err(Errno::ENOSPC) }
}

/// Lists a directory without the dots, a few entries at a time.
pub fn list(context: &Context, path: &[u8]) -> Result<Vec<DirEntry>> {
    let open = open(context, path, linux_raw_sys::general::O_DIRECTORY)?;
    let mut all: Vec<DirEntry> = Vec::new();
    loop {
        let offset = all.last().map_or(0, |entry| entry.next_offset);
        let before = all.len();
        open.file.read_directory(offset, &mut |entry| {
            all.push(entry);
            all.len() < before + 3
        })?;
        if all.len() == before {
            break;
        }
    }
    let dots: Vec<_> = all.drain(..2).map(|entry| entry.name).collect();
    assert_eq!(dots, [b".".to_vec(), b"..".to_vec()]);
    Ok(all)
}

/// A context at the root of a file system.
pub fn context(fs: Arc<dyn crate::FileSystem>) -> Context {
    let root: Location = crate::Mount::new_root(fs, b"test", crate::vfs::MountFlags::empty()).root();
    Context { umask: 0, ..Context::new(root) }
}
