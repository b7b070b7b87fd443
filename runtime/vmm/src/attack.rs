//! A VMM that has been taken over: a thread makes the system calls of an attacker. For tests alone, which build this with
//! the feature `attack`; the VMM that `ampoule` carries does not have it.
//!
//! Words of the guest's command line say what happens, right after the thread has got its filter:
//!
//! - `attack=THREAD,call,NUMBER,ARGUMENTS...`: one system call.
//! - `attack=THREAD,panic`: a bug of the VMM's own.
//! - `attack=THREAD,NAME,ARGUMENTS...`: one of [`PROBES`], longer attempts.
//! - `unfiltered`: there is no filter, so that the walls behind it can be tried.
//!
//! If the process survives, it ends with what the attack has brought as its message.

use crate::error::Error;
use ampoule_seccomp::Thread;
use rustix::io::Errno;
use std::ffi::{CString, c_long};
use std::ptr::null;
use std::sync::OnceLock;

static PLAN: OnceLock<Plan> = OnceLock::new();

#[derive(Default)]
struct Plan {
    words: Vec<String>,
    is_unfiltered: bool,
}

type Probe = fn(&[String]) -> String;

/// Attempts by name.
const PROBES: [(&str, Probe); 9] = [
    ("exec", exec),
    ("open", open),
    ("connect", connect),
    ("bind", bind),
    ("processes", processes),
    ("peek", peek),
    ("descriptors", descriptors),
    ("flood", flood),
    ("hoard", hoard),
];

/// Reads the guest's command line.
pub fn plan(cmdline: &str) {
    let attack = cmdline.split(' ').find_map(|word| word.strip_prefix("attack="));
    let words = attack.into_iter().flat_map(|words| words.split(',')).map(str::to_owned).collect();
    let _ = PLAN.set(Plan { words, is_unfiltered: cmdline.split(' ').any(|word| word == "unfiltered") });
}

/// Whether there are no filters.
pub fn is_unfiltered() -> bool {
    PLAN.get().is_some_and(|plan| plan.is_unfiltered)
}

/// Attacks, if it is this thread's turn.
pub fn run(thread: Thread) -> Result<(), Error> {
    let words = PLAN.get().map(|plan| plan.words.as_slice()).unwrap_or_default();
    let turn = match thread {
        Thread::Main => "main",
        Thread::Vcpu => "vcpu",
        Thread::Loader => "loader",
        Thread::Devices => "devices",
    };
    let [first, what, arguments @ ..] = words else { return Ok(()) };
    if first != turn {
        return Ok(());
    }
    let brought = match what.as_str() {
        "panic" => panic!("a bug, as the test asked for"),
        "call" => {
            let mut numbers = [0; 7];
            for (number, word) in numbers.iter_mut().zip(arguments) {
                *number = word.parse().unwrap_or(-1);
            }
            call(numbers)
        }
        name => match PROBES.iter().find(|(known, _)| *known == name) {
            Some((_, probe)) => probe(arguments),
            None => "no such attack".into(),
        },
    };
    Err(Error::Attack(brought))
}

fn call([number, a, b, c, d, e, f]: [c_long; 7]) -> String {
    // SAFETY: none. This is what an attacker does.
    result(unsafe { libc::syscall(number, a, b, c, d, e, f) })
}

fn result(value: c_long) -> String {
    match value {
        -1 => errno(),
        value => format!("gave {value}"),
    }
}

fn errno() -> String {
    let errno = std::io::Error::last_os_error();
    Errno::from_io_error(&errno).map_or_else(|| "failed".into(), |errno| format!("failed: {errno:?}"))
}

fn argument(arguments: &[String]) -> &str {
    arguments.first().map(String::as_str).unwrap_or_default()
}

/// Executes a program.
fn exec(arguments: &[String]) -> String {
    let path = CString::new(argument(arguments)).unwrap_or_default();
    // SAFETY: the path is a string, and the lists are empty.
    result(unsafe { libc::execve(path.as_ptr(), [path.as_ptr(), null()].as_ptr(), [null()].as_ptr()) }.into())
}

/// Opens a file or a directory, and lists it.
fn open(arguments: &[String]) -> String {
    let path = argument(arguments);
    match (std::fs::read_dir(path), std::fs::File::open(path)) {
        (Ok(entries), _) => {
            let names: Vec<_> =
                entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
            format!("listed: {}", names.join(" "))
        }
        (_, Ok(_)) => "opened".into(),
        (_, Err(error)) => format!("failed: {error}"),
    }
}

/// Connects to a Unix socket, or to a port of 127.0.0.1.
fn connect(arguments: &[String]) -> String {
    let target = argument(arguments);
    let result = match target.parse() {
        Ok(port) => std::net::TcpStream::connect(("127.0.0.1", port)).map(drop),
        Err(_) => std::os::unix::net::UnixStream::connect(target).map(drop),
    };
    result.map_or_else(|error| format!("failed: {error}"), |()| "connected".into())
}

/// Creates a file.
fn bind(arguments: &[String]) -> String {
    let result = std::fs::File::create(argument(arguments));
    result.map_or_else(|error| format!("failed: {error}"), |_| "created".into())
}

/// Looks for processes that could be sent signals: all numbers up to the given one. Threads have numbers, too; those of
/// this process, some of which KVM starts, are left out.
fn processes(arguments: &[String]) -> String {
    let last: i32 = argument(arguments).parse().unwrap_or(1);
    let visible = (1..=last).filter(|&pid| {
        // SAFETY: signal 0 only asks.
        let result = unsafe { libc::kill(pid, 0) };
        result == 0 || std::io::Error::last_os_error().raw_os_error() == Some(libc::EPERM)
    });
    let own = std::process::id().cast_signed();
    // SAFETY: signal 0 only asks.
    let visible =
        visible.filter(|&pid| pid == own || unsafe { libc::syscall(libc::SYS_tgkill, own, pid, 0) } != 0);
    let visible: Vec<String> = visible.map(|pid| pid.to_string()).collect();
    format!("sees: {} and is {}", visible.join(" "), std::process::id())
}

/// Reads the memory of a process at an address.
fn peek(arguments: &[String]) -> String {
    let number = |index: usize| arguments.get(index).and_then(|word| word.parse().ok()).unwrap_or(0_usize);
    let mut bytes = [0_u8; 8];
    let local = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() };
    let remote =
        libc::iovec { iov_base: std::ptr::with_exposed_provenance_mut(number(1)), iov_len: bytes.len() };
    let pid = i32::try_from(number(0)).unwrap_or(0);
    // SAFETY: the local vector describes `bytes`; the other one is the other process's.
    let len = unsafe { libc::process_vm_readv(pid, &raw const local, 1, &raw const remote, 1, 0) };
    match len {
        -1 => errno(),
        _ => format!("read: {}", String::from_utf8_lossy(&bytes)),
    }
}

/// Lists what descriptors there are, by the type of what is open.
fn descriptors(_: &[String]) -> String {
    let kinds = (0..1024).filter_map(|fd| {
        // SAFETY: all zeroes are a valid `stat`.
        let mut stat: libc::stat = unsafe { std::mem::zeroed() };
        // SAFETY: `stat` is large enough.
        let found = unsafe { libc::fstat(fd, &raw mut stat) } == 0;
        found.then(|| format!("{fd}:{:o}", stat.st_mode & libc::S_IFMT))
    });
    kinds.collect::<Vec<_>>().join(" ")
}

/// Writes to these descriptors for ever.
fn flood(arguments: &[String]) -> String {
    let descriptors: Vec<i32> = arguments.iter().filter_map(|word| word.parse().ok()).collect();
    let junk = [b'x'; 4096];
    loop {
        for &fd in &descriptors {
            // SAFETY: the bytes are there.
            unsafe { libc::write(fd, junk.as_ptr().cast(), junk.len()) };
        }
    }
}

/// Takes memory, up to so many MiB.
fn hoard(arguments: &[String]) -> String {
    const MIB: usize = 1 << 20;
    let most: usize = argument(arguments).parse().unwrap_or(0);
    let (rights, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    // SAFETY: new mappings, where the kernel chooses.
    let map = || unsafe { libc::mmap(std::ptr::null_mut(), MIB, rights, flags, -1, 0) };
    let taken: Vec<_> = (0..most).map(|_| map()).take_while(|&start| start != libc::MAP_FAILED).collect();
    for &start in &taken {
        // SAFETY: mappings of our own, of this size, used by nobody else; the report needs memory, too.
        unsafe {
            start.cast::<u8>().write_bytes(1, MIB);
            libc::munmap(start, MIB);
        }
    }
    format!("took {} MiB", taken.len())
}
