//! The steps by which a process confines itself: system calls and nothing else, since it shares its parent's memory.

use crate::command::Limits;
use crate::identity::Identity;
use crate::layer::{Layer, Layers};
use rustix::fs::{Access, CWD, access};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountPropagationFlags, MoveMountFlags, UnmountFlags,
    fsconfig_create, fsconfig_set_string, fsmount, fsopen, mount_change, move_mount, unmount,
};
use rustix::process::{Resource, Rlimit, fchdir, pivot_root, setrlimit};
use rustix::system::sethostname;
use rustix::thread::{
    CapabilitiesSecureBits, CapabilitySet, CapabilitySets, Gid, Uid, UnshareFlags,
    clear_ambient_capability_set, remove_capability_from_bounding_set, set_capabilities,
    set_capabilities_secure_bits, set_thread_groups, set_thread_res_gid, set_thread_res_uid,
};
use std::os::fd::{AsRawFd, BorrowedFd};

/// What a host name namespace is called: the host's own name is none of its business.
const HOST_NAME: &[u8] = b"ampoule";
/// More than Linux has capabilities.
const CAPABILITIES: u32 = 64;

/// Leaves the namespaces that may be left before it is known which control group the process is in.
pub(crate) fn namespaces(layers: Layers) -> Result<(), (Layer, Errno)> {
    // The slow one first: the parent has something else to do meanwhile.
    for (layer, flag) in [
        (Layer::Net, UnshareFlags::NEWNET),
        (Layer::Mount, UnshareFlags::NEWNS),
        (Layer::Ipc, UnshareFlags::NEWIPC),
        (Layer::Uts, UnshareFlags::NEWUTS),
    ] {
        leave(layers, layer, flag)?;
    }
    if layers.contains(Layer::Uts) {
        sethostname(HOST_NAME).map_err(|errno| (Layer::Uts, errno))?;
    }
    Ok(())
}

/// Makes the control group that the process is in the root of those that it can see.
pub(crate) fn cgroup_namespace(layers: Layers) -> Result<(), (Layer, Errno)> {
    leave(layers, Layer::Cgroup, UnshareFlags::NEWCGROUP)
}

fn leave(layers: Layers, layer: Layer, flag: UnshareFlags) -> Result<(), (Layer, Errno)> {
    if !layers.contains(layer) {
        return Ok(());
    }
    // SAFETY: descriptors are not unshared.
    unsafe { rustix::thread::unshare_unsafe(flag) }.map_err(|errno| (layer, errno))
}

/// Lets go of the session keyring that was inherited, for a new and empty one. It does not outlive the process.
pub(crate) fn own_keyring() -> Result<(), Errno> {
    let no_name = std::ptr::null::<libc::c_char>();
    // SAFETY: without a name, the call takes no pointer.
    match unsafe { libc::syscall(libc::SYS_keyctl, libc::KEYCTL_JOIN_SESSION_KEYRING, no_name) } {
        -1 => match crate::child::last_error() {
            // The kernel has no keys; else somebody has only hidden the call from us.
            Errno::NOSYS if access("/proc/keys", Access::EXISTS) == Err(Errno::NOENT) => Ok(()),
            errno => Err(errno),
        },
        _ => Ok(()),
    }
}

/// Moves into an empty root, and lets go of the old one.
pub(crate) fn empty_root() -> Result<(), Errno> {
    // Nothing that is done here may travel to the host, and pivot_root insists on that.
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?;
    let context = fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    // One inode is the root directory itself.
    fsconfig_set_string(&context, "nr_inodes", "1")?;
    fsconfig_set_string(&context, "size", "4096")?;
    fsconfig_set_string(&context, "mode", "0555")?;
    fsconfig_create(&context)?;
    let attributes = MountAttrFlags::MOUNT_ATTR_RDONLY
        | MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    let root = fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)?;
    // On top of the old root: no other directory is sure to be there.
    move_mount(&root, "", CWD, "/", MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?;
    fchdir(&root)?;
    // The old root ends up on top of the new one, which is where it is unmounted.
    pivot_root(".", ".")?;
    unmount(".", UnmountFlags::DETACH)
}

/// Takes away everything by which a capability could be had again. Needs `CAP_SETPCAP`, so it comes before the rest goes.
pub(crate) fn no_capabilities_ever() -> Result<(), Errno> {
    for number in 0..CAPABILITIES {
        match remove_capability_from_bounding_set(CapabilitySet::from_bits_retain(1 << number)) {
            Ok(()) => {}
            // Beyond the last one that this kernel has.
            Err(Errno::INVAL) if number > 0 => break,
            Err(errno) => return Err(errno),
        }
    }
    clear_ambient_capability_set()?;
    set_capabilities_secure_bits(
        CapabilitiesSecureBits::NO_ROOT
            | CapabilitiesSecureBits::NO_ROOT_LOCKED
            | CapabilitiesSecureBits::NO_SETUID_FIXUP_LOCKED
            | CapabilitiesSecureBits::KEEP_CAPS_LOCKED
            | CapabilitiesSecureBits::NO_CAP_AMBIENT_RAISE
            | CapabilitiesSecureBits::NO_CAP_AMBIENT_RAISE_LOCKED,
    )
}

/// Becomes another user, in no group but that user's own.
pub(crate) fn become_user(identity: Identity) -> Result<(), Errno> {
    let (uid, gid) = (Uid::from_raw(identity.uid), Gid::from_raw(identity.gid));
    if identity.own {
        set_thread_groups(&[])?;
    }
    set_thread_res_gid(gid, gid, gid)?;
    set_thread_res_uid(uid, uid, uid)
}

/// Gives up the capabilities that are left.
pub(crate) fn no_capabilities() -> Result<(), Errno> {
    let none = CapabilitySet::empty();
    set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })
}

/// Sets the limits. `used` descriptors are open; threads are counted only if no other process's are.
pub(crate) fn limits(limits: &Limits, used: u64, count_threads: bool) -> Result<(), Errno> {
    let threads = count_threads.then_some((Resource::Nproc, limits.threads));
    let limits = [
        (Resource::As, limits.address_space),
        (Resource::Data, limits.private_memory),
        (Resource::Fsize, limits.file_size),
        (Resource::Nofile, used.saturating_add(limits.open_files)),
        (Resource::Core, 0),
        (Resource::Memlock, 0),
        (Resource::Msgqueue, 0),
        (Resource::Nice, 0),
        (Resource::Rtprio, 0),
    ];
    for (resource, limit) in limits.into_iter().chain(threads) {
        // Not above what it is already: that is nobody's to raise.
        let hard = rustix::process::getrlimit(resource).maximum.unwrap_or(u64::MAX);
        let limit = Some(limit.min(hard));
        setrlimit(resource, Rlimit { current: limit, maximum: limit })?;
    }
    Ok(())
}

/// Enters the domain of a Landlock ruleset.
pub(crate) fn landlock(ruleset: BorrowedFd<'_>) -> Result<(), Errno> {
    // SAFETY: takes a descriptor and flags, no pointers.
    match unsafe { libc::syscall(libc::SYS_landlock_restrict_self, ruleset.as_raw_fd(), 0) } {
        0 => Ok(()),
        _ => Err(crate::child::last_error()),
    }
}
