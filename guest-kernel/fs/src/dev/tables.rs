//! What `/dev`, `/dev/pts` and `/sys` hold at first.

use crate::volume::table::Entry;

/// `/dev`. Numbers: `Documentation/admin-guide/devices.txt` of Linux.
pub static DEV: Entry = Entry::directory(
    "dev",
    &[
        Entry::device("null", 0o666, 1, 3),
        Entry::device("zero", 0o666, 1, 5),
        Entry::device("full", 0o666, 1, 7),
        Entry::device("random", 0o666, 1, 8),
        Entry::device("urandom", 0o666, 1, 9),
        Entry::device("kmsg", 0o644, 1, 11),
        Entry::device("tty", 0o666, 5, 0),
        Entry::device("console", 0o600, 5, 1),
        Entry::device("ptmx", 0o666, 5, 2),
        Entry::directory("pts", &[]),
        Entry { name: "shm", permissions: 0o1777, item: crate::volume::table::Item::Directory(&[]) },
        Entry::link("fd", "/proc/self/fd"),
        Entry::link("stdin", "/proc/self/fd/0"),
        Entry::link("stdout", "/proc/self/fd/1"),
        Entry::link("stderr", "/proc/self/fd/2"),
    ],
);

/// `/dev/pts`.
pub static PTS: Entry = Entry::directory("pts", &[Entry::device("ptmx", 0o666, 5, 2)]);

/// `/sys`: what C libraries and `nproc` look at. There is one CPU.
pub static SYS: Entry = Entry::directory(
    "sys",
    &[
        Entry::directory(
            "devices",
            &[Entry::directory(
                "system",
                &[Entry::directory(
                    "cpu",
                    &[
                        Entry::text("online", "0\n"),
                        Entry::text("possible", "0\n"),
                        Entry::text("present", "0\n"),
                        Entry::text("offline", "\n"),
                        Entry::text("kernel_max", "0\n"),
                        Entry::directory(
                            "cpu0",
                            &[Entry::directory(
                                "topology",
                                &[
                                    Entry::text("core_id", "0\n"),
                                    Entry::text("physical_package_id", "0\n"),
                                    Entry::text("thread_siblings_list", "0\n"),
                                ],
                            )],
                        ),
                    ],
                )],
            )],
        ),
        Entry::directory("fs", &[Entry::directory("cgroup", &[])]),
        Entry::directory(
            "kernel",
            &[Entry::directory(
                "mm",
                &[Entry::directory(
                    "transparent_hugepage",
                    &[Entry::text("enabled", "always madvise [never]\n")],
                )],
            )],
        ),
        Entry::directory("class", &[]),
        Entry::directory("block", &[]),
        Entry::directory("bus", &[]),
    ],
);
