//! `struct termios` (`termios(3)`), as the kernel lays it out.

use alloc::vec::Vec;
use linux_raw_sys::general::{
    B38400, BOTHER, CBAUD, CREAD, CS8, CSIZE, ECHO, ECHOCTL, ECHOE, ECHOK, ECHOKE, ICANON, ICRNL, IEXTEN,
    ISIG, IXON, ONLCR, OPOST, PARENB,
};

/// Control characters in a termios.
pub const CONTROL_CHARS: usize = 19;
/// Bytes of `struct termios`.
pub const SIZE: usize = 4 * 4 + 1 + CONTROL_CHARS;
/// Bytes of `struct termios2`: two speeds more.
pub const SIZE2: usize = SIZE + 8;

/// The settings of a terminal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Termios {
    /// `c_iflag`.
    pub input: u32,
    /// `c_oflag`.
    pub output: u32,
    /// `c_cflag`.
    pub control: u32,
    /// `c_lflag`.
    pub local: u32,
    /// `c_line`.
    pub discipline: u8,
    /// `c_cc`.
    pub chars: [u8; CONTROL_CHARS],
    /// `c_ispeed`.
    pub input_speed: u32,
    /// `c_ospeed`.
    pub output_speed: u32,
}

impl Default for Termios {
    fn default() -> Self {
        // ^C ^\ DEL ^U ^D, time, min, swtc, ^Q ^S ^Z, eol, ^R ^O ^W ^V, eol2
        let mut chars = [0; CONTROL_CHARS];
        let set = [3, 28, 127, 21, 4, 0, 1, 0, 17, 19, 26, 0, 18, 15, 23, 22, 0];
        chars.iter_mut().zip(set).for_each(|(to, from)| *to = from);
        Self {
            input: ICRNL | IXON,
            output: OPOST | ONLCR,
            control: B38400 | CS8 | CREAD,
            local: ISIG | ICANON | ECHO | ECHOE | ECHOK | ECHOCTL | ECHOKE | IEXTEN,
            discipline: 0,
            chars,
            input_speed: 38400,
            output_speed: 38400,
        }
    }
}

/// Speeds that have a code in `c_cflag`, by code: 0 to 15 and, with `CBAUDEX`, 0x1001 to 0x100f.
const SPEEDS: [u32; 16] =
    [0, 50, 75, 110, 134, 150, 200, 300, 600, 1200, 1800, 2400, 4800, 9600, 19200, 38400];
const HIGH_SPEEDS: [u32; 16] = [
    0, 57600, 115_200, 230_400, 460_800, 500_000, 576_000, 921_600, 1_000_000, 1_152_000, 1_500_000,
    2_000_000, 2_500_000, 3_000_000, 3_500_000, 4_000_000,
];

fn speed(control: u32, given: u32) -> u32 {
    let code = control & CBAUD;
    if code == BOTHER {
        return given;
    }
    let table = if code & BOTHER == 0 { &SPEEDS } else { &HIGH_SPEEDS };
    table.get((code & 15) as usize).copied().unwrap_or(given)
}

impl Termios {
    /// Whether all of `flags` are set in `c_lflag`.
    pub fn local(&self, flags: u32) -> bool {
        self.local & flags == flags
    }

    /// Whether a flag of `c_iflag` is set.
    pub fn input(&self, flag: u32) -> bool {
        self.input & flag != 0
    }

    /// Whether a flag of `c_oflag` is set.
    pub fn output(&self, flag: u32) -> bool {
        self.output & flag != 0
    }

    /// A control character by its index in `c_cc`; 0 means that there is none.
    pub fn char(&self, index: u32) -> u8 {
        self.chars.get(index as usize).copied().unwrap_or(0)
    }

    /// As `struct termios`, or (with speeds) `struct termios2`.
    pub fn to_bytes(self, with_speeds: bool) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(SIZE2);
        for flags in [self.input, self.output, self.control, self.local] {
            bytes.extend_from_slice(&flags.to_ne_bytes());
        }
        bytes.push(self.discipline);
        bytes.extend_from_slice(&self.chars);
        if with_speeds {
            bytes.extend_from_slice(&self.input_speed.to_ne_bytes());
            bytes.extend_from_slice(&self.output_speed.to_ne_bytes());
        }
        bytes
    }

    /// What these settings become when a program sets `bytes`, a `struct termios` or `termios2`. A pseudo-terminal always
    /// has eight bits and no parity.
    pub fn changed_by(&self, bytes: &[u8]) -> Self {
        let word = |at: usize| {
            let field = bytes.get(at..).and_then(|rest| rest.first_chunk());
            field.map(|field| u32::from_ne_bytes(*field))
        };
        let [input, output, control, local] =
            [(0, self.input), (4, self.output), (8, self.control), (12, self.local)]
                .map(|(at, old)| word(at).unwrap_or(old));
        let mut chars = self.chars;
        chars.iter_mut().zip(bytes.iter().skip(17)).for_each(|(to, from)| *to = *from);
        let control = control & !(CSIZE | PARENB) | CS8 | CREAD;
        Self {
            input,
            output,
            control,
            local,
            discipline: bytes.get(16).copied().unwrap_or(0),
            chars,
            input_speed: speed(control, word(SIZE).unwrap_or(self.input_speed)),
            output_speed: speed(control, word(SIZE + 4).unwrap_or(self.output_speed)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn survives_the_round_trip() {
        let mut termios = Termios::default();
        assert_eq!(Termios::default().changed_by(&termios.to_bytes(false)), termios);
        termios.chars[6] = 9;
        termios.control = termios.control & !CBAUD | BOTHER;
        (termios.input_speed, termios.output_speed) = (7, 8);
        assert_eq!(Termios::default().changed_by(&termios.to_bytes(true)), termios);
        assert_eq!((termios.to_bytes(false).len(), termios.to_bytes(true).len()), (36, 44));
    }

    #[test]
    fn speeds_follow_their_codes() {
        assert_eq!((speed(13, 0), speed(0x1002, 0), speed(BOTHER, 31250)), (9600, 115_200, 31250));
    }
}
