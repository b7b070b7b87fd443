//! The registers of a virtio device: any accesses in any order.
#![no_main]

use ampoule_devices::InterruptStatus;
use ampoule_devices::mmio::{Action, DeviceType, Registers, offset, status};
use ampoule_devices::vsock::QUEUE_SIZES;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|accesses: Vec<(bool, u16, u8, u64)>| {
    let mut registers =
        Registers::new(DeviceType::Vsock, 0, &QUEUE_SIZES, &[3; 8], InterruptStatus::default());
    let mut is_active = false;
    for (is_store, at, len, value) in accesses {
        let (at, len) = (u64::from(at % 0x200), usize::from(len % 8) + 1);
        let mut data = value.to_le_bytes();
        if !is_store {
            registers.read(at, &mut data[..len]);
            continue;
        }
        match registers.write(at, &data[..len]) {
            Action::None => {}
            Action::Notify(queue) => assert!(is_active && usize::from(queue) < QUEUE_SIZES.len()),
            Action::Reset => is_active = false,
            Action::Activate(activation) => {
                // Once a reset, and with queues that the device can have.
                assert!(!is_active && activation.features == 1 << 32);
                is_active = true;
                for (queue, max) in activation.queues.iter().zip(QUEUE_SIZES) {
                    assert!(queue.is_none_or(|queue| queue.size <= max && queue.size.is_power_of_two()));
                }
            }
        }
        let mut word = [0; 4];
        registers.read(offset::STATUS, &mut word);
        assert_eq!(u32::from_le_bytes(word) & status::DRIVER_OK != 0, is_active);
    }
});
