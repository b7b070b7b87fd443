//! The reader of tar archives, plain and compressed: what becomes an image is one that verifies.
#![no_main]

use ampoule_rootfs::{Image, ImageBuilder, Limits, Options, Output, Source};
use libfuzzer_sys::fuzz_target;
use std::io;

/// An image in memory, no longer than its limit.
#[derive(Default)]
struct Bytes(Vec<u8>);

const LIMITS: Limits =
    Limits { image_bytes: 1 << 20, entries: 200, name_bytes: 1 << 16, path_bytes: 1000, depth: 20 };

impl Output for Bytes {
    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let start = usize::try_from(offset).expect("an offset within the limit");
        assert!(offset + bytes.len() as u64 <= 2 * LIMITS.image_bytes, "beyond the limit");
        if self.0.len() < start + bytes.len() {
            self.0.resize(start + bytes.len(), 0);
        }
        self.0[start..start + bytes.len()].copy_from_slice(bytes);
        Ok(())
    }

    fn set_len(&mut self, len: u64) -> io::Result<()> {
        assert!(len <= 2 * LIMITS.image_bytes, "beyond the limit");
        self.0.resize(usize::try_from(len).expect("a length within the limit"), 0);
        Ok(())
    }
}

fuzz_target!(|archive: &[u8]| {
    let mut output = Bytes::default();
    let options = Options { limits: LIMITS, ..Options::default() };
    let mut builder = ImageBuilder::new(&mut output, options).expect("these options are sound");
    if builder.add(Source::Tar(Box::new(archive))).is_err() || builder.finish().is_err() {
        return;
    }
    let image = Image::open(output.0.as_slice()).expect("what was built can be opened");
    image.verify(&Limits::default()).expect("what was built is what was meant");
});
