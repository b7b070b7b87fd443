//! The files that there are.

/// A file with a text.
pub(super) struct Text {
    pub name: &'static str,
    pub permissions: u32,
}

const fn read(name: &'static str) -> Text {
    Text { name, permissions: 0o444 }
}

const fn write(name: &'static str) -> Text {
    Text { name, permissions: 0o644 }
}

const fn private(name: &'static str) -> Text {
    Text { name, permissions: 0o400 }
}

/// Texts of a process or thread.
pub(super) static PROCESS: &[Text] = &[
    private("auxv"),
    read("cgroup"),
    read("cmdline"),
    write("comm"),
    private("environ"),
    private("io"),
    read("limits"),
    read("maps"),
    read("mountinfo"),
    read("mounts"),
    write("oom_adj"),
    read("oom_score"),
    write("oom_score_adj"),
    private("personality"),
    read("sched"),
    read("schedstat"),
    private("stack"),
    read("stat"),
    read("statm"),
    read("status"),
    private("syscall"),
    write("timerslack_ns"),
    read("wchan"),
    read("smaps"),
    read("smaps_rollup"),
    write("uid_map"),
    write("gid_map"),
    write("setgroups"),
];

/// Links of a process or thread.
pub(super) static LINKS: &[&str] = &["cwd", "exe", "root"];

/// What is at the top, beside processes.
pub(super) enum Global {
    /// A text.
    Text(Text),
    /// A link.
    Link(&'static str, &'static str),
    /// A directory.
    Directory(&'static str, &'static [Global]),
}

impl Global {
    pub fn name(&self) -> &'static str {
        match self {
            Global::Text(text) => text.name.rsplit('/').next().unwrap_or(text.name),
            Global::Link(name, _) | Global::Directory(name, _) => name,
        }
    }
}

/// The top directory. Texts are named by their whole path, which is how the kernel is asked for them.
pub(super) static TOP: &[Global] = &[
    Global::Text(read("cmdline")),
    Global::Text(read("cpuinfo")),
    Global::Text(read("devices")),
    Global::Text(read("diskstats")),
    Global::Text(read("filesystems")),
    Global::Text(read("interrupts")),
    Global::Text(read("loadavg")),
    Global::Text(read("meminfo")),
    Global::Text(read("partitions")),
    Global::Text(read("stat")),
    Global::Text(read("swaps")),
    Global::Text(read("uptime")),
    Global::Text(read("version")),
    Global::Text(read("vmstat")),
    Global::Link("mounts", "self/mounts"),
    Global::Directory("ampoule", &[Global::Text(read("ampoule/boot"))]),
    Global::Directory(
        "sys",
        &[
            Global::Directory(
                "fs",
                &[
                    Global::Text(write("sys/fs/file-max")),
                    Global::Text(read("sys/fs/file-nr")),
                    Global::Text(write("sys/fs/nr_open")),
                    Global::Text(write("sys/fs/pipe-max-size")),
                ],
            ),
            Global::Directory(
                "kernel",
                &[
                    Global::Text(read("sys/kernel/cap_last_cap")),
                    Global::Text(write("sys/kernel/core_pattern")),
                    Global::Text(write("sys/kernel/domainname")),
                    Global::Text(write("sys/kernel/hostname")),
                    Global::Text(read("sys/kernel/ngroups_max")),
                    Global::Text(read("sys/kernel/osrelease")),
                    Global::Text(read("sys/kernel/ostype")),
                    Global::Text(write("sys/kernel/pid_max")),
                    Global::Directory(
                        "random",
                        &[
                            Global::Text(read("sys/kernel/random/boot_id")),
                            Global::Text(read("sys/kernel/random/entropy_avail")),
                            Global::Text(read("sys/kernel/random/poolsize")),
                            Global::Text(read("sys/kernel/random/uuid")),
                        ],
                    ),
                    Global::Text(write("sys/kernel/threads-max")),
                    Global::Text(read("sys/kernel/version")),
                ],
            ),
            Global::Directory(
                "net",
                &[Global::Directory("core", &[Global::Text(write("sys/net/core/somaxconn"))])],
            ),
            Global::Directory(
                "vm",
                &[
                    Global::Text(write("sys/vm/max_map_count")),
                    Global::Text(write("sys/vm/mmap_min_addr")),
                    Global::Text(write("sys/vm/overcommit_memory")),
                ],
            ),
        ],
    ),
];

/// `/proc/filesystems`.
pub(super) const FILE_SYSTEMS: &str =
    "nodev\tproc\nnodev\ttmpfs\nnodev\tramfs\nnodev\tsysfs\nnodev\tdevtmpfs\nnodev\tdevpts\n\terofs\n";
