//! Links the kernel at -2 GiB with its own linker script, without the C library and its start files; and builds the vDSO,
//! which is a shared library of its own, with the C compiler that links Rust programs anyway.

use std::path::PathBuf;
use std::process::Command;

const VDSO_LIMIT: u64 = 4096;

fn main() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/kernel.ld");
    println!("cargo:rerun-if-changed={script}");
    for argument in
        ["-nostartfiles", "-nostdlib", "-static", "-no-pie", "-Wl,--build-id=none", "-Wl,-z,norelro"]
    {
        println!("cargo:rustc-link-arg-bins={argument}");
    }
    println!("cargo:rustc-link-arg-bins=-Wl,-T,{script}");
    build_vdso();
}

fn build_vdso() {
    let (source, script) = (
        concat!(env!("CARGO_MANIFEST_DIR"), "/vdso/vdso.c"),
        concat!(env!("CARGO_MANIFEST_DIR"), "/vdso/vdso.ld"),
    );
    println!("cargo:rerun-if-changed={source}");
    println!("cargo:rerun-if-changed={script}");
    let output = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets it")).join("vdso.so");
    let status = Command::new("cc")
        .args([
            "-O2",
            "-fPIC",
            "-shared",
            "-nostdlib",
            "-ffreestanding",
            "-fno-stack-protector",
            "-fcf-protection=none",
        ])
        .args(["-fno-asynchronous-unwind-tables", "-Wall", "-Wextra", "-Werror", "-s"])
        .args([
            "-Wl,--hash-style=both",
            "-Wl,-soname=linux-vdso.so.1",
            "-Wl,--build-id=none",
            "-Wl,-z,noexecstack",
        ])
        .arg(format!("-Wl,-T,{script}"))
        .arg("-o")
        .arg(&output)
        .arg(source)
        .status()
        .expect("the C compiler `cc` (Debian: gcc) is needed to build the vDSO");
    assert!(status.success(), "the vDSO does not compile");
    let length = std::fs::metadata(&output).expect("the compiler wrote it").len();
    assert!(length <= VDSO_LIMIT, "the vDSO has {length} bytes and must fit in a page");
}
