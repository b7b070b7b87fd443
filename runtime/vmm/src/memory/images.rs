//! Images: files mapped read-only behind RAM, in a single memory slot.

use crate::descriptors::Slice;
use crate::error::{Error, ImageError};
use crate::layout::{ABOVE_4G, FIRST_IMAGE_ALIGN, IMAGE_ALIGN, PAGE};
use rustix::fs::{FileType, fstat};
use rustix::mm::{MapFlags, ProtFlags, mmap, mmap_anonymous};
use std::ffi::c_void;
use std::ptr::{null_mut, with_exposed_provenance_mut};

/// End of the guest's physical addresses: what every 64-bit processor has.
const ADDRESS_LIMIT: u64 = 1 << 39;

/// Where an image is in the guest's physical memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Image {
    /// First address.
    pub start: u64,
    /// Length in bytes, a multiple of the page size.
    pub len: u64,
}

impl Image {
    /// The boundary behind it, up to which its range of addresses is its own.
    pub fn end_of_range(&self) -> u64 {
        (self.start + self.len).next_multiple_of(IMAGE_ALIGN)
    }
}

/// All images, mapped. The mapping stays until the process ends.
#[derive(Clone, Debug, Default)]
pub struct Images {
    images: Vec<Image>,
    mapping: usize,
}

impl Images {
    /// Maps the images behind RAM, which ends at `ram_end`.
    pub fn map(slices: &[Slice], ram_end: u64) -> Result<Self, Error> {
        let images = place(slices, ram_end)?;
        let Some(first) = images.first() else { return Ok(Self::default()) };
        let mapping = reserve(span(&images)).map_err(Error::host("reserve addresses for images"))?;
        for (index, (slice, image)) in slices.iter().zip(&images).enumerate() {
            let offset = usize::try_from(image.start - first.start).unwrap_or(usize::MAX);
            map_at(mapping.wrapping_byte_add(offset), slice, image.len)
                .map_err(|errno| Error::Image { index, error: ImageError::Map(errno) })?;
        }
        Ok(Self { images, mapping: mapping.expose_provenance() })
    }

    /// The images in the order of the configuration.
    pub fn list(&self) -> &[Image] {
        &self.images
    }

    /// The whole range of guest addresses and where it is mapped. Gaps read as zero, also that up to the next boundary
    /// behind the last image.
    pub fn slot(&self) -> Option<(Image, *mut c_void)> {
        let start = self.images.first()?.start;
        Some((Image { start, len: span(&self.images) }, with_exposed_provenance_mut(self.mapping)))
    }
}

fn place(slices: &[Slice], ram_end: u64) -> Result<Vec<Image>, Error> {
    let mut images = Vec::with_capacity(slices.len());
    let mut next = ram_end.max(ABOVE_4G).next_multiple_of(FIRST_IMAGE_ALIGN);
    for (index, slice) in slices.iter().enumerate() {
        check(slice).map_err(|error| Error::Image { index, error })?;
        let end = slice.len.checked_next_multiple_of(PAGE).and_then(|len| next.checked_add(len));
        let Some(end) = end.filter(|&end| end <= ADDRESS_LIMIT) else {
            return Err(Error::Image { index, error: ImageError::TooLarge });
        };
        images.push(Image { start: next, len: end - next });
        next = end.next_multiple_of(IMAGE_ALIGN);
    }
    Ok(images)
}

fn check(slice: &Slice) -> Result<(), ImageError> {
    let stat = fstat(slice.file).map_err(ImageError::Stat)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(ImageError::NotRegular);
    }
    let size = u64::try_from(stat.st_size).unwrap_or(0);
    let needed = slice.offset.saturating_add(slice.len);
    match needed <= size {
        true => Ok(()),
        false => Err(ImageError::Truncated { size, needed }),
    }
}

fn span(images: &[Image]) -> u64 {
    match (images.first(), images.last()) {
        (Some(first), Some(last)) => last.end_of_range() - first.start,
        _ => 0,
    }
}

/// Read-only zeroes, to be replaced by images.
fn reserve(len: u64) -> rustix::io::Result<*mut c_void> {
    let len = usize::try_from(len).unwrap_or(usize::MAX);
    // SAFETY: a new mapping wherever there is room.
    unsafe { mmap_anonymous(null_mut(), len, ProtFlags::READ, MapFlags::PRIVATE | MapFlags::NORESERVE) }
}

fn map_at(address: *mut c_void, slice: &Slice, len: u64) -> rustix::io::Result<()> {
    let len = usize::try_from(len).unwrap_or(usize::MAX);
    let flags = MapFlags::SHARED | MapFlags::FIXED;
    // SAFETY: `place` and `span` make the range a part of the reservation, which nothing else uses. The VMM itself
    // never reads it: if the file shrinks, KVM fails to map a page, and no SIGBUS hits us.
    unsafe { mmap(address, len, ProtFlags::READ, flags, slice.file, slice.offset)? };
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::descriptors::borrow;
    use std::fs::File;
    use std::io::Write;
    use std::os::fd::AsRawFd;

    fn file(bytes: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file
    }

    fn slice(file: &File, offset: u64, len: u64) -> Slice {
        Slice { file: borrow("test", file.as_raw_fd()).unwrap(), offset, len }
    }

    #[test]
    fn images_lie_behind_ram_at_their_boundaries() {
        let file = file(&[b'x'; 10_000]);
        let slices = [slice(&file, 0, 5000), slice(&file, 4096, 100)];
        let images = Images::map(&slices, 256 << 20).unwrap();
        let expected =
            [Image { start: 1 << 32, len: 8192 }, Image { start: (1 << 32) + (2 << 20), len: 4096 }];
        assert_eq!(images.list(), expected);
        let (slot, host) = images.slot().unwrap();
        assert_eq!(slot, Image { start: 1 << 32, len: 4 << 20 });
        let read = |offset| {
            // SAFETY: within the slot.
            unsafe { host.cast::<u8>().add(offset).read() }
        };
        assert_eq!([read(0), read(8191), read(8192), read(2 << 20), read((2 << 20) - 1)], *b"xx\0x\0");
        let images = Images::map(&slices, (5 << 30) + 1).unwrap();
        assert_eq!(images.list()[0].start, 6 << 30);
    }

    #[test]
    fn no_images_need_no_slot() {
        assert!(Images::map(&[], 1 << 20).unwrap().slot().is_none());
    }

    #[test]
    fn what_is_no_image_is_refused() {
        let error = |slice| Images::map(&[slice], 1 << 20).unwrap_err().to_string();
        assert_eq!(
            error(slice(&file(b"short"), 0, 4096)),
            "image 0 is not usable: the file has 5 bytes, but the image needs 4096 (truncated?)"
        );
        assert_eq!(
            error(slice(&File::open("/").unwrap(), 0, 1)),
            "image 0 is not usable: it is not a regular file"
        );
        let sparse = tempfile::tempfile().unwrap();
        sparse.set_len(1 << 40).unwrap();
        assert_eq!(
            error(slice(&sparse, 0, 1 << 40)),
            "image 0 is not usable: it does not fit into the guest's physical addresses"
        );
    }
}
