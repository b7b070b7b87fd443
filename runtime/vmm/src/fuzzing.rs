//! The parts of the VMM that read what a guest or its files say, as fuzz targets drive them (feature `fuzzing`).
//!
//! - [`load`]: a kernel and an initramfs into fresh RAM, with everything else that a kernel finds there.
//! - [`Bus`]: what the vCPU thread asks at each exit, and what the device thread fetches.
//!
//! Both panic where a promise of theirs is broken.

use crate::boot::{self, Cmdline, Initrd, Kernel, LinuxData};
use crate::bus::{self, Accelerated, After, Transports};
use crate::descriptors::{Slice, borrow};
use crate::ioapic::IoApic;
use crate::layout::{BOOT_PARAMS, HIGH_RAM, MMIO_BASE};
use crate::memory::{Images, Ram};
use ampoule_devices::InterruptStatus;
use ampoule_devices::mmio::{DeviceType, Registers};
use ampoule_devices::{pmem, vsock};
use ampoule_vmm_api::CONSOLE_TAIL_LEN;
use kvm_ioctls::{Kvm, VmFd};
use std::fs::File;
use std::os::fd::AsRawFd;
use std::sync::{Arc, OnceLock};
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};
use vmm_sys_util::eventfd::EventFd;

/// RAM of a guest into which kernels are loaded.
const RAM: u64 = 16 << 20;
/// RAM of a guest with a bus.
const SMALL_RAM: usize = 1 << 16;
/// Devices on a bus: vsock and two images.
const DEVICES: u32 = 3;
/// Most changes of devices that wait to be fetched: a batch of registers, one more store, and one that was there.
const MAX_CHANGES: usize = 258;

/// Loads a kernel and its initramfs, if they are ones.
pub fn load(kernel: &File, initrd: &[(&File, u64)], words: &str) {
    let ram = Ram::new(RAM).expect("RAM of this size");
    let file = whole(kernel);
    let Ok(loaded) = Kernel::read(&file, ram.low_end()) else { return };
    for segment in &loaded.segments {
        let end = segment.address.checked_add(segment.memory_len).expect("a segment that ends");
        assert!(segment.address >= HIGH_RAM && end <= ram.low_end(), "{segment:x?} is outside of RAM");
        assert!(segment.offset + segment.file_len <= file.len, "{segment:x?} is outside of the file");
    }
    let holds_entry = |segment: &boot::Segment| {
        (segment.address..segment.address + segment.memory_len).contains(&loaded.entry)
    };
    assert!(loaded.segments.iter().any(holds_entry), "{:#x} is nowhere", loaded.entry);
    if loaded.load(&file, &ram).is_err() {
        return;
    }
    let boot_area: [u8; 4096] = read(&ram, BOOT_PARAMS);
    assert_eq!(boot_area, [0; 4096], "a kernel is where the boot data goes");
    let parts: Vec<Slice> = initrd.iter().map(|(file, len)| Slice { len: *len, ..whole(file) }).collect();
    let Ok(initrd) = Initrd::load(&parts, loaded.end(), &ram) else { return };
    let is_above = initrd == Initrd::default() || initrd.start >= loaded.end();
    assert!(
        is_above && initrd.start + initrd.len <= ram.low_end(),
        "{initrd:x?} is not between kernel and end"
    );
    let linux = LinuxData::write(&ram, 1 + parts.len(), initrd).expect("room for the tables");
    let images = Images::map(&[], ram.end()).expect("no images");
    // The configuration lets no longer ones through.
    let words: String = words.chars().take(1024).collect();
    boot::write_boot_data(&ram, &images, &Cmdline::new(1, &words), Some(linux)).expect("room for boot data");
}

fn whole(file: &File) -> Slice {
    let len = file.metadata().expect("a file").len();
    Slice { file: borrow("file", file.as_raw_fd()).expect("an open file"), offset: 0, len }
}

fn read(ram: &Ram, at: u64) -> [u8; 4096] {
    let mut bytes = [0; 4096];
    ram.memory().read_slice(&mut bytes, GuestAddress(at)).expect("a page of RAM");
    bytes
}

/// A bus with its devices' registers, an I/O APIC and a little RAM.
pub struct Bus {
    bus: bus::Bus,
    memory: GuestMemoryMmap,
    io_apic: Arc<IoApic>,
}

impl Bus {
    /// A bus of a VM that never runs: all buses of a process are of the same one.
    pub fn new() -> Self {
        static VM: OnceLock<Arc<VmFd>> = OnceLock::new();
        let vm = VM.get_or_init(|| {
            let vm = Kvm::new().and_then(|kvm| kvm.create_vm()).expect("a VM: KVM has to be usable");
            Arc::new(vm)
        });
        let doorbell = EventFd::new(libc::EFD_NONBLOCK).expect("an eventfd");
        let memory = GuestMemoryMmap::from_ranges(&[(GuestAddress(0), SMALL_RAM)]).expect("RAM");
        let io_apic = Arc::new(IoApic::default());
        let bus = bus::Bus::new(
            memory.clone(),
            transports(),
            Accelerated { vm: Arc::clone(vm), doorbell: Arc::new(doorbell) },
            Some(Arc::clone(&io_apic)),
        );
        Self { bus, memory, io_apic }
    }

    /// Somebody streams the log from now on.
    pub fn watch(&mut self) {
        self.bus.log().watch();
    }

    /// The guest writes to its RAM.
    pub fn fill(&mut self, at: u64, bytes: &[u8]) {
        // Beyond its RAM, nothing happens.
        let _ = self.memory.write_slice(bytes, GuestAddress(at));
    }

    /// The guest loads 1 to 8 bytes.
    pub fn load(&mut self, address: u64, data: &mut [u8]) {
        assert_eq!(self.bus.mmio_read(address, data), After::Continue);
    }

    /// The guest stores 1 to 8 bytes. False if that has ended it.
    pub fn store(&mut self, address: u64, data: &[u8]) -> bool {
        let after = self.bus.mmio_write(address, data);
        self.go_on(after)
    }

    /// The guest reads from a port.
    pub fn input(&mut self, port: u16, data: &mut [u8]) {
        assert_eq!(self.bus.port_read(port, data), After::Continue);
    }

    /// The guest writes to a port. False if that has ended it.
    pub fn output(&mut self, port: u16, data: &[u8]) -> bool {
        let after = self.bus.port_write(port, data);
        self.go_on(after)
    }

    /// A device pulls its pin.
    pub fn interrupt(&mut self, pin: u32) {
        if let Some(message) = self.io_apic.raise(pin) {
            // The page of the local APICs, and a vector with its delivery mode.
            assert!(
                (0xfee0_0000..0xfef0_0000).contains(&message.address) && message.data <= 0x7ff,
                "{message:x?}"
            );
        }
    }

    /// The device thread's turn.
    pub fn serve(&mut self) {
        let commands = self.bus.transports().take_commands();
        assert!(commands.changes.len() <= MAX_CHANGES, "{} changes", commands.changes.len());
        assert!(commands.changes.iter().all(|(device, _)| *device < DEVICES as usize), "{commands:?}");
        assert_eq!(commands.notified >> DEVICES, 0, "{commands:?}");
        self.bus.transports().resets_are_done();
        assert!(!self.bus.transports().has_reset() && !self.bus.transports().has_commands());
        let log = self.bus.log();
        let mut buffer = [0; 256];
        for _ in 0..=CONSOLE_TAIL_LEN / 100 {
            if !log.has_unsent() {
                break;
            }
            let len = log.copy_unsent(&mut buffer);
            assert!((1..=buffer.len()).contains(&len) && !buffer[..len].contains(&0));
        }
        assert!(!log.has_unsent(), "the log never ends");
    }

    fn go_on(&mut self, after: After) -> bool {
        match after {
            After::Continue | After::Wake => true,
            // The vCPU waits for it.
            After::AwaitReset => {
                self.serve();
                true
            }
            After::End(_) => false,
        }
    }
}

impl Default for Bus {
    fn default() -> Self {
        Self::new()
    }
}

fn transports() -> Transports {
    let status = InterruptStatus::default;
    let mut registers =
        vec![Registers::new(DeviceType::Vsock, 0, &vsock::QUEUE_SIZES, &vsock::config(3), status())];
    for start in [1 << 30, 2 << 30] {
        let config = pmem::config(start, 4096);
        registers.push(Registers::new(DeviceType::Pmem, 0, &pmem::QUEUE_SIZES, &config, status()));
    }
    Transports::new(registers)
}

/// Where the devices and what else there is on the bus are, for targets that want to hit them.
pub const PLACES: [u64; 4] =
    [MMIO_BASE, crate::layout::PV_PAGE, crate::layout::IO_APIC, MMIO_BASE + crate::layout::MMIO_STRIDE];
