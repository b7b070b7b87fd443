//! The configuration of a VM.

use crate::Error;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::num::NonZeroU64;
use std::ops::Deref;
use std::os::fd::RawFd;

/// Bytes of a page; images start at a multiple of it.
pub const PAGE_SIZE: u64 = 4096;
/// Least guest memory in MiB: the kernel is loaded at 1 MiB.
pub const MIN_MEMORY_MIB: u32 = 2;
/// Most guest memory in MiB.
pub const MAX_MEMORY_MIB: u32 = 256 * 1024;
/// Most images of a VM.
pub const MAX_IMAGES: usize = 8;
/// Most parts of an initramfs.
pub const MAX_INITRD_PARTS: usize = 4;
/// Most vsock ports with a descriptor of their own.
pub const MAX_VSOCK_PORTS: usize = 64;
/// Most bytes of the caller's words. Linux takes 2048 in all, and the VMM adds its own.
pub const MAX_CMDLINE_LEN: usize = 1536;

/// The configuration of a VM, as it comes: not checked yet.
///
/// ```
/// use ampoule_vmm_api::{FileSlice, VmConfig};
/// let kernel = FileSlice { fd: 3, offset: 0, len: 100_000 };
/// let config = VmConfig { cmdline: "quiet".into(), ..VmConfig::new(256, kernel) };
/// let json = config.to_json();
/// assert_eq!(VmConfig::from_json(&json)?.validate()?.memory_mib, 256);
/// # Ok::<(), ampoule_vmm_api::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VmConfig {
    /// Guest memory in MiB.
    pub memory_mib: u32,
    /// An ELF64 kernel.
    pub kernel: FileSlice,
    /// Read-only images that are mapped into the guest's physical memory: the root, the agent's, and more. Their
    /// offsets are multiples of [`PAGE_SIZE`].
    #[serde(default)]
    pub images: Vec<FileSlice>,
    /// What kind of kernel it is.
    #[serde(default)]
    pub guest: Guest,
    /// The initramfs of a Linux kernel: cpio archives that are loaded one behind the other.
    #[serde(default)]
    pub initrd: Vec<FileSlice>,
    /// Words for the kernel, after those of the VMM.
    #[serde(default)]
    pub cmdline: String,
    /// Where the kernel log goes as it comes. What it does not take at once may be dropped.
    #[serde(default)]
    pub console_fd: Option<RawFd>,
    /// Where the [`VmStatus`](crate::VmStatus) goes.
    #[serde(default)]
    pub status_fd: Option<RawFd>,
    /// The VM ends when this descriptor reads end of file: when the process that holds its other end is gone.
    #[serde(default)]
    pub lifeline_fd: Option<RawFd>,
    /// An open `/dev/kvm`. Without it, the VMM opens that path.
    #[serde(default)]
    pub kvm_fd: Option<RawFd>,
    /// The VMM's own `/proc/self/status`, open: in its jail there is no `/proc`.
    #[serde(default)]
    pub own_status_fd: Option<RawFd>,
    /// The guest's way to the host.
    #[serde(default)]
    pub vsock: VsockConfig,
}

/// A kind of kernel, and with it what the machine shows to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Guest {
    /// Ampoule's own, which finds its devices on its command line and gets their interrupts as messages.
    #[default]
    Ampoule,
    /// A stock Linux kernel, which wants ACPI tables and an I/O APIC.
    Linux,
}

/// A range of an open file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileSlice {
    /// The file, open for reading. Several slices may share it.
    pub fd: RawFd,
    /// Where the slice starts, in bytes.
    pub offset: u64,
    /// Its length in bytes.
    pub len: u64,
}

/// The virtio-vsock device.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VsockConfig {
    /// A listening Unix stream socket. Who connects there says `CONNECT <port>\n`, gets `OK <port>\n`, and is then
    /// connected to that port of the guest.
    #[serde(default)]
    pub listen_fd: Option<RawFd>,
    /// Ports of the host to which the guest may connect. A connect to any other is refused.
    #[serde(default)]
    pub ports: Vec<VsockPort>,
    /// Most bytes a second that travel, both directions together, on average.
    #[serde(default)]
    pub bytes_per_second: Option<NonZeroU64>,
}

/// A port of the host to which the guest may connect once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VsockPort {
    /// The port.
    pub port: u32,
    /// A connected Unix stream socket: what the guest writes comes out of its other end. The VMM owns it, and makes it
    /// non-blocking.
    pub fd: RawFd,
}

impl VmConfig {
    /// A VM with a kernel and nothing else.
    pub fn new(memory_mib: u32, kernel: FileSlice) -> Self {
        Self {
            memory_mib,
            kernel,
            images: Vec::new(),
            guest: Guest::default(),
            initrd: Vec::new(),
            cmdline: String::new(),
            console_fd: None,
            status_fd: None,
            lifeline_fd: None,
            kvm_fd: None,
            own_status_fd: None,
            vsock: VsockConfig::default(),
        }
    }

    /// Reads the VMM's argument.
    pub fn from_json(json: &str) -> Result<Self, Error> {
        serde_json::from_str(json).map_err(Error::ConfigSyntax)
    }

    /// The VMM's argument.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_else(|error| unreachable!("plain data is always JSON: {error}"))
    }

    /// Checks everything that can be checked without touching the descriptors.
    pub fn validate(self) -> Result<ValidVmConfig, Error> {
        let memory_mib = self.memory_mib;
        if !(MIN_MEMORY_MIB..=MAX_MEMORY_MIB).contains(&memory_mib) {
            return Err(Error::Memory { memory_mib, min: MIN_MEMORY_MIB, max: MAX_MEMORY_MIB });
        }
        check_count("images", self.images.len(), MAX_IMAGES)?;
        check_count("vsock ports", self.vsock.ports.len(), MAX_VSOCK_PORTS)?;
        self.kernel.check("kernel")?;
        for (index, image) in self.images.iter().enumerate() {
            image.check(&format!("image {index}"))?;
            image.check_aligned(&format!("image {index}"))?;
        }
        check_count("parts of an initramfs", self.initrd.len(), MAX_INITRD_PARTS)?;
        for part in &self.initrd {
            part.check("initramfs")?;
        }
        check_cmdline(&self.cmdline)?;
        self.check_fds()?;
        Ok(ValidVmConfig(self))
    }

    /// Files, console and `/dev/kvm` may share descriptors; those that the VMM reads from or owns are theirs alone.
    fn check_fds(&self) -> Result<(), Error> {
        let mut used: BTreeSet<RawFd> =
            self.images.iter().chain(&self.initrd).map(|slice| slice.fd).collect();
        used.insert(self.kernel.fd);
        for (what, fd) in [
            ("console_fd", self.console_fd),
            ("status_fd", self.status_fd),
            ("kvm_fd", self.kvm_fd),
            ("own_status_fd", self.own_status_fd),
        ] {
            if let Some(fd) = fd {
                check_fd(what, fd)?;
                used.insert(fd);
            }
        }
        let mut ports = BTreeSet::new();
        for VsockPort { port, fd } in &self.vsock.ports {
            if !ports.insert(*port) {
                return Err(Error::DuplicatePort { port: *port });
            }
            claim(&mut used, &format!("vsock port {port}"), *fd)?;
        }
        for (what, fd) in [("vsock.listen_fd", self.vsock.listen_fd), ("lifeline_fd", self.lifeline_fd)] {
            if let Some(fd) = fd {
                claim(&mut used, what, fd)?;
            }
        }
        Ok(())
    }
}

/// A configuration that has been checked. What its descriptors are remains to be seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValidVmConfig(VmConfig);

impl Deref for ValidVmConfig {
    type Target = VmConfig;

    fn deref(&self) -> &VmConfig {
        &self.0
    }
}

impl FileSlice {
    fn check(&self, what: &str) -> Result<(), Error> {
        check_fd(what, self.fd)?;
        if self.len == 0 {
            return Err(Error::Empty { what: what.into() });
        }
        match self.offset.checked_add(self.len).and_then(|end| end.checked_add(PAGE_SIZE)) {
            Some(end) if i64::try_from(end).is_ok() => Ok(()),
            _ => Err(Error::Range { what: what.into(), offset: self.offset, len: self.len }),
        }
    }

    fn check_aligned(&self, what: &str) -> Result<(), Error> {
        match self.offset.is_multiple_of(PAGE_SIZE) {
            true => Ok(()),
            false => Err(Error::Unaligned { what: what.into(), offset: self.offset }),
        }
    }
}

fn check_count(what: &'static str, count: usize, max: usize) -> Result<(), Error> {
    match count <= max {
        true => Ok(()),
        false => Err(Error::TooMany { what, count, max }),
    }
}

fn check_cmdline(cmdline: &str) -> Result<(), Error> {
    if cmdline.len() > MAX_CMDLINE_LEN {
        return Err(Error::CmdlineTooLong { len: cmdline.len(), max: MAX_CMDLINE_LEN });
    }
    match cmdline.chars().find(|character| !matches!(character, ' '..='~')) {
        Some(character) => Err(Error::CmdlineCharacter { character }),
        None => Ok(()),
    }
}

fn check_fd(what: &str, fd: RawFd) -> Result<(), Error> {
    match fd >= 0 {
        true => Ok(()),
        false => Err(Error::Fd { what: what.into(), fd }),
    }
}

fn claim(used: &mut BTreeSet<RawFd>, what: &str, fd: RawFd) -> Result<(), Error> {
    check_fd(what, fd)?;
    match used.insert(fd) {
        true => Ok(()),
        false => Err(Error::SharedFd { what: what.into(), fd }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> VmConfig {
        let mut config = VmConfig::new(256, FileSlice { fd: 3, offset: 64, len: 1000 });
        config.images = vec![FileSlice { fd: 3, offset: 4096, len: 4096 }];
        config.vsock.ports = vec![VsockPort { port: 1024, fd: 5 }];
        config
    }

    fn message(change: impl FnOnce(&mut VmConfig)) -> String {
        let mut config = config();
        change(&mut config);
        config.validate().unwrap_err().to_string()
    }

    #[test]
    fn a_sound_configuration_survives_the_way_through_json() {
        let config = config();
        assert_eq!(VmConfig::from_json(&config.to_json()).unwrap(), config);
        assert_eq!(*config.clone().validate().unwrap(), config);
    }

    #[test]
    fn a_short_configuration_is_enough() {
        let json = r#"{"memory_mib":16,"kernel":{"fd":3,"offset":0,"len":1}}"#;
        let kernel = FileSlice { fd: 3, offset: 0, len: 1 };
        assert_eq!(VmConfig::from_json(json).unwrap(), VmConfig::new(16, kernel));
    }

    #[test]
    fn a_linux_guest_has_a_name_and_an_initramfs() {
        let mut config = config();
        config.guest = Guest::Linux;
        config.initrd = vec![FileSlice { fd: 3, offset: 7, len: 9 }, FileSlice { fd: 4, offset: 0, len: 1 }];
        let json = config.to_json();
        assert!(json.contains(r#""guest":"linux""#), "{json}");
        assert_eq!(*VmConfig::from_json(&json).unwrap().validate().unwrap(), config);
        assert_eq!(message(|c| c.initrd = vec![c.kernel; 5]), "5 parts of an initramfs are more than 4");
        assert_eq!(message(|c| c.initrd = vec![FileSlice { len: 0, ..c.kernel }]), "initramfs is empty");
    }

    #[test]
    fn unknown_fields_are_refused() {
        let json = r#"{"memory_mib":16,"kernel":{"fd":3,"offset":0,"len":1},"cpus":2}"#;
        assert!(VmConfig::from_json(json).unwrap_err().to_string().contains("cpus"));
    }

    #[test]
    fn each_mistake_has_its_sentence() {
        assert_eq!(message(|c| c.memory_mib = 1), "1 MiB of guest memory are not between 2 and 262144 MiB");
        assert_eq!(message(|c| c.kernel.len = 0), "kernel is empty");
        assert_eq!(message(|c| c.kernel.fd = -1), "kernel: -1 is not a file descriptor");
        assert_eq!(
            message(|c| c.images[0].offset = 512),
            "image 0: the offset 512 is not a multiple of 4096 bytes"
        );
        assert_eq!(
            message(|c| c.images[0].len = u64::MAX - 5000),
            "image 0: 18446744073709546615 bytes at 4096 are more than a file can have"
        );
        assert_eq!(message(|c| c.images = vec![c.images[0]; 9]), "9 images are more than 8");
        assert_eq!(
            message(|c| c.vsock.ports = vec![VsockPort { port: 1, fd: 9 }, VsockPort { port: 1, fd: 10 }]),
            "vsock port 1 is given twice"
        );
        assert_eq!(
            message(|c| c.lifeline_fd = Some(5)),
            "lifeline_fd: file descriptor 5 has another use already"
        );
        assert_eq!(
            message(|c| c.vsock.listen_fd = Some(3)),
            "vsock.listen_fd: file descriptor 3 has another use already"
        );
        assert_eq!(
            message(|c| c.cmdline = "a\nb".into()),
            "the command line has the character '\\n'; only printable ASCII is allowed"
        );
        assert_eq!(
            message(|c| c.cmdline = "x".repeat(1537)),
            "the command line has 1537 bytes, more than 1536"
        );
    }
}
