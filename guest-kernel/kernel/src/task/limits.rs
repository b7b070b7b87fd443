//! Resource limits (`getrlimit(2)`).

/// How many limits there are.
pub const COUNT: usize = 16;
/// No limit.
pub const INFINITY: u64 = u64::MAX;

/// Indices of the limits that the kernel itself looks at.
pub mod resource {
    pub const CPU: usize = 0;
    pub const FSIZE: usize = 1;
    pub const DATA: usize = 2;
    pub const STACK: usize = 3;
    pub const NPROC: usize = 6;
    pub const NOFILE: usize = 7;
    pub const AS: usize = 9;
    pub const SIGPENDING: usize = 11;
    pub const NICE: usize = 13;
}

/// The names in `/proc/PID/limits`, with their units.
pub const NAMES: [(&str, &str); COUNT] = [
    ("Max cpu time", "seconds"),
    ("Max file size", "bytes"),
    ("Max data size", "bytes"),
    ("Max stack size", "bytes"),
    ("Max core file size", "bytes"),
    ("Max resident set", "bytes"),
    ("Max processes", "processes"),
    ("Max open files", "files"),
    ("Max locked memory", "bytes"),
    ("Max address space", "bytes"),
    ("Max file locks", "locks"),
    ("Max pending signals", "signals"),
    ("Max msgqueue size", "bytes"),
    ("Max nice priority", ""),
    ("Max realtime priority", ""),
    ("Max realtime timeout", "us"),
];

/// Soft and hard limit of each resource.
#[derive(Clone, Copy)]
pub struct Limits(pub [(u64, u64); COUNT]);

impl Limits {
    /// The defaults of a Linux system.
    pub fn new() -> Self {
        let mut limits = [(INFINITY, INFINITY); COUNT];
        limits[resource::STACK] = (8 << 20, INFINITY);
        limits[4] = (0, INFINITY);
        limits[resource::NPROC] = (8192, 8192);
        limits[resource::NOFILE] = (1024, 65536);
        limits[8] = (8 << 20, 8 << 20);
        limits[resource::SIGPENDING] = (8192, 8192);
        limits[12] = (819_200, 819_200);
        limits[13] = (0, 0);
        limits[14] = (0, 0);
        Self(limits)
    }

    /// The soft limit.
    pub fn soft(&self, resource: usize) -> u64 {
        self.0[resource].0
    }
}
