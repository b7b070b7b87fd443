//! Socket options. Those about time limits and pending errors are answered here, all others by the socket.

use super::handle::usable;
use super::socket::socket_of;
use super::timeouts::{self, Timeouts};
use super::{Args, Call, call};
use crate::mm::user;
use crate::time::SECOND;
use alloc::vec;
use alloc::vec::Vec;
use ampoule_kbase::{Errno, OpenFile, Result};
use linux_raw_sys::general as linux;
use linux_raw_sys::net::{
    SO_ERROR, SO_RCVTIMEO_NEW, SO_RCVTIMEO_OLD, SO_SNDTIMEO_NEW, SO_SNDTIMEO_OLD, SOL_SOCKET,
};

/// The calls of this family.
pub const CALLS: &[Call] = &[
    call(linux::__NR_setsockopt, "setsockopt", "diixu", setsockopt),
    call(linux::__NR_getsockopt, "getsockopt", "diixx", getsockopt),
];

/// No option has a longer value.
const VALUE_MAX: usize = 4096;
const MICROSECOND: u64 = 1000;

fn setsockopt(args: &Args) -> Result<u64> {
    let length = usize::try_from(args[4] as i32).map_err(|_| Errno::EINVAL)?;
    let open = usable(args[0])?;
    let socket = socket_of(&open)?;
    let mut value = vec![0; length.min(VALUE_MAX)];
    user::read_bytes(args[3], &mut value)?;
    match (args[1] as u32, args[2] as u32) {
        (SOL_SOCKET, SO_RCVTIMEO_OLD | SO_RCVTIMEO_NEW) => {
            let limit = parse_limit(&value)?;
            timeouts::set(&open, |timeouts| timeouts.receive_ns = limit);
        }
        (SOL_SOCKET, SO_SNDTIMEO_OLD | SO_SNDTIMEO_NEW) => {
            let limit = parse_limit(&value)?;
            timeouts::set(&open, |timeouts| timeouts.send_ns = limit);
        }
        (level, name) => socket.set_option(level, name, &value)?,
    }
    Ok(0)
}

/// A `struct timeval`: all zero is no limit, a negative one is over at once.
fn parse_limit(value: &[u8]) -> Result<u64> {
    let word = |at: usize| {
        let bytes = value.get(at..).and_then(|rest| rest.first_chunk());
        bytes.map(|bytes| i64::from_ne_bytes(*bytes)).ok_or(Errno::EINVAL)
    };
    let (seconds, micros) = (word(0)?, word(8)?);
    if !(0..1_000_000).contains(&micros) {
        return Err(Errno::EDOM);
    }
    Ok(match u64::try_from(seconds) {
        Ok(seconds) => seconds.saturating_mul(SECOND).saturating_add(micros as u64 * MICROSECOND),
        Err(_) => 1,
    })
}

fn encode_limit(ns: u64) -> Vec<u8> {
    [(ns / SECOND).to_ne_bytes(), (ns % SECOND / MICROSECOND).to_ne_bytes()].concat()
}

fn getsockopt(args: &Args) -> Result<u64> {
    let open = usable(args[0])?;
    socket_of(&open)?;
    let room = usize::try_from(user::read::<i32>(args[4])?).map_err(|_| Errno::EINVAL)?;
    let value = option(&open, args[1] as u32, args[2] as u32)?;
    let value = &value[..value.len().min(room)];
    user::write_bytes(args[3], value)?;
    user::write(args[4], value.len() as u32)?;
    Ok(0)
}

fn option(open: &OpenFile, level: u32, name: u32) -> Result<Vec<u8>> {
    let socket = socket_of(open)?;
    let Timeouts { receive_ns, send_ns } = timeouts::get(open);
    match (level, name) {
        (SOL_SOCKET, SO_ERROR) => {
            Ok(socket.take_error().map_or(0, |error| u32::from(error.0)).to_ne_bytes().to_vec())
        }
        (SOL_SOCKET, SO_RCVTIMEO_OLD | SO_RCVTIMEO_NEW) => Ok(encode_limit(receive_ns)),
        (SOL_SOCKET, SO_SNDTIMEO_OLD | SO_SNDTIMEO_NEW) => Ok(encode_limit(send_ns)),
        _ => socket.get_option(level, name),
    }
}
