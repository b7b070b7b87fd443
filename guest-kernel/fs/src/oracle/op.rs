//! The operations, and how they are chosen.

use alloc::vec;
use alloc::vec::Vec;
use linux_raw_sys::general::{
    AT_EMPTY_PATH, AT_SYMLINK_FOLLOW, FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE, FALLOC_FL_ZERO_RANGE,
    O_APPEND, O_CREAT, O_DIRECTORY, O_EXCL, O_NOFOLLOW, O_PATH, O_RDWR, O_TMPFILE, O_TRUNC, O_WRONLY,
    RENAME_EXCHANGE, RENAME_NOREPLACE,
};
use proptest::prelude::*;
use std::string::String;

/// A path.
pub type P = String;

/// One operation. Open files are in slots.
#[derive(Clone, Debug)]
pub enum Op {
    Open {
        slot: usize,
        path: P,
        flags: u32,
        mode: u32,
    },
    OpenAt {
        slot: usize,
        base: usize,
        path: P,
        flags: u32,
    },
    Close {
        slot: usize,
    },
    Read {
        slot: usize,
        offset: u64,
        length: usize,
    },
    Write {
        slot: usize,
        offset: u64,
        length: usize,
    },
    SetLength {
        slot: usize,
        length: u64,
    },
    Allocate {
        slot: usize,
        flags: u32,
        offset: u64,
        length: u64,
    },
    Seek {
        slot: usize,
        offset: u64,
        hole: bool,
    },
    /// Changes bytes through a shared mapping.
    MapWrite {
        slot: usize,
        offset: u64,
        length: usize,
    },
    /// Reads through a shared mapping.
    MapRead {
        slot: usize,
        offset: u64,
        length: usize,
    },
    StatFd {
        slot: usize,
    },
    ListFd {
        slot: usize,
    },
    LinkFd {
        slot: usize,
        path: P,
    },
    Mkdir {
        path: P,
        mode: u32,
    },
    Mknod {
        path: P,
        mode: u32,
    },
    Symlink {
        target: P,
        path: P,
    },
    Link {
        old: P,
        new: P,
        flags: u32,
    },
    Unlink {
        path: P,
    },
    Rmdir {
        path: P,
    },
    Rename {
        old: P,
        new: P,
        flags: u32,
    },
    Stat {
        path: P,
    },
    Lstat {
        path: P,
    },
    ReadLink {
        path: P,
    },
    Access {
        path: P,
        mode: u32,
    },
    Chmod {
        path: P,
        mode: u32,
    },
    Chown {
        path: P,
        uid: Option<u32>,
        gid: Option<u32>,
    },
    Lchown {
        path: P,
        uid: u32,
    },
    SetTimes {
        path: P,
        seconds: Option<i64>,
        now: bool,
    },
    Truncate {
        path: P,
        length: u64,
    },
    Chdir {
        path: P,
    },
    Fchdir {
        slot: usize,
    },
    Getcwd,
    User {
        uid: u32,
    },
    Umask {
        mask: u32,
    },
}

fn component() -> impl Strategy<Value = &'static str> {
    const LONG: &str = concat!(
        "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
        "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
        "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
    );
    prop_oneof![
        8 => Just("a"), 8 => Just("b"), 8 => Just("c"), 6 => Just("d"), 4 => Just("l"), 1 => Just("m"),
        2 => Just("."), 3 => Just(".."), 1 => Just(""), 1 => Just(LONG),
    ]
}

fn path() -> impl Strategy<Value = P> {
    let front = prop_oneof![3 => Just(""), 2 => Just("/")];
    let back = prop_oneof![8 => Just(""), 1 => Just("/"), 1 => Just("//")];
    (front, prop::collection::vec(component(), 1..5), back)
        .prop_map(|(front, components, back)| [front, &components.join("/"), back].concat())
}

fn open_flags() -> impl Strategy<Value = u32> {
    let access = prop_oneof![Just(0), Just(O_WRONLY), Just(O_RDWR)];
    let more = prop_oneof![
        4 => Just(0), 6 => Just(O_CREAT), 2 => Just(O_CREAT | O_EXCL), 2 => Just(O_TRUNC), 2 => Just(O_CREAT | O_TRUNC),
        1 => Just(O_NOFOLLOW), 1 => Just(O_CREAT | O_NOFOLLOW), 2 => Just(O_DIRECTORY), 1 => Just(O_PATH),
        1 => Just(O_PATH | O_NOFOLLOW), 1 => Just(O_DIRECTORY | O_NOFOLLOW), 1 => Just(O_TMPFILE), 1 => Just(O_TMPFILE | O_EXCL),
        1 => Just(O_CREAT | O_DIRECTORY), 1 => Just(O_CREAT | O_APPEND),
    ];
    (access, more).prop_map(|(access, more)| access | more)
}

fn mode() -> impl Strategy<Value = u32> {
    prop_oneof![
        Just(0o777),
        Just(0o755),
        Just(0o700),
        Just(0o644),
        Just(0o000),
        Just(0o1777),
        Just(0o2775),
        Just(0o6755),
        Just(0o2644),
        0u32..0o10000,
    ]
}

fn slot() -> impl Strategy<Value = usize> {
    0usize..3
}

fn offset() -> impl Strategy<Value = u64> {
    prop_oneof![Just(0), 0u64..100, 4000u64..4200, 0u64..30_000, Just(1 << 40)]
}

fn length() -> impl Strategy<Value = usize> {
    prop_oneof![0usize..10, Just(4096), 0usize..10_000]
}

fn user() -> impl Strategy<Value = u32> {
    prop_oneof![3 => Just(0u32), 2 => Just(1000), 1 => Just(1001)]
}

fn rename_flags() -> impl Strategy<Value = u32> {
    prop_oneof![6 => Just(0), 2 => Just(RENAME_NOREPLACE), 3 => Just(RENAME_EXCHANGE), 1 => Just(RENAME_EXCHANGE | RENAME_NOREPLACE)]
}

fn allocate_flags() -> impl Strategy<Value = u32> {
    prop_oneof![
        Just(0),
        Just(FALLOC_FL_KEEP_SIZE),
        Just(FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE),
        Just(FALLOC_FL_ZERO_RANGE)
    ]
}

fn file_op() -> impl Strategy<Value = Op> {
    prop_oneof![
        8 => (slot(), path(), open_flags(), mode()).prop_map(|(slot, path, flags, mode)| Op::Open { slot, path, flags, mode }),
        1 => (slot(), slot(), path(), open_flags()).prop_map(|(slot, base, path, flags)| Op::OpenAt { slot, base, path, flags }),
        1 => slot().prop_map(|slot| Op::Close { slot }),
        4 => (slot(), offset(), length()).prop_map(|(slot, offset, length)| Op::Read { slot, offset, length }),
        6 => (slot(), offset(), length()).prop_map(|(slot, offset, length)| Op::Write { slot, offset, length }),
        3 => (slot(), offset()).prop_map(|(slot, length)| Op::SetLength { slot, length }),
        2 => (slot(), allocate_flags(), 0u64..30_000, 1u64..10_000)
            .prop_map(|(slot, flags, offset, length)| Op::Allocate { slot, flags, offset, length }),
        2 => (slot(), 0u64..30_000, any::<bool>()).prop_map(|(slot, offset, hole)| Op::Seek { slot, offset, hole }),
        3 => (slot(), offset(), 1usize..4096).prop_map(|(slot, offset, length)| Op::MapWrite { slot, offset, length }),
        2 => (slot(), offset(), 1usize..4096).prop_map(|(slot, offset, length)| Op::MapRead { slot, offset, length }),
        3 => slot().prop_map(|slot| Op::StatFd { slot }),
        2 => slot().prop_map(|slot| Op::ListFd { slot }),
        1 => (slot(), path()).prop_map(|(slot, path)| Op::LinkFd { slot, path }),
    ]
}

fn name_op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (path(), mode()).prop_map(|(path, mode)| Op::Mkdir { path, mode }),
        2 => (path(), prop_oneof![Just(0o140_644u32), Just(0o020_666), Just(0o100_600), Just(0o040_700), Just(0o120_777)])
            .prop_map(|(path, mode)| Op::Mknod { path, mode }),
        3 => (path(), path()).prop_map(|(target, path)| Op::Symlink { target, path }),
        4 => (path(), path(), prop_oneof![3 => Just(0), 1 => Just(AT_SYMLINK_FOLLOW), 1 => Just(AT_EMPTY_PATH)])
            .prop_map(|(old, new, flags)| Op::Link { old, new, flags }),
        5 => path().prop_map(|path| Op::Unlink { path }),
        4 => path().prop_map(|path| Op::Rmdir { path }),
        9 => (path(), path(), rename_flags()).prop_map(|(old, new, flags)| Op::Rename { old, new, flags }),
    ]
}

fn status_op() -> impl Strategy<Value = Op> {
    prop_oneof![
        3 => path().prop_map(|path| Op::Stat { path }),
        3 => path().prop_map(|path| Op::Lstat { path }),
        1 => path().prop_map(|path| Op::ReadLink { path }),
        2 => (path(), 0u32..8).prop_map(|(path, mode)| Op::Access { path, mode }),
        3 => (path(), mode()).prop_map(|(path, mode)| Op::Chmod { path, mode }),
        3 => (path(), prop::option::of(user()), prop::option::of(user()))
            .prop_map(|(path, uid, gid)| Op::Chown { path, uid, gid }),
        1 => (path(), user()).prop_map(|(path, uid)| Op::Lchown { path, uid }),
        1 => (path(), prop::option::of(0i64..5_000_000), any::<bool>())
            .prop_map(|(path, seconds, now)| Op::SetTimes { path, seconds, now }),
        2 => (path(), offset()).prop_map(|(path, length)| Op::Truncate { path, length }),
        3 => path().prop_map(|path| Op::Chdir { path }),
        1 => slot().prop_map(|slot| Op::Fchdir { slot }),
        2 => Just(Op::Getcwd),
        3 => user().prop_map(|uid| Op::User { uid }),
        1 => prop_oneof![Just(0u32), Just(0o022), Just(0o077), Just(0o777)].prop_map(|mask| Op::Umask { mask }),
    ]
}

/// Any operation.
pub fn any_op() -> impl Strategy<Value = Op> {
    prop_oneof![5 => file_op(), 5 => name_op(), 4 => status_op()]
}

/// What is written at some offset.
pub fn pattern(offset: u64, length: usize) -> Vec<u8> {
    (offset..).take(length).map(|at| (at * 13 + 1) as u8).collect()
}
