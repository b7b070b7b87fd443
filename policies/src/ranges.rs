//! What the limits can be, for policy files and options alike.

use core::ops::RangeInclusive;

/// An hour in milliseconds.
pub const HOUR_MS: u64 = 3_600_000;
/// A time in milliseconds: up to a year. 0 is for ever.
pub const TIME_MS: RangeInclusive<u64> = 0..=365 * 24 * HOUR_MS;
/// Weight of processor time.
pub const CPU_WEIGHT: RangeInclusive<u64> = 1..=10_000;
/// Memory of the VMM in MiB.
pub const VMM_MEMORY_MIB: RangeInclusive<u64> = 1..=65_536;
/// Threads of the VMM: it has two, and KVM may add some.
pub const VMM_THREADS: RangeInclusive<u64> = 4..=1024;
/// Processes in a guest: the first process, and one for the command, are there in any case.
pub const PROCESSES: RangeInclusive<u64> = 2..=4_194_304;
/// Open files of a process in a guest: the standard streams and one more.
pub const OPEN_FILES: RangeInclusive<u64> = 4..=1_048_576;
/// Disk in MiB.
pub const DISK_MIB: RangeInclusive<u64> = 1..=262_144;
/// Files on the disk.
pub const DISK_FILES: RangeInclusive<u64> = 16..=0x7fff_ffff;
/// Output in KiB.
pub const OUTPUT_KIB: RangeInclusive<u64> = 1..=1 << 40;
/// Data over vsock in KiB a second: below this, not even the agent's own messages come through in time.
pub const RATE_KIB: RangeInclusive<u64> = 64..=1 << 30;

/// A share of processor time, given in processors, in thousandths of a processor. `None` is no limit. An error says
/// what is allowed.
pub fn cpu_milli(cpus: f64) -> Result<Option<u32>, &'static str> {
    const ALLOWED: &str = "0 (no limit), or between 0.01 and 1024";
    match cpus {
        0.0 => Ok(None),
        // Within the range there is nothing to lose.
        0.01..=1024.0 => Ok(Some((cpus * 1000.0).round() as u32)),
        _ => Err(ALLOWED),
    }
}

#[cfg(test)]
mod tests {
    use super::cpu_milli;

    #[test]
    fn shares_are_thousandths() {
        assert_eq!(
            (cpu_milli(0.0), cpu_milli(0.5), cpu_milli(2.0)),
            (Ok(None), Ok(Some(500)), Ok(Some(2000)))
        );
        for cpus in [-1.0, 0.001, 1025.0, f64::NAN, f64::INFINITY] {
            assert!(cpu_milli(cpus).is_err(), "{cpus}");
        }
    }
}
