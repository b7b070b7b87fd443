//! Writes cpio archives in the format that Linux takes as an initramfs ("newc").
//!
//! Source: Documentation/driver-api/early-userspace/buffer-format.rst of Linux.

use std::io::{self, Write};

const MAGIC: &str = "070701";
const TRAILER: &[u8] = b"TRAILER!!!";
const DIRECTORY: u32 = 0o040_755;
const PROGRAM: u32 = 0o100_755;
const ALIGN: usize = 4;

/// An archive on its way to `W`.
#[derive(Debug)]
pub struct CpioWriter<W> {
    out: W,
    inode: u32,
}

impl<W: Write> CpioWriter<W> {
    /// An empty archive.
    pub fn new(out: W) -> Self {
        Self { out, inode: 0 }
    }

    /// Adds a directory. The parents come first.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn directory(&mut self, path: &str) -> io::Result<()> {
        self.entry(path.as_bytes(), DIRECTORY, &[])
    }

    /// Adds a file with permissions 0755.
    ///
    /// # Errors
    /// If it cannot be written, or has 4 GiB or more.
    pub fn file(&mut self, path: &str, content: &[u8]) -> io::Result<()> {
        self.entry(path.as_bytes(), PROGRAM, content)
    }

    /// Ends the archive.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn finish(mut self) -> io::Result<W> {
        self.entry(TRAILER, 0, &[])?;
        self.out.flush()?;
        Ok(self.out)
    }

    fn entry(&mut self, name: &[u8], mode: u32, content: &[u8]) -> io::Result<()> {
        let len = |bytes: usize| {
            u32::try_from(bytes).map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "too long for cpio"))
        };
        self.inode += 1;
        // Inode, mode, user, group, links, time, length, four device numbers, length of the name, checksum.
        let fields = [self.inode, mode, 0, 0, 1, 0, len(content.len())?, 0, 0, 0, 0, len(name.len() + 1)?, 0];
        let mut header = String::from(MAGIC);
        header.extend(fields.map(|field| format!("{field:08x}")));
        self.padded(&[header.as_bytes(), name, b"\0"].concat())?;
        self.padded(content)
    }

    fn padded(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.out.write_all(bytes)?;
        let padding = bytes.len().next_multiple_of(ALIGN) - bytes.len();
        self.out.write_all([0; ALIGN].get(..padding).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_archive_is_what_the_format_says() {
        let mut cpio = CpioWriter::new(Vec::new());
        cpio.directory("modules").unwrap();
        cpio.file("modules/a", b"12345").unwrap();
        let archive = cpio.finish().unwrap();
        assert!(archive.starts_with(b"07070100000001000041ed"));
        // A header of 110 bytes and a name with its NUL, filled up to a multiple of 4.
        let file = &archive[120..];
        assert!(file.starts_with(b"07070100000002000081ed"));
        assert_eq!(&file[110..120], b"modules/a\0");
        assert_eq!(&file[120..128], b"12345\0\0\0");
        assert_eq!(&file[128 + 110..], b"TRAILER!!!\0\0\0\0");
        assert_eq!(archive.len() % 4, 0);
    }
}
