//! The VMM's loader: an ELF kernel and the parts of an initramfs, into RAM.
#![no_main]

use ampoule_vmm::fuzzing::load;
use libfuzzer_sys::fuzz_target;
use rustix::fs::{MemfdFlags, memfd_create};
use std::fs::File;
use std::io::Write;

fn file(content: &[u8]) -> File {
    let mut file = File::from(memfd_create("fuzz", MemfdFlags::CLOEXEC).expect("a file in memory"));
    file.write_all(content).expect("room for it");
    file
}

// The first byte says how the rest is divided: where parts of the initramfs begin, and what length they claim.
fuzz_target!(|input: &[u8]| {
    let Some((&how, kernel)) = input.split_first() else { return };
    let middle = kernel.len() * usize::from(how & 7) / 8;
    let content = file(kernel);
    let part = file(&kernel[middle..]);
    // A part may claim more than its file has, or than anything has.
    let claimed = match how >> 3 & 3 {
        0 => (kernel.len() - middle) as u64,
        1 => (kernel.len() - middle) as u64 + 1,
        2 => 15 << 20,
        _ => u64::MAX - u64::from(how),
    };
    let parts = [(&part, (kernel.len() - middle) as u64), (&part, claimed)];
    load(&content, &parts[..usize::from(how >> 5) % 3], &String::from_utf8_lossy(&kernel[middle..]));
});
