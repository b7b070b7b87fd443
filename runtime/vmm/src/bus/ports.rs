//! I/O ports: a serial port for the kernel log, the keyboard controller's reset line, and the register with which ACPI
//! powers off.

use crate::ending::Ending;
use crate::layout::SLEEP_CONTROL;
use crate::log::Log;
use ampoule_vmm_api::Reason;
use std::convert::Infallible;
use vm_superio::Serial;
use vm_superio::serial::NoEvents;

/// First port of COM1.
const COM1: u16 = 0x3f8;
const COM1_END: u16 = COM1 + 7;
/// Command port of the i8042.
const I8042_COMMAND: u16 = 0x64;
/// "Pulse the reset line".
const I8042_RESET: u8 = 0xfe;

/// "Enter the sleep state" in the sleep control register, and the state "soft off" as `\_S5` has it.
const SLEEP_ENABLE: u8 = 1 << 5;
const SLEEP_TYPE_SHIFT: u8 = 2;
const SLEEP_TYPE_MASK: u8 = 7;
/// The number of that state.
pub const SOFT_OFF: u8 = 5;

/// The ports that do something. All others read as ones and ignore what is written.
pub struct Ports {
    serial: Serial<NoInterrupt, NoEvents, Vec<u8>>,
}

impl Default for Ports {
    fn default() -> Self {
        Self { serial: Serial::new(NoInterrupt, Vec::new()) }
    }
}

/// The serial port is output only: nobody waits for its interrupt.
struct NoInterrupt;

impl vm_superio::Trigger for NoInterrupt {
    type E = Infallible;

    fn trigger(&self) -> Result<(), Infallible> {
        Ok(())
    }
}

impl Ports {
    /// Input from a port.
    pub fn read(&mut self, port: u16, data: &mut [u8]) {
        match (register(port), data) {
            (Some(register), [byte]) => *byte = self.serial.read(register),
            // Nothing is waiting in the keyboard controller.
            (None, [byte]) if port == I8042_COMMAND => *byte = 0,
            (_, data) => data.fill(0xff),
        }
    }

    /// Output to a port. String output comes as many bytes.
    pub fn write(&mut self, port: u16, data: &[u8], log: &mut Log) -> Option<Ending> {
        match register(port) {
            Some(register) => {
                for &byte in data {
                    // It fails when the guest loops back more than the FIFO takes: its problem.
                    let _ = self.serial.write(register, byte);
                }
                log.append(self.serial.writer());
                self.serial.writer_mut().clear();
                None
            }
            None if port == I8042_COMMAND && data == [I8042_RESET] => Some(Ending::of(Reason::Reset)),
            None if port == SLEEP_CONTROL => match data {
                [value] if is_soft_off(*value) => Some(Ending::of(Reason::PowerOff)),
                _ => None,
            },
            None => None,
        }
    }
}

/// Whether this value of the sleep control register powers off.
fn is_soft_off(value: u8) -> bool {
    value & SLEEP_ENABLE != 0 && value >> SLEEP_TYPE_SHIFT & SLEEP_TYPE_MASK == SOFT_OFF
}

/// The serial port's register behind a port.
fn register(port: u16) -> Option<u8> {
    match port {
        COM1..=COM1_END => u8::try_from(port - COM1).ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_serial_port_is_the_log() {
        let (mut ports, mut log) = (Ports::default(), Log::default());
        assert!(ports.write(0x3f8, b"hello", &mut log).is_none());
        assert_eq!(log.tail(), "hello");
        let mut status = [0];
        ports.read(0x3fd, &mut status);
        assert_eq!(status[0] & 0x20, 0x20, "always ready to transmit");
    }

    #[test]
    fn the_reset_line_resets() {
        let (mut ports, mut log) = (Ports::default(), Log::default());
        assert!(ports.write(0x64, &[0xd1], &mut log).is_none());
        assert_eq!(ports.write(0x64, &[0xfe], &mut log), Some(Ending::of(Reason::Reset)));
    }

    #[test]
    fn the_sleep_control_register_powers_off() {
        let (mut ports, mut log) = (Ports::default(), Log::default());
        for value in [0, 0x20, 0x14, 0x38] {
            assert!(ports.write(0x600, &[value], &mut log).is_none(), "{value:#x}");
        }
        assert!(ports.write(0x601, &[0x34], &mut log).is_none());
        assert_eq!(ports.write(0x600, &[0x34], &mut log), Some(Ending::of(Reason::PowerOff)));
    }

    #[test]
    fn unknown_ports_read_as_ones() {
        let mut data = [0; 4];
        Ports::default().read(0xcfc, &mut data);
        assert_eq!(data, [0xff; 4]);
    }

    #[test]
    fn wide_and_looped_back_accesses_do_no_harm() {
        let (mut ports, mut log) = (Ports::default(), Log::default());
        for register in 0x3f8..0x400 {
            ports.write(register, &[0xff; 4096], &mut log);
            ports.read(register, &mut [0; 4096]);
        }
        ports.write(0x3fc, &[0x10], &mut log);
        ports.write(0x3fb, &[0x03], &mut log);
        ports.write(0x3f8, &[b'x'; 4096], &mut log);
    }
}
