//! `struct sockaddr_in` and `struct sockaddr_in6` (`ip(7)`, `ipv6(7)`), and which addresses there are.

use alloc::vec::Vec;
use ampoule_kbase::{Errno, Result, SocketAddress};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Address families, as `socket(2)` numbers them.
pub const AF_INET: u32 = 2;
/// The one of IPv6.
pub const AF_INET6: u32 = 10;
const AF_UNSPEC: u16 = 0;

/// Bytes of a `sockaddr_in`, of a `sockaddr_in6`, and of one without scope, which is accepted.
const SIZE_V4: usize = 16;
const SIZE_V6: usize = 28;
const SIZE_V6_MIN: usize = 24;

/// Which kind of addresses a socket's owner sees.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Family {
    /// `AF_INET`.
    V4,
    /// `AF_INET6`; addresses of IPv4 appear as mapped ones.
    V6,
}

/// An address and a port. An address of IPv4 is always an `IpAddr::V4`, never a mapped one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Address {
    /// The address.
    pub ip: IpAddr,
    /// The port.
    pub port: u16,
}

/// What a system call was given.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Given {
    /// An address of the socket's family.
    Address(Address),
    /// `AF_UNSPEC`: `connect` takes a connection back.
    Unspecified,
}

impl Family {
    /// From the first argument of `socket(2)`.
    pub fn from_domain(domain: u32) -> Result<Self> {
        match domain {
            AF_INET => Ok(Self::V4),
            AF_INET6 => Ok(Self::V6),
            _ => Err(Errno::EAFNOSUPPORT),
        }
    }

    /// As `SO_DOMAIN` says it.
    pub const fn domain(self) -> u32 {
        match self {
            Self::V4 => AF_INET,
            Self::V6 => AF_INET6,
        }
    }

    /// The address that stands for all.
    pub const fn any(self) -> IpAddr {
        match self {
            Self::V4 => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            Self::V6 => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        }
    }

    /// What a system call was given: `EINVAL` if it is too short, `EAFNOSUPPORT` if it is of another family.
    pub fn parse(self, raw: &SocketAddress) -> Result<Given> {
        let bytes = &raw.0;
        let family = bytes.first_chunk().map(|bytes| u16::from_ne_bytes(*bytes)).ok_or(Errno::EINVAL)?;
        if family == AF_UNSPEC {
            return Ok(Given::Unspecified);
        }
        let least = if self == Self::V4 { SIZE_V4 } else { SIZE_V6_MIN };
        if bytes.len() < least {
            return Err(Errno::EINVAL);
        }
        if u32::from(family) != self.domain() {
            return Err(Errno::EAFNOSUPPORT);
        }
        let port = array(bytes, 2).map(u16::from_be_bytes)?;
        let ip = match self {
            Self::V4 => IpAddr::V4(array::<4>(bytes, 4)?.into()),
            Self::V6 => IpAddr::V6(array::<16>(bytes, 8)?.into()).to_canonical(),
        };
        Ok(Given::Address(Address { ip, port }))
    }

    /// The name of a socket for a system call to return: that of all addresses, without a port, if it has none.
    pub fn name(self, local: Option<Address>) -> SocketAddress {
        self.to_raw(local.unwrap_or(Address { ip: self.any(), port: 0 }))
    }

    /// An address for a system call to return.
    pub fn to_raw(self, address: Address) -> SocketAddress {
        let mut bytes: Vec<u8> = (self.domain() as u16).to_ne_bytes().to_vec();
        bytes.extend_from_slice(&address.port.to_be_bytes());
        match (self, address.ip) {
            (Self::V4, IpAddr::V4(ip)) => bytes.extend_from_slice(&ip.octets()),
            // A socket of IPv4 has no other addresses.
            (Self::V4, IpAddr::V6(_)) => {}
            (Self::V6, ip) => {
                // The flow label.
                bytes.extend_from_slice(&[0; 4]);
                bytes.extend_from_slice(&mapped(ip).octets());
            }
        }
        bytes.resize(if self == Self::V4 { SIZE_V4 } else { SIZE_V6 }, 0);
        SocketAddress(bytes)
    }
}

impl Given {
    /// The address, where one is needed.
    pub fn address(self) -> Result<Address> {
        match self {
            Self::Address(address) => Ok(address),
            Self::Unspecified => Err(Errno::EAFNOSUPPORT),
        }
    }
}

impl Address {
    /// Where something comes from that a socket sends which is bound to this address; `natural` if that is to all.
    pub fn as_source(self, to: IpAddr, natural: IpAddr) -> Result<Self> {
        match self.ip {
            ip if ip.is_unspecified() => Ok(Self { ip: natural, ..self }),
            ip if ip.is_ipv4() == to.is_ipv4() => Ok(self),
            _ => Err(Errno::ENETUNREACH),
        }
    }

    /// Whether who is bound to this address is meant by `target`.
    pub fn covers(self, target: IpAddr, v6_only: bool) -> bool {
        match (self.ip, target) {
            (IpAddr::V6(own), IpAddr::V4(_)) => own.is_unspecified() && !v6_only,
            (own, target) => own == target || (own.is_unspecified() && own.is_ipv4() == target.is_ipv4()),
        }
    }
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Result<[u8; N]> {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).copied().ok_or(Errno::EINVAL)
}

fn mapped(ip: IpAddr) -> Ipv6Addr {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    }
}

/// Where a destination leads: itself, and the address that is its natural sender. `ENETUNREACH`: out of this machine.
pub fn route(to: IpAddr) -> Result<(IpAddr, IpAddr)> {
    let (v4, v6) = (IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST));
    match to {
        IpAddr::V4(ip) if ip.is_unspecified() => Ok((v4, v4)),
        IpAddr::V4(ip) if ip.is_loopback() => Ok((to, v4)),
        IpAddr::V6(ip) if ip.is_unspecified() || ip.is_loopback() => Ok((v6, v6)),
        _ => Err(Errno::ENETUNREACH),
    }
}

/// Whether a socket may be bound to this address: it is one of this machine's, or stands for all.
pub fn is_local(ip: IpAddr) -> bool {
    ip.is_unspecified() || ip.is_loopback()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v4(text: &str) -> Address {
        Address { ip: text.parse().unwrap(), port: 80 }
    }

    #[test]
    fn there_and_back() {
        let address = v4("127.0.0.2");
        let raw = Family::V4.to_raw(address);
        assert_eq!(raw.0, b"\x02\0\0\x50\x7f\0\0\x02\0\0\0\0\0\0\0\0");
        assert_eq!(Family::V4.parse(&raw), Ok(Given::Address(address)));
        let raw = Family::V6.to_raw(address);
        assert_eq!((raw.0.len(), &raw.0[18..24]), (28, &b"\xff\xff\x7f\0\0\x02"[..]));
        assert_eq!(Family::V6.parse(&raw), Ok(Given::Address(address)), "mapped addresses are those of IPv4");
        assert_eq!(Family::V4.parse(&raw), Err(Errno::EAFNOSUPPORT));
        assert_eq!(Family::V4.parse(&SocketAddress(b"\0\0".to_vec())), Ok(Given::Unspecified));
        assert_eq!(Family::V4.parse(&SocketAddress(b"\x02\0\0\x50".to_vec())), Err(Errno::EINVAL));
        assert_eq!(Family::V6.parse(&SocketAddress(b"\x0a".to_vec())), Err(Errno::EINVAL));
    }

    #[test]
    fn nothing_leads_out_of_the_machine() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        for (to, from) in
            [("127.9.9.9", "127.0.0.1"), ("0.0.0.0", "127.0.0.1"), ("::", "::1"), ("::1", "::1")]
        {
            assert_eq!(route(ip(to)).map(|(_, source)| source), Ok(ip(from)), "{to}");
        }
        for to in ["8.8.8.8", "10.0.0.1", "255.255.255.255", "224.0.0.1", "fe80::1", "2001:db8::1"] {
            assert_eq!(route(ip(to)), Err(Errno::ENETUNREACH), "{to}");
            assert!(!is_local(ip(to)));
        }
    }

    #[test]
    fn who_is_meant() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        for (bound, v6_only, target, meant) in [
            ("0.0.0.0", false, "127.0.0.1", true),
            ("0.0.0.0", false, "::1", false),
            ("127.0.0.1", false, "127.0.0.2", false),
            ("::", false, "127.0.0.1", true),
            ("::", true, "127.0.0.1", false),
            ("::", true, "::1", true),
            ("::1", false, "127.0.0.1", false),
        ] {
            assert_eq!(v4(bound).covers(ip(target), v6_only), meant, "{bound} {target}");
        }
    }
}
