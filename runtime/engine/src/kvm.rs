//! Opening `/dev/kvm`, and what to do when that fails.

use rustix::fs::{Mode, OFlags, open, stat};
use rustix::io::Errno;
use std::os::fd::OwnedFd;
use std::path::Path;
use thiserror::Error;

/// The device.
pub const DEVICE: &str = "/dev/kvm";

/// Why KVM cannot be used. The sentence says what to do.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum KvmProblem {
    /// The device is not there.
    #[error("there is no {DEVICE}: {}", .0.mend())]
    Missing(Virtualization),
    /// The device may not be opened.
    #[error("no permission to open {DEVICE}: {}, or run as root", permission(.group.as_deref()))]
    Permission {
        /// The group whose members may open it, if there is one besides root's.
        group: Option<String>,
    },
    /// Something else is wrong with the device.
    #[error("cannot open {DEVICE}: {errno} (`ampoule doctor` says more)")]
    Open {
        /// What the system says.
        errno: Errno,
    },
}

/// What the processor says about virtualization.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Virtualization {
    /// Intel VT-x.
    Vmx,
    /// AMD-V.
    Svm,
    /// None, in a virtual machine.
    NotInGuest,
    /// None.
    None,
}

impl Virtualization {
    /// Reads it from `/proc/cpuinfo`.
    pub fn detect() -> Self {
        Self::from_cpuinfo(&std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default())
    }

    fn from_cpuinfo(text: &str) -> Self {
        let flags = text.lines().find_map(|line| line.strip_prefix("flags")).unwrap_or_default();
        let has = |name| flags.split_ascii_whitespace().any(|flag| flag == name);
        match (has("vmx"), has("svm"), has("hypervisor")) {
            (true, _, _) => Self::Vmx,
            (_, true, _) => Self::Svm,
            (_, _, true) => Self::NotInGuest,
            _ => Self::None,
        }
    }

    /// What to do when there is no device.
    pub const fn mend(self) -> &'static str {
        match self {
            Self::Vmx => {
                "load the module with `sudo modprobe kvm_intel`; if that fails, enable VT-x in the firmware"
            }
            Self::Svm => {
                "load the module with `sudo modprobe kvm_amd`; if that fails, enable SVM in the firmware"
            }
            Self::NotInGuest => {
                "this is a virtual machine; enable nested virtualization for it, or use a host with software KVM"
            }
            Self::None => {
                "enable virtualization (VT-x or SVM) in the firmware, then load kvm_intel or kvm_amd"
            }
        }
    }
}

/// Opens the device.
pub fn open_device() -> Result<OwnedFd, KvmProblem> {
    open(DEVICE, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()).map_err(|errno| match errno {
        Errno::NOENT | Errno::NXIO | Errno::NODEV => KvmProblem::Missing(Virtualization::detect()),
        Errno::ACCESS | Errno::PERM => KvmProblem::Permission { group: group_with_access() },
        errno => KvmProblem::Open { errno },
    })
}

fn permission(group: Option<&str>) -> String {
    match group {
        Some(group) => {
            format!("join the group that may (`sudo usermod -aG {group} $USER`), log in again")
        }
        None => format!("let yourself (`sudo setfacl -m u:$USER:rw {DEVICE}`; a udev rule makes it last)"),
    }
}

/// The group whose members may open the device, if it is not root's.
fn group_with_access() -> Option<String> {
    const GROUP_READ_WRITE: u32 = 0o060;
    let stat = stat(Path::new(DEVICE)).ok()?;
    let may = stat.st_gid != 0 && stat.st_mode & GROUP_READ_WRITE == GROUP_READ_WRITE;
    let groups = std::fs::read_to_string("/etc/group").unwrap_or_default();
    may.then(|| group_name(&groups, stat.st_gid).unwrap_or(stat.st_gid.to_string()))
}

/// Looks a group up in the text of `/etc/group`.
fn group_name(groups: &str, gid: u32) -> Option<String> {
    groups.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(gid)).then(|| name.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_processors_flags_say_what_to_do() {
        let detect = Virtualization::from_cpuinfo;
        assert_eq!(detect("processor: 0\nflags\t\t: fpu vmx hypervisor\n"), Virtualization::Vmx);
        assert_eq!(detect("flags : svm"), Virtualization::Svm);
        assert_eq!(detect("flags : fpu hypervisor"), Virtualization::NotInGuest);
        assert_eq!(detect("flags : vmxnet"), Virtualization::None);
        let groups = "root:x:0:\nbroken\nkvm:x:104:a,b\n";
        assert_eq!(group_name(groups, 104).as_deref(), Some("kvm"));
        assert_eq!(group_name(groups, 1), None);
        let sentence = KvmProblem::Permission { group: Some("kvm".into()) }.to_string();
        assert!(sentence.contains("usermod -aG kvm $USER"), "{sentence}");
        assert!(KvmProblem::Missing(Virtualization::Vmx).to_string().contains("modprobe kvm_intel"));
    }
}
