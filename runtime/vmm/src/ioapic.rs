//! An I/O APIC (82093AA), as far as Linux uses it for devices whose interrupts come as messages.
//!
//! It turns the pins that Linux has programmed into messages to the local APIC. Every interrupt of a virtio-mmio device
//! is a message of its own, also where Linux programs a level-triggered pin: the device then interrupts once more for
//! whatever comes while Linux handles the last one, so there is no need to be told of the end of an interrupt, which
//! would cost an exit each time.

use crate::layout::LOCAL_APIC;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Number of pins.
pub const PINS: u32 = 24;

/// Offsets of the two registers that are mapped: which register, and its content.
const SELECT: u64 = 0x00;
const WINDOW: u64 = 0x10;

/// Registers behind the window: identification, version, and two for each pin.
const ID: u8 = 0;
const VERSION: u8 = 1;
const REDIRECTIONS: u8 = 0x10;

/// Version 0x11, and the number of the last pin.
const VERSION_VALUE: u32 = 0x11 | (PINS - 1) << 16;

/// Fields of a redirection. Bits 12 and 14 are read-only.
const VECTOR_AND_DELIVERY: u64 = 0x7ff;
const LOGICAL: u64 = 1 << 11;
const READ_ONLY: u64 = 1 << 12 | 1 << 14;
const MASKED: u64 = 1 << 16;
const DESTINATION_SHIFT: u32 = 56;

/// A message to a local APIC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message {
    /// Where to: which local APIC.
    pub address: u64,
    /// Vector and delivery mode.
    pub data: u32,
}

/// The I/O APIC. Both threads have it; neither holds it for long.
#[derive(Debug, Default)]
pub struct IoApic(Mutex<State>);

#[derive(Debug)]
struct State {
    selected: u8,
    id: u32,
    redirections: [u64; PINS as usize],
    /// Interrupts that came while their pin was masked: bit `n` is pin `n`.
    pending: u32,
}

impl Default for State {
    fn default() -> Self {
        Self { selected: 0, id: 0, redirections: [MASKED; PINS as usize], pending: 0 }
    }
}

impl IoApic {
    /// A device pulls its pin. Gives the message to send, unless the pin is masked; then it comes later.
    pub fn raise(&self, pin: u32) -> Option<Message> {
        self.state().raise(pin)
    }

    /// The guest reads from the page. Accesses other than of 32 bits read as ones.
    pub fn read(&self, at: u64, data: &mut [u8]) {
        if let Ok(data) = <&mut [u8; 4]>::try_from(data) {
            *data = self.state().read(at).to_le_bytes();
        }
    }

    /// The guest writes to the page. Gives the message to send now, if that unmasks a pin that was pulled.
    pub fn write(&self, at: u64, data: &[u8]) -> Option<Message> {
        let value = u32::from_le_bytes(data.try_into().ok()?);
        self.state().write(at, value)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic ends the process, so a poisoned lock cannot be seen.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn raise(&mut self, pin: u32) -> Option<Message> {
        let redirection = *self.redirections.get(usize::try_from(pin).ok()?)?;
        match redirection & MASKED {
            0 => Some(message(redirection)),
            _ => {
                self.pending |= 1 << pin;
                None
            }
        }
    }

    fn read(&self, at: u64) -> u32 {
        match (at, self.selected) {
            (SELECT, selected) => selected.into(),
            (WINDOW, ID) => self.id,
            (WINDOW, VERSION) => VERSION_VALUE,
            (WINDOW, register) => match place(register) {
                Some((pin, shift)) => {
                    let redirection = self.redirections.get(pin).copied().unwrap_or(u64::MAX);
                    (redirection >> shift & u64::from(u32::MAX)) as u32
                }
                None => u32::MAX,
            },
            _ => u32::MAX,
        }
    }

    fn write(&mut self, at: u64, value: u32) -> Option<Message> {
        match (at, self.selected) {
            (SELECT, _) => self.selected = (value & 0xff) as u8,
            (WINDOW, ID) => self.id = value & 0x0f00_0000,
            (WINDOW, register) => {
                let (pin, shift) = place(register)?;
                let redirection = self.redirections.get_mut(pin)?;
                let half = u64::from(u32::MAX) << shift & !READ_ONLY;
                *redirection = *redirection & !half | u64::from(value) << shift & half;
                return self.deliver_pending(pin);
            }
            _ => {}
        }
        None
    }

    fn deliver_pending(&mut self, pin: usize) -> Option<Message> {
        let pin = u32::try_from(pin).ok()?;
        let bit = 1 << pin;
        match self.pending & bit {
            0 => None,
            _ => {
                self.pending &= !bit;
                self.raise(pin)
            }
        }
    }
}

/// The pin whose redirection this register is a half of, and the half's first bit.
fn place(register: u8) -> Option<(usize, u32)> {
    let index = register.checked_sub(REDIRECTIONS)?;
    let pin = usize::from(index / 2);
    (pin < PINS as usize).then_some((pin, u32::from(index % 2) * 32))
}

fn message(redirection: u64) -> Message {
    let destination = redirection >> DESTINATION_SHIFT;
    let logical = u64::from(redirection & LOGICAL != 0);
    Message {
        address: LOCAL_APIC | destination << 12 | logical << 2,
        data: (redirection & VECTOR_AND_DELIVERY) as u32,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(io_apic: &IoApic, register: u8, value: u32) -> Option<Message> {
        assert_eq!(io_apic.write(SELECT, &u32::from(register).to_le_bytes()), None);
        io_apic.write(WINDOW, &value.to_le_bytes())
    }

    fn read(io_apic: &IoApic, register: u8) -> u32 {
        io_apic.write(SELECT, &u32::from(register).to_le_bytes());
        let mut data = [0; 4];
        io_apic.read(WINDOW, &mut data);
        u32::from_le_bytes(data)
    }

    #[test]
    fn a_pin_is_the_message_that_it_was_programmed_to_be() {
        let io_apic = IoApic::default();
        assert_eq!(write(&io_apic, 0x10 + 2 * 5 + 1, 3 << 24), None);
        assert_eq!(write(&io_apic, 0x10 + 2 * 5, 0x841), None);
        assert_eq!(io_apic.raise(5), Some(Message { address: 0xfee0_3004, data: 0x41 }));
        assert_eq!(io_apic.raise(6), None);
        assert_eq!((read(&io_apic, 0x1a), read(&io_apic, 0x1b)), (0x841, 3 << 24));
    }

    #[test]
    fn a_masked_pin_waits() {
        let io_apic = IoApic::default();
        assert_eq!(io_apic.raise(7), None);
        assert_eq!(io_apic.raise(7), None);
        assert_eq!(write(&io_apic, 0x1e, 0x1_0031), None, "still masked");
        assert_eq!(write(&io_apic, 0x1e, 0x31), Some(Message { address: 0xfee0_0000, data: 0x31 }));
        assert_eq!(write(&io_apic, 0x1e, 0x31), None, "once");
    }

    #[test]
    fn what_is_read_only_stays() {
        let io_apic = IoApic::default();
        assert_eq!(read(&io_apic, VERSION), 0x17_0011);
        write(&io_apic, VERSION, 0);
        write(&io_apic, 0x10, u32::MAX);
        assert_eq!((read(&io_apic, VERSION), read(&io_apic, 0x10)), (0x17_0011, !(1 << 12 | 1 << 14)));
        write(&io_apic, ID, u32::MAX);
        assert_eq!(read(&io_apic, ID), 0x0f00_0000);
    }

    #[test]
    fn whatever_the_guest_does_nothing_breaks() {
        let io_apic = IoApic::default();
        for register in 0..=u8::MAX {
            write(&io_apic, register, u32::MAX);
            read(&io_apic, register);
        }
        for (at, len) in [(0, 1), (0x10, 8), (2, 4), (0x40, 4), (u64::MAX, 4), (0x10, 0)] {
            assert_eq!(io_apic.write(at, &vec![0xff; len]), None);
            io_apic.read(at, &mut vec![0; len]);
        }
        assert_eq!([io_apic.raise(24), io_apic.raise(u32::MAX)], [None, None]);
    }
}
