//! Which user the new process is, and how that user is mapped into its namespace.
//!
//! With root's help, a process gets a user (and group) that no other process of the host has: [`FIRST`] and the number
//! that the kernel gave its user namespace, which is unique among all namespaces there are, whatever container they are in.
//! Where there is no user namespace, [`FIRST_BY_PID`] and its process id. Distributions give nobody these ids: they
//! lie in a range that systemd's table of users leaves unused, above its containers' and below 2^31.
//!
//! Without root, the process stays the user that started it, the only one that may be mapped.

use crate::layer::{Layer, Layers};
use rustix::fs::{Mode, OFlags, open, stat};
use rustix::io::{Errno, write};
use rustix::process::{Pid, getegid, geteuid};

/// The first of the ids by namespace.
const FIRST: u32 = 0x7000_0000;
/// How many there are.
const COUNT: u64 = 0x0800_0000;
/// The numbers of the kernel's namespaces begin here.
const FIRST_NAMESPACE: u64 = 0xf000_0000;
/// The first of the ids by process. There are at most 2^22 processes.
const FIRST_BY_PID: u32 = 0x7800_0000;
// The last that systemd's table leaves unused.
const _: () = assert!(FIRST_BY_PID + (1 << 22) <= 2_147_352_575);
/// What root is within a namespace where nobody else can be mapped.
const NOBODY: u32 = 65534;

/// Who the new process becomes, in the numbers of its own namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// Whether it is a user of its own; only then can it leave the groups of the one who started it.
    pub(crate) own: bool,
}

/// A layer that could not be entered, and why.
type Failure = (Layer, Errno);

/// Whether the ids of other users can be had, as far as can be said without trying.
pub(crate) fn privileged() -> bool {
    geteuid().is_root()
}

/// Decides who the process is, and writes its namespace's maps, if it has one. `None`: it stays who it is.
pub(crate) fn assign(pid: Pid, layers: Layers) -> Result<Option<Identity>, Failure> {
    let own = privileged() && layers.contains(Layer::Identity);
    match (own, layers.contains(Layer::User)) {
        (true, true) => {
            let id = by_namespace(pid).map_err(|errno| (Layer::Identity, errno))?;
            map(pid, (id, id), (id, id)).map_err(|errno| (Layer::Identity, errno))?;
            Ok(Some(Identity { uid: id, gid: id, own }))
        }
        (true, false) => {
            let id = by_process(pid).ok_or((Layer::Identity, Errno::RANGE))?;
            Ok(Some(Identity { uid: id, gid: id, own }))
        }
        (false, true) => {
            let (uid, gid) = (geteuid().as_raw(), getegid().as_raw());
            let (inner_uid, inner_gid) = (not_root(uid), not_root(gid));
            forbid_groups(pid)
                .and_then(|()| map(pid, (inner_uid, uid), (inner_gid, gid)))
                .map_err(|errno| (Layer::User, errno))?;
            Ok(Some(Identity { uid: inner_uid, gid: inner_gid, own }))
        }
        (false, false) => Ok(None),
    }
}

fn not_root(id: u32) -> u32 {
    if id == 0 { NOBODY } else { id }
}

fn by_namespace(pid: Pid) -> Result<u32, Errno> {
    from_namespace_number(stat(format!("/proc/{}/ns/user", pid.as_raw_pid()))?.st_ino).ok_or(Errno::RANGE)
}

fn from_namespace_number(number: u64) -> Option<u32> {
    let index = number.checked_sub(FIRST_NAMESPACE).filter(|&index| index < COUNT)?;
    FIRST.checked_add(u32::try_from(index).ok()?)
}

fn by_process(pid: Pid) -> Option<u32> {
    let pid = u32::try_from(pid.as_raw_pid()).ok().filter(|&pid| pid < 1 << 22)?;
    FIRST_BY_PID.checked_add(pid)
}

/// Maps one user and one group: their numbers inside, and outside.
fn map(pid: Pid, uid: (u32, u32), gid: (u32, u32)) -> Result<(), Errno> {
    write_file(pid, "uid_map", &format!("{} {} 1", uid.0, uid.1))?;
    write_file(pid, "gid_map", &format!("{} {} 1", gid.0, gid.1))
}

/// Without root, groups can be mapped only by who gives up to change them.
fn forbid_groups(pid: Pid) -> Result<(), Errno> {
    write_file(pid, "setgroups", "deny")
}

fn write_file(pid: Pid, name: &str, content: &str) -> Result<(), Errno> {
    let path = format!("/proc/{}/{name}", pid.as_raw_pid());
    let file = open(path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
    match write(file, content.as_bytes())? {
        len if len == content.len() => Ok(()),
        _ => Err(Errno::IO),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_never_leave_their_ranges() {
        assert_eq!(from_namespace_number(FIRST_NAMESPACE), Some(FIRST));
        assert_eq!(from_namespace_number(FIRST_NAMESPACE + COUNT - 1), Some(FIRST_BY_PID - 1));
        assert_eq!(from_namespace_number(FIRST_NAMESPACE + COUNT), None);
        assert_eq!(from_namespace_number(FIRST_NAMESPACE - 1), None);
        assert_eq!(Pid::from_raw(1).and_then(by_process), Some(FIRST_BY_PID + 1));
        assert_eq!(Pid::from_raw(1 << 22).and_then(by_process), None);
    }

    #[test]
    fn nobody_is_root_inside() {
        assert_eq!((not_root(0), not_root(1000)), (NOBODY, 1000));
    }
}
