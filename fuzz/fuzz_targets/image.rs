//! The image reader: any bytes are an image that can be walked within its limits, or an error.
#![no_main]

use ampoule_rootfs::{Image, Limits};
use libfuzzer_sys::fuzz_target;
use std::ops::ControlFlow;

fuzz_target!(|bytes: &[u8]| {
    let Ok(image) = Image::open(bytes) else { return };
    let limits =
        Limits { image_bytes: 1 << 20, entries: 1000, name_bytes: 1 << 16, path_bytes: 1000, depth: 20 };
    let mut entries = 0u64;
    let _ = image.list(&limits, &mut |_entry| {
        entries += 1;
        ControlFlow::Continue(())
    });
    assert!(entries <= limits.entries + 1);
    let _ = image.verify(&limits);
});
