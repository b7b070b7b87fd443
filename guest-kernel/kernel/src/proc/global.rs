//! Files about the system as a whole.

use crate::task::{process, sched};
use crate::time::{SECOND, clock};
use crate::{boot, random, syscall};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use ampoule_kbase::{Errno, Once, Result, frames};
use core::fmt::Write;

/// Hundredths of a second.
const TICK: u64 = SECOND / 100;

/// The contents of `/proc/<name>`.
pub fn text(name: &str) -> Result<Vec<u8>> {
    Ok(match name {
        "meminfo" => meminfo(),
        "uptime" => uptime(),
        "loadavg" => format!("0.00 0.00 0.00 {}/{} {}\n", sched::runnable(), process::thread_count(), process::forks()),
        "stat" => stat(),
        "cpuinfo" => cpuinfo(),
        "version" => format!("Linux version {} ({})\n", syscall::RELEASE, syscall::VERSION),
        "cmdline" => format!("{}\n", String::from_utf8_lossy(boot::command_line())),
        "filesystems" => "nodev\tsysfs\nnodev\ttmpfs\nnodev\tproc\nnodev\tdevtmpfs\nnodev\tdevpts\n\terofs\n".into(),
        "devices" => "Character devices:\n  1 mem\n  5 /dev/tty\n  5 /dev/console\n  5 /dev/ptmx\n136 pts\n\nBlock devices:\n".into(),
        "vmstat" => vmstat(),
        "sys/kernel/osrelease" => format!("{}\n", syscall::RELEASE),
        "sys/kernel/ostype" => "Linux\n".into(),
        "sys/kernel/version" => format!("{}\n", syscall::VERSION),
        "sys/kernel/hostname" => format!("{}\n", String::from_utf8_lossy(&syscall::hostname())),
        "sys/kernel/pid_max" => format!("{}\n", process::PID_MAX),
        "sys/kernel/random/boot_id" => boot_id(),
        "sys/kernel/random/uuid" => random_id(),
        "sys/kernel/random/entropy_avail" | "sys/kernel/random/poolsize" => "256\n".into(),
        "ampoule/boot" => boot_phases(),
        "ampoule/unknown_calls" => format!("{}\n", syscall::unknown_calls()),
        _ => return Err(Errno::ENOENT),
    }
    .into_bytes())
}

fn meminfo() -> String {
    let (total, free) = frames::usage();
    let (total, free) = (total * 4, free * 4);
    format!(
        "MemTotal:       {total:8} kB\nMemFree:        {free:8} kB\nMemAvailable:   {free:8} kB\nBuffers:               0 kB\n\
         Cached:                0 kB\nSwapCached:            0 kB\nSwapTotal:             0 kB\nSwapFree:              0 kB\n"
    )
}

/// An id that is another one after each start.
fn boot_id() -> String {
    static ID: Once<String> = Once::new();
    if ID.get().is_none() {
        ID.set(random_id());
    }
    ID.get().cloned().unwrap_or_default()
}

/// A random UUID (RFC 9562, version 4).
fn random_id() -> String {
    let mut bytes = [0; 16];
    random::fill(&mut bytes);
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let mut text = String::new();
    for (i, byte) in bytes.iter().enumerate() {
        // Writing to a string does not fail.
        let _ = write!(text, "{}{byte:02x}", if matches!(i, 4 | 6 | 8 | 10) { "-" } else { "" });
    }
    text + "\n"
}

fn uptime() -> String {
    let hundredths = |ns: u64| format!("{}.{:02}", ns / SECOND, ns % SECOND / TICK);
    format!("{} {}\n", hundredths(clock::monotonic_ns()), hundredths(sched::idle_ns()))
}

fn stat() -> String {
    let busy = clock::monotonic_ns().saturating_sub(sched::idle_ns()) / TICK;
    let idle = sched::idle_ns() / TICK;
    let boot_time = (clock::realtime_ns() - clock::monotonic_ns()) / SECOND;
    format!(
        "cpu  {busy} 0 0 {idle} 0 0 0 0 0 0\ncpu0 {busy} 0 0 {idle} 0 0 0 0 0 0\nintr 0\nctxt 0\nbtime {boot_time}\n\
         processes {}\nprocs_running {}\nprocs_blocked 0\n",
        process::forks(),
        sched::runnable()
    )
}

fn vmstat() -> String {
    let (_, free) = frames::usage();
    format!("nr_free_pages {free}\noom_kill {}\n", crate::oom::kills())
}

fn cpuid_text(
    leaves: core::ops::RangeInclusive<u32>,
    words: impl Fn(core::arch::x86_64::CpuidResult) -> [u32; 4],
) -> String {
    let bytes: Vec<u8> = leaves
        .flat_map(|leaf| words(core::arch::x86_64::__cpuid(leaf)))
        .flat_map(u32::to_le_bytes)
        .take_while(|byte| *byte != 0)
        .collect();
    String::from(String::from_utf8_lossy(&bytes).trim())
}

fn cpuinfo() -> String {
    use core::arch::x86_64::__cpuid;
    let vendor = __cpuid(0);
    let vendor: Vec<u8> =
        [vendor.ebx, vendor.edx, vendor.ecx].iter().flat_map(|word| word.to_le_bytes()).collect();
    let signature = __cpuid(1).eax;
    let family = (signature >> 8 & 15) + (signature >> 20 & 255);
    let model = (signature >> 4 & 15) | (signature >> 16 & 15) << 4;
    let (_, multiplier, _) = clock::parameters();
    let khz = (1_000_000u64 << 32).checked_div(multiplier).unwrap_or(0);
    format!(
        "processor\t: 0\nvendor_id\t: {}\ncpu family\t: {family}\nmodel\t\t: {model}\nmodel name\t: {}\nstepping\t: {}\n\
         cpu MHz\t\t: {}.{:03}\nphysical id\t: 0\nsiblings\t: 1\ncore id\t\t: 0\ncpu cores\t: 1\nfpu\t\t: yes\n\
         flags\t\t: {}\naddress sizes\t: 48 bits physical, 48 bits virtual\n\n",
        String::from_utf8_lossy(&vendor),
        cpuid_text(0x8000_0002..=0x8000_0004, |leaf| [leaf.eax, leaf.ebx, leaf.ecx, leaf.edx]),
        signature & 15,
        khz / 1000,
        khz % 1000,
        flags()
    )
}

/// The features that programs look for most often.
fn flags() -> String {
    use core::arch::x86_64::{__cpuid, __cpuid_count};
    let (one, seven, extended) = (__cpuid(1), __cpuid_count(7, 0), __cpuid(0x8000_0001));
    let table = [
        (one.edx, 0, "fpu"),
        (one.edx, 4, "tsc"),
        (one.edx, 8, "cx8"),
        (one.edx, 15, "cmov"),
        (one.edx, 23, "mmx"),
        (one.edx, 24, "fxsr"),
        (one.edx, 25, "sse"),
        (one.edx, 26, "sse2"),
        (extended.edx, 11, "syscall"),
        (extended.edx, 20, "nx"),
        (extended.edx, 27, "rdtscp"),
        (extended.edx, 29, "lm"),
        (one.ecx, 0, "pni"),
        (one.ecx, 1, "pclmulqdq"),
        (one.ecx, 9, "ssse3"),
        (one.ecx, 12, "fma"),
        (one.ecx, 13, "cx16"),
        (one.ecx, 19, "sse4_1"),
        (one.ecx, 20, "sse4_2"),
        (one.ecx, 22, "movbe"),
        (one.ecx, 23, "popcnt"),
        (one.ecx, 25, "aes"),
        (one.ecx, 26, "xsave"),
        (one.ecx, 28, "avx"),
        (one.ecx, 29, "f16c"),
        (one.ecx, 30, "rdrand"),
        (one.ecx, 31, "hypervisor"),
        (seven.ebx, 0, "fsgsbase"),
        (seven.ebx, 3, "bmi1"),
        (seven.ebx, 5, "avx2"),
        (seven.ebx, 8, "bmi2"),
        (seven.ebx, 9, "erms"),
        (seven.ebx, 16, "avx512f"),
        (seven.ebx, 18, "rdseed"),
        (seven.ebx, 19, "adx"),
        (seven.ebx, 29, "sha_ni"),
    ];
    let mut flags = String::new();
    for (_, _, name) in table.iter().filter(|(word, bit, _)| word >> bit & 1 == 1) {
        // Writing to a `String` cannot fail.
        let _ = write!(flags, "{}{name}", if flags.is_empty() { "" } else { " " });
    }
    flags
}

fn boot_phases() -> String {
    let mut text = String::new();
    for (name, ns) in boot::phases() {
        let _ = writeln!(text, "{} {ns}", name.replace(' ', "_"));
    }
    text
}
