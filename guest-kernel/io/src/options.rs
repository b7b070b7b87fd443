//! Socket options of level `SOL_SOCKET` that are the same for every family (`socket(7)`).
//!
//! `SO_ERROR`, `SO_RCVTIMEO` and `SO_SNDTIMEO` are the system-call layer's.

use crate::socket::Kind;
use alloc::vec::Vec;
use ampoule_kbase::{Errno, Result};
use linux_raw_sys::net::{
    SO_ACCEPTCONN, SO_BROADCAST, SO_DEBUG, SO_DOMAIN, SO_DONTROUTE, SO_KEEPALIVE, SO_LINGER, SO_OOBINLINE,
    SO_PRIORITY, SO_PROTOCOL, SO_RCVBUF, SO_RCVBUFFORCE, SO_RCVLOWAT, SO_REUSEADDR, SO_REUSEPORT, SO_SNDBUF,
    SO_SNDBUFFORCE, SO_SNDLOWAT, SO_TIMESTAMP, SO_TYPE,
};

/// Limits of buffer sizes, of which a program sees the double.
const MIN_SEND_BUFFER: u32 = 4608;
const MIN_RECEIVE_BUFFER: u32 = 2304;
const MAX_BUFFER: u32 = 212_992;

/// Options that are on or off, with a bit of [`Settings`] each.
const SWITCHES: [u32; 8] = [
    SO_BROADCAST,
    SO_DEBUG,
    SO_DONTROUTE,
    SO_KEEPALIVE,
    SO_OOBINLINE,
    SO_REUSEADDR,
    SO_REUSEPORT,
    SO_TIMESTAMP,
];

/// What the generic options tell of a socket.
pub struct Facts {
    /// `SO_DOMAIN`.
    pub domain: u32,
    /// `SO_TYPE`.
    pub kind: Kind,
    /// `SO_PROTOCOL`.
    pub protocol: u32,
    /// `SO_ACCEPTCONN`.
    pub listening: bool,
    /// `SO_SNDBUF`.
    pub send_buffer: u32,
    /// `SO_RCVBUF`.
    pub receive_buffer: u32,
    /// What was set.
    pub settings: Settings,
}

/// Options that a socket keeps as they were set.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Settings {
    /// Bits for [`SWITCHES`].
    switches: u32,
    priority: u32,
    low_water: u32,
    /// `struct linger`: on or off, seconds.
    linger: (u32, u32),
}

impl Default for Settings {
    fn default() -> Self {
        Self { switches: 0, priority: 0, low_water: 1, linger: (0, 0) }
    }
}

impl Settings {
    fn bit(name: u32) -> Option<u32> {
        SWITCHES.iter().position(|switch| *switch == name).map(|at| 1 << at)
    }

    /// Whether an option is on.
    pub fn is_on(&self, name: u32) -> bool {
        Self::bit(name).is_some_and(|bit| self.switches & bit != 0)
    }

    /// `SO_LINGER` with a time of nothing: what is under way is to be lost at the end.
    pub fn lingers_not(&self) -> bool {
        self.linger.0 != 0 && self.linger.1 == 0
    }
}

/// `getsockopt(SOL_SOCKET)`.
pub fn get(facts: &Facts, name: u32) -> Result<Vec<u8>> {
    let settings = &facts.settings;
    let value = match name {
        SO_DOMAIN => facts.domain,
        SO_TYPE => facts.kind as u32,
        SO_PROTOCOL => facts.protocol,
        SO_ACCEPTCONN => facts.listening.into(),
        SO_SNDBUF => facts.send_buffer,
        SO_RCVBUF => facts.receive_buffer,
        SO_RCVLOWAT => settings.low_water,
        SO_SNDLOWAT => 1,
        SO_PRIORITY => settings.priority,
        SO_LINGER => {
            let (on, seconds) = settings.linger;
            return Ok([on.to_ne_bytes(), seconds.to_ne_bytes()].concat());
        }
        name if SWITCHES.contains(&name) => settings.is_on(name).into(),
        _ => return Err(Errno::ENOPROTOOPT),
    };
    Ok(value.to_ne_bytes().to_vec())
}

/// What a generic option asks for that makes a difference at once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Change {
    /// Nothing: it is kept in the settings.
    None,
    /// A send buffer of this many bytes.
    SendBuffer(u32),
    /// A receive buffer of this many bytes.
    ReceiveBuffer(u32),
}

/// `setsockopt(SOL_SOCKET)`.
pub fn set(settings: &mut Settings, name: u32, value: &[u8]) -> Result<Change> {
    let word = |at: usize| {
        let bytes = value.get(at..).and_then(|rest| rest.first_chunk());
        bytes.map(|bytes| u32::from_ne_bytes(*bytes)).ok_or(Errno::EINVAL)
    };
    let first = word(0)?;
    let buffer = |least: u32| (first.min(MAX_BUFFER) * 2).max(least);
    match name {
        SO_SNDBUF | SO_SNDBUFFORCE => return Ok(Change::SendBuffer(buffer(MIN_SEND_BUFFER))),
        SO_RCVBUF | SO_RCVBUFFORCE => return Ok(Change::ReceiveBuffer(buffer(MIN_RECEIVE_BUFFER))),
        SO_RCVLOWAT => settings.low_water = first.max(1),
        SO_PRIORITY => settings.priority = first,
        SO_LINGER => settings.linger = (u32::from(first != 0), word(4)?),
        name => {
            let bit = Settings::bit(name).ok_or(Errno::ENOPROTOOPT)?;
            let others = settings.switches & !bit;
            settings.switches = if first == 0 { others } else { others | bit };
        }
    }
    Ok(Change::None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    fn facts(settings: Settings) -> Facts {
        let (kind, send_buffer, receive_buffer) = (Kind::Stream, 1, 2);
        Facts { domain: 1, kind, protocol: 6, listening: true, send_buffer, receive_buffer, settings }
    }

    #[test]
    fn what_is_set_is_kept() {
        let mut settings = Settings::default();
        for name in SWITCHES {
            assert_eq!(get(&facts(settings), name), Ok(vec![0; 4]));
            assert_eq!(set(&mut settings, name, &7u32.to_ne_bytes()), Ok(Change::None));
            assert_eq!(get(&facts(settings), name), Ok(vec![1, 0, 0, 0]));
            set(&mut settings, name, &[0; 4]).unwrap();
        }
        assert_eq!(settings, Settings::default());
        set(&mut settings, SO_LINGER, &[1, 0, 0, 0, 0, 0, 0, 0]).unwrap();
        assert!(settings.lingers_not());
        assert_eq!(get(&facts(settings), SO_LINGER), Ok(vec![1, 0, 0, 0, 0, 0, 0, 0]));
    }

    #[test]
    fn what_is_short_or_unknown_or_only_read_is_refused() {
        let mut settings = Settings::default();
        assert_eq!(set(&mut settings, SO_KEEPALIVE, &[1, 0, 0]), Err(Errno::EINVAL));
        assert_eq!(set(&mut settings, SO_LINGER, &[1, 0, 0, 0]), Err(Errno::EINVAL));
        for name in [SO_ACCEPTCONN, SO_DOMAIN, SO_PROTOCOL, SO_SNDLOWAT, SO_TYPE, 9999] {
            assert_eq!(set(&mut settings, name, &[1; 4]), Err(Errno::ENOPROTOOPT), "{name}");
        }
        assert_eq!(set(&mut settings, SO_SNDBUF, &[0; 4]), Ok(Change::SendBuffer(MIN_SEND_BUFFER)));
        assert_eq!(set(&mut settings, SO_RCVBUF, &[255; 4]), Ok(Change::ReceiveBuffer(2 * MAX_BUFFER)));
    }
}
