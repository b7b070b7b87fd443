//! Reads an ELF kernel.

use crate::descriptors::Slice;
use crate::error::KernelError;
use crate::layout::{HIGH_RAM, IDENTITY_MAPPED};
use crate::memory::Ram;
use rustix::io::{Errno, pread};

/// Enough for the ELF header and the program headers of every kernel there is.
const HEAD: usize = 4096;
const HEADER_SIZE: usize = 64;
const PROGRAM_HEADER_SIZE: usize = 56;
const PT_LOAD: u32 = 1;
const EM_X86_64: u16 = 62;
/// 64 bits, little endian, version 1.
const CLASS_DATA_VERSION: [u8; 3] = [2, 1, 1];

/// A kernel that fits, not loaded yet.
#[derive(Debug, PartialEq, Eq)]
pub struct Kernel {
    /// Physical address where it starts.
    pub entry: u64,
    /// What is to be loaded.
    pub segments: Vec<Segment>,
}

/// A part of a kernel to be loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Where to, as a physical address.
    pub address: u64,
    /// Offset in the file.
    pub offset: u64,
    /// Bytes in the file.
    pub file_len: u64,
    /// Bytes in memory.
    pub memory_len: u64,
}

impl Kernel {
    /// Reads and checks the headers of the kernel for a guest with low RAM up to `ram_end`.
    pub fn read(file: &Slice, ram_end: u64) -> Result<Self, KernelError> {
        let mut head = [0; HEAD];
        let wanted = usize::try_from(file.len).unwrap_or(HEAD).min(HEAD);
        let head = read_head(file, head.get_mut(..wanted).unwrap_or_default())?;
        Self::parse(head, file.len, ram_end)
    }

    /// The first address behind it.
    pub fn end(&self) -> u64 {
        self.segments
            .iter()
            .map(|segment| segment.address.saturating_add(segment.memory_len))
            .max()
            .unwrap_or(0)
    }

    /// Copies the kernel into RAM, which has to be fresh: what is not in the file is zero.
    pub fn load(&self, file: &Slice, ram: &Ram) -> Result<(), KernelError> {
        for segment in &self.segments {
            let offset = file.offset.saturating_add(segment.offset);
            match ram.load(segment.address, file.file, offset, segment.file_len) {
                Ok(true) => {}
                Ok(false) => return Err(KernelError::Truncated),
                Err(errno) => return Err(KernelError::Read(errno)),
            }
        }
        Ok(())
    }

    fn parse(head: &[u8], file_len: u64, ram_end: u64) -> Result<Self, KernelError> {
        if head.get(..4) != Some(b"\x7fELF") {
            return Err(if head.len() < 4 { KernelError::Truncated } else { KernelError::NotElf });
        }
        let header = Fields(head.get(..HEADER_SIZE).ok_or(KernelError::Truncated)?);
        if header.0.get(4..7) != Some(&CLASS_DATA_VERSION) || header.u16(18) != EM_X86_64 {
            return Err(KernelError::Foreign);
        }
        let (entry, table, size, count) = (header.u64(24), header.u64(32), header.u16(54), header.u16(56));
        if usize::from(size) != PROGRAM_HEADER_SIZE || count == 0 {
            return Err(KernelError::ProgramHeaders);
        }
        let table = program_headers(head, table, usize::from(count), file_len)?;
        let mut segments = Vec::new();
        for header in table.chunks_exact(PROGRAM_HEADER_SIZE).map(Fields) {
            if header.u32(0) == PT_LOAD && header.u64(40) != 0 {
                segments.push(segment(header, file_len, ram_end)?);
            }
        }
        check_entry(entry, &segments)?;
        Ok(Self { entry, segments })
    }
}

fn read_head<'a>(file: &Slice, buffer: &'a mut [u8]) -> Result<&'a [u8], KernelError> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match pread(file.file, rest, file.offset.saturating_add(filled as u64)) {
            Ok(0) => break,
            Ok(len) => filled += len,
            Err(Errno::INTR) => {}
            Err(errno) => return Err(KernelError::Read(errno)),
        }
    }
    Ok(buffer.get(..filled).unwrap_or_default())
}

fn program_headers(head: &[u8], offset: u64, count: usize, file_len: u64) -> Result<&[u8], KernelError> {
    let start = usize::try_from(offset).map_err(|_| KernelError::ProgramHeaders)?;
    let end = start.checked_add(count * PROGRAM_HEADER_SIZE).ok_or(KernelError::ProgramHeaders)?;
    match head.get(start..end) {
        Some(table) => Ok(table),
        None if end as u64 > file_len => Err(KernelError::Truncated),
        None => Err(KernelError::ProgramHeaders),
    }
}

fn segment(header: Fields<'_>, file_len: u64, ram_end: u64) -> Result<Segment, KernelError> {
    let segment = Segment {
        offset: header.u64(8),
        address: header.u64(24),
        file_len: header.u64(32),
        memory_len: header.u64(40),
    };
    if segment.file_len > segment.memory_len {
        return Err(KernelError::ProgramHeaders);
    }
    if segment.offset.checked_add(segment.file_len).is_none_or(|end| end > file_len) {
        return Err(KernelError::Truncated);
    }
    if segment.address < HIGH_RAM {
        return Err(KernelError::Low { address: segment.address });
    }
    let end = segment.address.saturating_add(segment.memory_len);
    if end > ram_end {
        return Err(KernelError::DoesNotFit { end, ram_end });
    }
    Ok(segment)
}

fn check_entry(entry: u64, segments: &[Segment]) -> Result<(), KernelError> {
    if segments.is_empty() {
        return Err(KernelError::Empty);
    }
    let holds_entry = |segment: &Segment| {
        entry.checked_sub(segment.address).is_some_and(|offset| offset < segment.memory_len)
    };
    match entry < IDENTITY_MAPPED && segments.iter().any(holds_entry) {
        true => Ok(()),
        false => Err(KernelError::Entry { entry }),
    }
}

/// Little-endian fields of a header whose size has been checked.
#[derive(Clone, Copy)]
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn bytes<const N: usize>(self, offset: usize) -> [u8; N] {
        self.0.get(offset..).and_then(|rest| rest.first_chunk()).copied().unwrap_or([0; N])
    }

    fn u16(self, offset: usize) -> u16 {
        u16::from_le_bytes(self.bytes(offset))
    }

    fn u32(self, offset: usize) -> u32 {
        u32::from_le_bytes(self.bytes(offset))
    }

    fn u64(self, offset: usize) -> u64 {
        u64::from_le_bytes(self.bytes(offset))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RAM_END: u64 = 16 << 20;

    /// A kernel of one segment: 100 bytes at file offset 120, loaded at 1 MiB with 4 KiB of zeroes behind.
    fn kernel() -> Vec<u8> {
        let mut file = vec![0; 220];
        file[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
        file[18] = 62;
        put(&mut file, 24, HIGH_RAM + 16);
        put(&mut file, 32, 64);
        file[54] = 56;
        file[56] = 1;
        file[64] = 1;
        for (offset, value) in [(8, 120), (24, HIGH_RAM), (32, 100), (40, 100 + 4096)] {
            put(&mut file, 64 + offset, value);
        }
        file
    }

    fn put(file: &mut [u8], offset: usize, value: u64) {
        file[offset..offset + 8].copy_from_slice(&value.to_le_bytes());
    }

    fn parse(file: &[u8]) -> Result<Kernel, KernelError> {
        Kernel::parse(file, file.len() as u64, RAM_END)
    }

    fn error(change: impl FnOnce(&mut Vec<u8>)) -> KernelError {
        let mut file = kernel();
        change(&mut file);
        parse(&file).unwrap_err()
    }

    #[test]
    fn a_kernel_is_read() {
        let segment = Segment { address: HIGH_RAM, offset: 120, file_len: 100, memory_len: 4196 };
        assert_eq!(parse(&kernel()), Ok(Kernel { entry: HIGH_RAM + 16, segments: vec![segment] }));
    }

    #[test]
    fn every_truncation_is_noticed() {
        let file = kernel();
        for len in 0..file.len() {
            assert_eq!(parse(&file[..len]), Err(KernelError::Truncated), "{len} bytes");
        }
    }

    #[test]
    fn what_is_no_kernel_is_refused() {
        assert_eq!(error(|file| file[0] = b'#'), KernelError::NotElf);
        assert_eq!(error(|file| file[4] = 1), KernelError::Foreign);
        assert_eq!(error(|file| file[18] = 183), KernelError::Foreign);
        assert_eq!(error(|file| file[54] = 32), KernelError::ProgramHeaders);
        assert_eq!(error(|file| file[64] = 2), KernelError::Empty);
        assert_eq!(error(|file| put(file, 32, u64::MAX)), KernelError::ProgramHeaders);
        assert_eq!(error(|file| put(file, 64 + 24, 0x7000)), KernelError::Low { address: 0x7000 });
        assert_eq!(
            error(|file| put(file, 64 + 40, u64::MAX)),
            KernelError::DoesNotFit { end: u64::MAX, ram_end: RAM_END }
        );
        assert_eq!(error(|file| put(file, 24, 0x10)), KernelError::Entry { entry: 0x10 });
        assert_eq!(error(|file| put(file, 64 + 32, 5000)), KernelError::ProgramHeaders);
    }

    #[test]
    fn no_bytes_make_it_panic() {
        let mut state = 1u64;
        for _ in 0..20_000 {
            let mut file = kernel();
            for _ in 0..3 {
                state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                let index = (state >> 33) as usize % 120;
                file[index] = (state >> 24) as u8;
            }
            if let Ok(kernel) = parse(&file) {
                assert!(kernel.segments.iter().all(|s| s.address + s.memory_len <= RAM_END));
            }
        }
    }
}
