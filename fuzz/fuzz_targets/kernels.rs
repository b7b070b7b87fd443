//! Stock kernels from files: `vmlinux`, `vmlinuz` in every compression, Debian packages with modules.
#![no_main]

use ampoule_kernels::{MAX_MODULES, Package, extract, is_own};
use libfuzzer_sys::fuzz_target;
use rustix::fs::{MemfdFlags, memfd_create};
use std::fs::File;
use std::io::{Seek, Write};
use std::os::fd::AsRawFd;

fuzz_target!(|content: &[u8]| {
    if let Ok(kernel) = extract("fuzz", content.to_vec()) {
        assert!(kernel.into_elf().starts_with(b"\x7fELF"), "something else was taken for a kernel");
    }
    let mut file = File::from(memfd_create("fuzz", MemfdFlags::CLOEXEC).expect("a file in memory"));
    file.write_all(content).expect("room for it");
    file.rewind().expect("a file");
    is_own(&file).expect("a file that can be read");
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    let Ok(package) = Package::open(path.as_ref()) else { return };
    assert!(package.kernel.starts_with(b"\x7fELF"), "something else was taken for a kernel");
    let archive = package.modules.archive().expect("an archive in memory");
    // Headers and padding of at most 257 files, and the list.
    assert!(archive.len() as u64 <= MAX_MODULES + (1 << 20));
});
