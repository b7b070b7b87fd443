//! Devices and images, from the guest's side of the bus.

mod common;

use ampoule_vmm_api::{FileSlice, Reason};
use common::Vm;
use std::io::Write;

#[test]
fn images_are_there_and_cannot_be_written() {
    let mut vm = Vm::new("images");
    let mut file = tempfile::tempfile().unwrap();
    let mut content = vec![0; 12288];
    content[4096..4104].copy_from_slice(b"-first!-");
    content[8192..8200].copy_from_slice(b"-second-");
    file.write_all(&content).unwrap();
    let copy = file.try_clone().unwrap();
    let fd = vm.pass(file);
    vm.config.images =
        vec![FileSlice { fd, offset: 4096, len: 4096 }, FileSlice { fd, offset: 8192, len: 4096 }];
    let outcome = vm.run();
    outcome.expect(Reason::PowerOff);
    assert_eq!(outcome.console, "-first!-|-second-|-\n");
    let mut after = vec![0; 12288];
    std::os::unix::fs::FileExt::read_exact_at(&copy, &mut after, 0).unwrap();
    assert!(after == content);
}

#[test]
fn devices_tell_what_they_are() {
    let mut vm = Vm::new("devices");
    vm.image(&[0; 8192]);
    let outcome = vm.run();
    outcome.expect(Reason::PowerOff);
    let values: Vec<u64> = outcome
        .console
        .lines()
        .map(|line| u64::from_str_radix(line.split_once("=0x").unwrap().1, 16).unwrap())
        .collect();
    let (magic, version_1) = (0x7472_6976, 1);
    let vsock = [magic, 2, 19, version_1, 3];
    let pmem = [magic, 2, 27, version_1, 1 << 32];
    let nothing = [0xffff_ffff, 0xffff_ffff, 0xff_ffff];
    assert_eq!(values, [&vsock[..], &pmem, &nothing].concat());
}

#[test]
fn registers_are_written_one_by_one_and_in_batches() {
    let outcome = Vm::new("registers").run();
    outcome.expect(Reason::PowerOff);
    let expected = ["ready=1", "ready=1", "ready=0", "status=3", "status=0"];
    assert_eq!(outcome.console.replace("0x000000000000000", "").lines().collect::<Vec<_>>(), expected);
}
