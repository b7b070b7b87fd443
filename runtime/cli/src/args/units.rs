//! Sizes and durations as people write them.

use ampoule_policies::Mib;
use std::time::Duration;

/// Longest duration taken: a year.
const MAX_SECONDS: f64 = 365.0 * 24.0 * 3600.0;

/// Parses an amount of RAM such as `256M`, `1G`, `256MiB` or, as with docker, a number of bytes. Fractions of a MiB
/// are rounded up.
pub fn memory(text: &str) -> Result<Mib, String> {
    Mib::new(size(text)?.div_ceil(1 << 20)).map_err(|range| {
        format!("{} MiB is out of range: a guest has between {} and {}", range.value, Mib::MIN, Mib::MAX)
    })
}

/// Parses a size such as `64M`, `1G` or a number of bytes.
pub fn size(text: &str) -> Result<u64, String> {
    let (digits, unit) = split_number(text);
    let number: u64 = digits.parse().map_err(|_| "not a size such as 256M or 1G".to_owned())?;
    let shift = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        "t" | "tb" | "tib" => 40,
        _ => return Err(format!("`{unit}` is no unit of size; use K, M, G or T")),
    };
    number.checked_mul(1 << shift).ok_or_else(|| "too large".to_owned())
}

/// Parses a duration such as `10s`, `500ms`, `1.5m` or, as with timeout(1), a number of seconds. `None` is for ever.
pub fn duration(text: &str) -> Result<Option<Duration>, String> {
    let (digits, unit) = split_number(text);
    let seconds_a_unit = match unit {
        "ms" => 1e-3,
        "" | "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        "d" => 86_400.0,
        _ => return Err(format!("`{unit}` is no unit of time; use ms, s, m, h or d")),
    };
    // A plain decimal number: what f64 parses beyond that (`inf`, `1e9`) does not get past split_number.
    let number: f64 = digits.parse().map_err(|_| "not a duration such as 10s or 500ms".to_owned())?;
    match number * seconds_a_unit {
        seconds if seconds > MAX_SECONDS => Err("longer than a year".to_owned()),
        0.0 => Ok(None),
        // At least a millisecond: the resolution of poll.
        seconds => Ok(Some(Duration::from_secs_f64(seconds.max(1e-3)))),
    }
}

/// Splits off the leading decimal number.
fn split_number(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    text.split_at(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_as_docker_takes_them() {
        for (text, mib) in
            [("256M", 256), ("1G", 1024), ("1g", 1024), ("64MiB", 64), ("65537k", 65), ("268435456", 256)]
        {
            assert_eq!(memory(text).map(Mib::get), Ok(mib), "{text}");
        }
        for text in ["", "M", "-1M", "1.5G", "1X", "10 M", "1M", "99999999999T", "99999T", "0"] {
            assert!(memory(text).is_err(), "{text:?} was taken");
        }
    }

    #[test]
    fn durations_as_timeout_takes_them() {
        let ms = |ms| Ok(Some(Duration::from_millis(ms)));
        for (text, want) in [
            ("10", ms(10_000)),
            ("10s", ms(10_000)),
            ("500ms", ms(500)),
            ("1.5m", ms(90_000)),
            (".5", ms(500)),
            ("1h", ms(3_600_000)),
            ("0", Ok(None)),
            ("0s", Ok(None)),
            ("0.0001", ms(1)),
        ] {
            assert_eq!(duration(text), want, "{text}");
        }
        for text in ["", "s", "-1", "1e9", "inf", "NaN", "1.2.3", "10 s", "10S", "9999d", "1w"] {
            assert!(duration(text).is_err(), "{text:?} was taken");
        }
    }
}
