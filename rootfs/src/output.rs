//! Where an image is written: data as it comes, metadata at the end, the superblock last.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use rustix::fs::FallocateFlags;

/// Something an image can be written to at any offset, and that reads as zeros where nothing was written.
pub trait Output {
    /// Writes all of `bytes` at `offset`.
    ///
    /// # Errors
    /// What the medium answers, for example that it is full.
    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Makes the output `len` bytes long: cut, or extended with zeros.
    ///
    /// # Errors
    /// What the medium answers; pipes and devices cannot do this.
    fn set_len(&mut self, len: u64) -> io::Result<()>;

    /// Makes `len` bytes from `offset` on read as zeros.
    ///
    /// # Errors
    /// What the medium answers.
    fn zero(&mut self, offset: u64, len: u64) -> io::Result<()> {
        write_zeros(self, offset, len)
    }

    /// Device and inode number, if it is a file: a directory source leaves its own output out.
    fn identity(&self) -> Option<(u64, u64)> {
        None
    }
}

fn write_zeros<O: Output + ?Sized>(output: &mut O, offset: u64, len: u64) -> io::Result<()> {
    static ZEROS: [u8; 64 << 10] = [0; 64 << 10];
    let end = offset.saturating_add(len);
    let mut at = offset;
    while at < end {
        let step = usize::try_from(end - at).unwrap_or(usize::MAX).min(ZEROS.len());
        output.write_at(ZEROS.get(..step).unwrap_or_default(), at)?;
        at += step as u64;
    }
    Ok(())
}

impl Output for File {
    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.write_all_at(bytes, offset)
    }

    fn set_len(&mut self, len: u64) -> io::Result<()> {
        File::set_len(self, len)
    }

    fn zero(&mut self, offset: u64, len: u64) -> io::Result<()> {
        let punch = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        if rustix::fs::fallocate(&*self, punch, offset, len).is_ok() {
            return Ok(());
        }
        // Not every file system can punch holes; all can be overwritten.
        write_zeros(self, offset, len)
    }

    fn identity(&self) -> Option<(u64, u64)> {
        rustix::fs::fstat(self).ok().map(|stat| (stat.st_dev, stat.st_ino))
    }
}

/// An image in memory, for small ones.
impl Output for Vec<u8> {
    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let start = usize::try_from(offset).map_err(|_| io::ErrorKind::FileTooLarge)?;
        let end = start.checked_add(bytes.len()).ok_or(io::ErrorKind::FileTooLarge)?;
        if self.len() < end {
            self.resize(end, 0);
        }
        match self.get_mut(start..end) {
            Some(place) => place.copy_from_slice(bytes),
            None => return Err(io::ErrorKind::FileTooLarge.into()),
        }
        Ok(())
    }

    fn set_len(&mut self, len: u64) -> io::Result<()> {
        self.resize(usize::try_from(len).map_err(|_| io::ErrorKind::FileTooLarge)?, 0);
        Ok(())
    }
}
