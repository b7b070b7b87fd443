//! The ELF kernel inside a Linux boot image (`vmlinuz`, "bzImage").
//!
//! Source: Documentation/arch/x86/boot.rst of Linux ("The real-mode kernel header").

use crate::{Error, MAX_KERNEL, decompress, elf};
use std::fs::File;
use std::io::{self, Read, Seek};

const ELF_MAGIC: [u8; 4] = *b"\x7fELF";

/// Offsets in the image.
const SETUP_SECTORS: usize = 0x1f1;
const MAGIC: usize = 0x202;
const PROTOCOL: usize = 0x206;
const PAYLOAD_OFFSET: usize = 0x248;
const PAYLOAD_LEN: usize = 0x24c;

/// First protocol that says where the payload is.
const MIN_PROTOCOL: u16 = 0x0208;
const SECTOR: usize = 512;
/// What zero sectors of set-up code stand for.
const DEFAULT_SETUP_SECTORS: u8 = 4;

/// A kernel that the VMM can load.
#[derive(Debug)]
pub enum Extracted {
    /// The file was one already.
    AsIs(Vec<u8>),
    /// It was inside a boot image.
    Unpacked(Vec<u8>),
}

impl Extracted {
    /// The ELF kernel.
    pub fn into_elf(self) -> Vec<u8> {
        match self {
            Self::AsIs(elf) | Self::Unpacked(elf) => elf,
        }
    }
}

/// Whether this file is an ELF kernel that is not Linux: one of ampoule's own protocol.
pub fn is_own(mut file: &File) -> io::Result<bool> {
    let mut magic = [0; ELF_MAGIC.len()];
    match file.read_exact(&mut magic).and_then(|()| file.rewind()) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
        result => result?,
    }
    if magic != ELF_MAGIC {
        return Ok(false);
    }
    let mut content = Vec::new();
    file.take(MAX_KERNEL).read_to_end(&mut content)?;
    Ok(!elf::has_linux_note(&content))
}

fn is_boot_image(file: &[u8]) -> bool {
    file.get(MAGIC..MAGIC + 4) == Some(b"HdrS")
}

/// The ELF kernel in this file. `what` is for messages.
pub fn extract(what: &str, file: Vec<u8>) -> Result<Extracted, Error> {
    if file.starts_with(&ELF_MAGIC) {
        return Ok(Extracted::AsIs(file));
    }
    if !is_boot_image(&file) {
        return Err(Error::NotAKernel { what: what.into() });
    }
    let damaged = |problem| Error::Damaged { what: what.into(), problem };
    let payload = payload(&file).ok_or_else(|| damaged("its header points outside of it (truncated?)"))?;
    // A kernel may also be built without compression.
    let elf = match payload.starts_with(&ELF_MAGIC) {
        true => payload.to_vec(),
        false => decompress::decompress(what, payload, MAX_KERNEL)?,
    };
    match elf.starts_with(&ELF_MAGIC) {
        true => Ok(Extracted::Unpacked(elf)),
        false => Err(damaged("there is no ELF kernel in it")),
    }
}

fn payload(file: &[u8]) -> Option<&[u8]> {
    if u16_at(file, PROTOCOL)? < MIN_PROTOCOL {
        return None;
    }
    let sectors = match *file.get(SETUP_SECTORS)? {
        0 => DEFAULT_SETUP_SECTORS,
        sectors => sectors,
    };
    let code = (usize::from(sectors) + 1) * SECTOR;
    let start = code.checked_add(u32_at(file, PAYLOAD_OFFSET)?)?;
    let end = start.checked_add(u32_at(file, PAYLOAD_LEN)?)?;
    file.get(start..end)
}

fn u16_at(file: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(*file.get(at..)?.first_chunk()?))
}

fn u32_at(file: &[u8], at: usize) -> Option<usize> {
    usize::try_from(u32::from_le_bytes(*file.get(at..)?.first_chunk()?)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn image(payload: &[u8]) -> Vec<u8> {
        let mut file = vec![0; 2 * SECTOR + 16];
        file[SETUP_SECTORS] = 1;
        file[MAGIC..MAGIC + 4].copy_from_slice(b"HdrS");
        file[PROTOCOL..PROTOCOL + 2].copy_from_slice(&0x020fu16.to_le_bytes());
        file[PAYLOAD_OFFSET..PAYLOAD_OFFSET + 4].copy_from_slice(&16u32.to_le_bytes());
        let len = u32::try_from(payload.len()).unwrap();
        file[PAYLOAD_LEN..PAYLOAD_LEN + 4].copy_from_slice(&len.to_le_bytes());
        file.extend(payload);
        file
    }

    fn gzip(content: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn a_kernel_comes_out_of_its_image() {
        let kernel = b"\x7fELF and so on";
        for file in [image(&gzip(kernel)), image(kernel), kernel.to_vec()] {
            assert_eq!(extract("k", file).unwrap().into_elf(), kernel);
        }
        let own = |content: &[u8]| {
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(content).unwrap();
            file.rewind().unwrap();
            is_own(&file).unwrap()
        };
        assert!(own(kernel) && !own(&image(b"")) && !own(b"x"));
    }

    #[test]
    fn what_is_damaged_is_refused() {
        let message = |file| extract("k", file).unwrap_err().to_string();
        assert!(message(b"#!/bin/sh".to_vec()).contains("neither an ELF kernel"));
        assert!(message(image(&gzip(b"no kernel"))).contains("no ELF kernel in it"));
        assert!(message(image(b"unknown compression")).contains("not known here"));
        let whole = image(&gzip(b"\x7fELF and so on"));
        for len in 0..whole.len() {
            assert!(extract("k", whole[..len].to_vec()).is_err(), "{len} bytes");
        }
        let mut old = image(b"\x7fELF");
        old[PROTOCOL] = 0;
        assert!(message(old).contains("truncated"));
    }

    #[test]
    fn no_header_makes_it_panic() {
        let mut state = 1u64;
        for _ in 0..2000 {
            let mut file = image(&gzip(b"\x7fELF and so on"));
            for _ in 0..4 {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let index = (state >> 33) as usize % file.len();
                file[index] = (state >> 24) as u8;
            }
            let _ = extract("k", file);
        }
    }
}
