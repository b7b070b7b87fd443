//! Processes that outlive the main process of their job.

use crate::fs::read_file;
use crate::sys::signal::{Target, kill};
use core::mem::MaybeUninit;
use linux_raw_sys::general::SIGKILL;
use rustix::fs::{CWD, Mode, OFlags, RawDir, openat};

/// Rounds of looking: a process may fork while another is killed.
const ROUNDS: usize = 8;

/// Kills all processes of a session whose leader has ended. Those that made a session of their own are no longer
/// part of the job.
#[cold]
pub fn kill_session(session: u32) {
    // Most are in the leader's process group.
    let _none = kill(Target::Group(session), SIGKILL as u8);
    for _ in 0..ROUNDS {
        if !kill_members(session) {
            return;
        }
    }
}

/// Kills the members that `/proc` shows. Says whether there were any.
fn kill_members(session: u32) -> bool {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let Ok(proc) = openat(CWD, c"/proc", flags, Mode::empty()) else { return false };
    let mut buffer = [MaybeUninit::uninit(); 2048];
    let mut entries = RawDir::new(proc, &mut buffer);
    let mut found = false;
    while let Some(Ok(entry)) = entries.next() {
        let name = entry.file_name().to_bytes();
        let Some(pid) = core::str::from_utf8(name).ok().and_then(|name| name.parse().ok()) else { continue };
        let Ok(stat) = read_file(&[b"/proc/", name, b"/stat"].concat(), 1024) else { continue };
        if is_live_member(&stat, session) {
            found |= kill(Target::Process(pid), SIGKILL as u8).is_ok();
        }
    }
    found
}

/// Whether a `/proc/PID/stat` is of a process that belongs to the session and is not a zombie.
fn is_live_member(stat: &[u8], session: u32) -> bool {
    // The name, in parentheses, may contain anything; after it: state, parent, process group, session.
    let Some(end) = stat.iter().rposition(|&byte| byte == b')') else { return false };
    let mut fields = stat.get(end + 1..).unwrap_or_default().split(|&byte| byte == b' ').skip(1);
    let state = fields.next().unwrap_or_default();
    let number = fields.nth(2).and_then(|field| core::str::from_utf8(field).ok()?.parse().ok());
    !matches!(state, b"Z" | b"X") && number == Some(session)
}

#[cfg(test)]
mod tests {
    use super::is_live_member;

    #[test]
    fn stat_lines() {
        assert!(is_live_member(b"12 (sh) S 1 12 77 34816 12", 77));
        assert!(is_live_member(b"12 (a) Z 1 2 3 (b) R 1 12 77 0", 77));
        assert!(!is_live_member(b"12 (sh) Z 1 12 77 34816 12", 77));
        assert!(!is_live_member(b"12 (sh) S 77 77 7 77 12", 77));
        assert!(!is_live_member(b"12 (sh) S 1 12", 77));
        assert!(!is_live_member(b"", 77));
    }
}
