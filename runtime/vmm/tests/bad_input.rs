//! What is refused, and in which words.

mod common;

use ampoule_vmm_api::{FileSlice, Reason, VsockPort};
use common::{Outcome, Vm, guest_kernel};
use std::fs::File;
use std::io::Write;
use std::process::Command;

fn refused(outcome: Outcome, reason: Reason, message: &str) {
    outcome.expect(reason);
    assert_eq!(outcome.status.message, message);
}

fn kernel(content: &[u8]) -> Vm {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(content).unwrap();
    Vm::with_kernel(file)
}

#[test]
fn a_truncated_kernel() {
    let whole = std::fs::read(guest_kernel()).unwrap();
    // The file ends early, or says that it is longer than it is.
    let message = "the kernel is not usable: the file ends within it (truncated?)";
    refused(kernel(&whole[..6000]).run(), Reason::BadKernel, message);
    let mut vm = kernel(&whole[..6000]);
    vm.config.kernel.len = whole.len() as u64;
    refused(vm.run(), Reason::BadKernel, message);
    refused(kernel(&whole[..3]).run(), Reason::BadKernel, message);
}

#[test]
fn a_kernel_that_is_none() {
    let not_elf = "the kernel is not usable: it is not an ELF file";
    refused(kernel(b"#!/bin/sh\n").run(), Reason::BadKernel, not_elf);
    let mut foreign = std::fs::read(guest_kernel()).unwrap();
    foreign[18] = 183;
    refused(kernel(&foreign).run(), Reason::BadKernel, "the kernel is not usable: it is not for x86-64");
    let mut vm = kernel(b"x");
    vm.config.kernel.fd = vm.pass(File::open("/").unwrap());
    let outcome = vm.run();
    outcome.expect(Reason::BadKernel);
    assert!(
        outcome.status.message.starts_with("the kernel is not usable: reading it failed:"),
        "{outcome:?}"
    );
}

#[test]
fn a_kernel_that_does_not_fit() {
    let whole = std::fs::read(guest_kernel()).unwrap();
    let mut huge = whole.clone();
    // The size in memory of the first program header.
    huge[64 + 40..64 + 48].copy_from_slice(&(1u64 << 30).to_le_bytes());
    let message = "the kernel is not usable: it reaches up to 0x40100000, but the guest has memory up to 0x1000000 only";
    refused(kernel(&huge).run(), Reason::BadKernel, message);
}

#[test]
fn an_image_that_is_none() {
    let mut vm = Vm::new("nothing");
    vm.image(&[0; 100]);
    vm.config.images[0].len = 5000;
    let message = "image 0 is not usable: the file has 100 bytes, but the image needs 5000 (truncated?)";
    refused(vm.run(), Reason::BadImage, message);
    let mut vm = Vm::new("nothing");
    let (reader, _writer) = std::io::pipe().unwrap();
    let fd = vm.pass(reader);
    vm.config.images = vec![FileSlice { fd, offset: 0, len: 1 }];
    refused(vm.run(), Reason::BadImage, "image 0 is not usable: it is not a regular file");
}

#[test]
fn descriptors_that_are_not_there() {
    let mut vm = Vm::new("nothing");
    vm.config.vsock.ports.push(VsockPort { port: 7, fd: 999 });
    refused(vm.run(), Reason::BadConfig, "vsock port 7: file descriptor 999 is not open");
    let mut vm = Vm::new("nothing");
    vm.config.kernel.fd = 999;
    refused(vm.run(), Reason::BadConfig, "kernel: file descriptor 999 is not open");
}

#[test]
fn a_configuration_that_makes_no_sense() {
    let mut vm = Vm::new("nothing");
    vm.config.memory_mib = 0;
    refused(vm.run(), Reason::BadConfig, "0 MiB of guest memory are not between 2 and 262144 MiB");
}

#[test]
fn something_else_than_kvm() {
    let mut vm = Vm::new("nothing");
    vm.config.kvm_fd = Some(vm.pass(File::open("/dev/null").unwrap()));
    refused(vm.run(), Reason::KvmUnavailable, "/dev/kvm is not KVM of API version 12");
}

#[test]
fn a_given_kvm_is_used() {
    let mut vm = Vm::new("nothing");
    let kvm = File::options().read(true).write(true).open("/dev/kvm").unwrap();
    vm.config.kvm_fd = Some(vm.pass(kvm));
    vm.run().expect(Reason::PowerOff);
}

#[test]
fn no_configuration_at_all() {
    for (arguments, start) in [
        (vec![], "ampoule-vmm: usage: ampoule-vmm CONFIG"),
        (vec!["{"], "ampoule-vmm: the configuration is not valid: "),
        (vec!["{}", "{}"], "ampoule-vmm: usage: "),
        (vec![r#"{"memory_mib":16,"kernel":{"fd":3,"offset":0,"len":1},"x":1}"#], "ampoule-vmm: the conf"),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_ampoule-vmm")).args(&arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(stderr.starts_with(start) && stderr.lines().count() == 1, "{stderr}");
    }
}
