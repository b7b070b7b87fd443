//! All registers of a device.

use super::select::{MAX_QUEUES, QueueLayout, QueueRegisters, set_high, set_low};
use super::{VERSION_1, offset, status};
use crate::interrupt::InterruptStatus;

const MAGIC: u32 = 0x7472_6976;
const VERSION: u32 = 2;
/// "AMPL".
const VENDOR: u32 = 0x4c50_4d41;
/// Longest configuration of a device here.
const MAX_CONFIG: usize = 16;

/// Kinds of devices (Virtio 1.2 section 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum DeviceType {
    /// Socket device.
    Vsock = 19,
    /// Persistent memory device.
    Pmem = 27,
}

/// What a device has to do after an access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Nothing.
    None,
    /// The driver is ready: begin with these queues.
    Activate(Activation),
    /// Forget everything. The driver must not go on before that is done.
    Reset,
    /// A queue has new buffers.
    Notify(u16),
}

/// What driver and device have agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Activation {
    /// Features that both have.
    pub features: u64,
    /// Queues; those that the driver does not use are missing.
    pub queues: [Option<QueueLayout>; MAX_QUEUES],
}

/// The registers of a device.
#[derive(Clone, Debug)]
pub struct Registers {
    device: DeviceType,
    features: u64,
    config: [u8; MAX_CONFIG],
    config_len: usize,
    interrupts: InterruptStatus,
    negotiation: Negotiation,
    queue_sel: u32,
    queues: [QueueRegisters; MAX_QUEUES],
}

/// How far the driver is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Negotiation {
    status: u32,
    device_features_sel: u32,
    driver_features_sel: u32,
    driver_features: u64,
}

impl Registers {
    /// A device with these features (besides `VERSION_1`), queue sizes and configuration.
    ///
    /// # Panics
    /// If it has more queues than [`MAX_QUEUES`] or more than 16 bytes of configuration.
    pub fn new(
        device: DeviceType,
        features: u64,
        queue_sizes: &[u16],
        config: &[u8],
        interrupts: InterruptStatus,
    ) -> Self {
        let mut registers = Self {
            device,
            features: features | VERSION_1,
            config: [0; MAX_CONFIG],
            config_len: config.len(),
            interrupts,
            negotiation: Negotiation::default(),
            queue_sel: 0,
            queues: [QueueRegisters::default(); MAX_QUEUES],
        };
        assert!(queue_sizes.len() <= MAX_QUEUES, "a device of {} queues", queue_sizes.len());
        for (queue, size) in registers.queues.iter_mut().zip(queue_sizes) {
            *queue = QueueRegisters::new(*size);
        }
        registers.config[..config.len()].copy_from_slice(config);
        registers
    }

    /// The driver reads. Accesses that the specification does not allow give ones.
    pub fn read(&self, at: u64, data: &mut [u8]) {
        data.fill(0xff);
        if let Some(at) = at.checked_sub(offset::CONFIG) {
            return self.read_config(at, data);
        }
        if let Ok(data) = <&mut [u8; 4]>::try_from(data) {
            *data = self.read_register(at).to_le_bytes();
        }
    }

    fn read_config(&self, at: u64, data: &mut [u8]) {
        let config = self.config.get(..self.config_len).unwrap_or_default();
        let rest = usize::try_from(at).ok().and_then(|at| config.get(at..)).unwrap_or_default();
        for (to, byte) in data.iter_mut().zip(rest) {
            *to = *byte;
        }
    }

    fn read_register(&self, at: u64) -> u32 {
        match at {
            offset::MAGIC => MAGIC,
            offset::VERSION => VERSION,
            offset::DEVICE_ID => self.device as u32,
            offset::VENDOR_ID => VENDOR,
            offset::DEVICE_FEATURES => word(self.features, self.negotiation.device_features_sel),
            offset::QUEUE_NUM_MAX => self.queue().map_or(0, |queue| queue.max_size.into()),
            offset::QUEUE_READY => self.queue().map_or(0, |queue| queue.ready.into()),
            offset::INTERRUPT_STATUS => self.interrupts.get(),
            offset::STATUS => self.negotiation.status,
            // There are no shared memory regions, which all ones say.
            offset::SHM_LEN_LOW..=offset::SHM_BASE_HIGH => u32::MAX,
            // The configuration never changes.
            offset::CONFIG_GENERATION => 0,
            _ => 0,
        }
    }

    /// The driver writes. Accesses that the specification does not allow are ignored.
    pub fn write(&mut self, at: u64, data: &[u8]) -> Action {
        let Ok(data) = <[u8; 4]>::try_from(data) else { return Action::None };
        let value = u32::from_le_bytes(data);
        match at {
            offset::QUEUE_NOTIFY => return self.notify(value),
            offset::STATUS => return self.set_status(value),
            offset::INTERRUPT_ACK => self.interrupts.acknowledge(value),
            offset::DEVICE_FEATURES_SEL => self.negotiation.device_features_sel = value,
            offset::DRIVER_FEATURES_SEL => self.negotiation.driver_features_sel = value,
            offset::DRIVER_FEATURES => self.set_driver_features(value),
            offset::QUEUE_SEL => self.queue_sel = value,
            _ => self.write_queue(at, value),
        }
        Action::None
    }

    /// The device cannot go on: its driver has broken a rule.
    pub fn set_needs_reset(&mut self) {
        self.negotiation.status |= status::DEVICE_NEEDS_RESET;
    }

    fn notify(&self, queue: u32) -> Action {
        match u16::try_from(queue) {
            Ok(number) if self.is_running() && usize::from(number) < self.queues.len() => {
                Action::Notify(number)
            }
            _ => Action::None,
        }
    }

    fn is_running(&self) -> bool {
        self.negotiation.status & status::DRIVER_OK != 0
    }

    /// Bits can be set, not cleared, but for all at once: the reset.
    fn set_status(&mut self, value: u32) -> Action {
        if value == 0 {
            self.reset();
            return Action::Reset;
        }
        let before = self.negotiation.status;
        let mut new = value & (status::ACKNOWLEDGE | status::DRIVER | status::FAILED) & !before;
        let mut agreed = before & status::FEATURES_OK != 0;
        if value & status::FEATURES_OK != 0 && !agreed {
            agreed = self.features_agree();
            new |= if agreed { status::FEATURES_OK } else { 0 };
        }
        let starts = value & status::DRIVER_OK != 0 && before & status::DRIVER_OK == 0 && agreed;
        if starts {
            new |= status::DRIVER_OK;
        }
        self.negotiation.status |= new;
        if starts { Action::Activate(self.activation()) } else { Action::None }
    }

    fn reset(&mut self) {
        self.negotiation = Negotiation::default();
        self.queue_sel = 0;
        for queue in &mut self.queues {
            *queue = QueueRegisters::new(queue.max_size);
        }
        self.interrupts.acknowledge(u32::MAX);
    }

    fn features_agree(&self) -> bool {
        let wanted = self.negotiation.driver_features;
        wanted & !self.features == 0 && wanted & VERSION_1 != 0
    }

    fn activation(&self) -> Activation {
        let queues = self.queues.map(|queue| queue.ready.then_some(queue.layout));
        Activation { features: self.negotiation.driver_features, queues }
    }

    fn set_driver_features(&mut self, value: u32) {
        let Negotiation { status, driver_features_sel, driver_features, .. } = &mut self.negotiation;
        if *status & status::FEATURES_OK == 0 {
            match driver_features_sel {
                0 => set_low(driver_features, value),
                1 => set_high(driver_features, value),
                _ => {}
            }
        }
    }

    fn queue(&self) -> Option<&QueueRegisters> {
        self.queues.get(usize::try_from(self.queue_sel).ok()?).filter(|queue| queue.max_size > 0)
    }

    /// Queues are set up before the device runs.
    fn write_queue(&mut self, at: u64, value: u32) {
        let running = self.is_running();
        let queue = usize::try_from(self.queue_sel).ok().and_then(|index| self.queues.get_mut(index));
        let Some(queue) = queue.filter(|_| !running) else { return };
        match at {
            // What does not fit is no power of two either.
            offset::QUEUE_NUM => {
                queue.change(|layout| layout.size = u16::try_from(value).unwrap_or(u16::MAX))
            }
            offset::QUEUE_READY => queue.set_ready(value),
            offset::QUEUE_DESC_LOW => queue.change(|layout| set_low(&mut layout.descriptors, value)),
            offset::QUEUE_DESC_HIGH => queue.change(|layout| set_high(&mut layout.descriptors, value)),
            offset::QUEUE_DRIVER_LOW => queue.change(|layout| set_low(&mut layout.available, value)),
            offset::QUEUE_DRIVER_HIGH => queue.change(|layout| set_high(&mut layout.available, value)),
            offset::QUEUE_DEVICE_LOW => queue.change(|layout| set_low(&mut layout.used, value)),
            offset::QUEUE_DEVICE_HIGH => queue.change(|layout| set_high(&mut layout.used, value)),
            _ => {}
        }
    }
}

/// 32 of the feature bits.
fn word(features: u64, select: u32) -> u32 {
    match select {
        0 => (features & u64::from(u32::MAX)) as u32,
        1 => (features >> 32) as u32,
        _ => 0,
    }
}
