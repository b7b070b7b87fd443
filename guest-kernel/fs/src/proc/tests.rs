//! `/proc` over a made-up kernel with two processes.

use super::{Processes, file_system, install};
use crate::testing::{self, Times, context, list, open, our_tree, read_path, write_path};
use crate::vfs::{Context, Follow, Location};
use crate::volume::{Limits, Volume};
use alloc::format;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use ampoule_kbase::{Errno, File, Mutex, OpenFile, Result, SliceSink, Stat};
use core::any::Any;
use linux_raw_sys::general::{O_CREAT, O_RDONLY, O_RDWR, O_WRONLY};
use std::string::String;
use std::sync::OnceLock;

/// Process 1 has one thread and no files; process 42 has threads 42 and 43, and files 0 (regular), 1 (a pipe), 5 (a
/// socket). The caller is thread 43.
struct Fake {
    context: Context,
    files: [(u32, Arc<OpenFile>); 3],
    written: Mutex<Vec<String>>,
    reads: Mutex<u32>,
}

struct Nameless(u32);

impl File for Nameless {
    fn stat(&self) -> Result<Stat> {
        Ok(Stat { mode: self.0, ino: 77, ..Stat::default() })
    }
    fn proc_name(&self) -> Vec<u8> {
        b"pipe:[77]".to_vec()
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
}

fn fake() -> &'static Fake {
    static FAKE: OnceLock<Fake> = OnceLock::new();
    testing::setup();
    let fake = FAKE.get_or_init(|| {
        let context =
            context(Volume::tmpfs(Limits { bytes: 1 << 20, inodes: 50, root_mode: 0o755, ..Limits::NONE }));
        context.mkdir(&context.root, b"/proc", 0o755).expect("room");
        context.mkdir(&context.root, b"/home", 0o755).expect("room");
        write_path(&context, b"/home/program", b"code").expect("room");
        let regular = open(&context, b"/home/data", O_CREAT | O_RDWR).expect("a file");
        Fake {
            context,
            files: [
                (0, regular),
                (1, OpenFile::new(Arc::new(Nameless(0o010_600)), O_WRONLY)),
                (5, OpenFile::new(Arc::new(Nameless(0o140_777)), O_RDWR)),
            ],
            written: Mutex::new(Vec::new()),
            reads: Mutex::new(0),
        }
    });
    install(fake);
    fake
}

fn check(pid: u32) -> Result<()> {
    if pid == 1 || pid == 42 { Ok(()) } else { Err(Errno::ESRCH) }
}

impl Processes for Fake {
    fn pids(&self) -> Vec<u32> {
        vec![1, 42]
    }
    fn threads(&self, pid: u32) -> Vec<u32> {
        match pid {
            1 => vec![1],
            42 => vec![42, 43],
            _ => vec![],
        }
    }
    fn current(&self) -> (u32, u32) {
        (42, 43)
    }
    fn owner(&self, pid: u32) -> Option<(u32, u32)> {
        check(pid).ok().map(|()| if pid == 42 { (1000, 1001) } else { (0, 0) })
    }
    fn text(&self, pid: u32, tid: u32, name: &str) -> Result<Vec<u8>> {
        check(pid)?;
        *self.reads.lock() += 1;
        Ok(format!("{name} of {pid}/{tid}\n").into_bytes())
    }
    fn link(&self, pid: u32, _tid: u32, name: &str) -> Result<Location> {
        check(pid)?;
        let path: &[u8] = match name {
            "exe" => b"/home/program",
            "cwd" => b"/home",
            _ => b"/",
        };
        self.context.resolve(&self.context.root, path, Follow::Last)
    }
    fn fds(&self, pid: u32, _tid: u32) -> Result<Vec<u32>> {
        check(pid)?;
        Ok(if pid == 42 { vec![0, 1, 5] } else { vec![] })
    }
    fn fd(&self, pid: u32, _tid: u32, fd: u32) -> Result<Arc<OpenFile>> {
        check(pid)?;
        let found = self.files.iter().find(|(number, _)| pid == 42 && *number == fd);
        found.map(|(_, file)| file.clone()).ok_or(Errno::EBADF)
    }
    fn write(&self, pid: u32, tid: u32, name: &str, bytes: &[u8]) -> Result<()> {
        self.written.lock().push(format!("{pid}/{tid} {name} {}", String::from_utf8_lossy(bytes)));
        Ok(())
    }
    fn global(&self, name: &str) -> Result<Vec<u8>> {
        Ok(format!("{name}\n").into_bytes())
    }
}

/// A context with `/proc` mounted.
fn proc() -> Context {
    let fake = fake();
    static MOUNTED: OnceLock<()> = OnceLock::new();
    MOUNTED.get_or_init(|| fake.context.mount(b"proc", b"/proc", b"proc", 0, b"").expect("a mount"));
    fake.context.clone()
}

fn text(context: &Context, path: &str) -> String {
    String::from_utf8(read_path(context, path.as_bytes()).expect("readable")).expect("text")
}

#[test]
fn texts_come_from_the_kernel() {
    let context = proc();
    assert_eq!(text(&context, "/proc/42/stat"), "stat of 42/42\n");
    assert_eq!(text(&context, "/proc/42/task/43/comm"), "comm of 42/43\n");
    assert_eq!(text(&context, "/proc/self/status"), "status of 42/42\n");
    assert_eq!(text(&context, "/proc/thread-self/status"), "status of 42/43\n");
    assert_eq!(text(&context, "/proc/meminfo"), "meminfo\n");
    assert_eq!(text(&context, "/proc/sys/kernel/random/uuid"), "sys/kernel/random/uuid\n");
    assert_eq!(text(&context, "/proc/ampoule/boot"), "ampoule/boot\n");
    assert!(text(&context, "/proc/filesystems").contains("\terofs\n"));
    assert!(text(&context, "/proc/mounts").contains("proc /proc proc rw,noatime 0 0\n"));
    assert!(text(&context, "/proc/1/mountinfo").contains(" / /proc rw,noatime - proc proc rw\n"));
    for path in [
        "/proc/2",
        "/proc/042",
        "/proc/43",
        "/proc/4294967338",
        "/proc/42/task/1",
        "/proc/none",
        "/proc/42/fd/2",
    ] {
        let found = context.resolve(&context.root, path.as_bytes(), Follow::Never);
        assert_eq!(found.err(), Some(Errno::ENOENT), "{path}");
    }
}

#[test]
fn one_reading_shows_one_state() {
    let context = proc();
    let file = open(&context, b"/proc/42/maps", O_RDONLY).expect("a file");
    let mut all = Vec::new();
    let before = *fake().reads.lock();
    loop {
        let mut part = [0; 4];
        let count = file.file.read(all.len() as u64, &mut SliceSink::new(&mut part)).expect("readable");
        all.extend_from_slice(&part[..count]);
        if count == 0 {
            break;
        }
    }
    assert_eq!(all, b"maps of 42/42\n");
    assert_eq!(*fake().reads.lock(), before + 1);
}

#[test]
fn the_tree_is_sound() {
    let context = proc();
    // All of it is looked at: names, numbers and types in listings must be those of the inodes.
    let top = Context::new(context.resolve(&context.root, b"/proc", Follow::Last).expect("there"));
    let tree = our_tree(&top, Times::Ignored);
    assert!(tree.len() > 150);
    let inode = |path: &str| top.resolve(&top.root, path.as_bytes(), Follow::Never).expect("there").stat();
    assert_eq!(
        inode("/").nlink as usize,
        2 + list(&top, b"/").expect("listed").iter().filter(|e| e.file_type.dirent_type() == 4).count()
    );
    assert_eq!((inode("/42").uid, inode("/42").gid), (1000, 1001));
    assert_eq!(inode("/42/environ").mode, 0o100_400);
    assert_eq!((inode("/42/fd/0").mode, inode("/42/fd/1").mode), (0o120_700, 0o120_300));
    let mut numbers: Vec<u64> =
        tree.keys().map(|path| inode(&format!("/{}", String::from_utf8_lossy(path))).ino).collect();
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers.len(), tree.len(), "inode numbers are unique");
    let deep = top.resolve(&top.root, b"/42/task/43/fd", Follow::Never).expect("there");
    assert_eq!(deep.path(Some(&top.root)).text, b"/42/task/43/fd");
    let deep = top.resolve(&top.root, b"/sys/kernel/random/../osrelease", Follow::Never).expect("there");
    assert_eq!(deep.path(None).text, b"/proc/sys/kernel/osrelease");
}

#[test]
fn links_lead_to_the_files_themselves() {
    let context = proc();
    assert_eq!(context.read_link(&context.root, b"/proc/self"), Ok(b"42".to_vec()));
    assert_eq!(context.read_link(&context.root, b"/proc/42/exe"), Ok(b"/home/program".to_vec()));
    assert_eq!(context.read_link(&context.root, b"/proc/42/fd/1"), Ok(b"pipe:[77]".to_vec()));
    assert_eq!(read_path(&context, b"/proc/42/exe").as_deref(), Ok(&b"code"[..]));
    assert_eq!(read_path(&context, b"/proc/42/root/proc/42/cwd/program").as_deref(), Ok(&b"code"[..]));
    assert_eq!(context.resolve(&context.root, b"/proc/42/exe/", Follow::Last).err(), Some(Errno::ENOTDIR));
}

#[test]
fn descriptors_are_opened_again() {
    let context = proc();
    let again = open(&context, b"/proc/self/fd/0", O_RDWR).expect("a file");
    assert!(!Arc::ptr_eq(&again, &fake().files[0].1), "with an offset of its own");
    assert_eq!(again.file.proc_name(), b"/home/data");
    assert_eq!(open(&context, b"/proc/self/fd/1", O_WRONLY).expect("a pipe").file.proc_name(), b"pipe:[77]");
    assert_eq!(open(&context, b"/proc/self/fd/5", O_RDONLY).err(), Some(Errno::ENXIO), "a socket cannot be");
    let stat = context.resolve(&context.root, b"/proc/self/fd/5", Follow::Last).expect("there").stat();
    assert_eq!((stat.mode, stat.ino), (0o140_777, 77));
    assert_eq!(text(&context, "/proc/self/fdinfo/1"), "pos:\t0\nflags:\t01\nmnt_id:\t0\n");
}

#[test]
fn writes_go_to_the_kernel() {
    let context = proc();
    write_path(&context, b"/proc/42/oom_score_adj", b"-500").expect("writable");
    assert!(fake().written.lock().contains(&"42/42 oom_score_adj -500".into()));
    assert_eq!(
        write_path(&context, b"/proc/sys/kernel/hostname", b"x"),
        Err(Errno::EACCES),
        "the kernel refuses"
    );
    assert_eq!(write_path(&context, b"/proc/42/comm", &[b'x'; 5000]), Err(Errno::EINVAL));
    assert_eq!(context.mkdir(&context.root, b"/proc/new", 0o755).err(), Some(Errno::EPERM));
    assert_eq!(context.unlink(&context.root, b"/proc/meminfo"), Err(Errno::EPERM));
}

#[test]
fn there_is_one() {
    let context = proc();
    assert_eq!(context.mount(b"proc", b"/proc", b"proc", 0, b""), Err(Errno::EBUSY));
    let first = file_system().expect("installed").device();
    assert_eq!(file_system().expect("installed").device(), first);
}
