//! Puts a VM together and starts it.
//!
//! The order is that of the least time: memory slots before anything that KVM hangs on its I/O buses (else each slot
//! waits milliseconds for SRCU), and everything that the vCPU thread can do meanwhile there.

use crate::boot::{self, Cmdline, Kernel};
use crate::bus::{Accelerated, Bus};
use crate::clock::monotonic_ns;
use crate::descriptors::Descriptors;
use crate::devices::{self, Devices};
use crate::error::Error;
use crate::layout::ABOVE_4G;
use crate::memory::{Images, Ram};
use crate::shared::Shared;
use crate::vcpu::{Start, VcpuThread};
use ampoule_devices::poller::Poller;
use ampoule_vmm_api::{Timings, VmConfig};
use kvm_bindings::{
    KVM_API_VERSION, KVM_CAP_SPLIT_IRQCHIP, KVM_MEM_READONLY, kvm_enable_cap, kvm_userspace_memory_region,
};
use kvm_ioctls::{Kvm, VmFd};
use libc::{EFD_CLOEXEC, EFD_NONBLOCK};
use rustix::io::{Errno, fcntl_dupfd_cloexec};
use std::os::fd::{BorrowedFd, FromRawFd, IntoRawFd};
use std::rc::Rc;
use std::sync::Arc;
use vm_memory::{GuestAddress, GuestMemoryBackend};
use vmm_sys_util::eventfd::EventFd;

/// Pins of the I/O APIC that is not there: how many interrupt routes KVM is to reserve.
const IRQ_ROUTES: u64 = 24;

/// A VM that runs.
pub struct Machine {
    /// What the device thread shares with the vCPU thread.
    pub shared: Arc<Shared>,
    /// The devices.
    pub devices: Devices,
    /// Waits for the host's sockets.
    pub poller: Rc<Poller>,
    /// Rung by the guest's notifications, once there are many.
    pub doorbell: Arc<EventFd>,
}

/// Creates the VM and lets it run. Takes the sockets out of `descriptors`.
pub fn start(
    config: &VmConfig,
    descriptors: &mut Descriptors,
    mut timings: Timings,
) -> Result<Machine, Error> {
    let kvm = Arc::new(open_kvm(descriptors.kvm)?);
    timings.kvm_opened = Some(monotonic_ns());
    let vcpu = VcpuThread::spawn(Arc::clone(&kvm))?;
    let vm = Arc::new(create_vm(&kvm)?);
    timings.vm_created = Some(monotonic_ns());
    vcpu.create_vcpu(Arc::clone(&vm));

    let ram = Ram::new(u64::from(config.memory_mib) << 20)?;
    let images = Images::map(&descriptors.images, ram.end())?;
    map_memory(&vm, &ram, &images)?;
    timings.memory_mapped = Some(monotonic_ns());

    let kernel = Kernel::read(&descriptors.kernel, ram.low_end())?;
    kernel.load(&descriptors.kernel, &ram)?;
    boot::write_boot_data(&ram, &images, &Cmdline::new(1 + images.list().len(), &config.cmdline))?;
    timings.kernel_loaded = Some(monotonic_ns());

    let interrupts = devices::interrupts(&vm, &images);
    let transports = devices::transports(&interrupts, &images);
    let poller = Rc::new(Poller::new().map_err(Error::host("create an epoll"))?);
    let devices = Devices::new(descriptors, interrupts, ram.memory().clone(), Rc::clone(&poller))?;
    let doorbell =
        Arc::new(EventFd::new(EFD_NONBLOCK | EFD_CLOEXEC).map_err(Error::io("create an eventfd"))?);
    let accelerated = Accelerated { vm, doorbell: Arc::clone(&doorbell) };
    let bus = Bus::new(vcpu.ring()?, ram.memory().clone(), transports, accelerated);
    let shared = Arc::new(Shared::new(bus, timings)?);
    vcpu.start(Start { entry: kernel.entry, ram, shared: Arc::clone(&shared) });
    Ok(Machine { shared, devices, poller, doorbell })
}

fn open_kvm(given: Option<BorrowedFd<'_>>) -> Result<Kvm, Error> {
    let kvm = match given {
        Some(fd) => {
            let fd = fcntl_dupfd_cloexec(fd, 0).map_err(Error::host("duplicate kvm_fd"))?;
            // SAFETY: a descriptor of our own. Whether it is KVM is asked next.
            unsafe { Kvm::from_raw_fd(fd.into_raw_fd()) }
        }
        None => Kvm::new().map_err(|error| open_error(Errno::from_raw_os_error(error.errno())))?,
    };
    match u32::try_from(kvm.get_api_version()) {
        Ok(KVM_API_VERSION) => Ok(kvm),
        _ => Err(Error::KvmVersion),
    }
}

fn open_error(errno: Errno) -> Error {
    let hint = match errno {
        Errno::NOENT => " (is the kvm module loaded, and virtualization enabled?)",
        Errno::ACCESS | Errno::PERM => " (may this user use it? Members of its group may)",
        Errno::NODEV | Errno::NXIO => " (the kvm module has no hardware or software support here)",
        _ => "",
    };
    Error::KvmOpen { errno, hint }
}

fn create_vm(kvm: &Kvm) -> Result<VmFd, Error> {
    let vm = kvm.create_vm().map_err(Error::kvm("create a VM"))?;
    let split =
        kvm_enable_cap { cap: KVM_CAP_SPLIT_IRQCHIP, args: [IRQ_ROUTES, 0, 0, 0], ..Default::default() };
    vm.enable_cap(&split).map_err(Error::kvm("create a local APIC"))?;
    Ok(vm)
}

fn map_memory(vm: &VmFd, ram: &Ram, images: &Images) -> Result<(), Error> {
    let mut slots = vec![kvm_userspace_memory_region {
        memory_size: ram.low_end(),
        userspace_addr: host_address(ram, 0)?,
        ..Default::default()
    }];
    if ram.end() > ABOVE_4G {
        slots.push(kvm_userspace_memory_region {
            guest_phys_addr: ABOVE_4G,
            memory_size: ram.end() - ABOVE_4G,
            userspace_addr: host_address(ram, ABOVE_4G)?,
            ..Default::default()
        });
    }
    if let Some((range, host)) = images.slot() {
        slots.push(kvm_userspace_memory_region {
            flags: KVM_MEM_READONLY,
            guest_phys_addr: range.start,
            memory_size: range.len,
            userspace_addr: host.expose_provenance() as u64,
            ..Default::default()
        });
    }
    for (number, slot) in (0..).zip(slots) {
        // SAFETY: the range is mapped until the process ends: the vCPU thread holds a clone of `ram`, images are never
        // unmapped, and nothing but RAM is writable.
        unsafe { vm.set_user_memory_region(kvm_userspace_memory_region { slot: number, ..slot }) }
            .map_err(Error::kvm("map the guest's memory"))?;
    }
    Ok(())
}

fn host_address(ram: &Ram, address: u64) -> Result<u64, Error> {
    Ok(ram.memory().get_host_address(GuestAddress(address))?.expose_provenance() as u64)
}
