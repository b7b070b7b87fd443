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
    #[error(
        "no permission to open {DEVICE}: add yourself to the group that owns it (group id {group}: \
         `sudo usermod -aG kvm $USER`, then log in again) or run as root"
    )]
    Permission {
        /// The group that owns the device.
        group: u32,
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
        Errno::ACCESS | Errno::PERM => {
            KvmProblem::Permission { group: stat(Path::new(DEVICE)).map_or(0, |stat| stat.st_gid) }
        }
        errno => KvmProblem::Open { errno },
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
        assert!(KvmProblem::Missing(Virtualization::Vmx).to_string().contains("modprobe kvm_intel"));
    }
}
