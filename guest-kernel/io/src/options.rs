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

/// What the generic options tell of a socket.
pub struct Facts {
    /// `SO_DOMAIN`.
    pub domain: u32,
    /// `SO_TYPE`.
    pub kind: Kind,
    /// `SO_ACCEPTCONN`.
    pub listening: bool,
    /// `SO_SNDBUF`.
    pub send_buffer: u32,
    /// `SO_RCVBUF`.
    pub receive_buffer: u32,
}

/// `getsockopt(SOL_SOCKET)`.
pub fn get(facts: &Facts, name: u32) -> Result<Vec<u8>> {
    let value = match name {
        SO_DOMAIN => facts.domain,
        SO_TYPE => facts.kind as u32,
        SO_PROTOCOL => 0,
        SO_ACCEPTCONN => facts.listening.into(),
        SO_SNDBUF => facts.send_buffer,
        SO_RCVBUF => facts.receive_buffer,
        SO_RCVLOWAT | SO_SNDLOWAT => 1,
        SO_LINGER => return Ok([0; 8].to_vec()),
        SO_BROADCAST | SO_DEBUG | SO_DONTROUTE | SO_KEEPALIVE | SO_OOBINLINE | SO_PRIORITY | SO_REUSEADDR
        | SO_REUSEPORT | SO_TIMESTAMP => 0,
        _ => return Err(Errno::ENOPROTOOPT),
    };
    Ok(value.to_ne_bytes().to_vec())
}

/// What a generic option asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Change {
    /// Nothing that would make a difference here.
    None,
    /// A send buffer of this many bytes.
    SendBuffer(u32),
    /// A receive buffer of this many bytes.
    ReceiveBuffer(u32),
}

/// `setsockopt(SOL_SOCKET)`.
pub fn set(name: u32, value: &[u8]) -> Result<Change> {
    let value = value.first_chunk().map(|bytes| u32::from_ne_bytes(*bytes)).ok_or(Errno::EINVAL)?;
    Ok(match name {
        SO_SNDBUF | SO_SNDBUFFORCE => Change::SendBuffer(value),
        SO_RCVBUF | SO_RCVBUFFORCE => Change::ReceiveBuffer(value),
        SO_BROADCAST | SO_DEBUG | SO_DONTROUTE | SO_KEEPALIVE | SO_LINGER | SO_OOBINLINE | SO_PRIORITY
        | SO_REUSEADDR | SO_REUSEPORT | SO_RCVLOWAT | SO_TIMESTAMP => Change::None,
        SO_ACCEPTCONN | SO_DOMAIN | SO_PROTOCOL | SO_SNDLOWAT | SO_TYPE => return Err(Errno::ENOPROTOOPT),
        _ => return Err(Errno::ENOPROTOOPT),
    })
}
