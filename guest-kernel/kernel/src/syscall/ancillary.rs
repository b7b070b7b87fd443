//! What travels beside the bytes of a message, as `cmsg(3)` lays it out: descriptors and credentials.

use super::{add_file, file};
use crate::mm::user;
use crate::task::credentials::capability;
use crate::task::{current, process};
use alloc::vec;
use alloc::vec::Vec;
use ampoule_kbase::{Ancillary, Errno, Result};
use linux_raw_sys::net::{MSG_CMSG_CLOEXEC, MSG_CTRUNC, SCM_CREDENTIALS, SCM_RIGHTS, SOL_SOCKET};

/// Bytes of a `struct cmsghdr`: length, level, type.
const HEADER: usize = 16;
/// Control data that a message may have (`net.core.optmem_max`).
const CONTROL_MAX: u64 = 128 << 10;
/// Descriptors that a message may have (`SCM_MAX_FD`).
const FILES_MAX: usize = 253;

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// Reads the control data of a message that is to be sent.
pub fn read(address: u64, length: u64) -> Result<Ancillary> {
    let mut ancillary = Ancillary::default();
    if address == 0 || length == 0 {
        return Ok(ancillary);
    }
    if length > CONTROL_MAX {
        return Err(Errno::ENOBUFS);
    }
    let mut bytes = vec![0; length as usize];
    user::read_bytes(address, &mut bytes)?;
    let mut rest = &bytes[..];
    while let Some(header) = rest.first_chunk::<HEADER>() {
        let [length, level_and_kind] =
            [0, 8].map(|at| u64::from_ne_bytes(core::array::from_fn(|i| header[at + i])));
        let (level, kind) = (level_and_kind as u32, (level_and_kind >> 32) as u32);
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let data = rest.get(HEADER..length).ok_or(Errno::EINVAL)?;
        if level == SOL_SOCKET {
            take_in(&mut ancillary, kind, data)?;
        }
        rest = rest.get(length.next_multiple_of(8)..).unwrap_or_default();
    }
    Ok(ancillary)
}

fn take_in(ancillary: &mut Ancillary, kind: u32, data: &[u8]) -> Result<()> {
    match kind {
        SCM_RIGHTS => {
            let (descriptors, _) = data.as_chunks::<4>();
            if ancillary.files.len() + descriptors.len() > FILES_MAX {
                return Err(Errno::EINVAL);
            }
            for descriptor in descriptors {
                ancillary.files.push(file(u64::from(u32::from_ne_bytes(*descriptor)))?);
            }
        }
        SCM_CREDENTIALS => {
            if data.len() != 12 {
                return Err(Errno::EINVAL);
            }
            let field = |at| word(data, at).ok_or(Errno::EINVAL);
            let claimed = (field(0)?, field(4)?, field(8)?);
            check_credentials(claimed)?;
            ancillary.credentials = Some(claimed);
        }
        _ => return Err(Errno::EINVAL),
    }
    Ok(())
}

/// `EPERM` for somebody who claims to be somebody else without the right to.
fn check_credentials((pid, uid, gid): (u32, u32, u32)) -> Result<()> {
    let own = &current().process;
    let credentials = own.credentials.lock();
    let allowed = (pid == own.pid || credentials.has(capability::SYS_ADMIN))
        && ([credentials.uid, credentials.euid, credentials.suid].contains(&uid)
            || credentials.has(capability::SETUID))
        && ([credentials.gid, credentials.egid, credentials.sgid].contains(&gid)
            || credentials.has(capability::SETGID));
    drop(credentials);
    if !allowed {
        return Err(Errno::EPERM);
    }
    if pid != own.pid && process::find(pid).is_none() { Err(Errno::ESRCH) } else { Ok(()) }
}

/// The program's room for control data, and what is in it so far.
struct Control {
    bytes: Vec<u8>,
    room: usize,
    flags: u32,
}

impl Control {
    /// Appends a record, or as much of it as there is room for.
    fn put(&mut self, kind: u32, data: &[u8]) {
        let left = self.room - self.bytes.len();
        if left < HEADER {
            self.flags |= MSG_CTRUNC;
            return;
        }
        let mut length = HEADER + data.len();
        if length > left {
            self.flags |= MSG_CTRUNC;
            length = left;
        }
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&(length as u64).to_ne_bytes());
        self.bytes.extend_from_slice(&SOL_SOCKET.to_ne_bytes());
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(&data[..length - HEADER]);
        self.bytes.resize((start + length.next_multiple_of(8)).min(self.room), 0);
    }

    /// Descriptors get numbers only as far as there is room to tell them.
    fn put_files(&mut self, ancillary: Ancillary, close_on_exec: bool) {
        let count = ancillary.files.len();
        let room = (self.room - self.bytes.len()).saturating_sub(HEADER) / 4;
        let mut numbers = Vec::new();
        for open in ancillary.files.into_iter().take(room) {
            let Ok(fd) = add_file(open, close_on_exec) else { break };
            numbers.extend_from_slice(&(fd as u32).to_ne_bytes());
        }
        if !numbers.is_empty() {
            self.put(SCM_RIGHTS, &numbers);
        }
        if numbers.len() < count * 4 {
            self.flags |= MSG_CTRUNC;
        }
    }
}

/// Gives what came with a message to the program, at `address` with `room` bytes. Returns how many bytes it takes, and
/// `MSG_CTRUNC` if it was too much.
pub fn write(address: u64, room: u64, ancillary: Ancillary, flags: u32) -> Result<(u64, u32)> {
    let room = if address == 0 { 0 } else { room.min(CONTROL_MAX) as usize };
    let mut control = Control { bytes: Vec::new(), room, flags: 0 };
    if let Some((pid, uid, gid)) = ancillary.credentials {
        let data = [pid.to_ne_bytes(), uid.to_ne_bytes(), gid.to_ne_bytes()].concat();
        control.put(SCM_CREDENTIALS, &data);
    }
    if !ancillary.files.is_empty() {
        control.put_files(ancillary, flags & MSG_CMSG_CLOEXEC != 0);
    }
    user::write_bytes(address, &control.bytes)?;
    Ok((control.bytes.len() as u64, control.flags))
}
