//! How many processes the kernel has killed because memory had run out.

use crate::fs::read_file;

/// Most bytes of `/proc/vmstat` that are looked at; Linux has some 6 KiB.
const MAX_VMSTAT: usize = 16 << 10;

/// The kernel's count of such kills, read only when somebody asks: a plain job never pays for it.
#[derive(Clone, Copy, Debug, Default)]
pub struct OomKills {
    known: u64,
}

impl OomKills {
    /// The count when it was last read; 0 at first, as on a machine that has just booted.
    pub const fn known(self) -> u64 {
        self.known
    }

    /// Reads the count. What cannot be read has not changed.
    #[cold]
    pub fn read(&mut self) -> u64 {
        let count = read_file(b"/proc/vmstat", MAX_VMSTAT).ok().and_then(|text| parse(&text));
        self.known = count.unwrap_or(self.known);
        self.known
    }
}

/// The number in the line `oom_kill N`.
fn parse(vmstat: &[u8]) -> Option<u64> {
    let mut lines = vmstat.split(|&byte| byte == b'\n');
    let number = lines.find_map(|line| line.strip_prefix(b"oom_kill "))?;
    core::str::from_utf8(number).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_count_is_a_line_of_its_own() {
        assert_eq!(parse(b"nr_free_pages 7\noom_kill 3\nswap_ra 0\n"), Some(3));
        assert_eq!(parse(b"oom_kill 18446744073709551615"), Some(u64::MAX));
        for odd in
            ["", "oom_kill", "oom_kill ", "oom_kill -1\n", "oom_kill 18446744073709551616", "x oom_kill 3"]
        {
            assert_eq!(parse(odd.as_bytes()), None, "{odd:?}");
        }
        assert_eq!(parse(b"\xff\noom_kill \xff"), None);
    }
}
