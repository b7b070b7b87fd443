//! ELF executables (System V ABI, chapter 4 and 5): headers read from a hostile file, segments mapped from it.

use crate::mm::{
    AddressSpace, Area, Backing, MapRequest, PAGE, Placement, Protection, USER_END, page_down, page_up,
};
use alloc::sync::Arc;
use alloc::vec::Vec;
use ampoule_kbase::{Errno, File, Frame, Result, SliceSink};

const PT_LOAD: u32 = 1;
const PT_INTERP: u32 = 3;
const PT_PHDR: u32 = 6;
const PT_GNU_STACK: u32 = 0x6474_e551;
const ET_EXEC: u16 = 2;
const ET_DYN: u16 = 3;
const EM_X86_64: u16 = 62;
const HEADER_SIZE: usize = 64;
const PROGRAM_HEADER_SIZE: usize = 56;
const MAX_PROGRAM_HEADERS: usize = 128;
/// Writable pages of a segment that are copied at once: they are sure to be written.
const EAGER_DATA: u64 = 16 * PAGE;

#[derive(Clone, Copy)]
struct ProgramHeader {
    kind: u32,
    flags: u32,
    offset: u64,
    address: u64,
    file_size: u64,
    memory_size: u64,
}

/// A checked executable.
pub struct Executable {
    file: Arc<dyn File>,
    entry: u64,
    position_independent: bool,
    headers: Vec<ProgramHeader>,
    program_headers_offset: u64,
    /// The interpreter's path, for dynamically linked programs.
    pub interpreter: Option<Vec<u8>>,
    /// Whether the stack is to be executable.
    pub executable_stack: bool,
}

/// Where an executable was mapped.
pub struct Loaded {
    /// The entry point.
    pub entry: u64,
    /// What was added to its addresses.
    pub base: u64,
    /// The program headers in memory.
    pub headers: u64,
    /// How many there are.
    pub header_count: u64,
    /// The first address behind it.
    pub end: u64,
    /// The code.
    pub code: (u64, u64),
}

/// Reads up to `buffer.len()` bytes at `offset`.
pub fn read_at(file: &dyn File, offset: u64, buffer: &mut [u8]) -> Result<usize> {
    let mut sink = SliceSink::new(buffer);
    let mut done = 0;
    loop {
        let count = file.read(offset + done as u64, &mut sink)?;
        done += count;
        if count == 0 || sink.filled() == done && ampoule_kbase::Sink::remaining(&sink) == 0 {
            return Ok(done);
        }
    }
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(core::array::from_fn(|i| bytes[at + i]))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(core::array::from_fn(|i| bytes[at + i]))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(core::array::from_fn(|i| bytes[at + i]))
}

impl Executable {
    /// Checks a file, whose first bytes are `head`. `ENOEXEC`: not an executable for this system.
    pub fn parse(file: Arc<dyn File>, head: &[u8]) -> Result<Self> {
        let head = head.get(..HEADER_SIZE).ok_or(Errno::ENOEXEC)?;
        let kind = u16_at(head, 16);
        if head[..7] != *b"\x7fELF\x02\x01\x01"
            || u16_at(head, 18) != EM_X86_64
            || !matches!(kind, ET_EXEC | ET_DYN)
        {
            return Err(Errno::ENOEXEC);
        }
        let count = usize::from(u16_at(head, 56));
        if usize::from(u16_at(head, 54)) != PROGRAM_HEADER_SIZE || count == 0 || count > MAX_PROGRAM_HEADERS {
            return Err(Errno::ENOEXEC);
        }
        let program_headers_offset = u64_at(head, 32);
        let mut table = alloc::vec![0; count * PROGRAM_HEADER_SIZE];
        if program_headers_offset > i64::MAX as u64
            || read_at(&*file, program_headers_offset, &mut table)? != table.len()
        {
            return Err(Errno::ENOEXEC);
        }
        let headers: Vec<_> = table.chunks_exact(PROGRAM_HEADER_SIZE).map(ProgramHeader::parse).collect();
        let interpreter = match headers.iter().find(|header| header.kind == PT_INTERP) {
            Some(header) => Some(read_interpreter(&*file, header)?),
            None => None,
        };
        let executable_stack =
            headers.iter().find(|h| h.kind == PT_GNU_STACK).is_some_and(|h| h.flags & 1 != 0);
        let entry = u64_at(head, 24);
        let position_independent = kind == ET_DYN;
        let this = Self {
            file,
            entry,
            position_independent,
            headers,
            program_headers_offset,
            interpreter,
            executable_stack,
        };
        this.span()?;
        Ok(this)
    }

    fn loads(&self) -> impl Iterator<Item = &ProgramHeader> {
        self.headers.iter().filter(|header| header.kind == PT_LOAD && header.memory_size > 0)
    }

    /// First and last address, before the base is added.
    fn span(&self) -> Result<(u64, u64)> {
        let mut span: Option<(u64, u64)> = None;
        for load in self.loads() {
            let end = load.address.checked_add(load.memory_size).and_then(page_up).ok_or(Errno::ENOEXEC)?;
            let valid = load.file_size <= load.memory_size
                && load.offset.checked_add(load.file_size).is_some_and(|end| end < i64::MAX as u64)
                && load.offset % PAGE == load.address % PAGE
                && end <= USER_END;
            if !valid {
                return Err(Errno::ENOEXEC);
            }
            let start = page_down(load.address);
            span = Some(span.map_or((start, end), |(low, high)| (low.min(start), high.max(end))));
        }
        span.ok_or(Errno::ENOEXEC)
    }

    /// Maps the segments into `space`: at their addresses, or for position-independent ones at `preferred` or wherever
    /// there is room.
    pub fn load(&self, space: &mut AddressSpace, preferred: u64) -> Result<Loaded> {
        let (low, high) = self.span()?;
        let base = if self.position_independent {
            self.reserve(space, preferred, high - low)?.wrapping_sub(low)
        } else {
            0
        };
        let mut code = (0, 0);
        for load in self.loads() {
            self.map_segment(space, load, base)?;
            if load.flags & 1 != 0 {
                code = (base + load.address, base + load.address + load.memory_size);
            }
        }
        Ok(Loaded {
            entry: base.wrapping_add(self.entry),
            base,
            headers: self.headers_address(base),
            header_count: self.headers.len() as u64,
            end: base + high,
            code,
        })
    }

    /// Where there is room for the whole file: the place is found by mapping it, and freed again for the segments.
    fn reserve(&self, space: &mut AddressSpace, preferred: u64, length: u64) -> Result<u64> {
        let at = space.map(MapRequest {
            placement: Placement::Any(preferred),
            length,
            protection: Protection::empty(),
            shared: false,
            may_write: true,
            backing: Backing::Anonymous,
            label: "",
            populate: false,
        })?;
        space.unmap(at, length)?;
        Ok(at)
    }

    fn headers_address(&self, base: u64) -> u64 {
        if let Some(header) = self.headers.iter().find(|header| header.kind == PT_PHDR) {
            return base.wrapping_add(header.address);
        }
        let holder = self
            .loads()
            .find(|load| (load.offset..load.offset + load.file_size).contains(&self.program_headers_offset));
        holder.map_or(0, |load| base + load.address + (self.program_headers_offset - load.offset))
    }

    fn map_segment(&self, space: &mut AddressSpace, load: &ProgramHeader, base: u64) -> Result<()> {
        let start = page_down(base + load.address);
        let file_end = base + load.address + load.file_size;
        let memory_end = page_up(base + load.address + load.memory_size).ok_or(Errno::ENOEXEC)?;
        let protection = load.protection();
        let mut bss_start = start;
        if load.file_size > 0 {
            let length = file_end - start;
            bss_start = page_up(file_end).ok_or(Errno::ENOEXEC)?;
            space.map(MapRequest {
                placement: Placement::Fixed(start),
                length,
                protection,
                shared: false,
                may_write: true,
                backing: Backing::File { file: self.file.clone(), offset: page_down(load.offset) },
                label: "",
                populate: false,
            })?;
            if protection.contains(Protection::WRITE) {
                self.copy_data(space, load, start, file_end)?;
            }
        }
        if memory_end > bss_start {
            space.map(MapRequest {
                placement: Placement::Fixed(bss_start),
                length: memory_end - bss_start,
                protection,
                shared: false,
                may_write: true,
                backing: Backing::Anonymous,
                label: "",
                populate: memory_end - bss_start <= EAGER_DATA,
            })?;
        }
        Ok(())
    }

    /// Copies the first pages of a writable segment, and its last one, behind whose contents there must be zeros.
    fn copy_data(
        &self,
        space: &mut AddressSpace,
        load: &ProgramHeader,
        start: u64,
        file_end: u64,
    ) -> Result<()> {
        let last = page_down(file_end - 1);
        let needs_zeros = load.memory_size > load.file_size && !file_end.is_multiple_of(PAGE);
        for page in (start..file_end).step_by(PAGE as usize) {
            let zeroed = needs_zeros && page == last;
            if page - start >= EAGER_DATA && !zeroed {
                continue;
            }
            let index = (page_down(load.offset) + (page - start)) / PAGE;
            let copy = self.file.page(index, false)?.duplicate()?;
            if zeroed {
                zero_from(&copy, (file_end % PAGE) as usize);
            }
            space.install(page, copy)?;
        }
        Ok(())
    }
}

fn zero_from(frame: &Frame, offset: usize) {
    const ZEROS: [u8; PAGE as usize] = [0; PAGE as usize];
    frame.write(offset, &ZEROS[offset..]);
}

impl ProgramHeader {
    fn parse(bytes: &[u8]) -> Self {
        Self {
            kind: u32_at(bytes, 0),
            flags: u32_at(bytes, 4),
            offset: u64_at(bytes, 8),
            address: u64_at(bytes, 16),
            file_size: u64_at(bytes, 32),
            memory_size: u64_at(bytes, 40),
        }
    }

    fn protection(&self) -> Protection {
        let mut protection = Protection::empty();
        protection.set(Protection::EXECUTE, self.flags & 1 != 0);
        protection.set(Protection::WRITE, self.flags & 2 != 0);
        protection.set(Protection::READ, self.flags & 4 != 0);
        protection
    }
}

fn read_interpreter(file: &dyn File, header: &ProgramHeader) -> Result<Vec<u8>> {
    let length = usize::try_from(header.file_size).map_err(|_| Errno::ENOEXEC)?;
    if !(2..=4096).contains(&length) || header.offset > i64::MAX as u64 {
        return Err(Errno::ENOEXEC);
    }
    let mut path = alloc::vec![0; length];
    if read_at(file, header.offset, &mut path)? != length || path.pop() != Some(0) {
        return Err(Errno::ENOEXEC);
    }
    Ok(path)
}

impl AddressSpace {
    /// Puts a page of a private area in place, in stead of what is there.
    pub fn install(&mut self, page: u64, frame: Frame) -> Result<()> {
        let area: Area = self.area(page).ok_or(Errno::EFAULT)?.clone();
        self.install_in(&area, page, frame)
    }
}
