//! Users, groups and capabilities.

use super::{Args, Call, call};
use crate::mm::user;
use crate::task::credentials::{ALL_CAPABILITIES, Credentials, capability};
use crate::task::{current, process};
use ampoule_kbase::{Errno, Result, frames};
use linux_raw_sys::general as linux;

/// The calls of this family.
pub const CALLS: &[Call] = &[
    call(linux::__NR_getuid, "getuid", "", |_| Ok(u64::from(own().uid))),
    call(linux::__NR_geteuid, "geteuid", "", |_| Ok(u64::from(own().euid))),
    call(linux::__NR_getgid, "getgid", "", |_| Ok(u64::from(own().gid))),
    call(linux::__NR_getegid, "getegid", "", |_| Ok(u64::from(own().egid))),
    call(linux::__NR_getresuid, "getresuid", "xxx", |args| {
        write_three(args, [own().uid, own().euid, own().suid])
    }),
    call(linux::__NR_getresgid, "getresgid", "xxx", |args| {
        write_three(args, [own().gid, own().egid, own().sgid])
    }),
    call(linux::__NR_setuid, "setuid", "u", setuid),
    call(linux::__NR_setgid, "setgid", "u", setgid),
    call(linux::__NR_setreuid, "setreuid", "uu", |args| set_users([args[0], args[1], KEEP], true)),
    call(linux::__NR_setregid, "setregid", "uu", |args| set_groups_ids([args[0], args[1], KEEP], true)),
    call(linux::__NR_setresuid, "setresuid", "uuu", |args| set_users([args[0], args[1], args[2]], false)),
    call(linux::__NR_setresgid, "setresgid", "uuu", |args| {
        set_groups_ids([args[0], args[1], args[2]], false)
    }),
    call(linux::__NR_setfsuid, "setfsuid", "u", setfsuid),
    call(linux::__NR_setfsgid, "setfsgid", "u", setfsgid),
    call(linux::__NR_getgroups, "getgroups", "ix", getgroups),
    call(linux::__NR_setgroups, "setgroups", "ux", setgroups),
    call(linux::__NR_capget, "capget", "xx", capget),
    call(linux::__NR_capset, "capset", "xx", capset),
];

const KEEP: u64 = 0xffff_ffff;

fn own() -> Credentials {
    current().process.credentials.lock().clone()
}

fn write_three(args: &Args, values: [u32; 3]) -> Result<u64> {
    for (address, value) in args.iter().zip(values) {
        user::write(*address, value)?;
    }
    Ok(0)
}

fn store(before: &Credentials, mut new: Credentials) -> Result<u64> {
    new.user_changed(before);
    *current().process.credentials.lock() = new;
    Ok(0)
}

fn valid(id: u64) -> Result<u32> {
    match id as u32 {
        u32::MAX => Err(Errno::EINVAL),
        id => Ok(id),
    }
}

fn setuid(args: &Args) -> Result<u64> {
    let uid = valid(args[0])?;
    let before = own();
    let mut new = before.clone();
    if before.has(capability::SETUID) {
        (new.uid, new.suid) = (uid, uid);
    } else if uid != before.uid && uid != before.suid {
        return Err(Errno::EPERM);
    }
    (new.euid, new.fsuid) = (uid, uid);
    store(&before, new)
}

fn setgid(args: &Args) -> Result<u64> {
    let gid = valid(args[0])?;
    let before = own();
    let mut new = before.clone();
    if before.has(capability::SETGID) {
        (new.gid, new.sgid) = (gid, gid);
    } else if gid != before.gid && gid != before.sgid {
        return Err(Errno::EPERM);
    }
    (new.egid, new.fsgid) = (gid, gid);
    store(&before, new)
}

/// The new real, effective and saved id. `saved_follows`: the rule of `setreuid(2)`.
fn three_ids(wanted: [u64; 3], now: [u32; 3], privileged: bool, saved_follows: bool) -> Result<[u32; 3]> {
    let mut new = now;
    for (slot, wanted) in new.iter_mut().zip(wanted) {
        let wanted = wanted as u32;
        if wanted != u32::MAX {
            if !privileged && !now.contains(&wanted) {
                return Err(Errno::EPERM);
            }
            *slot = wanted;
        }
    }
    let real_set = wanted[0] as u32 != u32::MAX;
    let effective_set = wanted[1] as u32 != u32::MAX;
    if saved_follows && (real_set || effective_set && new[1] != now[0]) {
        new[2] = new[1];
    }
    Ok(new)
}

fn set_users(wanted: [u64; 3], saved_follows: bool) -> Result<u64> {
    let before = own();
    let now = [before.uid, before.euid, before.suid];
    let [uid, euid, suid] = three_ids(wanted, now, before.has(capability::SETUID), saved_follows)?;
    let new = Credentials { uid, euid, suid, fsuid: euid, ..before.clone() };
    store(&before, new)
}

fn set_groups_ids(wanted: [u64; 3], saved_follows: bool) -> Result<u64> {
    let before = own();
    let now = [before.gid, before.egid, before.sgid];
    let [gid, egid, sgid] = three_ids(wanted, now, before.has(capability::SETGID), saved_follows)?;
    let new = Credentials { gid, egid, sgid, fsgid: egid, ..before.clone() };
    store(&before, new)
}

/// Returns the old id, whether it was changed or not.
fn setfsuid(args: &Args) -> Result<u64> {
    let mut credentials = current().process.credentials.lock();
    let (old, new) = (credentials.fsuid, args[0] as u32);
    let allowed = [credentials.uid, credentials.euid, credentials.suid, old].contains(&new);
    if new != u32::MAX && (allowed || credentials.has(capability::SETUID)) {
        credentials.fsuid = new;
    }
    Ok(u64::from(old))
}

fn setfsgid(args: &Args) -> Result<u64> {
    let mut credentials = current().process.credentials.lock();
    let (old, new) = (credentials.fsgid, args[0] as u32);
    let allowed = [credentials.gid, credentials.egid, credentials.sgid, old].contains(&new);
    if new != u32::MAX && (allowed || credentials.has(capability::SETGID)) {
        credentials.fsgid = new;
    }
    Ok(u64::from(old))
}

fn getgroups(args: &Args) -> Result<u64> {
    let groups = own().groups;
    let room = args[0] as i32;
    if room < 0 {
        return Err(Errno::EINVAL);
    }
    if room > 0 {
        if (room as usize) < groups.len() {
            return Err(Errno::EINVAL);
        }
        for (i, group) in groups.iter().enumerate() {
            user::write(args[1] + i as u64 * 4, *group)?;
        }
    }
    Ok(groups.len() as u64)
}

fn setgroups(args: &Args) -> Result<u64> {
    const MAX_GROUPS: u64 = 65_536;
    if !own().has(capability::SETGID) {
        return Err(Errno::EPERM);
    }
    if args[0] > MAX_GROUPS {
        return Err(Errno::EINVAL);
    }
    let mut groups = frames::list_of(args[0] as usize)?;
    for i in 0..args[0] {
        groups.push(user::read::<u32>(args[1].wrapping_add(i * 4))?);
    }
    current().process.credentials.lock().groups = groups;
    Ok(0)
}

const VERSION_1: u32 = 0x1998_0330;
const VERSION_3: u32 = 0x2008_0522;

/// The number of 32-bit halves that a header's version means; writes the preferred version where it is unknown.
fn capability_words(header: u64) -> Result<u64> {
    match user::read::<u32>(header)? {
        VERSION_1 => Ok(1),
        0x2007_1026 | VERSION_3 => Ok(2),
        _ => {
            user::write(header, VERSION_3)?;
            Err(Errno::EINVAL)
        }
    }
}

fn capget(args: &Args) -> Result<u64> {
    let words = match capability_words(args[0]) {
        Err(Errno::EINVAL) if args[1] == 0 => return Ok(0),
        other => other?,
    };
    let pid = user::read::<u32>(args[0] + 4)?;
    let credentials = match pid {
        0 => own(),
        pid => process::find(pid).ok_or(Errno::ESRCH)?.credentials.lock().clone(),
    };
    if args[1] == 0 {
        return Ok(0);
    }
    for word in 0..words {
        for (i, set) in
            [credentials.effective, credentials.permitted, credentials.inheritable].iter().enumerate()
        {
            user::write(args[1] + word * 12 + i as u64 * 4, (set >> (32 * word)) as u32)?;
        }
    }
    Ok(0)
}

fn capset(args: &Args) -> Result<u64> {
    let words = capability_words(args[0])?;
    let pid = user::read::<u32>(args[0] + 4)?;
    if pid != 0 && pid != current().process.pid {
        return Err(Errno::EPERM);
    }
    let mut sets = [0u64; 3];
    for word in 0..words {
        for (i, set) in sets.iter_mut().enumerate() {
            *set |= u64::from(user::read::<u32>(args[1] + word * 12 + i as u64 * 4)?) << (32 * word);
        }
    }
    let [effective, permitted, inheritable] = sets.map(|set| set & ALL_CAPABILITIES);
    let mut credentials = current().process.credentials.lock();
    if permitted & !credentials.permitted != 0 || effective & !permitted != 0 {
        return Err(Errno::EPERM);
    }
    credentials.effective = effective;
    credentials.permitted = permitted;
    credentials.inheritable = inheritable;
    credentials.ambient &= permitted & inheritable;
    Ok(0)
}
