//! How much may travel in a second: a token bucket.

use std::num::NonZeroU64;
use std::time::{Duration, Instant};

/// Least that a bucket holds: two packets of the greatest length.
const LEAST_BURST: u64 = 128 * 1024;
/// Part of a second's data that may travel at once.
const BURST_PART: u64 = 8;

/// A bucket of bytes that fills up with time. It is checked before a packet and charged after it, so it can be in debt,
/// by one packet at most.
#[derive(Debug)]
pub struct Bucket {
    per_second: NonZeroU64,
    /// Nanobytes, if that is the word: time in nanoseconds times bytes a second. No rate is too small for it.
    level: i128,
    filled: Instant,
}

const SECOND: i128 = 1_000_000_000;

impl Bucket {
    /// A full bucket.
    pub fn new(per_second: NonZeroU64, now: Instant) -> Self {
        let mut bucket = Self { per_second, level: 0, filled: now };
        bucket.level = bucket.capacity();
        bucket
    }

    fn capacity(&self) -> i128 {
        i128::from((self.per_second.get() / BURST_PART).max(LEAST_BURST)) * SECOND
    }

    /// Takes bytes out.
    pub fn charge(&mut self, bytes: usize) {
        self.level -= i128::try_from(bytes).unwrap_or(i128::from(u32::MAX)) * SECOND;
    }

    /// How long it is until something may travel; `None` if it may now.
    pub fn wait(&mut self, now: Instant) -> Option<Duration> {
        let per_second = i128::from(self.per_second.get());
        let elapsed = now.saturating_duration_since(self.filled).as_nanos().min(u64::MAX.into());
        let gained = i128::try_from(elapsed).unwrap_or(0) * per_second;
        self.filled = now;
        self.level = (self.level + gained).min(self.capacity());
        if self.level > 0 {
            return None;
        }
        let nanoseconds = (-self.level) / per_second + 1;
        // Not below what a timer can do.
        Some(
            Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX))
                .max(Duration::from_millis(1)),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_the_long_run_no_more_travels_than_may() {
        for per_second in [1000u64, 1 << 16, 10 << 20, 1 << 33] {
            let start = Instant::now();
            let mut now = start;
            let mut bucket = Bucket::new(NonZeroU64::new(per_second).unwrap(), now);
            let burst = bucket.capacity() / SECOND;
            let mut sent = 0i128;
            while now.duration_since(start) < Duration::from_secs(200) {
                match bucket.wait(now) {
                    None => {
                        bucket.charge(65_536 + 44);
                        sent += 65_536 + 44;
                    }
                    Some(wait) => now += wait,
                }
                now += Duration::from_micros(50);
            }
            let seconds = now.duration_since(start).as_secs_f64();
            let most = burst as f64 + per_second as f64 * seconds + 65_580.0;
            assert!(sent as f64 <= most, "{per_second}: {sent} > {most}");
            assert!(sent as f64 >= most * 0.5 || per_second > 1 << 30, "{per_second}: {sent} of {most}");
        }
    }

    #[test]
    fn an_idle_bucket_gets_no_fuller() {
        let start = Instant::now();
        let mut bucket = Bucket::new(NonZeroU64::MIN, start);
        assert_eq!(bucket.wait(start + Duration::from_secs(1 << 30)), None);
        bucket.charge(LEAST_BURST as usize);
        assert!(bucket.wait(start + Duration::from_secs(1 << 30)).is_some());
    }
}
