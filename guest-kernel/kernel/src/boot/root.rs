//! The root file system and the first process.

use super::params::{CommandLine, MemoryMap, Region};
use super::{COMMAND_LINE, FIRST_CONTEXT};
use crate::mm::DIRECT_MAP;
use crate::proc::Processes;
use crate::signal::ThreadSignals;
use crate::task::exec::{self, Request};
use crate::task::files::Descriptor;
use crate::task::{Process, Thread, process};
use alloc::sync::Arc;
use alloc::vec::Vec;
use ampoule_kbase::{Errno, Mutex, Once, OpenFile, Result};
use ampoule_kfs::erofs::Image;
use ampoule_kfs::vfs::MountFlags;
use ampoule_kfs::{Context, Limits, Mount, Volume};
use linux_raw_sys::general::O_RDWR;

/// The agent image, where the first program is found if the command line names none.
static AGENT: Once<Context> = Once::new();

/// File systems that every program expects.
const MOUNTS: [(&str, &str); 4] =
    [("proc", "/proc"), ("sysfs", "/sys"), ("devtmpfs", "/dev"), ("devpts", "/dev/pts")];

/// Mounts the root: the first image with a writable layer on top, or plain memory where there is no image.
pub fn mount(map: &MemoryMap, command_line: &CommandLine) {
    start_limits(command_line);
    crate::mm::heap::set_aside();
    let limits = Limits::half_of_memory();
    let volume = match map.images[..map.image_count].first() {
        Some(region) => {
            Volume::overlay(image(region), limits).unwrap_or_else(|errno| panic!("root image: {errno:?}"))
        }
        None => Volume::tmpfs(Limits { root_mode: 0o755, ..limits }),
    };
    let root = Mount::new_root(volume, b"/dev/pmem0", MountFlags::empty()).root();
    let context = Context::new(root);
    ampoule_kfs::proc::install(&Processes);
    for (kind, target) in MOUNTS {
        // An image need not have the directories: they are made, and a file in their place is the image's own affair.
        let _ = context.mkdir(&context.root, target.as_bytes(), 0o755);
        let mounted = context.mount(kind.as_bytes(), target.as_bytes(), kind.as_bytes(), 0, b"");
        if let Err(errno) = mounted {
            crate::log!("{target}: {errno:?}");
        }
    }
    if let Err(errno) = context.mount(b"tmpfs", b"/dev/shm", b"tmpfs", 0, b"mode=1777") {
        crate::log!("/dev/shm: {errno:?}");
    }
    if let [_, agent, ..] = &map.images[..map.image_count] {
        let volume = Volume::read_only(image(agent)).unwrap_or_else(|errno| panic!("agent image: {errno:?}"));
        AGENT.set(Context::new(Mount::new_root(volume, b"/dev/pmem1", MountFlags::READ_ONLY).root()));
    }
    FIRST_CONTEXT.set(Arc::new(Mutex::new(context)));
}

/// `ampoule.overlay_bytes=<bytes>` and `ampoule.overlay_inodes=<count>` (for short `ampoule.disk`, `ampoule.inodes`) limit what
/// may be written to each volume,
/// `ampoule.max_processes=<count>` how many processes and threads there may be beside the first.
fn start_limits(command_line: &CommandLine) {
    let number =
        |name, short| command_line.number(name).or_else(|| command_line.number(short)).unwrap_or(u64::MAX);
    let bytes = number("ampoule.overlay_bytes", "ampoule.disk");
    let inodes = number("ampoule.overlay_inodes", "ampoule.inodes");
    ampoule_kfs::set_most(bytes, inodes);
    if let Some(count) = command_line.number("ampoule.max_processes") {
        crate::task::clone::set_most(count);
    }
}

fn image(region: &Region) -> Image {
    let base = (DIRECT_MAP + region.start) as *const u8;
    // SAFETY: the VMM maps the image read-only for the life of the VM; start-up has entered it into the direct map; it
    // lies above all RAM.
    unsafe { Image::new(region.start, base, (region.end - region.start) as usize) }
}

/// Makes the first process and its thread: the agent, or what `init=` names.
///
/// # Panics
/// If it cannot be started: there is nothing else to do then.
pub fn start_init() -> Arc<Thread> {
    load_init().unwrap_or_else(|errno| panic!("cannot start the first program: {errno:?}"))
}

fn load_init() -> Result<Arc<Thread>> {
    let process = Process::first()?;
    let (path, file) = open_init()?;
    open_console(&process)?;
    let pid = process::allocate_id().ok_or(Errno::EAGAIN)?;
    let request = Request {
        file,
        path,
        argv: alloc::vec![b"ampoule-agent".to_vec()],
        envp: alloc::vec![b"HOME=/".to_vec(), b"TERM=linux".to_vec()],
    };
    let frame = exec::load_first(&process, request)?;
    let thread = Thread::new(pid, process.clone(), &frame, None, (0, 0), ThreadSignals::default())?;
    process.threads.lock().push(thread.clone());
    process::register(process);
    process::register_thread(&thread);
    Ok(thread)
}

fn open_init() -> Result<(Vec<u8>, Arc<OpenFile>)> {
    let init = COMMAND_LINE.get().and_then(|line| line.value("init"));
    let (context, path) = match (init, AGENT.get()) {
        (Some(path), _) => (super::first_context().lock().clone(), path.to_vec()),
        (None, Some(agent)) => (agent.clone(), b"/agent".to_vec()),
        (None, None) => return Err(Errno::ENOENT),
    };
    let file = context.open(&context.root, &path, 0, 0)?.file;
    Ok((path, file))
}

fn open_console(process: &Process) -> Result<()> {
    let console = OpenFile::new(ampoule_kio::console::Console::new(), O_RDWR);
    for fd in 0..3 {
        let descriptor = Descriptor { open: console.clone(), close_on_exec: false };
        process.files().lock().set(fd, descriptor, 3)?;
    }
    Ok(())
}
