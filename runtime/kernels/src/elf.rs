//! What is asked of ELF files: a section's content, and whether a kernel is Linux.

use object::LittleEndian;
use object::elf::{FileHeader64, PT_NOTE};
use object::read::elf::{FileHeader, ProgramHeader, SectionHeader};

type Header = FileHeader64<LittleEndian>;

/// The owner of the notes that every Linux kernel since 4.18 carries.
const LINUX_NOTE: &[u8] = b"Linux";

/// The content of a section of a 64-bit ELF file, if it is one and has that section.
pub fn section<'a>(file: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let header = Header::parse(file).ok()?;
    let endian = header.endian().ok()?;
    let sections = header.sections(endian, file).ok()?;
    let (_, section) = sections.section_by_name(endian, name)?;
    section.data(endian, file).ok()
}

/// Whether this is an ELF kernel of Linux: whether it has one of Linux's notes.
pub fn has_linux_note(file: &[u8]) -> bool {
    linux_note(file).unwrap_or(false)
}

fn linux_note(file: &[u8]) -> Option<bool> {
    let header = Header::parse(file).ok()?;
    let endian = header.endian().ok()?;
    for segment in header.program_headers(endian, file).ok()? {
        if segment.p_type(endian) != PT_NOTE {
            continue;
        }
        let Ok(Some(mut notes)) = segment.notes(endian, file) else { continue };
        while let Ok(Some(note)) = notes.next() {
            if note.name() == LINUX_NOTE {
                return Some(true);
            }
        }
    }
    Some(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_elf_file_has_nothing() {
        for bytes in [&b""[..], b"\x7fELF", &[0; 4096], b"\x7fELF\x02\x01\x01"] {
            assert!(section(bytes, b".modinfo").is_none());
            assert!(!has_linux_note(bytes));
        }
    }

    #[test]
    fn sections_of_this_very_test_are_found() {
        let file = std::fs::read("/proc/self/exe").unwrap();
        assert!(section(&file, b".text").is_some_and(|text| !text.is_empty()));
        assert!(section(&file, b".none").is_none());
        assert!(!has_linux_note(&file));
    }
}
