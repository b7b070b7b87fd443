//! Boot parameters ("the zero page") with the memory map and the random seed.

use super::{Cmdline, LinuxData};
use crate::error::Error;
use crate::layout::{ABOVE_4G, BOOT_PARAMS, CMDLINE, HIGH_RAM, LOW_RAM_END, SETUP_DATA};
use crate::memory::{Image, Images, Ram};
use linux_loader::loader::bootparam::{boot_e820_entry, boot_params};
use rustix::rand::{GetRandomFlags, getrandom};
use vm_memory::{Bytes, GuestAddress};

/// "Undefined boot loader".
const LOADER: u8 = 0xff;
const BOOT_FLAG: u16 = 0xaa55;
/// "HdrS".
const HEADER_MAGIC: u32 = 0x5372_6448;
/// Boot protocol 2.15.
const VERSION: u16 = 0x020f;
/// What kernels ask for that do not say.
const KERNEL_ALIGNMENT: u32 = 0x100_0000;
/// `E820_TYPE_RAM`.
const E820_RAM: u32 = 1;
/// `E820_TYPE_PMEM`.
const E820_PMEM: u32 = 7;
/// `SETUP_RNG_SEED`.
const SETUP_RNG_SEED: u32 = 9;
/// Bytes of entropy for the guest.
const SEED_LEN: usize = 32;

/// Writes the boot parameters and what they point to, the command line excepted.
pub fn write(ram: &Ram, images: &Images, cmdline: &Cmdline, linux: Option<LinuxData>) -> Result<(), Error> {
    let mut params = boot_params::default();
    params.hdr.type_of_loader = LOADER;
    params.hdr.boot_flag = BOOT_FLAG;
    params.hdr.header = HEADER_MAGIC;
    params.hdr.version = VERSION;
    params.hdr.kernel_alignment = KERNEL_ALIGNMENT;
    params.hdr.cmd_line_ptr = low(CMDLINE);
    params.hdr.cmdline_size = u32::try_from(cmdline.max_len()).unwrap_or(u32::MAX);
    params.hdr.setup_data = SETUP_DATA;
    if let Some(linux) = linux {
        params.hdr.ramdisk_image = low(linux.initrd.start);
        params.hdr.ramdisk_size = low(linux.initrd.len);
        params.acpi_rsdp_addr = linux.acpi;
    }
    // Linux hears of images from its virtio-pmem devices alone.
    let images = if linux.is_none() { images.list() } else { &[] };
    let map = memory_map(ram.low_end(), ram.end(), images);
    let mut table = params.e820_table;
    for (slot, entry) in table.iter_mut().zip(&map) {
        *slot = *entry;
    }
    params.e820_table = table;
    params.e820_entries = u8::try_from(map.len()).unwrap_or(u8::MAX);
    ram.memory().write_obj(params, GuestAddress(BOOT_PARAMS))?;
    write_seed(ram)
}

fn memory_map(low_end: u64, end: u64, images: &[Image]) -> Vec<boot_e820_entry> {
    let entry = |start, end, kind| boot_e820_entry { addr: start, size: end - start, r#type: kind };
    let mut map = vec![entry(0, LOW_RAM_END, E820_RAM), entry(HIGH_RAM, low_end, E820_RAM)];
    if end > ABOVE_4G {
        map.push(entry(ABOVE_4G, end, E820_RAM));
    }
    map.extend(images.iter().map(|image| entry(image.start, image.start + image.len, E820_PMEM)));
    map
}

/// A `setup_data` node: next, type, length, data.
fn write_seed(ram: &Ram) -> Result<(), Error> {
    let mut seed = [0u8; SEED_LEN];
    // Up to 256 bytes come whole once the pool is up.
    getrandom(&mut seed, GetRandomFlags::empty()).map_err(Error::host("get random bytes"))?;
    let memory = ram.memory();
    memory.write_obj(0u64, GuestAddress(SETUP_DATA))?;
    memory.write_obj(SETUP_RNG_SEED, GuestAddress(SETUP_DATA + 8))?;
    memory.write_obj(SEED_LEN as u32, GuestAddress(SETUP_DATA + 12))?;
    memory.write_slice(&seed, GuestAddress(SETUP_DATA + 16))?;
    Ok(())
}

/// An address below 4 GiB.
fn low(address: u64) -> u32 {
    u32::try_from(address).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::Initrd;
    use super::*;

    fn write_for(bytes: u64) -> (Ram, boot_params) {
        let ram = Ram::new(bytes).unwrap();
        write(&ram, &Images::default(), &Cmdline::new(1, ""), None).unwrap();
        let params = ram.memory().read_obj(GuestAddress(BOOT_PARAMS)).unwrap();
        (ram, params)
    }

    fn entries(params: &boot_params) -> Vec<(u64, u64, u32)> {
        let table = params.e820_table;
        table[..params.e820_entries.into()].iter().map(|e| ({ e.addr }, { e.size }, { e.r#type })).collect()
    }

    #[test]
    fn the_map_has_no_hole_in_small_ram() {
        let (_, params) = write_for(16 << 20);
        assert_eq!(entries(&params), [(0, 0x9fc00, 1), (0x100000, 15 << 20, 1)]);
    }

    #[test]
    fn the_map_goes_on_above_4_gib() {
        let (_, params) = write_for(4 << 30);
        assert_eq!(
            entries(&params),
            [(0, 0x9fc00, 1), (0x100000, 0xcff0_0000, 1), (1 << 32, (4 << 30) - 0xd000_0000, 1)]
        );
    }

    #[test]
    fn linux_is_told_of_its_initramfs_and_tables() {
        let ram = Ram::new(2 << 20).unwrap();
        let initrd = Initrd { start: 0x10_3000, len: 700 };
        let linux = LinuxData { initrd, acpi: 0xe_0000 };
        write(&ram, &Images::default(), &Cmdline::new(0, ""), Some(linux)).unwrap();
        let params: boot_params = ram.memory().read_obj(GuestAddress(BOOT_PARAMS)).unwrap();
        let header = params.hdr;
        assert_eq!(({ header.ramdisk_image }, { header.ramdisk_size }), (0x10_3000, 700));
        assert_eq!({ params.acpi_rsdp_addr }, 0xe_0000);
    }

    #[test]
    fn each_seed_is_its_own() {
        let seed = |ram: &Ram| ram.memory().read_obj::<[u64; 6]>(GuestAddress(SETUP_DATA)).unwrap();
        let (first, second) = (seed(&write_for(2 << 20).0), seed(&write_for(2 << 20).0));
        assert_eq!(first[..2], [0, 9 | 32 << 32]);
        assert_ne!(first[2..], second[2..]);
    }
}
