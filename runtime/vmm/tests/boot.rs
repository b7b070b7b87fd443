//! What a kernel finds when it starts, and how it can end the VM.

mod common;

use ampoule_vmm_api::Reason;
use common::Vm;

#[test]
fn the_kernel_finds_what_the_boot_protocol_promises() {
    let mut vm = Vm::new("boot");
    vm.image(&[1; 5000]);
    vm.image(&[2; 10]);
    vm.config.cmdline.push_str(" quiet");
    let outcome = vm.run();
    outcome.expect(Reason::PowerOff);
    let (cmdline, rest) = outcome.console.split_once('\n').unwrap();
    let words: Vec<&str> = cmdline.split_ascii_whitespace().collect();
    assert!(words[0].starts_with("ampoule.boot_ns=1") && words[0].len() > 30, "{cmdline}");
    let tsc_khz: u32 = words[1].strip_prefix("tsc_early_khz=").unwrap().parse().unwrap();
    assert!(tsc_khz > 100_000, "{cmdline}");
    assert_eq!(
        words[2..].join(" "),
        "virtio_mmio.device=4K@0xd0000000:5 virtio_mmio.device=4K@0xd0001000:6 \
         virtio_mmio.device=4K@0xd0002000:7 ampoule.pv=0xd0100000 ampoule.cid=3 test=boot quiet"
    );
    let values: Vec<(&str, u64)> = rest.lines().filter_map(value).collect();
    let e820 =
        [(0, 0x9_fc00, 1), (0x10_0000, 15 << 20, 1), (0x1_0000_0000, 0x2000, 7), (0x1_0020_0000, 0x1000, 7)];
    for (index, (start, size, kind)) in e820.into_iter().enumerate() {
        let expected = [("e820.start", start), ("e820.size", size), ("e820.type", kind)];
        assert_eq!(values[3 * index..3 * index + 3], expected);
    }
    assert_eq!(values[12..14], [("setup.next", 0), ("setup.type_len", 9 | 32 << 32)]);
    assert_ne!(values[14].1, 0, "a random seed");
    assert_eq!(values[15].0, "cpuid.1.ecx");
    let (x2apic, tsc_deadline, hypervisor) = (1 << 21, 1 << 24, 1 << 31);
    assert_eq!(values[15].1 & (x2apic | tsc_deadline | hypervisor), x2apic | tsc_deadline | hypervisor);
    assert_eq!(values[16].1 >> 16, 1, "one processor with APIC id 0");
}

fn value(line: &str) -> Option<(&str, u64)> {
    let (name, value) = line.split_once('=')?;
    Some((name, u64::from_str_radix(value.strip_prefix("0x")?, 16).ok()?))
}

#[test]
fn each_end_has_its_reason() {
    for (test, reason) in [
        ("nothing", Reason::PowerOff),
        ("reset", Reason::Reset),
        ("keyboard-reset", Reason::Reset),
        ("panic", Reason::KernelPanic),
        ("oom", Reason::GuestOutOfMemory),
        ("crash", Reason::TripleFault),
    ] {
        Vm::new(test).run().expect(reason);
    }
}

#[test]
fn a_panic_comes_with_the_end_of_the_log() {
    let outcome = Vm::new("panic").start_without_console().wait();
    assert_eq!(outcome.status.console_tail, "panic: on purpose\n");
}

#[test]
fn a_triple_fault_comes_with_registers_and_code() {
    let outcome = Vm::new("crash").run();
    outcome.expect(Reason::TripleFault);
    let message = &outcome.status.message;
    // Where KVM knows them.
    let known = message.contains("rip=0x100") && message.contains("code at rip: 0f 0b");
    assert!(known || message.contains("its registers are not known"), "{message}");
    assert_eq!(outcome.console, "about to crash\n");
}

#[test]
fn an_instruction_that_kvm_cannot_emulate_is_shown() {
    let outcome = Vm::new("emulate").run();
    // Where ring 0 runs natively, there is nothing to emulate.
    if outcome.status.reason != Reason::PowerOff {
        outcome.expect(Reason::EmulationFailure);
        let message = &outcome.status.message;
        assert!(message.contains("code at rip: f0 48 0f c7"), "{message}");
    }
}

#[test]
fn an_access_beyond_ram_reads_ones_and_does_no_harm() {
    Vm::new("no-memory").run().expect(Reason::PowerOff);
}

#[test]
fn the_log_takes_every_kind_of_store() {
    let outcome = Vm::new("log").run();
    let expected = format!("bytes,words,text,serial,{},done\n", "0123456789".repeat(100));
    assert_eq!(outcome.console, expected);
    assert_eq!(outcome.status.console_tail, expected);
}

#[test]
fn times_are_in_order() {
    let timings = Vm::new("nothing").run().status.timings;
    let times = [
        timings.process_start,
        timings.kvm_opened,
        timings.vm_created,
        timings.memory_mapped,
        timings.kernel_loaded,
        timings.vcpu_ready,
        timings.end,
    ];
    assert!(times.iter().all(Option::is_some) && times.is_sorted(), "{timings:?}");
    assert_eq!(timings.control_connected, None);
}
