//! How a panic of Linux is told from another end.
//!
//! Linux ends after a panic as it does after any reset: with `reboot=t`, by a triple fault. What it was is in its log, which has
//! the words of the panic at any log level. A guest that writes them by itself lies about its own end, and about no other.

use crate::ending::Ending;
use ampoule_vmm_api::Reason;

/// What `panic()` of Linux prints before its reason (kernel/panic.c).
const WORDS: &str = "Kernel panic - not syncing: ";
/// What ends the line where Linux repeats it.
const REPEATED: &str = " ]---";
/// Longest reason that is taken over, in characters.
const MAX_CHARS: usize = 200;

/// The end of a Linux guest with this log: a panic if it crashed or asked for a reset after one, and else as it was.
pub fn recognize(ending: Ending, log: &str) -> Ending {
    match ending.reason {
        Reason::TripleFault | Reason::Reset => match reason(log) {
            Some(reason) => Ending::with(Reason::KernelPanic, &reason),
            None => ending,
        },
        _ => ending,
    }
}

/// Why it panicked, if it did.
fn reason(log: &str) -> Option<String> {
    let (_, rest) = log.rsplit_once(WORDS)?;
    let line = rest.lines().next()?.trim();
    let reason = line.strip_suffix(REPEATED).unwrap_or(line);
    Some(reason.chars().take(MAX_CHARS).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "[    7.9] sysrq: Trigger a crash\r\n[    8.0] Kernel panic - not syncing: sysrq triggered crash\r\n\
                       [    8.1] Call Trace:\r\n[    8.4] Kernel Offset: disabled\r\n";

    #[test]
    fn a_crash_or_reset_after_a_panic_is_one() {
        for reason in [Reason::TripleFault, Reason::Reset] {
            let ending = recognize(Ending::of(reason), LOG);
            assert_eq!(ending.reason, Reason::KernelPanic);
            assert_eq!(ending.message, "the guest kernel panicked: sysrq triggered crash");
        }
        let repeated =
            format!("{LOG}[    8.5] ---[ end Kernel panic - not syncing: sysrq triggered crash ]---\n");
        assert!(recognize(Ending::of(Reason::Reset), &repeated).message.ends_with(": sysrq triggered crash"));
    }

    #[test]
    fn every_other_end_stays_what_it_is() {
        for reason in [Reason::PowerOff, Reason::Terminated, Reason::KvmError, Reason::EmulationFailure] {
            assert_eq!(recognize(Ending::of(reason), LOG), Ending::of(reason));
        }
        for log in ["", "Kernel panic", "reboot: Restarting system\n"] {
            assert_eq!(
                recognize(Ending::of(Reason::TripleFault), log),
                Ending::of(Reason::TripleFault),
                "{log}"
            );
        }
    }

    #[test]
    fn a_reason_is_no_longer_than_a_line() {
        let long = format!("{WORDS}{}", "ü".repeat(10_000));
        let ending = recognize(Ending::of(Reason::Reset), &long);
        assert_eq!(ending.message.chars().filter(|letter| *letter == 'ü').count(), MAX_CHARS);
        assert_eq!(recognize(Ending::of(Reason::Reset), WORDS).reason, Reason::Reset, "nothing follows");
    }
}
