//! The first program of a stock Linux guest: `/init` of the initramfs.
//!
//! It loads the modules that `/modules/list` names, mounts image 0 under an overlay in memory as the root, and becomes
//! the agent of image 1. What our own kernel does by itself, in the same order and with the same words of the command
//! line. It allocates a few kilobytes, and is gone when the agent starts.

use crate::agent::Role;
use crate::fs::read_file;
use crate::options::{MAX_CMDLINE, device_options, max_processes, memory_options, word};
use crate::sys::{clock, process};
use crate::{Fatal, power};
use alloc::ffi::CString;
use alloc::format;
use core::ffi::CStr;
use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, CWD, Mode, OFlags, mkdirat, openat, unlinkat};
use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags, mount, mount_move, unmount};
use rustix::process::{chdir, chroot};
use rustix::system::{finit_module, sethostname};

/// How long the devices of the images may take to appear, in milliseconds.
const DEVICE_MS: u64 = 10_000;
/// Most bytes of the list of modules.
const MAX_TEXT: usize = 16 * 1024;
/// Files that an overlay's upper layer has before anybody writes: its root, two directories and what Linux puts into one.
const OWN_FILES: u64 = 5;
/// Most that `pids.max` takes as a number (`PID_MAX_LIMIT`).
const MOST_PROCESSES: u64 = 4 << 20;

/// Does all that, and does not come back.
pub fn run() -> ! {
    let error = match become_agent() {
        Ok(never) => match never {},
        Err(error) => error,
    };
    say(&format!("{error}"));
    power::off(Role::Init, 1)
}

enum Never {}

fn become_agent() -> Result<Never, Fatal> {
    attach("devtmpfs", c"devtmpfs", c"/dev", c"devtmpfs", MountFlags::NOSUID, c"mode=0755")?;
    attach("proc", c"proc", c"/proc", c"proc", nodev(), c"")?;
    let cmdline = read_file(b"/proc/cmdline", MAX_CMDLINE).unwrap_or_default();
    load_modules();
    let agent = open_agent()?;
    mount_root(&cmdline)?;
    limit_processes(&cmdline)?;
    if let Some(name) = word(&cmdline, b"ampoule.hostname=") {
        // A name that the kernel refuses stays the default.
        let _refused = sethostname(name);
    }
    let log = openat(CWD, c"/dev/kmsg", OFlags::WRONLY, Mode::empty()).ok();
    switch_root()?;
    process::replace(&agent, c"ampoule-agent", log)
        .map(|()| unreachable!())
        .map_err(Fatal::system("cannot start the agent"))
}

/// Loads the modules in the order of the list. One that cannot be loaded may not be needed; if it is, what needs it
/// fails and says so.
fn load_modules() {
    let Ok(list) = read_file(b"/modules/list", MAX_TEXT) else { return };
    for name in list.split(|byte| *byte == b'\n').filter(|name| !name.is_empty()) {
        let Ok(path) = CString::new([b"/modules/", name].concat()) else { continue };
        let loaded = openat(CWD, &path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
            .and_then(|file| finit_module(&file, c"", 0));
        if let Err(errno) = loaded
            && errno != Errno::EXIST
        {
            say(&format!("module {}: {errno}", path.to_string_lossy()));
        }
        // Its memory is the guest's.
        let _left = unlinkat(CWD, &path, AtFlags::empty());
    }
}

/// Mounts the agent's image, and opens the agent.
fn open_agent() -> Result<OwnedFd, Fatal> {
    attach_image(c"/dev/pmem1", c"/agent")?;
    openat(CWD, c"/agent/agent", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        .map_err(Fatal::system("cannot open the agent"))
}

/// Mounts the root image below what may be written, on `/root`.
fn mount_root(cmdline: &[u8]) -> Result<(), Fatal> {
    attach_image(c"/dev/pmem0", c"/image")?;
    let limits = memory_options(cmdline, "0755", OWN_FILES);
    let flags = MountFlags::NODEV;
    attach("the writable layer", c"tmpfs", c"/upper", c"tmpfs", flags, &limits)?;
    for directory in [c"/upper/data", c"/upper/work"] {
        mkdirat(CWD, directory, Mode::from_raw_mode(0o755))
            .map_err(Fatal::system("cannot make a directory"))?;
    }
    let layers = c"lowerdir=/image,upperdir=/upper/data,workdir=/upper/work";
    attach("the root", c"overlay", c"/root", c"overlay", MountFlags::empty(), layers)?;
    attach(
        "the root's devices",
        c"devtmpfs",
        c"/root/dev",
        c"devtmpfs",
        MountFlags::NOSUID,
        &device_options(cmdline),
    )
}

/// Puts this process, and so all that it starts, into a control group that counts processes, if there is a limit of them.
/// The hierarchy is not left mounted.
fn limit_processes(cmdline: &[u8]) -> Result<(), Fatal> {
    let Some(most) = max_processes(cmdline) else { return Ok(()) };
    attach("the control groups", c"cgroup2", c"/cgroup", c"cgroup2", nodev(), c"")?;
    let failed = Fatal::system("cannot limit the processes: does the kernel have CONFIG_CGROUP_PIDS?");
    let write = |file: &CStr, text: &str| {
        let file = openat(CWD, file, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
        rustix::io::write(&file, text.as_bytes())
    };
    // The limit is of those beside this one.
    let most = format!("{}", most.saturating_add(1).min(MOST_PROCESSES));
    write(c"/cgroup/cgroup.subtree_control", "+pids")
        .and_then(|_| mkdirat(CWD, c"/cgroup/ampoule", Mode::from_raw_mode(0o755)))
        .and_then(|()| write(c"/cgroup/ampoule/pids.max", &most))
        .and_then(|_| write(c"/cgroup/ampoule/cgroup.procs", "0"))
        .and_then(|_| unmount(c"/cgroup", UnmountFlags::empty()))
        .map_err(failed)
}

/// Makes `/root` the root.
fn switch_root() -> Result<(), Fatal> {
    chdir(c"/root").map_err(Fatal::system("cannot enter the root"))?;
    mount_move(c".", c"/").map_err(Fatal::system("cannot move the root"))?;
    chroot(c".").map_err(Fatal::system("cannot change the root"))?;
    chdir(c"/").map_err(Fatal::system("cannot enter the root"))
}

/// Mounts the EROFS image of a device, with direct access to its memory where the kernel has that. Waits for the device.
fn attach_image(device: &CStr, target: &CStr) -> Result<(), Fatal> {
    let mut waited = 0;
    while rustix::fs::access(device, rustix::fs::Access::EXISTS).is_err() && waited < DEVICE_MS {
        clock::sleep_ms(1);
        waited += 1;
    }
    attach("an image", device, target, c"erofs", MountFlags::RDONLY, c"dax=always")
        .or_else(|_no_dax| attach("an image", device, target, c"erofs", MountFlags::RDONLY, c""))
}

fn attach(
    what: &'static str,
    source: &CStr,
    target: &CStr,
    kind: &CStr,
    flags: MountFlags,
    data: &CStr,
) -> Result<(), Fatal> {
    let _exists = mkdirat(CWD, target, Mode::from_raw_mode(0o755));
    mount(source, target, kind, flags, data).map_err(|errno| {
        say(&format!("cannot mount {what}"));
        Fatal::System { what: "mount", errno }
    })
}

fn nodev() -> MountFlags {
    MountFlags::NOSUID | MountFlags::NOEXEC | MountFlags::NODEV
}

/// Says something in the kernel's log, as an error that a quiet console shows.
fn say(text: &str) {
    if let Ok(log) = openat(CWD, c"/dev/kmsg", OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty()) {
        let _lost = rustix::io::write(&log, format!("<2>ampoule-stage1: {text}\n").as_bytes());
    } else {
        power::complain(text);
    }
}
