//! `struct sockaddr_un` (`unix(7)`).

use crate::socket::AF_UNIX;
use alloc::vec::Vec;
use ampoule_kbase::{Errno, Result, SocketAddress};

/// Bytes of the family.
const FAMILY: usize = 2;
/// Bytes of a whole `sockaddr_un`.
const SIZE: usize = FAMILY + 108;

/// The name of a socket.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Address {
    /// A path, without the byte that ends it.
    Path(Vec<u8>),
    /// A name in the abstract namespace, without the zero byte that begins it.
    Abstract(Vec<u8>),
}

/// What a system call was given.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Given {
    /// A name.
    Name(Address),
    /// Nothing but the family: `bind` finds a name itself.
    Unnamed,
    /// `AF_UNSPEC`: `connect` takes a connection back.
    Unspecified,
}

impl Given {
    /// From what a system call was given; `EINVAL` if it is too short, too long or of another family.
    pub fn parse(raw: &SocketAddress) -> Result<Self> {
        let (family, name) = raw.0.split_first_chunk::<FAMILY>().ok_or(Errno::EINVAL)?;
        if raw.0.len() > SIZE {
            return Err(Errno::EINVAL);
        }
        match u32::from(u16::from_ne_bytes(*family)) {
            0 => return Ok(Self::Unspecified),
            AF_UNIX => {}
            _ => return Err(Errno::EINVAL),
        }
        Ok(match name.split_first() {
            None => Self::Unnamed,
            Some((0, rest)) => Self::Name(Address::Abstract(rest.to_vec())),
            Some(_) => {
                Self::Name(Address::Path(name.split(|byte| *byte == 0).next().unwrap_or(name).to_vec()))
            }
        })
    }

    /// The name, where one is needed.
    pub fn name(self) -> Result<Address> {
        if let Self::Name(name) = self { Ok(name) } else { Err(Errno::EINVAL) }
    }
}

/// For a system call to return; none: a socket without a name.
pub fn to_raw(address: Option<&Address>) -> SocketAddress {
    let mut bytes = (AF_UNIX as u16).to_ne_bytes().to_vec();
    match address {
        None => {}
        Some(Address::Path(path)) => {
            bytes.extend_from_slice(path);
            bytes.push(0);
        }
        Some(Address::Abstract(name)) => {
            bytes.push(0);
            bytes.extend_from_slice(name);
        }
    }
    SocketAddress(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(bytes: &[u8]) -> Result<Given> {
        Given::parse(&SocketAddress(bytes.to_vec()))
    }

    #[test]
    fn names_and_what_is_none() {
        let path = Address::Path(b"/a".to_vec());
        assert_eq!(parse(b"\x01\0/a\0junk"), Ok(Given::Name(path.clone())));
        assert_eq!(parse(b"\x01\0/a"), Ok(Given::Name(path.clone())));
        assert_eq!(to_raw(Some(&path)).0, b"\x01\0/a\0");
        let hidden = Address::Abstract(b"x\0y".to_vec());
        assert_eq!(parse(b"\x01\0\0x\0y"), Ok(Given::Name(hidden.clone())));
        assert_eq!(to_raw(Some(&hidden)).0, b"\x01\0\0x\0y");
        assert_eq!(parse(b"\x01\0"), Ok(Given::Unnamed));
        assert_eq!(to_raw(None).0, b"\x01\0");
        assert_eq!(parse(b"\0\0"), Ok(Given::Unspecified));
        assert_eq!(parse(b"\x02\0/a"), Err(Errno::EINVAL));
        assert_eq!(parse(b"\x01"), Err(Errno::EINVAL));
        assert_eq!(parse(&[1; 111]), Err(Errno::EINVAL));
    }
}
