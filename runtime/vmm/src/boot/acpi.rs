//! ACPI tables: what tells Linux of its processor, interrupt controllers and devices, and how to power off.
//!
//! Hardware-reduced ACPI (ACPI specification 6.5, chapter 4.1): no timer, no SCI, no legacy devices. Each virtio-mmio
//! device is an `LNRO0005` of the DSDT, which is what Linux's driver looks for. There is no RTC to read: Linux takes the
//! time of day from KVM's clock.

use crate::bus::ports::SOFT_OFF;
use crate::error::Error;
use crate::ioapic::PINS;
use crate::layout::{
    ACPI, ACPI_END, FIRST_IRQ, IO_APIC, LOCAL_APIC, MMIO_BASE, MMIO_STRIDE, PAGE, SLEEP_CONTROL,
};
use crate::memory::Ram;
use acpi_tables::aml::{self, Path};
use acpi_tables::fadt::{FADT, FADTBuilder, Flags};
use acpi_tables::gas::{AccessSize, AddressSpace, GAS};
use acpi_tables::madt::{EnabledStatus, LocalInterruptController, MADT, ProcessorLocalApic};
use acpi_tables::rsdp::Rsdp;
use acpi_tables::sdt::Sdt;
use acpi_tables::xsdt::XSDT;
use acpi_tables::{Aml, madt};
use vm_memory::{Bytes, GuestAddress};

const OEM: [u8; 6] = *b"AMPOUL";
const TABLE: [u8; 8] = *b"AMPOULE ";
const REVISION: u32 = 1;
/// Bytes of a table's header.
const HEADER: u32 = 36;
/// Revision of the DSDT from which on integers have 64 bits.
const DSDT_REVISION: u8 = 2;
/// `IAPC_BOOT_ARCH`: there is no VGA and no RTC in CMOS. That there is no 8042 is said by its bit's absence.
const NO_VGA_NO_RTC: u16 = 1 << 2 | 1 << 5;
/// Tables start at a multiple of this.
const ALIGN: u64 = 16;

/// Writes the tables for a machine with this many virtio-mmio devices. Gives the address of the first, the RSDP.
pub fn write(ram: &Ram, devices: usize) -> Result<u64, Error> {
    let mut tables = Tables { ram, next: ACPI + Rsdp::len() as u64 };
    let dsdt = tables.put(dsdt(devices).as_slice())?;
    let fadt = tables.put(&bytes(&fadt(dsdt)))?;
    let madt = tables.put(&bytes(&madt()))?;
    let mut xsdt = XSDT::new(OEM, TABLE, REVISION);
    xsdt.add_entry(fadt);
    xsdt.add_entry(madt);
    let xsdt = tables.put(&bytes(&xsdt))?;
    ram.memory().write_slice(&bytes(&Rsdp::new(OEM, xsdt)), GuestAddress(ACPI))?;
    Ok(ACPI)
}

/// Lays tables one behind the other.
struct Tables<'a> {
    ram: &'a Ram,
    next: u64,
}

impl Tables<'_> {
    fn put(&mut self, table: &[u8]) -> Result<u64, Error> {
        let address = self.next.next_multiple_of(ALIGN);
        self.next = address + table.len() as u64;
        // As many devices as a VM may have take a tenth of the room.
        assert!(self.next <= ACPI_END, "the ACPI tables have outgrown their place");
        self.ram.memory().write_slice(table, GuestAddress(address))?;
        Ok(address)
    }
}

fn bytes(table: &dyn Aml) -> Vec<u8> {
    let mut bytes = Vec::new();
    table.to_aml_bytes(&mut bytes);
    bytes
}

/// Fixed features: that there are none but power-off.
fn fadt(dsdt: u64) -> FADT {
    let port = |port: u16| GAS::new(AddressSpace::SystemIo, 8, 0, AccessSize::ByteAccess, port.into());
    let mut fadt = FADTBuilder::new(OEM, TABLE, REVISION)
        .dsdt_64(dsdt)
        .flag(Flags::HwReducedAcpi)
        .flag(Flags::PwrButton)
        .flag(Flags::SlpButton);
    fadt.iapc_boot_arch = NO_VGA_NO_RTC.into();
    fadt.sleep_control_reg = port(SLEEP_CONTROL);
    fadt.sleep_status_reg = port(SLEEP_CONTROL + 1);
    fadt.finalize()
}

/// Interrupt controllers: one local APIC, one I/O APIC.
fn madt() -> MADT {
    let address = |address| u32::try_from(address).unwrap_or(u32::MAX);
    let local = LocalInterruptController::Address(address(LOCAL_APIC));
    let mut madt = MADT::new(OEM, TABLE, REVISION, local);
    madt.add_structure(ProcessorLocalApic::new(0, 0, EnabledStatus::Enabled));
    madt.add_structure(madt::IoApic::new(0, address(IO_APIC), 0));
    madt
}

/// The devices, and the sleep state that is "off".
fn dsdt(devices: usize) -> Sdt {
    let mut dsdt = Sdt::new(*b"DSDT", HEADER, DSDT_REVISION, OEM, TABLE, REVISION);
    let off = aml::Package::new(vec![&SOFT_OFF]);
    dsdt.append_slice(&bytes(&aml::Name::new("_S5_".into(), &off)));
    for index in (0..PINS - FIRST_IRQ).take(devices) {
        dsdt.append_slice(&virtio_mmio(index));
    }
    dsdt
}

fn virtio_mmio(index: u32) -> Vec<u8> {
    let start = MMIO_BASE + u64::from(index) * MMIO_STRIDE;
    let (start, len) = (u32::try_from(start).unwrap_or(u32::MAX), u32::try_from(PAGE).unwrap_or(u32::MAX));
    let registers = aml::Memory32Fixed::new(true, start, len);
    // A consumer, edge-triggered, active high, its own.
    let interrupt = aml::Interrupt::new(true, true, false, false, FIRST_IRQ + index);
    let resources = aml::ResourceTemplate::new(vec![&registers, &interrupt]);
    let hid = aml::Name::new("_HID".into(), &"LNRO0005");
    let uid = aml::Name::new("_UID".into(), &index);
    let crs = aml::Name::new("_CRS".into(), &resources);
    let path = Path::new(&format!("_SB_.VM{index:02}"));
    bytes(&aml::Device::new(path, vec![&hid, &uid, &crs]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ampoule_vmm_api::MAX_IMAGES;

    fn read(ram: &Ram, address: u64, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        ram.memory().read_slice(&mut bytes, GuestAddress(address)).unwrap();
        bytes
    }

    fn table(ram: &Ram, address: u64) -> Vec<u8> {
        let head = read(ram, address, 8);
        let table = read(ram, address, u32::from_le_bytes(head[4..8].try_into().unwrap()) as usize);
        assert_eq!(table.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte)), 0, "checksum");
        table
    }

    fn pointer(bytes: &[u8], at: usize) -> u64 {
        u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
    }

    #[test]
    fn every_table_is_found_from_the_first_one() {
        let ram = Ram::new(2 << 20).unwrap();
        let rsdp = read(&ram, write(&ram, 3).unwrap(), 36);
        assert!(rsdp.starts_with(b"RSD PTR "));
        let xsdt = table(&ram, pointer(&rsdp, 24));
        assert!(xsdt.starts_with(b"XSDT") && xsdt.len() == 36 + 2 * 8);
        let (fadt, madt) = (table(&ram, pointer(&xsdt, 36)), table(&ram, pointer(&xsdt, 44)));
        assert!(fadt.starts_with(b"FACP") && madt.starts_with(b"APIC"));
        let dsdt = table(&ram, pointer(&fadt, 140));
        assert!(dsdt.starts_with(b"DSDT"));
        assert_eq!(dsdt.windows(8).filter(|window| window == b"LNRO0005").count(), 3);
        assert!(dsdt.windows(4).any(|window| window == 0xd000_2000u32.to_le_bytes()));
    }

    #[test]
    fn the_most_devices_fit() {
        let ram = Ram::new(2 << 20).unwrap();
        write(&ram, 1 + MAX_IMAGES).unwrap();
        assert!(dsdt(1 + MAX_IMAGES).len() < 4096);
    }
}
