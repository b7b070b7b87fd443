//! The descriptors of the configuration: from numbers that somebody wrote down to files that are open.

use crate::error::Error;
use ampoule_devices::vsock::Socket;
use ampoule_vmm_api::{FileSlice, ValidVmConfig};
use rustix::event::{EventfdFlags, eventfd};
use rustix::io::fcntl_getfd;
use std::num::NonZeroU64;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};

/// A range of an open file.
#[derive(Clone, Copy, Debug)]
pub struct Slice {
    /// The file.
    pub file: BorrowedFd<'static>,
    /// Where the slice starts, in bytes.
    pub offset: u64,
    /// Its length in bytes.
    pub len: u64,
}

/// Everything that the VMM got from its parent. Files that have no other user are owned.
#[derive(Debug)]
pub struct Descriptors {
    /// The kernel.
    pub kernel: Slice,
    /// The images.
    pub images: Vec<Slice>,
    /// The parts of the initramfs.
    pub initrd: Vec<Slice>,
    /// Where the kernel log goes.
    pub console: Option<BorrowedFd<'static>>,
    /// Whose end of file is our end.
    pub lifeline: Option<OwnedFd>,
    /// `/dev/kvm`.
    pub kvm: Option<BorrowedFd<'static>>,
    /// Where clients connect who want to reach the guest.
    pub vsock_listener: Option<OwnedFd>,
    /// Ports to which the guest may connect.
    pub vsock_ports: Vec<(u32, Socket)>,
    /// Most bytes a second that travel over vsock.
    pub vsock_rate: Option<NonZeroU64>,
}

impl Descriptors {
    /// Takes over the descriptors of the configuration.
    ///
    /// # Safety
    /// Nobody else in this process may own or close any of them. To be called once.
    pub unsafe fn adopt(config: &ValidVmConfig) -> Result<Self, Error> {
        let own = |what: &str, fd: RawFd| {
            borrow(what, fd)?;
            // SAFETY: it is open, `validate` has seen that it has a single use in the configuration, and the caller
            // promises that it has no other.
            Ok::<_, Error>(unsafe { OwnedFd::from_raw_fd(fd) })
        };
        Ok(Self {
            kernel: slice("kernel", &config.kernel)?,
            images: (config.images.iter().enumerate())
                .map(|(index, image)| slice(&format!("image {index}"), image))
                .collect::<Result<_, _>>()?,
            initrd: config.initrd.iter().map(|part| slice("initramfs", part)).collect::<Result<_, _>>()?,
            console: config.console_fd.map(|fd| borrow("console_fd", fd)).transpose()?,
            lifeline: config.lifeline_fd.map(|fd| own("lifeline_fd", fd)).transpose()?,
            kvm: config.kvm_fd.map(|fd| borrow("kvm_fd", fd)).transpose()?,
            vsock_listener: config.vsock.listen_fd.map(|fd| own("vsock.listen_fd", fd)).transpose()?,
            vsock_rate: config.vsock.bytes_per_second,
            vsock_ports: (config.vsock.ports.iter())
                .map(|port| {
                    let socket = own(&format!("vsock port {}", port.port), port.fd)?;
                    Ok((port.port, Socket::new(socket).map_err(Error::host("use a vsock port's socket"))?))
                })
                .collect::<Result<_, Error>>()?,
        })
    }
}

/// Makes sure that nothing of ours gets the number of a standard stream that the parent has closed, lest messages go there.
pub fn occupy_standard_streams() -> Result<(), Error> {
    for number in 0..=2 {
        if borrow("standard stream", number).is_err() {
            // The lowest free number, which is this one.
            let filler = eventfd(0, EventfdFlags::empty()).map_err(Error::host("create an eventfd"))?;
            let _ = filler.into_raw_fd();
        }
    }
    Ok(())
}

fn slice(what: &str, slice: &FileSlice) -> Result<Slice, Error> {
    Ok(Slice { file: borrow(what, slice.fd)?, offset: slice.offset, len: slice.len })
}

/// The descriptor with this number, if it is open.
pub fn borrow(what: &str, fd: RawFd) -> Result<BorrowedFd<'static>, Error> {
    let not_open = || Error::NotOpen { what: what.into(), fd };
    if fd < 0 {
        return Err(not_open());
    }
    // SAFETY: it is not -1. Descriptors of the configuration stay open as long as the process lives, and using one
    // that is not open only gives EBADF.
    let borrowed = unsafe { BorrowedFd::borrow_raw(fd) };
    fcntl_getfd(borrowed).map(|_| borrowed).map_err(|_| not_open())
}

/// The descriptor of something that only tells its number.
pub fn lend<T: AsRawFd>(owner: &T) -> BorrowedFd<'_> {
    // SAFETY: the owner keeps it open, at least as long as the reference to it lives.
    unsafe { BorrowedFd::borrow_raw(owner.as_raw_fd()) }
}
