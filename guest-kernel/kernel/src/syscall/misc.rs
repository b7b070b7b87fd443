//! Everything else: names, information, `prctl(2)`, random numbers, the end of the machine.

use super::{Args, Call, call};
use crate::mm::user;
use crate::task::{credentials::capability, current, process};
use crate::time::{SECOND, clock};
use crate::{power, random};
use alloc::vec::Vec;
use ampoule_kbase::{Errno, Mutex, Result, frames};
use core::sync::atomic::Ordering;
use linux_raw_sys::{general as linux, prctl};

/// The calls of this family.
pub const CALLS: &[Call] = &[
    call(linux::__NR_uname, "uname", "x", uname),
    call(linux::__NR_sethostname, "sethostname", "su", |args| set_name(&HOSTNAME, args)),
    call(linux::__NR_setdomainname, "setdomainname", "su", |args| set_name(&DOMAINNAME, args)),
    call(linux::__NR_sysinfo, "sysinfo", "x", sysinfo),
    call(linux::__NR_getrandom, "getrandom", "xux", getrandom),
    call(linux::__NR_prctl, "prctl", "ixxxx", sys_prctl),
    call(linux::__NR_personality, "personality", "x", |_| Ok(0)),
    call(linux::__NR_reboot, "reboot", "xxxx", reboot),
    call(linux::__NR_syslog, "syslog", "ixi", |_| Ok(0)),
    call(linux::__NR_vhangup, "vhangup", "", |_| Ok(0)),
];

/// What `uname` calls the system: programs look at it to know what they may use.
pub const RELEASE: &str = "6.1.0-ampoule";
/// The version line.
pub const VERSION: &str = concat!("ampoule ", env!("CARGO_PKG_VERSION"));

static HOSTNAME: Mutex<Vec<u8>> = Mutex::new(Vec::new());
static DOMAINNAME: Mutex<Vec<u8>> = Mutex::new(Vec::new());

/// The host name.
pub fn hostname() -> Vec<u8> {
    let name = HOSTNAME.lock().clone();
    if name.is_empty() { b"ampoule".to_vec() } else { name }
}

/// Sets the host name.
pub fn set_hostname(name: &[u8]) {
    *HOSTNAME.lock() = name[..name.len().min(64)].to_vec();
}

fn uname(args: &Args) -> Result<u64> {
    const FIELD: usize = 65;
    let domain = DOMAINNAME.lock().clone();
    let domain = if domain.is_empty() { b"(none)".to_vec() } else { domain };
    let hostname = hostname();
    let fields: [&[u8]; 6] =
        [b"Linux", &hostname, RELEASE.as_bytes(), VERSION.as_bytes(), b"x86_64", &domain];
    let mut bytes = [0u8; FIELD * 6];
    for (slot, field) in bytes.chunks_exact_mut(FIELD).zip(fields) {
        let length = field.len().min(FIELD - 1);
        slot[..length].copy_from_slice(&field[..length]);
    }
    user::write_bytes(args[0], &bytes)?;
    Ok(0)
}

fn set_name(name: &Mutex<Vec<u8>>, args: &Args) -> Result<u64> {
    if !current().process.credentials.lock().has(capability::SYS_ADMIN) {
        return Err(Errno::EPERM);
    }
    let length = usize::try_from(args[1]).ok().filter(|length| *length <= 64).ok_or(Errno::EINVAL)?;
    let mut bytes = alloc::vec![0; length];
    user::read_bytes(args[0], &mut bytes)?;
    *name.lock() = bytes;
    Ok(0)
}

/// `struct sysinfo`: 112 bytes.
fn sysinfo(args: &Args) -> Result<u64> {
    let (total, free) = frames::usage();
    let mut bytes = [0u8; 112];
    let mut word = |at: usize, value: u64| bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
    word(0, clock::monotonic_ns() / SECOND);
    word(32, total * 4096);
    word(40, free * 4096);
    bytes[80..82].copy_from_slice(&(process::with_all(|all| all.len()) as u16).to_le_bytes());
    bytes[104..108].copy_from_slice(&1u32.to_le_bytes());
    user::write_bytes(args[0], &bytes)?;
    Ok(0)
}

fn getrandom(args: &Args) -> Result<u64> {
    const KNOWN: u64 = (linux::GRND_NONBLOCK | linux::GRND_RANDOM | linux::GRND_INSECURE) as u64;
    const MOST: u64 = 0x1ff_ffff;
    let [address, length, flags, ..] = *args;
    const BOTH: u64 = (linux::GRND_RANDOM | linux::GRND_INSECURE) as u64;
    if flags & !KNOWN != 0 || flags & BOTH == BOTH {
        return Err(Errno::EINVAL);
    }
    let length = length.min(MOST);
    let mut buffer = [0u8; 256];
    let mut done = 0;
    while done < length {
        let step = (length - done).min(buffer.len() as u64) as usize;
        random::fill(&mut buffer[..step]);
        user::write_bytes(address + done, &buffer[..step])?;
        done += step as u64;
    }
    Ok(length)
}

fn sys_prctl(args: &Args) -> Result<u64> {
    let [option, second, third, ..] = *args;
    let this = current();
    let process = &this.process;
    match option as u32 {
        prctl::PR_SET_NAME => {
            let mut name = user::read_string(second, 4096).or_else(|_| {
                let mut bytes = alloc::vec![0; 16];
                user::read_bytes(second, &mut bytes).map(|()| bytes)
            })?;
            name.truncate(15);
            process.program.lock().name = name;
        }
        prctl::PR_GET_NAME => {
            let mut bytes = [0; 16];
            let name = process.program.lock().name.clone();
            bytes[..name.len().min(15)].copy_from_slice(&name[..name.len().min(15)]);
            user::write_bytes(second, &bytes)?;
        }
        prctl::PR_SET_PDEATHSIG => {
            if second > u64::from(crate::signal::COUNT) {
                return Err(Errno::EINVAL);
            }
            process.parent_death_signal.store(second as u32, Ordering::Relaxed);
        }
        prctl::PR_GET_PDEATHSIG => user::write(second, process.parent_death_signal.load(Ordering::Relaxed))?,
        prctl::PR_SET_CHILD_SUBREAPER => process.subreaper.store(second != 0, Ordering::Relaxed),
        prctl::PR_GET_CHILD_SUBREAPER => {
            user::write(second, u32::from(process.subreaper.load(Ordering::Relaxed)))?
        }
        prctl::PR_SET_DUMPABLE if second <= 1 => process.dumpable.store(second == 1, Ordering::Relaxed),
        prctl::PR_GET_DUMPABLE => return Ok(u64::from(process.dumpable.load(Ordering::Relaxed))),
        prctl::PR_SET_NO_NEW_PRIVS if second == 1 && args[2..5] == [0; 3] => {
            process.no_new_privileges.store(true, Ordering::Relaxed);
        }
        prctl::PR_GET_NO_NEW_PRIVS if args[1..5] == [0; 4] => {
            return Ok(u64::from(process.no_new_privileges.load(Ordering::Relaxed)));
        }
        prctl::PR_SET_KEEPCAPS if second <= 1 => process.credentials.lock().keep_capabilities = second == 1,
        prctl::PR_GET_KEEPCAPS => return Ok(u64::from(process.credentials.lock().keep_capabilities)),
        prctl::PR_CAPBSET_READ if second < 64 => return Ok(process.credentials.lock().bounding >> second & 1),
        prctl::PR_CAPBSET_DROP if second < 64 => {
            let mut credentials = process.credentials.lock();
            if !credentials.has(capability::SETPCAP) {
                return Err(Errno::EPERM);
            }
            credentials.bounding &= !(1 << second);
        }
        prctl::PR_CAP_AMBIENT => return ambient(second, third),
        prctl::PR_GET_SECUREBITS | prctl::PR_GET_TIMERSLACK => return Ok(0),
        prctl::PR_GET_SECCOMP => return Ok(this.seccomp.lock().mode().into()),
        prctl::PR_SET_SECCOMP => return super::seccomp::set_mode(second, third),
        prctl::PR_SET_TIMERSLACK | prctl::PR_SET_VMA | prctl::PR_SET_THP_DISABLE => {}
        prctl::PR_GET_TID_ADDRESS => user::write(second, this.clear_child_tid.load(Ordering::Relaxed))?,
        _ => return Err(Errno::EINVAL),
    }
    Ok(0)
}

fn ambient(command: u64, which: u64) -> Result<u64> {
    let mut credentials = current().process.credentials.lock();
    if command == u64::from(prctl::PR_CAP_AMBIENT_CLEAR_ALL) {
        credentials.ambient = 0;
        return Ok(0);
    }
    if which >= 64 {
        return Err(Errno::EINVAL);
    }
    let bit = 1 << which;
    match command as u32 {
        prctl::PR_CAP_AMBIENT_IS_SET => return Ok(u64::from(credentials.ambient & bit != 0)),
        prctl::PR_CAP_AMBIENT_LOWER => credentials.ambient &= !bit,
        prctl::PR_CAP_AMBIENT_RAISE if credentials.permitted & credentials.inheritable & bit != 0 => {
            credentials.ambient |= bit;
        }
        prctl::PR_CAP_AMBIENT_RAISE => return Err(Errno::EPERM),
        _ => return Err(Errno::EINVAL),
    }
    Ok(0)
}

fn reboot(args: &Args) -> Result<u64> {
    const MAGIC1: u64 = 0xfee1_dead;
    const MAGIC2: [u32; 4] = [672_274_793, 85_072_278, 369_367_448, 537_993_216];
    let [magic1, magic2, command, ..] = *args;
    if !current().process.credentials.lock().has(capability::SYS_BOOT) {
        return Err(Errno::EPERM);
    }
    if magic1 & 0xffff_ffff != MAGIC1 || !MAGIC2.contains(&(magic2 as u32)) {
        return Err(Errno::EINVAL);
    }
    match command as u32 {
        0x4321_fedc | 0xcdef_0123 => power::off(),
        0x0123_4567 | 0xa1b2_c3d4 => power::reset(),
        // Ctrl-Alt-Del on or off.
        0x89ab_cdef | 0 => Ok(0),
        _ => Err(Errno::EINVAL),
    }
}
