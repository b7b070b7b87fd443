//! What a sandbox may use, as options.

use super::units;
use ampoule_policies::{Overrides, ranges};
use std::ops::RangeInclusive;
use std::time::Duration;

/// Options that set a limit; each goes before the one of the policy. 0 is no limit.
#[derive(Clone, Debug, Default, PartialEq, Eq, clap::Args)]
pub struct QuotaArgs {
    /// Share of processor time, in processors: 0.5 is half a processor
    #[arg(long, value_name = "NUMBER", value_parser = cpus, help_heading = LIMITS)]
    pub cpus: Option<Limit<u32>>,
    /// Weight against others when the processors do not suffice, 1 to 10000; others have 100
    #[arg(long, value_name = "NUMBER", value_parser = weight, help_heading = LIMITS)]
    pub cpu_weight: Option<Limit<u16>>,
    /// Processor time of the sandbox, such as 10s; what needs more is ended
    #[arg(long, value_name = "TIME", value_parser = time, help_heading = LIMITS)]
    pub cpu_time: Option<Limit<Duration>>,
    /// Virtual processors: 1, more do not exist yet
    #[arg(long, value_name = "NUMBER", value_parser = vcpus, help_heading = LIMITS)]
    pub vcpus: Option<u32>,
    /// Processes in the guest
    #[arg(long, value_name = "NUMBER", value_parser = processes, help_heading = LIMITS)]
    pub pids_limit: Option<Limit<u32>>,
    /// Open files of each process in the guest, as nofile=NUMBER
    #[arg(long, value_name = "nofile=NUMBER", value_parser = ulimit, help_heading = LIMITS)]
    pub ulimit: Option<Limit<u32>>,
    /// What may be written to the guest's disk, such as 64M
    #[arg(long, value_name = "SIZE", value_parser = disk, help_heading = LIMITS)]
    pub disk: Option<Limit<u64>>,
    /// Files that may be made on the guest's disk
    #[arg(long, value_name = "NUMBER", value_parser = disk_files, help_heading = LIMITS)]
    pub disk_files: Option<Limit<u32>>,
    /// Standard output and error together, such as 1M; what writes more is ended
    #[arg(long, value_name = "SIZE", value_parser = output, help_heading = LIMITS)]
    pub output_limit: Option<Limit<u64>>,
    /// Data between guest and host in a second, such as 10M
    #[arg(long, value_name = "SIZE", value_parser = rate, help_heading = LIMITS)]
    pub rate: Option<Limit<u64>>,
}

/// Where `--help` has them.
const LIMITS: &str = "Limits (0: none; docs/policies.md)";

/// A limit; `None` inside is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit<T>(pub Option<T>);

impl QuotaArgs {
    /// What goes before the policy's.
    pub fn overrides(&self) -> Overrides {
        Overrides {
            cpu_milli: self.cpus.map(|limit| limit.0),
            cpu_weight: self.cpu_weight.map(|limit| limit.0),
            cpu_time: self.cpu_time.map(|limit| limit.0),
            processes: self.pids_limit.map(|limit| limit.0),
            open_files: self.ulimit.map(|limit| limit.0),
            disk: self.disk.map(|limit| limit.0),
            disk_files: self.disk_files.map(|limit| limit.0),
            output: self.output_limit.map(|limit| limit.0),
            vsock_rate: self.rate.map(|limit| limit.0),
            ..Overrides::default()
        }
    }
}

fn cpus(text: &str) -> Result<Limit<u32>, String> {
    let number = text.parse().map_err(|_| "not a number such as 0.5 or 2".to_owned())?;
    ranges::cpu_milli(number).map(Limit).map_err(|allowed| format!("it must be {allowed}"))
}

fn weight(text: &str) -> Result<Limit<u16>, String> {
    number(text, ranges::CPU_WEIGHT).map(|limit| Limit(limit.and_then(|weight| u16::try_from(weight).ok())))
}

fn time(text: &str) -> Result<Limit<Duration>, String> {
    units::duration(text).map(Limit)
}

fn vcpus(text: &str) -> Result<u32, String> {
    match text.parse() {
        Ok(1) => Ok(1),
        Ok(_) => Err("a guest has 1 virtual processor; more do not exist yet".to_owned()),
        Err(_) => Err("not a number".to_owned()),
    }
}

fn processes(text: &str) -> Result<Limit<u32>, String> {
    small(text, ranges::PROCESSES)
}

fn disk_files(text: &str) -> Result<Limit<u32>, String> {
    small(text, ranges::DISK_FILES)
}

fn ulimit(text: &str) -> Result<Limit<u32>, String> {
    let files = text.strip_prefix("nofile=").ok_or("only nofile=NUMBER can be limited so")?;
    small(files, ranges::OPEN_FILES)
}

fn disk(text: &str) -> Result<Limit<u64>, String> {
    size(text, ranges::DISK_MIB, 20)
}

fn output(text: &str) -> Result<Limit<u64>, String> {
    size(text, ranges::OUTPUT_KIB, 10)
}

fn rate(text: &str) -> Result<Limit<u64>, String> {
    size(text.strip_suffix("/s").unwrap_or(text), ranges::RATE_KIB, 10)
}

fn small(text: &str, range: RangeInclusive<u64>) -> Result<Limit<u32>, String> {
    number(text, range).map(|limit| Limit(limit.and_then(|number| u32::try_from(number).ok())))
}

fn number(text: &str, range: RangeInclusive<u64>) -> Result<Option<u64>, String> {
    match text.parse() {
        Ok(0) => Ok(None),
        Ok(number) if range.contains(&number) => Ok(Some(number)),
        Ok(_) => Err(format!("it must be 0 (no limit), or between {} and {}", range.start(), range.end())),
        Err(_) => Err("not a number".to_owned()),
    }
}

/// A size whose range is in units of so many bits.
fn size(text: &str, range: RangeInclusive<u64>, shift: u32) -> Result<Limit<u64>, String> {
    let unit = if shift == 20 { "MiB" } else { "KiB" };
    match units::size(text)? {
        0 => Ok(Limit(None)),
        bytes if range.contains(&bytes.div_ceil(1 << shift)) => Ok(Limit(Some(bytes))),
        _ => Err(format!("it must be 0 (no limit), or between {} and {} {unit}", range.start(), range.end())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_what_docker_takes() {
        assert_eq!(cpus("0.5"), Ok(Limit(Some(500))));
        assert_eq!(time("1.5s"), Ok(Limit(Some(Duration::from_millis(1500)))));
        assert_eq!(ulimit("nofile=64"), Ok(Limit(Some(64))));
        assert_eq!(disk("64M"), Ok(Limit(Some(64 << 20))));
        assert_eq!(output("100k"), Ok(Limit(Some(100 << 10))));
        assert_eq!(rate("10M/s"), Ok(Limit(Some(10 << 20))));
        assert_eq!(processes("0"), Ok(Limit(None)));
        assert_eq!((vcpus("1"), vcpus("2").is_err()), (Ok(1), true));
    }

    #[test]
    fn nonsense_is_refused() {
        assert!(["-1", "x", "0.001", "2000", "nan", "inf"].iter().all(|text| cpus(text).is_err()));
        assert!(["", "nofile", "nofile=", "nofile=1", "nproc=5"].iter().all(|text| ulimit(text).is_err()));
        assert!(["1", "-1", "99999999999999999999"].iter().all(|text| processes(text).is_err()));
        assert!(["1X", "99999999T", "-5"].iter().all(|text| disk(text).is_err()));
        assert!(rate("1").is_err() && weight("10001").is_err());
    }
}
