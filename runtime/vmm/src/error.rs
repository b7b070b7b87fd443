//! What can go wrong before a VM runs, or besides the guest while it runs.

use ampoule_vmm_api::Reason;
use rustix::io::Errno;
use std::os::fd::RawFd;
use std::sync::Arc;
use thiserror::Error;

/// Why there is no VM.
#[derive(Debug, Error)]
pub enum Error {
    /// The process was not started as it has to be.
    #[error("usage: ampoule-vmm CONFIG, where CONFIG is JSON")]
    Usage,
    /// The configuration is wrong in itself.
    #[error(transparent)]
    Config(#[from] ampoule_vmm_api::Error),
    /// The configuration names a descriptor that is not there.
    #[error("{what}: file descriptor {fd} is not open")]
    NotOpen {
        /// Whose.
        what: String,
        /// The number.
        fd: RawFd,
    },
    /// The kernel is not one.
    #[error("the kernel is not usable: {0}")]
    Kernel(#[from] KernelError),
    /// An image is not one.
    #[error("image {index} is not usable: {error}")]
    Image {
        /// Which one.
        index: usize,
        /// Why.
        error: ImageError,
    },
    /// `/dev/kvm` cannot be opened.
    #[error("cannot open /dev/kvm: {errno}{hint}")]
    KvmOpen {
        /// Why.
        errno: Errno,
        /// What to do about it.
        hint: &'static str,
    },
    /// What was opened is not KVM, or not the KVM known to us.
    #[error("/dev/kvm is not KVM of API version 12")]
    KvmVersion,
    /// KVM refused something.
    #[error("KVM refused to {what}: {errno}")]
    Kvm {
        /// To do what.
        what: &'static str,
        /// Why.
        errno: Errno,
    },
    /// A system call failed.
    #[error("cannot {what}: {errno}")]
    Host {
        /// Do what.
        what: &'static str,
        /// Why.
        errno: Errno,
    },
    /// A thread has no system-call filter.
    #[error(transparent)]
    Filter(#[from] ampoule_seccomp::Error),
    /// What went wrong with something that either thread may have done.
    #[error(transparent)]
    Errand(Arc<Self>),
    /// What an attack of a test has brought.
    #[cfg(feature = "attack")]
    #[error("attack: {0}")]
    Attack(String),
    /// Guest memory could not be written although it is ours.
    #[error("cannot write boot data into guest memory: {0}")]
    GuestMemory(#[from] vm_memory::GuestMemoryError),
    /// Guest memory could not be mapped.
    #[error("cannot map guest memory: {0}")]
    MapMemory(String),
}

/// What is wrong with a kernel.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum KernelError {
    /// The file cannot be read.
    #[error("reading it failed: {0}")]
    Read(Errno),
    /// The file ends before the kernel does.
    #[error("the file ends within it (truncated?)")]
    Truncated,
    /// No ELF magic.
    #[error("it is not an ELF file")]
    NotElf,
    /// ELF of another class, byte order or machine.
    #[error("it is not for x86-64")]
    Foreign,
    /// A program header table that no kernel has.
    #[error("its program headers are malformed")]
    ProgramHeaders,
    /// Nothing to load.
    #[error("it has nothing to load")]
    Empty,
    /// A segment in the memory that holds boot data.
    #[error("it wants to be loaded at {address:#x}, below 1 MiB")]
    Low {
        /// Physical address of the segment.
        address: u64,
    },
    /// A segment beyond RAM.
    #[error("it reaches up to {end:#x}, but the guest has memory up to {ram_end:#x} only")]
    DoesNotFit {
        /// End of the segment.
        end: u64,
        /// End of low RAM.
        ram_end: u64,
    },
    /// The initramfs is larger than the memory above the kernel.
    #[error("its initramfs of {len} bytes does not fit above it: the guest needs more memory")]
    InitrdDoesNotFit {
        /// All of its bytes.
        len: u64,
    },
    /// The file ends before the initramfs does.
    #[error("the file of its initramfs ends within it (truncated?)")]
    InitrdTruncated,
    /// An entry point outside of the kernel.
    #[error("its entry point {entry:#x} is not within what it loads below 1 GiB")]
    Entry {
        /// The entry point.
        entry: u64,
    },
}

/// What is wrong with an image.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum ImageError {
    /// `fstat` failed.
    #[error("{0}")]
    Stat(Errno),
    /// A pipe, a directory or the like.
    #[error("it is not a regular file")]
    NotRegular,
    /// The file ends before the image does.
    #[error("the file has {size} bytes, but the image needs {needed} (truncated?)")]
    Truncated {
        /// Size of the file in bytes.
        size: u64,
        /// End of the image in the file.
        needed: u64,
    },
    /// `mmap` failed.
    #[error("it cannot be mapped: {0}")]
    Map(Errno),
    /// The images need more addresses than there are.
    #[error("it does not fit into the guest's physical addresses")]
    TooLarge,
}

impl Error {
    /// How the VMM's end is to be called.
    pub fn reason(&self) -> Reason {
        match self {
            Self::Usage | Self::Config(_) | Self::NotOpen { .. } => Reason::BadConfig,
            Self::Kernel(_) => Reason::BadKernel,
            Self::Errand(error) => error.reason(),
            Self::Image { .. } => Reason::BadImage,
            Self::KvmOpen { .. } | Self::KvmVersion => Reason::KvmUnavailable,
            Self::Kvm { .. } => Reason::KvmError,
            #[cfg(feature = "attack")]
            Self::Attack(_) => Reason::HostError,
            Self::Host { .. } | Self::Filter(_) | Self::GuestMemory(_) | Self::MapMemory(_) => {
                Reason::HostError
            }
        }
    }

    /// For `map_err` after a system call.
    pub fn host(what: &'static str) -> impl Fn(Errno) -> Self {
        move |errno| Self::Host { what, errno }
    }

    /// For `map_err` after a call of the standard library.
    pub fn io(what: &'static str) -> impl Fn(std::io::Error) -> Self {
        move |error| Self::Host { what, errno: Errno::from_io_error(&error).unwrap_or(Errno::IO) }
    }

    /// For `map_err` after a KVM ioctl.
    pub fn kvm(what: &'static str) -> impl Fn(kvm_ioctls::Error) -> Self {
        move |error| Self::Kvm { what, errno: Errno::from_raw_os_error(error.errno()) }
    }
}
