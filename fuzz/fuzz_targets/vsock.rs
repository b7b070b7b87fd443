//! The vsock device, driven by a guest that writes its queues, buffers and packets as it likes.
#![no_main]

use ampoule_devices::Interrupt;
use ampoule_devices::mmio::{Activation, QueueLayout};
use ampoule_devices::poller::Poller;
use ampoule_devices::vsock::{HEADER_LEN, Header, Socket, Vsock, VsockArgs, Work};
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

/// A step of the guest, or of the host that it talks to.
#[derive(Arbitrary, Debug)]
enum Step {
    /// Sends a packet of few choices: it has to be likely that two of them are about the same connection.
    Packet {
        op: u8,
        guest_port: u8,
        to_control: bool,
        len: u16,
        said: u16,
        flags: u8,
        buf_alloc: u32,
        fwd_cnt: u32,
    },
    /// Sends a header as it comes.
    Header([u8; HEADER_LEN], u32),
    /// Offers a buffer to receive into.
    Buffer { address: u32, len: u32 },
    /// Writes a descriptor.
    Descriptor { is_tx: bool, index: u8, address: u64, len: u32, flags: u16, next: u16 },
    /// Offers a descriptor.
    Offer { is_tx: bool, head: u16 },
    /// Writes an index of the available ring.
    Index { is_tx: bool, index: u16 },
    /// The host's end writes or reads.
    Host { writes: bool, len: u16 },
    /// The driver starts anew.
    Reset,
    /// The device works.
    Run,
}

struct Silent;

impl Interrupt for Silent {
    fn used_buffers(&self) {}
    fn config_changed(&self) {}
}

const SIZE: u16 = 64;
const RX: u64 = 0x1000;
const TX: u64 = 0x4000;
const PACKET: u64 = 0x1_0000;
const MEMORY: usize = 0x4_0000;

struct Guest {
    memory: &'static GuestMemoryMmap,
    poller: Arc<Poller>,
    device: Vsock<Silent>,
    offered: [u16; 2],
}

impl Guest {
    fn layout(is_tx: bool) -> QueueLayout {
        let base = if is_tx { TX } else { RX };
        QueueLayout { size: SIZE, descriptors: base, available: base + 0x1000, used: base + 0x2000 }
    }

    fn activate(&mut self) {
        self.memory.write_slice(&[0; (PACKET - RX) as usize], GuestAddress(RX)).expect("it fits");
        self.offered = [0; 2];
        let queues = [Some(Self::layout(false)), Some(Self::layout(true)), None];
        self.device.activate(&Activation { features: 1 << 32, queues }, self.memory).expect("sound queues");
    }

    fn describe(&self, is_tx: bool, index: u16, address: u64, len: u32, flags: u16, next: u16) {
        let at = Self::layout(is_tx).descriptors + 16 * u64::from(index % SIZE);
        let words = [address, u64::from(len) | u64::from(flags) << 32 | u64::from(next) << 48];
        self.memory.write_obj(words, GuestAddress(at)).expect("it fits");
    }

    fn offer(&mut self, is_tx: bool, head: u16) {
        let (layout, offered) = (Self::layout(is_tx), &mut self.offered[usize::from(is_tx)]);
        let slot = layout.available + 4 + 2 * u64::from(*offered % SIZE);
        *offered = offered.wrapping_add(1);
        self.memory.write_obj(head, GuestAddress(slot)).expect("it fits");
        self.memory.write_obj(*offered, GuestAddress(layout.available + 2)).expect("it fits");
    }

    fn send(&mut self, header: &[u8], payload: u32) {
        self.memory.write_slice(header, GuestAddress(PACKET)).expect("it fits");
        self.describe(true, 0, PACKET, HEADER_LEN as u32, 1, 1);
        self.describe(true, 1, PACKET + 0x1000, payload, 0, 0);
        self.offer(true, 0);
    }

    fn run(&mut self) {
        // A guest has no more than a queue full to offer: there has to be an end.
        for _ in 0..100 {
            let device = &mut self.device;
            self.poller.wait(Some(Duration::ZERO), |event| device.handle_event(&event)).expect("an epoll");
            match self.device.process() {
                Ok(Work::Done | Work::Later(_)) => return,
                Ok(Work::More) => {}
                Err(_) => {
                    self.device.reset();
                    self.activate();
                    return;
                }
            }
        }
        panic!("the device does not come to an end");
    }

    fn take(&mut self, step: Step, host: &mut UnixStream) {
        match step {
            Step::Packet { op, guest_port, to_control, len, said, flags, buf_alloc, fwd_cnt } => {
                let header = Header {
                    src_cid: 3,
                    dst_cid: 2,
                    src_port: 5000 + u32::from(guest_port % 4),
                    dst_port: if to_control { 1024 } else { 9 },
                    len: said.into(),
                    socket_type: 1,
                    op: (op % 9).into(),
                    flags: flags.into(),
                    buf_alloc,
                    fwd_cnt,
                };
                self.send(&header.to_bytes(), len.into());
            }
            Step::Header(bytes, payload) => self.send(&bytes, payload),
            Step::Buffer { address, len } => {
                self.describe(false, 2, address.into(), len, 2, 0);
                self.offer(false, 2);
            }
            Step::Descriptor { is_tx, index, address, len, flags, next } => {
                self.describe(is_tx, index.into(), address, len, flags, next);
            }
            Step::Offer { is_tx, head } => self.offer(is_tx, head),
            Step::Index { is_tx, index } => {
                self.offered[usize::from(is_tx)] = index;
                let at = Self::layout(is_tx).available + 2;
                self.memory.write_obj(index, GuestAddress(at)).expect("it fits");
            }
            Step::Host { writes: true, len } => drop(host.write(&vec![7; len.into()])),
            Step::Host { writes: false, len } => drop(host.read(&mut vec![0; len.into()])),
            Step::Reset => {
                self.device.reset();
                self.activate();
            }
            Step::Run => self.run(),
        }
    }
}

fuzz_target!(|steps: Vec<Step>| {
    // Mapping memory for each case would cost more than the case.
    static MEMORY_OF_ALL: OnceLock<GuestMemoryMmap> = OnceLock::new();
    let memory = MEMORY_OF_ALL
        .get_or_init(|| GuestMemoryMmap::from_ranges(&[(GuestAddress(0), MEMORY)]).expect("some memory"));
    let (mut host, socket) = UnixStream::pair().expect("a pair of sockets");
    host.set_nonblocking(true).expect("a socket");
    let poller = Arc::new(Poller::new().expect("an epoll"));
    let socket = Socket::new(socket.into()).expect("a socket");
    let args = VsockArgs { guest_cid: 3, ports: vec![(1024, socket)], listener: None, bytes_per_second: None };
    let device = Vsock::new(args, Arc::clone(&poller), Silent).expect("a device");
    let mut guest = Guest { memory, poller, device, offered: [0; 2] };
    guest.activate();
    for step in steps.into_iter().take(200) {
        guest.take(step, &mut host);
    }
    guest.run();
    guest.device.finish();
});
