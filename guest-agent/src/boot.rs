//! From the entry point to the first message, and what has to be there before the first job.

use crate::Fatal;
use crate::fs::read_file;
use crate::options::{Host, MAX_CMDLINE, device_options, memory_options};
use crate::sys::{clock, process, vsock};
use alloc::vec::Vec;
use ampoule_protocol::{BootPhase, Hello, List, Text};
use core::ffi::CStr;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fd::{AsRawFd, OwnedFd};
use rustix::fs::{CWD, Mode, OFlags, access, mkdirat, openat};
use rustix::io::{Errno, fcntl_dupfd_cloexec};
use rustix::mount::{MountFlags, mount};
use rustix::thread::Timespec;

/// How long to go on trying to reach the host, in milliseconds of waiting between attempts.
const PATIENCE_MS: u64 = 5000;
/// Longest answer to one attempt, in seconds.
const ANSWER_S: i64 = 2;
/// Longest wait between two attempts, in milliseconds.
const MAX_DELAY_MS: u64 = 100;

/// What kind of kernel this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kernel {
    /// Ampoule's own, which has mounted everything.
    Ampoule,
    /// Another one.
    Other,
}

/// Connects to the host, and meanwhile gathers what to say first.
pub fn connect(host: Host, started_ns: u64) -> Result<(OwnedFd, Hello, Kernel), Fatal> {
    let attempt = match host {
        Host::Port(port) => Attempt::Vsock(vsock::connect_host(port), port),
        Host::ConnectedFd(fd) => Attempt::Inherited(fd),
    };
    let (phases, kernel) = boot_phases();
    let mut hello = hello(phases, started_ns);
    let socket = attempt.finish()?;
    let phases = with_phase(hello.boot.into_vec(), "agent-connected", clock::monotonic_ns());
    hello.boot = List::new(phases).unwrap_or_default();
    let socket = if socket.as_raw_fd() > 2 { socket } else { off_standard_files(socket)? };
    Ok((socket, hello, kernel))
}

enum Attempt {
    Vsock(Result<OwnedFd, Errno>, u32),
    Inherited(i32),
}

impl Attempt {
    fn finish(self) -> Result<OwnedFd, Fatal> {
        let (mut attempt, port) = match self {
            Attempt::Inherited(fd) => return process::inherit(fd).map_err(Fatal::system("--connect-fd")),
            Attempt::Vsock(attempt, port) => (attempt, port),
        };
        let (mut waited, mut delay) = (0, 1);
        loop {
            let errno = match attempt.and_then(connected) {
                Ok(socket) => return Ok(socket),
                Err(errno) => errno,
            };
            if waited >= PATIENCE_MS {
                return Err(Fatal::System { what: "connecting to the host", errno });
            }
            clock::sleep_ms(delay);
            waited += delay;
            delay = (delay * 2).min(MAX_DELAY_MS);
            attempt = vsock::connect_host(port);
        }
    }
}

/// Waits for a connection that was begun.
fn connected(socket: OwnedFd) -> Result<OwnedFd, Errno> {
    let timeout = Timespec { tv_sec: ANSWER_S, tv_nsec: 0 };
    let mut fds = [PollFd::new(&socket, PollFlags::OUT)];
    let answered = poll(&mut fds, Some(&timeout))?;
    let [fd] = &fds;
    match fd.revents().intersects(PollFlags::ERR | PollFlags::HUP) {
        false if answered > 0 => Ok(socket),
        false => Err(Errno::TIMEDOUT),
        true => Err(Errno::CONNREFUSED),
    }
}

/// Moves a socket away from descriptors 0 to 2, and fills these, if the agent was started without them.
#[cold]
fn off_standard_files(socket: OwnedFd) -> Result<OwnedFd, Fatal> {
    let moved = fcntl_dupfd_cloexec(&socket, 3).map_err(Fatal::system("dup"))?;
    drop(socket);
    // Any file will do that is always there; it stays open for ever.
    while let Ok(fd) = openat(CWD, c"/", OFlags::RDONLY, Mode::empty()) {
        if fd.as_raw_fd() > 2 {
            break;
        }
        core::mem::forget(fd);
    }
    Ok(moved)
}

fn hello(phases: Vec<BootPhase>, started_ns: u64) -> Hello {
    let uname = rustix::system::uname();
    Hello {
        agent: Text::new(env!("CARGO_PKG_VERSION")),
        kernel: Text::new(uname.sysname().to_str().unwrap_or_default()),
        release: Text::new(uname.release().to_str().unwrap_or_default()),
        boot: List::new(with_phase(phases, "agent-start", started_ns)).unwrap_or_default(),
    }
}

fn with_phase(mut phases: Vec<BootPhase>, name: &str, ns: u64) -> Vec<BootPhase> {
    phases.push(BootPhase { name: Text::new(name), ns });
    phases
}

/// What the kernel tells of its boot: lines of `name nanoseconds`.
fn boot_phases() -> (Vec<BootPhase>, Kernel) {
    match read_file(b"/proc/ampoule/boot", 4096) {
        Ok(text) => (parse_phases(&text), Kernel::Ampoule),
        Err(_other_kernel) => (Vec::new(), Kernel::Other),
    }
}

fn parse_phases(text: &[u8]) -> Vec<BootPhase> {
    /// Leaves room for the agent's own in the list.
    const MAX: usize = 60;
    let lines = core::str::from_utf8(text).unwrap_or_default().lines();
    let phases = lines.filter_map(|line| {
        let (name, ns) = line.split_once(' ')?;
        Some(BootPhase { name: Text::new(name), ns: ns.trim().parse().ok()? })
    });
    phases.take(MAX).collect()
}

/// Mounts what a stock Linux kernel does not mount for its first process, where it is not there yet.
#[cold]
pub fn mount_all() {
    let nodev = MountFlags::NOSUID | MountFlags::NOEXEC | MountFlags::NODEV;
    let terminals = MountFlags::NOSUID | MountFlags::NOEXEC;
    attach(c"/proc/self", c"/proc", c"proc", nodev, c"");
    attach(c"/sys/kernel", c"/sys", c"sysfs", nodev, c"");
    let cmdline = read_file(b"/proc/cmdline", MAX_CMDLINE).unwrap_or_default();
    attach(c"/dev/null", c"/dev", c"devtmpfs", MountFlags::NOSUID, &device_options(&cmdline));
    attach(c"/dev/pts/ptmx", c"/dev/pts", c"devpts", terminals, c"mode=0620,ptmxmode=0666");
    let shared = MountFlags::NOSUID | MountFlags::NODEV;
    attach(c"/dev/shm/.", c"/dev/shm", c"tmpfs", shared, &memory_options(&cmdline, "1777", 1));
    for (link, target) in [
        (c"/dev/fd", c"/proc/self/fd"),
        (c"/dev/stdin", c"/proc/self/fd/0"),
        (c"/dev/stdout", c"/proc/self/fd/1"),
        (c"/dev/stderr", c"/proc/self/fd/2"),
    ] {
        let _exists = rustix::fs::symlinkat(target, CWD, link);
    }
}

/// Mounts one, unless there is `proof` that it is. What cannot be had is missed by the jobs that need it, and they say so.
fn attach(proof: &CStr, target: &CStr, kind: &CStr, flags: MountFlags, data: &CStr) {
    if access(proof, rustix::fs::Access::EXISTS).is_err() {
        let _exists = mkdirat(CWD, target, Mode::from_raw_mode(0o755));
        let _refused = mount(kind, target, kind, flags, data);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_are_lines_of_name_and_time() {
        let phases = parse_phases(b"entry 0\nmemory 1200\nodd\nbad x\n 7\nlast 99");
        let phases: Vec<_> = phases.iter().map(|phase| (phase.name.as_raw_str(), phase.ns)).collect();
        assert_eq!(phases, [("entry", 0), ("memory", 1200), ("", 7), ("last", 99)]);
        assert!(parse_phases(&[b'\xff'; 10]).is_empty());
        assert_eq!(parse_phases("a 1\n".repeat(100).as_bytes()).len(), 60);
    }
}
