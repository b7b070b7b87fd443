//! Files about one process.

use crate::mm::{Area, Backing, PAGE, Protection};
use crate::task::limits::{self, INFINITY};
use crate::task::process::Process;
use crate::task::thread::{State, Thread};
use crate::time::SECOND;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use ampoule_kbase::{Errno, Result, frames};
use core::fmt::Write;
use core::sync::atomic::Ordering;

const TICK: u64 = SECOND / 100;

/// The contents of `/proc/<pid>/<name>`, or of `/proc/<pid>/task/<tid>/<name>`.
pub fn text(process: &Process, tid: u32, name: &str) -> Result<Vec<u8>> {
    Ok(match name {
        "stat" => stat(process, tid).into_bytes(),
        "status" => status(process, tid).into_bytes(),
        "statm" => statm(process).into_bytes(),
        "comm" => [process.program.lock().name.as_slice(), b"\n"].concat(),
        "cmdline" => {
            let layout = process.memory.lock().lock().layout.arguments;
            peek(process, layout)?
        }
        "environ" => {
            let layout = process.memory.lock().lock().layout.environment;
            peek(process, layout)?
        }
        "auxv" => process.program.lock().auxiliary.clone(),
        "maps" => maps(process)?,
        "limits" => limits_text(process).into_bytes(),
        "oom_score" | "oom_score_adj" | "oom_adj" | "loginuid" => b"0\n".to_vec(),
        "wchan" => b"0".to_vec(),
        "cgroup" => b"0::/\n".to_vec(),
        "personality" => b"00000000\n".to_vec(),
        "uid_map" | "gid_map" => b"         0          0 4294967295\n".to_vec(),
        "setgroups" => b"allow\n".to_vec(),
        "io" => b"rchar: 0\nwchar: 0\nsyscr: 0\nsyscw: 0\nread_bytes: 0\nwrite_bytes: 0\ncancelled_write_bytes: 0\n".to_vec(),
        _ => return Err(Errno::ENOENT),
    })
}

/// Writes to one of the files that may be written.
pub fn write(process: &Process, name: &str, bytes: &[u8]) -> Result<()> {
    match name {
        "comm" => {
            let name = bytes.strip_suffix(b"\n").unwrap_or(bytes);
            process.program.lock().name = name[..name.len().min(15)].to_vec();
            Ok(())
        }
        "oom_score_adj" | "oom_adj" => Ok(()),
        _ => Err(Errno::EPERM),
    }
}

fn thread_of(process: &Process, tid: u32) -> Option<Arc<Thread>> {
    process.threads.lock().iter().find(|thread| thread.tid() == tid).cloned()
}

fn state(process: &Process, tid: u32) -> (char, &'static str) {
    match thread_of(process, tid).map(|thread| thread.state()) {
        None => ('Z', "zombie"),
        Some(State::Runnable) => ('R', "running"),
        Some(State::Blocked) => ('S', "sleeping"),
        Some(State::Stopped) => ('T', "stopped"),
        Some(State::Dead) => ('X', "dead"),
    }
}

fn name(process: &Process) -> String {
    String::from_utf8_lossy(&process.program.lock().name).into_owned()
}

/// Fifty-two fields: proc(5).
fn stat(process: &Process, tid: u32) -> String {
    let memory = process.memory.lock().clone();
    let (size, (resident, _), layout) = {
        let space = memory.lock();
        (space.size(), (space.used_pages(), 0), space.layout)
    };
    let cpu = process.cpu_ns.load(Ordering::Relaxed) / TICK;
    let children = process.children_usage.lock().cpu_ns / TICK;
    let nice = process.nice.load(Ordering::Relaxed);
    let (tty, foreground) = (0, -1);
    format!(
        "{tid} ({}) {} {} {} {} {tty} {foreground} 0 0 0 0 0 {cpu} 0 {children} 0 {} {nice} {} 0 {} {size} {resident} {} {:#} {:#} {:#} 0 0 0 0 0 0 0 0 17 0 0 0 0 0 0 0 0 0 {} {} {} {} 0\n",
        name(process),
        state(process, tid).0,
        process.parent_pid(),
        process.pgid.load(Ordering::Relaxed),
        process.sid.load(Ordering::Relaxed),
        20 + nice,
        process.threads.lock().len(),
        process.started_ns / TICK,
        u64::MAX,
        layout.code.0,
        layout.code.1,
        layout.stack,
        layout.arguments.0,
        layout.arguments.1,
        layout.environment.0,
        layout.environment.1,
    )
}

fn status(process: &Process, tid: u32) -> String {
    let memory = process.memory.lock().clone();
    let (size, (resident, peak)) = {
        let space = memory.lock();
        (space.size() / 1024, (space.used_pages(), space.resident().1))
    };
    let (letter, word) = state(process, tid);
    let c = process.credentials.lock().clone();
    let groups: Vec<String> = c.groups.iter().map(|group| format!("{group} ")).collect();
    let (own_pending, mask) = thread_of(process, tid).map_or((0, 0), |thread| {
        let signals = thread.signals.lock();
        (signals.pending.set(), signals.mask)
    });
    let seccomp = thread_of(process, tid).map(|thread| thread.seccomp.lock().clone()).unwrap_or_default();
    let (ignored, caught) = process.actions.lock().lock().sets();
    let mut text = format!(
        "Name:\t{}\nUmask:\t{:04o}\nState:\t{letter} ({word})\nTgid:\t{}\nNgid:\t0\nPid:\t{tid}\nPPid:\t{}\nTracerPid:\t0\n\
         Uid:\t{}\t{}\t{}\t{}\nGid:\t{}\t{}\t{}\t{}\nFDSize:\t{}\nGroups:\t{}\n",
        name(process),
        process.fs.lock().lock().umask,
        process.pid,
        process.parent_pid(),
        c.uid,
        c.euid,
        c.suid,
        c.fsuid,
        c.gid,
        c.egid,
        c.sgid,
        c.fsgid,
        process.files().lock().capacity().next_multiple_of(64),
        groups.concat(),
    );
    // Writing to a `String` cannot fail.
    let _ = write!(
        text,
        "VmPeak:\t{size:8} kB\nVmSize:\t{size:8} kB\nVmHWM:\t{:8} kB\nVmRSS:\t{:8} kB\nThreads:\t{}\nSigQ:\t0/8192\n\
         SigPnd:\t{own_pending:016x}\nShdPnd:\t{:016x}\nSigBlk:\t{mask:016x}\nSigIgn:\t{ignored:016x}\nSigCgt:\t{caught:016x}\n\
         CapInh:\t{:016x}\nCapPrm:\t{:016x}\nCapEff:\t{:016x}\nCapBnd:\t{:016x}\nCapAmb:\t{:016x}\nNoNewPrivs:\t{}\n\
         Seccomp:\t{}\nSeccomp_filters:\t{}\nCpus_allowed:\t1\nCpus_allowed_list:\t0\n",
        peak * 4,
        resident * 4,
        process.threads.lock().len(),
        process.pending.lock().set(),
        c.inheritable,
        c.permitted,
        c.effective,
        c.bounding,
        c.ambient,
        u8::from(process.no_new_privileges.load(Ordering::Relaxed)),
        seccomp.mode(),
        seccomp.filters(),
    );
    text
}

fn statm(process: &Process) -> String {
    let memory = process.memory.lock().clone();
    let space = memory.lock();
    format!("{} {} 0 0 0 0 0\n", space.size() / PAGE, space.used_pages())
}

fn peek(process: &Process, (start, end): (u64, u64)) -> Result<Vec<u8>> {
    let length = end.saturating_sub(start).min(crate::task::exec::MAX_ARGUMENTS as u64) as usize;
    let mut bytes = frames::list_of(length)?;
    bytes.resize(length, 0);
    let memory = process.memory.lock().clone();
    let count = memory.lock().peek(start, &mut bytes);
    bytes.truncate(count);
    Ok(bytes)
}

fn maps(process: &Process) -> Result<Vec<u8>> {
    let memory = process.memory.lock().clone();
    let space = memory.lock();
    let mut text = Vec::new();
    for area in space.areas() {
        let line = map_line(area);
        frames::make_room(&mut text, line.len())?;
        text.extend_from_slice(line.as_bytes());
    }
    Ok(text)
}

fn map_line(area: &Area) -> String {
    let letter = |bit: Protection, letter: char| if area.protection.contains(bit) { letter } else { '-' };
    let mut line = format!(
        "{:x}-{:x} {}{}{}{}",
        area.start,
        area.end,
        letter(Protection::READ, 'r'),
        letter(Protection::WRITE, 'w'),
        letter(Protection::EXECUTE, 'x'),
        if area.shared { 's' } else { 'p' }
    );
    let (offset, device, inode, name) = match &area.backing {
        Backing::Anonymous => (0, 0, 0, String::from(area.label)),
        Backing::File { file, offset } => {
            let stat = file.stat().unwrap_or_default();
            (*offset, stat.dev, stat.ino, String::from_utf8_lossy(&file.proc_name()).into_owned())
        }
    };
    let (major, minor) = (device >> 8 & 0xfff, device & 0xff);
    let _ = write!(line, " {offset:08x} {major:02x}:{minor:02x} {inode}");
    if !name.is_empty() {
        let _ = write!(line, "{:1$}{name}", "", 73usize.saturating_sub(line.len()));
    }
    line.push('\n');
    line
}

fn limits_text(process: &Process) -> String {
    let limits = *process.limits.lock();
    let mut text = format!("{:<25} {:<20} {:<20} {:<10}\n", "Limit", "Soft Limit", "Hard Limit", "Units");
    let shown = |value: u64| if value == INFINITY { String::from("unlimited") } else { format!("{value}") };
    for ((name, unit), (soft, hard)) in limits::NAMES.iter().zip(limits.0) {
        let _ = writeln!(text, "{name:<25} {:<20} {:<20} {unit:<10}", shown(soft), shown(hard));
    }
    text
}
