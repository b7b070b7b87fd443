//! Puts a VM together and runs it.
//!
//! The order is that of the least time: memory slots before anything that KVM hangs on its I/O buses (else each slot
//! waits milliseconds for SRCU), and what is slow without KVM's VM as an errand to the other thread.

use crate::boot::{self, Cmdline, Initrd, Kernel, LinuxData};
use crate::bus::{Accelerated, Bus};
use crate::clock::monotonic_ns;
use crate::cpuid;
use crate::descriptors::Descriptors;
use crate::device_thread::{DeviceThread, Errands, Service};
use crate::devices;
use crate::ending::Ending;
use crate::errand::Errand;
use crate::error::Error;
use crate::filters;
use crate::ioapic::IoApic;
use crate::layout::ABOVE_4G;
use crate::linux_panic;
use crate::memory::{Images, Ram};
use crate::report::Report;
use crate::shared::Shared;
use crate::vcpu::Vcpu;
use ampoule_seccomp::Thread;
use ampoule_vmm_api::{Guest, VmConfig};
use kvm_bindings::{
    CpuId, KVM_API_VERSION, KVM_CAP_SPLIT_IRQCHIP, KVM_MEM_READONLY, kvm_enable_cap,
    kvm_userspace_memory_region,
};
use kvm_ioctls::{Kvm, VmFd};
use libc::{EFD_CLOEXEC, EFD_NONBLOCK};
use nix::sys::signalfd::SignalFd;
use rustix::io::{Errno, fcntl_dupfd_cloexec};
use std::mem::ManuallyDrop;
use std::os::fd::{BorrowedFd, FromRawFd, IntoRawFd};
use std::sync::Arc;
use vm_memory::{GuestAddress, GuestMemoryBackend};
use vmm_sys_util::eventfd::EventFd;

/// Pins of an I/O APIC that KVM does not have: how many interrupt routes it is to reserve.
const IRQ_ROUTES: u64 = 24;

/// A VM that is ready to run, on the thread that made it.
pub struct Machine {
    vcpu: Vcpu,
    ram: Ram,
    shared: Arc<Shared>,
    guest: Guest,
}

/// Puts the VM together, and hands everything but the vCPU to the device thread. Gives the VM, and what is to be
/// called when it has run. On failure, the report is the caller's to write.
pub fn build(
    config: &VmConfig,
    descriptors: Descriptors,
    signals: SignalFd,
    report: &mut Report,
) -> Result<(Machine, impl FnOnce() + use<>), Error> {
    let mut timings = report.timings();
    let kvm = Arc::new(open_kvm(descriptors.kvm)?);
    timings.kvm_opened = Some(monotonic_ns());
    let ram = Ram::new(u64::from(config.memory_mib) << 20)?;
    let images = Images::map(&descriptors.images, ram.end())?;
    let errands = Arc::new(Errands {
        cpuid: cpuid_errand(Arc::clone(&kvm)),
        load: load_errand(config, &descriptors, &ram, &images),
    });
    let device_thread = DeviceThread::spawn(Arc::clone(&errands))?;
    let vm = Arc::new(create_vm(&kvm)?);
    timings.vm_created = Some(monotonic_ns());

    // The kernel is the first thing here that somebody hostile may have made.
    filters::install(Thread::Main)?;
    map_memory(&vm, &ram, &images)?;
    timings.memory_mapped = Some(monotonic_ns());
    let vcpu = Vcpu::create(&vm)?;
    let cpuid = errands.cpuid.run()?;
    let entry = *errands.load.run()?;
    timings.kernel_loaded = Some(monotonic_ns());
    vcpu.configure(cpuid, entry)?;
    let io_apic = (config.guest == Guest::Linux).then(|| Arc::new(IoApic::default()));
    let interrupts = devices::interrupts(&vm, &images, io_apic.as_ref());
    let doorbell =
        Arc::new(EventFd::new(EFD_NONBLOCK | EFD_CLOEXEC).map_err(Error::io("create an eventfd"))?);
    let accelerated = Accelerated { vm, doorbell: Arc::clone(&doorbell) };
    let transports = devices::transports(&interrupts, &images, config.guest);
    let bus = Bus::new(ram.memory().clone(), transports, accelerated, io_apic);
    let shared = Arc::new(Shared::new(bus, timings)?);
    let service = Service {
        shared: Arc::clone(&shared),
        descriptors,
        signals,
        interrupts,
        memory: ram.memory().clone(),
        doorbell,
        report: report.hand_over(&shared),
    };
    Ok((Machine { vcpu, ram, shared, guest: config.guest }, device_thread.serve(service)))
}

impl Machine {
    /// Runs the guest until it ends. What the VM is made of goes with the process, not before: its first thread may not take
    /// anything apart.
    pub fn run(self) {
        let mut machine = ManuallyDrop::new(self);
        let Self { vcpu, ram, shared, guest } = &mut *machine;
        let ending = vcpu.run(ram, shared).unwrap_or_else(Ending::from);
        let ending = match guest {
            Guest::Linux => linux_panic::recognize(ending, &shared.bus().log().tail()),
            Guest::Ampoule => ending,
        };
        shared.end(ending);
    }
}

fn cpuid_errand(kvm: Arc<Kvm>) -> Errand<CpuId> {
    Errand::new(move || cpuid::for_one_vcpu(&kvm).map_err(Error::kvm("list CPUID leaves")))
}

fn load_errand(config: &VmConfig, descriptors: &Descriptors, ram: &Ram, images: &Images) -> Errand<u64> {
    let (guest, words) = (config.guest, config.cmdline.clone());
    let (kernel, initrd) = (descriptors.kernel, descriptors.initrd.clone());
    let (ram, images) = (ram.clone(), images.clone());
    Errand::new(move || {
        let loaded = Kernel::read(&kernel, ram.low_end())?;
        loaded.load(&kernel, &ram)?;
        let devices = 1 + images.list().len();
        let (listed, linux) = match guest {
            Guest::Ampoule => (devices, None),
            Guest::Linux => {
                let initrd = Initrd::load(&initrd, loaded.end(), &ram)?;
                // The ACPI tables tell of the devices, so the command line need not.
                (0, Some(LinuxData::write(&ram, devices, initrd)?))
            }
        };
        boot::write_boot_data(&ram, &images, &Cmdline::new(listed, &words), linux)?;
        Ok(loaded.entry)
    })
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
        // SAFETY: the range is mapped until the process ends: the vCPU holds `ram` as long as it runs, images are never
        // unmapped, and nothing but RAM is writable.
        unsafe { vm.set_user_memory_region(kvm_userspace_memory_region { slot: number, ..slot }) }
            .map_err(Error::kvm("map the guest's memory"))?;
    }
    Ok(())
}

fn host_address(ram: &Ram, address: u64) -> Result<u64, Error> {
    Ok(ram.memory().get_host_address(GuestAddress(address))?.expose_provenance() as u64)
}
