//! Options of sockets, those of the levels `IPPROTO_IP`, `IPPROTO_IPV6` and `IPPROTO_TCP` too: kept as they are set. Between sockets of one machine hardly
//! any makes a difference; those that would (multicast, ancillary data) are refused.

use super::address::Family;
use super::{IPPROTO_TCP, IPPROTO_UDP};
use crate::options::{self, Change, Facts, Settings};
use crate::socket::Kind;
use alloc::vec::Vec;
use ampoule_kbase::{Errno, Result};
use linux_raw_sys::net::{SO_REUSEADDR, SO_REUSEPORT, SOL_SOCKET};

const IPPROTO_IP: u32 = 0;
const IPPROTO_IPV6: u32 = 41;
/// `IPV6_V6ONLY`.
const V6_ONLY: u32 = 26;
const TCP_CONGESTION: u32 = 13;
/// `IP_ADD_MEMBERSHIP` and `IPV6_ADD_MEMBERSHIP`.
const MEMBERSHIPS: [(u32, u32); 2] = [(IPPROTO_IP, 35), (IPPROTO_IPV6, 20)];
const ENODEV: Errno = Errno(linux_raw_sys::errno::ENODEV as u16);

/// Buffers of a new socket: the second values of `/proc/sys/net/ipv4/tcp_wmem` and `tcp_rmem`.
const STREAM_SEND_BUFFER: u32 = 16_384;
const STREAM_RECEIVE_BUFFER: u32 = 131_072;
/// `/proc/sys/net/core/wmem_default` and `rmem_default`.
pub const DATAGRAM_BUFFER: u32 = 212_992;

/// An option, its value in a new socket, and the values that it takes.
struct Known {
    level: u32,
    name: u32,
    default: i32,
    least: i32,
    most: i32,
}

const fn known(level: u32, name: u32, default: i32, least: i32, most: i32) -> Known {
    Known { level, name, default, least, most }
}

/// Source: ip(7), ipv6(7), tcp(7), and what a new socket of Linux says.
const KNOWN: [Known; 25] = [
    // IP_TOS, IP_TTL, IP_MTU_DISCOVER, IP_RECVERR, IP_FREEBIND, IP_BIND_ADDRESS_NO_PORT
    known(IPPROTO_IP, 1, 0, 0, 255),
    known(IPPROTO_IP, 2, 64, 1, 255),
    known(IPPROTO_IP, 10, 1, 0, 5),
    known(IPPROTO_IP, 11, 0, 0, 0),
    known(IPPROTO_IP, 15, 0, 0, 1),
    known(IPPROTO_IP, 24, 0, 0, 1),
    // IP_MULTICAST_TTL, IP_MULTICAST_LOOP
    known(IPPROTO_IP, 33, 1, 0, 255),
    known(IPPROTO_IP, 34, 1, 0, 1),
    // IPV6_UNICAST_HOPS, IPV6_MULTICAST_HOPS, IPV6_MULTICAST_LOOP, IPV6_MTU_DISCOVER, IPV6_RECVERR, IPV6_TCLASS
    known(IPPROTO_IPV6, 16, 64, 0, 255),
    known(IPPROTO_IPV6, 18, 1, 0, 255),
    known(IPPROTO_IPV6, 19, 1, 0, 1),
    known(IPPROTO_IPV6, 23, 1, 0, 5),
    known(IPPROTO_IPV6, 25, 0, 0, 0),
    known(IPPROTO_IPV6, 67, 0, 0, 255),
    // TCP_NODELAY, TCP_MAXSEG, TCP_CORK, TCP_KEEPIDLE, TCP_KEEPINTVL, TCP_KEEPCNT, TCP_SYNCNT, TCP_LINGER2
    known(IPPROTO_TCP, 1, 0, 0, 1),
    known(IPPROTO_TCP, 2, 536, 88, 32_767),
    known(IPPROTO_TCP, 3, 0, 0, 1),
    known(IPPROTO_TCP, 4, 7200, 1, 32_767),
    known(IPPROTO_TCP, 5, 75, 1, 32_767),
    known(IPPROTO_TCP, 6, 9, 1, 127),
    known(IPPROTO_TCP, 7, 6, 1, 127),
    known(IPPROTO_TCP, 8, 60, -1, 120),
    // TCP_DEFER_ACCEPT, TCP_QUICKACK, TCP_USER_TIMEOUT
    known(IPPROTO_TCP, 9, 0, 0, i32::MAX),
    known(IPPROTO_TCP, 12, 1, 0, 1),
    known(IPPROTO_TCP, 18, 0, 0, i32::MAX),
];

/// What a socket is, as far as its options depend on it.
#[derive(Clone, Copy, Debug)]
pub struct Whose {
    /// What its addresses look like.
    pub family: Family,
    /// Stream or datagrams.
    pub kind: Kind,
    /// It takes connections.
    pub listening: bool,
    /// It has an address already.
    pub bound: bool,
}

/// The options of one socket.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// `SO_SNDBUF`, if it was set.
    pub send_buffer: Option<u32>,
    /// `SO_RCVBUF`, if it was set.
    pub receive_buffer: Option<u32>,
    /// What else there is of `SOL_SOCKET`.
    pub generic: Settings,
    v6_only: bool,
    /// Those that were set, by their places in [`KNOWN`].
    set: Vec<(usize, i32)>,
}

impl Whose {
    /// Whether such a socket has options of this level at all.
    fn has_level(self, level: u32) -> bool {
        match level {
            IPPROTO_IP => true,
            IPPROTO_IPV6 => self.family == Family::V6,
            IPPROTO_TCP => self.kind == Kind::Stream,
            _ => false,
        }
    }
}

impl Options {
    /// `IPV6_V6ONLY`.
    pub fn v6_only(&self) -> bool {
        self.v6_only
    }

    /// `SO_REUSEADDR`.
    pub fn reuse_address(&self) -> bool {
        self.generic.is_on(SO_REUSEADDR)
    }

    /// `SO_REUSEPORT`.
    pub fn reuse_port(&self) -> bool {
        self.generic.is_on(SO_REUSEPORT)
    }

    fn facts(&self, whose: Whose) -> Facts {
        let (protocol, send_buffer, receive_buffer) = match whose.kind {
            Kind::Stream => (IPPROTO_TCP, STREAM_SEND_BUFFER, STREAM_RECEIVE_BUFFER),
            Kind::Datagram | Kind::SeqPacket => (IPPROTO_UDP, DATAGRAM_BUFFER, DATAGRAM_BUFFER),
        };
        Facts {
            domain: whose.family.domain(),
            kind: whose.kind,
            protocol,
            listening: whose.listening,
            send_buffer: self.send_buffer.unwrap_or(send_buffer),
            receive_buffer: self.receive_buffer.unwrap_or(receive_buffer),
            settings: self.generic,
        }
    }

    /// `getsockopt(2)`.
    pub fn get(&self, whose: Whose, level: u32, name: u32) -> Result<Vec<u8>> {
        if level == SOL_SOCKET {
            return options::get(&self.facts(whose), name);
        }
        if !whose.has_level(level) {
            return Err(Errno::EOPNOTSUPP);
        }
        if (level, name) == (IPPROTO_TCP, TCP_CONGESTION) {
            return Ok(b"cubic\0\0\0\0\0\0\0\0\0\0\0".to_vec());
        }
        let value = match (level, name) {
            (IPPROTO_IPV6, V6_ONLY) => i32::from(self.v6_only),
            _ => {
                let at = place(level, name)?;
                let set = self.set.iter().find(|(place, _)| *place == at);
                set.map_or(KNOWN[at].default, |(_, value)| *value)
            }
        };
        Ok(value.to_ne_bytes().to_vec())
    }

    /// `setsockopt(2)`.
    pub fn set(&mut self, whose: Whose, level: u32, name: u32, value: &[u8]) -> Result<()> {
        if level == SOL_SOCKET {
            return self.set_generic(name, value);
        }
        if !whose.has_level(level) {
            return Err(Errno::ENOPROTOOPT);
        }
        if MEMBERSHIPS.contains(&(level, name)) {
            return Err(ENODEV);
        }
        if (level, name) == (IPPROTO_TCP, TCP_CONGESTION) {
            return if value.starts_with(b"cubic") { Ok(()) } else { Err(Errno::ENOENT) };
        }
        let number = number(level, value)?;
        if (level, name) == (IPPROTO_IPV6, V6_ONLY) {
            if whose.bound {
                return Err(Errno::EINVAL);
            }
            self.v6_only = number != 0;
            return Ok(());
        }
        let at = place(level, name)?;
        let Known { least, most, default, .. } = KNOWN[at];
        let number = match (least, most) {
            // A switch.
            (0, 1) => i32::from(number != 0),
            // To the default again.
            (0 | 1, 255) if number == -1 => default,
            (least, most) if (least..=most).contains(&number) => number,
            _ => return Err(Errno::EINVAL),
        };
        self.set.retain(|(place, _)| *place != at);
        self.set.push((at, number));
        Ok(())
    }

    fn set_generic(&mut self, name: u32, value: &[u8]) -> Result<()> {
        match options::set(&mut self.generic, name, value)? {
            Change::SendBuffer(bytes) => self.send_buffer = Some(bytes),
            Change::ReceiveBuffer(bytes) => self.receive_buffer = Some(bytes),
            Change::None => {}
        }
        Ok(())
    }
}

/// A value: options of IP also take a single byte.
fn number(level: u32, value: &[u8]) -> Result<i32> {
    match (value.first_chunk(), value.first()) {
        (Some(bytes), _) => Ok(i32::from_ne_bytes(*bytes)),
        (None, Some(byte)) if level == IPPROTO_IP => Ok((*byte).into()),
        _ => Err(Errno::EINVAL),
    }
}

fn place(level: u32, name: u32) -> Result<usize> {
    let place = KNOWN.iter().position(|known| (known.level, known.name) == (level, name));
    place.ok_or(Errno::ENOPROTOOPT)
}
