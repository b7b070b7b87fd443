//! `struct sockaddr_vm` (`vsock(7)`).

use crate::socket::AF_VSOCK;
use alloc::vec::Vec;
use ampoule_kbase::{Errno, Result, SocketAddress};

/// Any context id, or (as a port) any port.
pub const ANY: u32 = u32::MAX;
/// The machine itself (`VMADDR_CID_LOCAL`).
pub const CID_LOCAL: u32 = 1;
/// Bytes of a `sockaddr_vm`: family, reserved, port, cid, flags and padding.
const SIZE: usize = 16;

/// An address: context id and port.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Address {
    /// Context id.
    pub cid: u32,
    /// Port.
    pub port: u32,
}

impl Address {
    /// From what a system call was given.
    pub fn parse(raw: &SocketAddress) -> Result<Self> {
        let bytes = raw.0.get(..SIZE).ok_or(Errno::EFAULT)?;
        let word = |at: usize| {
            let field = bytes.get(at..).and_then(|rest| rest.first_chunk());
            field.map(|field| u32::from_ne_bytes(*field)).ok_or(Errno::EFAULT)
        };
        let family_and_reserved = word(0)?;
        if family_and_reserved & 0xffff != AF_VSOCK {
            return Err(Errno::EAFNOSUPPORT);
        }
        if family_and_reserved >> 16 != 0 {
            return Err(Errno::EINVAL);
        }
        Ok(Self { port: word(4)?, cid: word(8)? })
    }

    /// For a system call to return.
    pub fn to_raw(self) -> SocketAddress {
        let mut bytes = Vec::with_capacity(SIZE);
        bytes.extend_from_slice(&AF_VSOCK.to_ne_bytes());
        bytes.extend_from_slice(&self.port.to_ne_bytes());
        bytes.extend_from_slice(&self.cid.to_ne_bytes());
        bytes.resize(SIZE, 0);
        SocketAddress(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn survives_the_round_trip() {
        let address = Address { cid: 2, port: 1024 };
        let raw = address.to_raw();
        assert_eq!(raw.0, [40, 0, 0, 0, 0, 4, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(Address::parse(&raw), Ok(address));
        assert_eq!(Address::parse(&SocketAddress(raw.0[..15].into())), Err(Errno::EFAULT));
        assert_eq!(Address::parse(&SocketAddress([1; 16].into())), Err(Errno::EAFNOSUPPORT));
    }
}
