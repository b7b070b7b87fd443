//! The registers of the virtio devices, and what the guest has asked of the devices through them.

use ampoule_devices::mmio::{Action, Activation, Registers};

/// All virtio devices' registers. The devices themselves belong to the device thread.
#[derive(Debug, Default)]
pub struct Transports {
    registers: Vec<Registers>,
    commands: Commands,
    reset_pending: bool,
}

/// What the guest has asked of the devices, since this was last fetched.
#[derive(Debug, Default)]
pub struct Commands {
    /// Changes of state, in order, each with the number of its device. Not many: a guest that resets a device waits until
    /// that is done, and starts it only once.
    pub changes: Vec<(usize, Change)>,
    /// Devices with new buffers: bit `n` is device `n`.
    pub notified: u32,
}

/// A change of a device's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Its driver is ready.
    Activate(Activation),
    /// Its driver starts anew, and waits for that.
    Reset,
}

impl Commands {
    fn is_empty(&self) -> bool {
        self.changes.is_empty() && self.notified == 0
    }
}

impl Transports {
    /// The registers of all devices, in the order of their addresses.
    pub fn new(registers: Vec<Registers>) -> Self {
        Self { registers, ..Self::default() }
    }

    /// The guest reads a register.
    pub fn read(&self, device: usize, at: u64, data: &mut [u8]) {
        if let Some(registers) = self.registers.get(device) {
            registers.read(at, data);
        }
    }

    /// The guest writes a register.
    pub fn write(&mut self, device: usize, at: u64, data: &[u8]) {
        let Some(registers) = self.registers.get_mut(device) else { return };
        match registers.write(at, data) {
            Action::None => {}
            Action::Activate(activation) => {
                self.commands.changes.push((device, Change::Activate(activation)))
            }
            Action::Reset => {
                self.reset_pending = true;
                self.commands.changes.push((device, Change::Reset));
            }
            Action::Notify(_) => self.commands.notified |= bit(device),
        }
    }

    /// The driver of a device has broken a rule.
    pub fn set_needs_reset(&mut self, device: usize) {
        if let Some(registers) = self.registers.get_mut(device) {
            registers.set_needs_reset();
        }
    }

    /// Whether there is anything to fetch.
    pub fn has_commands(&self) -> bool {
        !self.commands.is_empty()
    }

    /// Whether the guest waits for a reset.
    pub fn has_reset(&self) -> bool {
        self.reset_pending
    }

    /// Fetches what the guest has asked.
    pub fn take_commands(&mut self) -> Commands {
        std::mem::take(&mut self.commands)
    }

    /// All resets that were fetched are done.
    pub fn resets_are_done(&mut self) {
        self.reset_pending = false;
    }
}

/// The bit of a device in [`Commands::notified`].
pub fn bit(device: usize) -> u32 {
    u32::try_from(device).ok().and_then(|device| 1u32.checked_shl(device)).unwrap_or(0)
}
