//! Tests of the registers against the specification.

use super::*;
use crate::interrupt::InterruptStatus;
use proptest::prelude::*;

const AGREED: u32 = status::ACKNOWLEDGE | status::DRIVER | status::FEATURES_OK;

fn registers() -> (Registers, InterruptStatus) {
    let interrupts = InterruptStatus::default();
    (
        Registers::new(DeviceType::Vsock, 1 << 3, &[256, 128], &[1, 2, 3, 4, 5, 6, 7, 8], interrupts.clone()),
        interrupts,
    )
}

fn write(registers: &mut Registers, at: u64, value: u32) -> Action {
    registers.write(at, &value.to_le_bytes())
}

fn read(registers: &Registers, at: u64) -> u32 {
    let mut data = [0; 4];
    registers.read(at, &mut data);
    u32::from_le_bytes(data)
}

fn negotiate(registers: &mut Registers, features: u64) {
    write(registers, offset::STATUS, status::ACKNOWLEDGE | status::DRIVER);
    for (select, value) in [(0, features as u32), (1, (features >> 32) as u32)] {
        write(registers, offset::DRIVER_FEATURES_SEL, select);
        write(registers, offset::DRIVER_FEATURES, value);
    }
    write(registers, offset::STATUS, AGREED);
}

fn set_up_queue(registers: &mut Registers, number: u32, size: u32, base: u64) {
    write(registers, offset::QUEUE_SEL, number);
    write(registers, offset::QUEUE_NUM, size);
    for (low, address) in [
        (offset::QUEUE_DESC_LOW, base),
        (offset::QUEUE_DRIVER_LOW, base + 0x1000),
        (offset::QUEUE_DEVICE_LOW, base + 0x2000),
    ] {
        write(registers, low, address as u32);
        write(registers, low + 4, (address >> 32) as u32);
    }
    write(registers, offset::QUEUE_READY, 1);
}

#[test]
fn a_driver_brings_the_device_up() {
    let (mut registers, _) = registers();
    assert_eq!(read(&registers, offset::MAGIC).to_le_bytes(), *b"virt");
    assert_eq!([read(&registers, offset::VERSION), read(&registers, offset::DEVICE_ID)], [2, 19]);
    assert_eq!(read(&registers, offset::DEVICE_FEATURES), 1 << 3);
    write(&mut registers, offset::DEVICE_FEATURES_SEL, 1);
    assert_eq!(read(&registers, offset::DEVICE_FEATURES), 1);
    negotiate(&mut registers, VERSION_1);
    assert_eq!(read(&registers, offset::STATUS), AGREED);
    assert_eq!(read(&registers, offset::QUEUE_NUM_MAX), 256);
    set_up_queue(&mut registers, 1, 64, 0x1_2345_6000);
    assert_eq!(read(&registers, offset::QUEUE_READY), 1);
    let action = write(&mut registers, offset::STATUS, AGREED | status::DRIVER_OK);
    let layout =
        QueueLayout { size: 64, descriptors: 0x1_2345_6000, available: 0x1_2345_7000, used: 0x1_2345_8000 };
    assert_eq!(
        action,
        Action::Activate(Activation { features: VERSION_1, queues: [None, Some(layout), None] })
    );
    assert_eq!(write(&mut registers, offset::QUEUE_NOTIFY, 1), Action::Notify(1));
    assert_eq!(write(&mut registers, offset::QUEUE_NOTIFY, 7), Action::None);
    assert_eq!(write(&mut registers, offset::STATUS, AGREED | status::DRIVER_OK), Action::None, "already");
}

#[test]
fn features_that_the_device_lacks_are_not_agreed_on() {
    for features in [VERSION_1 | 1, 1 << 3, 0, u64::MAX] {
        let (mut registers, _) = registers();
        negotiate(&mut registers, features);
        assert_eq!(read(&registers, offset::STATUS), status::ACKNOWLEDGE | status::DRIVER, "{features:#x}");
        assert_eq!(write(&mut registers, offset::STATUS, AGREED | status::DRIVER_OK), Action::None);
    }
}

#[test]
fn features_are_fixed_once_agreed() {
    let (mut registers, _) = registers();
    negotiate(&mut registers, VERSION_1 | 1 << 3);
    negotiate(&mut registers, VERSION_1 | 1);
    match write(&mut registers, offset::STATUS, AGREED | status::DRIVER_OK) {
        Action::Activate(activation) => assert_eq!(activation.features, VERSION_1 | 1 << 3),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_queue_that_cannot_be_is_not_ready() {
    for (size, base) in [(0, 0x1000), (3, 0x1000), (512, 0x1000), (65536 + 64, 0x1000), (64, 0x1008)] {
        let (mut registers, _) = registers();
        set_up_queue(&mut registers, 0, size, base);
        assert_eq!(read(&registers, offset::QUEUE_READY), 0, "{size} {base:#x}");
    }
    let (mut registers, _) = registers();
    set_up_queue(&mut registers, 2, 1, 0x1000);
    assert_eq!([read(&registers, offset::QUEUE_READY), read(&registers, offset::QUEUE_NUM_MAX)], [0, 0]);
}

#[test]
fn a_queue_in_use_does_not_change() {
    let (mut registers, _) = registers();
    negotiate(&mut registers, VERSION_1);
    set_up_queue(&mut registers, 0, 64, 0x1000);
    set_up_queue(&mut registers, 0, 32, 0x9000);
    let action = write(&mut registers, offset::STATUS, AGREED | status::DRIVER_OK);
    write(&mut registers, offset::QUEUE_READY, 0);
    assert_eq!(read(&registers, offset::QUEUE_READY), 1);
    match action {
        Action::Activate(Activation { queues: [Some(queue), None, None], .. }) => {
            assert_eq!((queue.size, queue.descriptors), (64, 0x1000));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn interrupts_are_acknowledged_bit_by_bit() {
    let (mut registers, interrupts) = registers();
    interrupts.set_used_buffers();
    interrupts.set_config_changed();
    assert_eq!(read(&registers, offset::INTERRUPT_STATUS), 3);
    write(&mut registers, offset::INTERRUPT_ACK, 1);
    assert_eq!(read(&registers, offset::INTERRUPT_STATUS), 2);
}

#[test]
fn a_reset_forgets_everything() {
    let (mut registers, interrupts) = registers();
    negotiate(&mut registers, VERSION_1);
    set_up_queue(&mut registers, 0, 64, 0x1000);
    write(&mut registers, offset::STATUS, AGREED | status::DRIVER_OK);
    interrupts.set_used_buffers();
    registers.set_needs_reset();
    assert_eq!(read(&registers, offset::STATUS), AGREED | status::DRIVER_OK | status::DEVICE_NEEDS_RESET);
    assert_eq!(write(&mut registers, offset::STATUS, 0), Action::Reset);
    for at in [offset::STATUS, offset::QUEUE_READY, offset::INTERRUPT_STATUS] {
        assert_eq!(read(&registers, at), 0, "{at:#x}");
    }
    assert_eq!(write(&mut registers, offset::QUEUE_NOTIFY, 0), Action::None);
}

#[test]
fn the_configuration_is_read_in_any_width() {
    let (registers, _) = registers();
    let mut data = [0; 8];
    registers.read(offset::CONFIG, &mut data);
    assert_eq!(data, [1, 2, 3, 4, 5, 6, 7, 8]);
    registers.read(offset::CONFIG + 7, &mut data[..2]);
    assert_eq!(data[..2], [8, 0xff], "nothing is behind it");
    registers.read(offset::STATUS, &mut data[..2]);
    assert_eq!(data[..2], [0xff, 0xff], "other registers have 32 bits");
}

proptest! {
    /// Whatever a driver does: no panic; bits of the status only come, but for a reset; the device starts at most once
    /// between resets, with agreed features and sound queues only.
    #[test]
    fn no_driver_confuses_the_registers(
        accesses in prop::collection::vec(
            (prop_oneof![(0u64..0x44).prop_map(|n| n * 4), 0u64..0x200, any::<u64>()],
             prop_oneof![0u32..16, any::<u32>(), Just(1 << 6)],
             any::<bool>()),
            0..200,
        )
    ) {
        let (mut registers, _) = registers();
        let (mut last_status, mut running) = (0, false);
        for (at, value, is_read) in accesses {
            if is_read {
                for len in [1, 2, 4, 8] {
                    registers.read(at, &mut [0; 8][..len]);
                }
                continue;
            }
            registers.write(at, &value.to_le_bytes()[..1]);
            registers.write(at, &[value.to_le_bytes(); 2].concat());
            match write(&mut registers, at, value) {
                Action::Reset => (last_status, running) = (0, false),
                Action::Activate(Activation { features, queues }) => {
                    prop_assert!(!running);
                    running = true;
                    prop_assert!(features & VERSION_1 != 0 && features & !(VERSION_1 | 1 << 3) == 0);
                    for queue in queues.into_iter().flatten() {
                        prop_assert!(queue.size.is_power_of_two() && queue.size <= 256);
                        prop_assert!(queue.descriptors % 16 == 0 && queue.used % 4 == 0);
                    }
                }
                Action::Notify(queue) => prop_assert!(running && usize::from(queue) < MAX_QUEUES),
                Action::None => {}
            }
            let status = read(&registers, offset::STATUS);
            prop_assert_eq!(status & last_status, last_status);
            prop_assert_eq!(status & status::DRIVER_OK != 0, running);
            last_status = status;
        }
    }
}
