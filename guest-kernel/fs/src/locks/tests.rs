//! Locks against the host's, and what happens to them when files are closed.

use super::{
    LOCKS, Owner, RecordKind, RecordLock, conflicting_record, flock, queue, release_records, set_record,
};
use crate::testing::{self, context, open};
use crate::vfs::Context;
use crate::volume::{Limits, Volume};
use alloc::sync::Arc;
use alloc::vec::Vec;
use ampoule_kbase::{Errno, Events, Mutex, OpenFile, Result, Waiter};
use linux_raw_sys::general::{LOCK_EX, LOCK_NB, LOCK_SH, LOCK_UN, O_CREAT, O_RDWR};
use proptest::prelude::*;
use std::os::fd::{AsRawFd, OwnedFd};

fn files(count: usize) -> (Context, Vec<Arc<OpenFile>>) {
    testing::setup();
    let context = context(Volume::tmpfs(Limits { inodes: 10, ..Limits::NONE }));
    let files = (0..count).map(|_| open(&context, b"/f", O_CREAT | O_RDWR).expect("a file")).collect();
    (context, files)
}

#[derive(Default)]
struct Bell(Mutex<u32>);

impl Waiter for Bell {
    fn wake(&self, _events: Events) {
        *self.0.lock() += 1;
    }
}

#[test]
fn closing_gives_a_lock_up_and_wakes_who_waits() {
    let (_context, mut files) = files(2);
    flock(&files[0], LOCK_EX).expect("free");
    assert_eq!(flock(&files[1], LOCK_SH | LOCK_NB), Err(Errno::EAGAIN));
    let bell = Arc::new(Bell::default());
    let locks = queue(&files[1]).expect("a file");
    let id = locks.queue.add(bell.clone());
    drop(files.remove(0));
    assert!(*bell.0.lock() > 0);
    flock(&files[0], LOCK_SH).expect("free again");
    locks.queue.remove(id);
}

#[test]
fn nothing_is_kept_for_files_without_locks() {
    let (_context, files) = files(2);
    let stat = files[0].file.stat().expect("status");
    let known = || LOCKS.lock().contains_key(&(stat.dev, stat.ino));
    flock(&files[0], LOCK_EX).expect("free");
    assert!(known());
    flock(&files[0], LOCK_UN).expect("held");
    assert!(!known());
    let lock = RecordLock { kind: RecordKind::Write, start: 5, last: 9, pid: 1 };
    set_record(&files[0], Owner::Process(1), lock).expect("free");
    assert!(known());
    release_records(&files[1], Owner::Process(1));
    assert!(!known(), "closing any descriptor of the file gives up all");
}

/// `F_OFD_*` locks of the host have the same rules as ours, whoever the owner.
fn host_record(fd: &OwnedFd, command: i32, kind: RecordKind, start: u64, last: u64) -> Result<libc::flock> {
    let kind = match kind {
        RecordKind::Read => libc::F_RDLCK,
        RecordKind::Write => libc::F_WRLCK,
        RecordKind::Unlock => libc::F_UNLCK,
    };
    let mut lock = libc::flock {
        l_type: kind as i16,
        l_whence: libc::SEEK_SET as i16,
        l_start: start as i64,
        l_len: if last == i64::MAX as u64 { 0 } else { (last - start + 1) as i64 },
        l_pid: 0,
    };
    // SAFETY: a valid descriptor and a valid lock.
    if unsafe { libc::fcntl(fd.as_raw_fd(), command, &mut lock) } < 0 {
        return Err(Errno(std::io::Error::last_os_error().raw_os_error().expect("an error number") as u16));
    }
    Ok(lock)
}

fn any_kind() -> impl Strategy<Value = RecordKind> {
    prop_oneof![Just(RecordKind::Read), Just(RecordKind::Write), Just(RecordKind::Unlock)]
}

fn any_range() -> impl Strategy<Value = (u64, u64)> {
    (0u64..20, prop::option::weighted(0.8, 0u64..8))
        .prop_map(|(start, length)| (start, length.map_or(i64::MAX as u64, |length| start + length)))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(500) })]

    #[test]
    fn record_locks_do_what_linux_does(steps in prop::collection::vec((0usize..3, any_kind(), any_range()), 1..40)) {
        let (_context, files) = files(1);
        let file = tempfile::NamedTempFile::new().expect("a file");
        let reopen = || std::fs::File::options().read(true).write(true).open(file.path()).expect("a file");
        let fds: Vec<OwnedFd> = (0..3).map(|_| reopen().into()).collect();
        for (who, kind, (start, last)) in steps {
            let lock = RecordLock { kind, start, last, pid: 0 };
            let owner = Owner::Open(who as u64);
            if kind != RecordKind::Unlock {
                let expected = host_record(&fds[who], libc::F_OFD_GETLK, kind, start, last).expect("a query");
                let found = conflicting_record(&files[0], owner, &lock).expect("a query");
                prop_assert_eq!(expected.l_type == libc::F_UNLCK as i16, found.is_none());
            }
            let expected = host_record(&fds[who], libc::F_OFD_SETLK, kind, start, last).map(|_| ());
            prop_assert_eq!(set_record(&files[0], owner, lock), expected, "{} {:?}", who, lock);
        }
    }

    #[test]
    fn flock_does_what_linux_does(steps in prop::collection::vec((0usize..3, 0usize..3), 1..40)) {
        let (_context, files) = files(3);
        let file = tempfile::NamedTempFile::new().expect("a file");
        let fds: Vec<_> = (0..3).map(|_| std::fs::File::open(file.path()).expect("a file")).collect();
        for (who, what) in steps {
            let operation = [LOCK_SH, LOCK_EX, LOCK_UN][what] | LOCK_NB;
            // SAFETY: a valid descriptor.
            let expected = unsafe { libc::flock(fds[who].as_raw_fd(), operation as i32) } == 0;
            prop_assert_eq!(flock(&files[who], operation).is_ok(), expected);
        }
    }
}
