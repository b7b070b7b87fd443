//! What there is inside the chamber: everything that a sandbox could leave behind.

use crate::chamber::TEMPORARY;
use ampoule_cgroup::{Cgroup, Limits};
use rustix::fs::{FlockOperation, flock};
use rustix::process::{WaitOptions, wait};
use std::collections::BTreeSet;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};
use std::{fs, io};

/// How long what was killed may take to be gone.
const PATIENCE: Duration = Duration::from_secs(30);

/// A count, as lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Census(BTreeSet<String>);

impl Census {
    /// Counts. Processes that are only still to be reaped are reaped first: orphans are ours to reap. To be called while
    /// no other thread has children.
    pub fn take() -> Self {
        while let Ok(Some(_)) = wait(WaitOptions::NOHANG) {}
        let mut lines = BTreeSet::new();
        lines.extend(processes().into_iter().map(|process| format!("process {process}")));
        lines.extend(read_lines("/proc/self/mounts").map(|mount| format!("mount {mount}")));
        lines.extend(read_lines("/proc/net/unix").skip(1).filter(|line| line.contains("ampoule")));
        lines.extend(open_descriptors());
        for directory in TEMPORARY {
            files(Path::new(directory), &mut |path| {
                lines.insert(format!("file {}", path.display()));
            });
        }
        sweep();
        files(Path::new("/sys/fs/cgroup"), &mut |path| {
            if path.is_dir()
                && path.file_name().is_some_and(|name| name.to_string_lossy().contains("ampoule"))
                && has_no_maker(path)
            {
                lines.insert(format!("control group {}", path.display()));
            }
        });
        Self(lines)
    }

    /// Waits until everything is as in this count.
    ///
    /// # Panics
    /// If it does not come to that.
    pub fn await_same(&self) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let now = Self::take();
            if now == *self {
                return;
            }
            let (more, less): (Vec<_>, Vec<_>) =
                (now.0.difference(&self.0).collect(), self.0.difference(&now.0).collect());
            assert!(Instant::now() < deadline, "left behind: {more:#?}; gone: {less:#?}");
            thread::sleep(Duration::from_millis(10));
        }
    }
}

/// Memory without a name that nobody frees: files in memory, shared memory, in KiB. It is the whole machine's.
pub fn shared_memory_kib() -> u64 {
    let line =
        read_lines("/proc/meminfo").find(|line| line.starts_with("Shmem:")).expect("a line on shared memory");
    line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).expect("a number of KiB")
}

/// What the next start does: removes the groups whose makers were killed.
fn sweep() {
    let limits = Limits { memory: Some(1 << 30), ..Limits::default() };
    Cgroup::create(&limits).expect("a control group, or none").sweep();
}

/// Whether nobody holds the lock of a control group, as its maker does; others run beside this test.
fn has_no_maker(group: &Path) -> bool {
    fs::File::open(group)
        .is_ok_and(|directory| flock(&directory, FlockOperation::NonBlockingLockExclusive).is_ok())
}

fn processes() -> Vec<String> {
    let entries = fs::read_dir("/proc").expect("/proc").filter_map(Result::ok);
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    // One that goes meanwhile has gone.
    pids.filter_map(|pid| {
        Some(format!("{pid} {}", fs::read_to_string(format!("/proc/{pid}/comm")).ok()?.trim()))
    })
    .collect()
}

fn open_descriptors() -> Vec<String> {
    let entries = fs::read_dir("/proc/self/fd").expect("/proc/self/fd").filter_map(Result::ok);
    let links = entries.filter_map(|entry| Some((entry.file_name(), fs::read_link(entry.path()).ok()?)));
    // The directory that is being read is one of them.
    links
        .filter(|(_, target)| !target.starts_with("/proc"))
        .map(|(number, target)| format!("descriptor {}: {}", number.display(), target.display()))
        .collect()
}

fn read_lines(path: &str) -> impl Iterator<Item = String> {
    let text = match fs::read_to_string(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => panic!("{path}: {error}"),
        text => text.unwrap_or_default(),
    };
    text.lines().map(str::to_owned).collect::<Vec<_>>().into_iter()
}

/// Every file and directory below a directory, as far as it can be read.
fn files(directory: &Path, each: &mut impl FnMut(&Path)) {
    for entry in fs::read_dir(directory).into_iter().flatten().filter_map(Result::ok) {
        each(&entry.path());
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            files(&entry.path(), each);
        }
    }
}
