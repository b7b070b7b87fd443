//! The VMM's bus: any accesses of a guest, in any order, with its device thread's turns between them: device registers, the
//! PV page (log, batches, text), the I/O APIC, the serial console and the other ports. Needs `/dev/kvm`.
#![no_main]

use ampoule_vmm::fuzzing::{Bus, PLACES};
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;

#[derive(Arbitrary, Debug)]
enum Step {
    /// An address near something, or anywhere.
    Load { place: u8, at: u16, len: u8 },
    Store { place: u8, at: u16, len: u8, value: u64 },
    Anywhere { address: u64, value: u64 },
    Input { port: u16, len: u8 },
    Output { port: u16, data: Vec<u8> },
    /// A port of the serial console.
    Serial { register: u8, value: u8 },
    /// A register of the I/O APIC.
    IoApic { register: u8, value: u32 },
    Fill { at: u16, words: Vec<u32> },
    /// A batch of register writes, or a text, at this address.
    Batch { at: u64 },
    Text { at: u64 },
    Interrupt { pin: u32 },
    Serve,
}

fn address(place: u8, at: u16) -> u64 {
    PLACES[usize::from(place) % PLACES.len()] + u64::from(at)
}

fn step(bus: &mut Bus, step: Step) -> bool {
    let pv = PLACES[1];
    match step {
        Step::Load { place, at, len } => bus.load(address(place, at), &mut [0; 8][..usize::from(len % 8) + 1]),
        Step::Store { place, at, len, value } => {
            return bus.store(address(place, at), &value.to_le_bytes()[..usize::from(len % 8) + 1]);
        }
        Step::Anywhere { address, value } => return bus.store(address, &value.to_le_bytes()),
        Step::Input { port, len } => bus.input(port, &mut [0; 256][..usize::from(len)]),
        Step::Output { port, data } => return bus.output(port, &data),
        Step::Serial { register, value } => return bus.output(0x3f8 + u16::from(register % 8), &[value]),
        Step::IoApic { register, value } => {
            return bus.store(PLACES[2], &[register, 0, 0, 0]) && bus.store(PLACES[2] + 0x10, &value.to_le_bytes());
        }
        Step::Fill { at, words } => {
            let bytes: Vec<u8> = words.into_iter().flat_map(u32::to_le_bytes).collect();
            bus.fill(at.into(), &bytes);
        }
        Step::Batch { at } => return bus.store(pv + 0x810, &at.to_le_bytes()),
        Step::Text { at } => return bus.store(pv + 0x818, &at.to_le_bytes()),
        Step::Interrupt { pin } => bus.interrupt(pin),
        Step::Serve => bus.serve(),
    }
    true
}

fuzz_target!(|steps: Vec<Step>| {
    let mut bus = Bus::new();
    bus.watch();
    for next in steps {
        if !step(&mut bus, next) {
            break;
        }
    }
    bus.serve();
});
