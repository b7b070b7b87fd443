//! What is known of one signal: the `siginfo_t` of handlers.

use ampoule_kbase::platform;

/// Sent by the kernel.
pub const SI_KERNEL: i32 = 0x80;
/// Sent by a POSIX timer.
pub const SI_TIMER: i32 = -2;

/// A signal on its way. The payload is laid out as in `siginfo_t` from byte 16 on.
#[derive(Clone, Copy)]
pub struct SignalInfo {
    /// Which.
    pub signo: u32,
    /// `si_code`.
    pub code: i32,
    /// `si_errno`.
    pub errno: i32,
    /// The union, as far as it is used.
    pub fields: [u64; 4],
    /// The exception's vector, for the frame's `trapno`.
    pub trap: i32,
    /// It cannot be blocked or ignored: a fault.
    pub forced: bool,
}

fn pack(low: u32, high: u32) -> u64 {
    u64::from(low) | u64::from(high) << 32
}

impl SignalInfo {
    fn new(signo: u32, code: i32, fields: [u64; 4]) -> Self {
        Self { signo, code, errno: 0, fields, trap: 0, forced: false }
    }

    /// From the kernel itself.
    pub fn kernel(signo: u32) -> Self {
        Self::new(signo, SI_KERNEL, [0; 4])
    }

    /// From the calling process, with `SI_USER` or `SI_TKILL`.
    pub fn user(signo: u32, code: i32) -> Self {
        let caller = platform().caller();
        Self::new(signo, code, [pack(caller.pid, caller.uid), 0, 0, 0])
    }

    /// From `sigqueue(3)` and the like: the 48 bytes of `siginfo_t` that a program passed.
    pub fn from_bytes(signo: u32, bytes: &[u8; 48]) -> Self {
        let word = |at: usize| u64::from_le_bytes(core::array::from_fn(|i| bytes[at + i]));
        let half = |at: usize| i32::from_le_bytes(core::array::from_fn(|i| bytes[at + i]));
        Self { errno: half(4), ..Self::new(signo, half(8), [word(16), word(24), word(32), word(40)]) }
    }

    /// A fault at `address`.
    pub fn fault(signo: u32, code: i32, address: u64, trap: i32) -> Self {
        Self { trap, forced: true, ..Self::new(signo, code, [address, 0, 0, 0]) }
    }

    /// A filter of system calls refused one (`SYS_SECCOMP`).
    pub fn system_call(data: u16, address: u64, number: u32, architecture: u32) -> Self {
        const SYS_SECCOMP: i32 = 1;
        let fields = [address, pack(number, architecture), 0, 0];
        let info = Self::new(linux_raw_sys::general::SIGSYS, SYS_SECCOMP, fields);
        Self { errno: data.into(), forced: true, ..info }
    }

    /// News of a child. CPU time in nanoseconds.
    pub fn child(signo: u32, code: i32, pid: u32, uid: u32, status: i32, cpu_ns: u64) -> Self {
        Self::new(signo, code, [pack(pid, uid), pack(status as u32, 0), cpu_ns / 10_000_000, 0])
    }

    /// A POSIX timer has expired.
    pub fn timer(signo: u32, id: u32, overrun: u32, value: u64) -> Self {
        Self::new(signo, SI_TIMER, [pack(id, overrun), value, 0, 0])
    }

    /// The timer that it is of, and the expiries that were missed, if it is of a POSIX timer.
    pub fn overrun(&self) -> Option<(u32, u32)> {
        let word = self.fields[0];
        (self.code == SI_TIMER).then_some((word as u32, (word >> 32) as u32))
    }

    /// The 128 bytes of `siginfo_t`.
    pub fn to_bytes(self) -> [u8; 128] {
        let mut bytes = [0; 128];
        bytes[0..4].copy_from_slice(&self.signo.to_le_bytes());
        bytes[4..8].copy_from_slice(&self.errno.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.code.to_le_bytes());
        for (i, field) in self.fields.iter().enumerate() {
            bytes[16 + i * 8..24 + i * 8].copy_from_slice(&field.to_le_bytes());
        }
        bytes
    }
}
