//! A guest without a machine: the driver's side of the device in plain memory, and the device.

use crate::interrupt::Interrupt;
use crate::mmio::Activation;
use crate::poller::Poller;
use crate::queue::driver::{DriverQueue, WRITE};
use crate::vsock::{HEADER_LEN, HOST_CID, Header, Op, Socket, Vsock, VsockArgs, Work};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

pub const GUEST_CID: u64 = 3;
pub const HOST_PORT: u32 = 1024;
pub const GUEST_PORT: u32 = 5000;
/// What the guest says its buffer takes.
pub const GUEST_BUFFER: u32 = 100_000;

const MEMORY: usize = 8 << 20;
const RX: u64 = 0x1000;
const TX: u64 = 0x8000;
const QUEUE_SIZE: u16 = 64;
/// Buffers: those to receive at the start, those to send behind.
const BUFFERS: u64 = 0x10_0000;
const BUFFER_SIZE: u64 = 0x1_0000;

/// Counts interrupts.
#[derive(Clone, Default)]
pub struct Counter(pub Rc<Cell<u32>>);

impl Interrupt for Counter {
    fn used_buffers(&self) {
        self.0.set(self.0.get() + 1);
    }

    fn config_changed(&self) {}
}

/// A guest and its device.
pub struct Guest {
    pub memory: GuestMemoryMmap,
    pub rx: DriverQueue,
    pub tx: DriverQueue,
    pub device: Vsock<Counter>,
    pub interrupts: Counter,
    poller: Arc<Poller>,
    posted: BTreeMap<u16, u64>,
    free_slots: Vec<u64>,
    sending: BTreeMap<u16, u64>,
    /// Bytes of the stream that the guest has read, for the header.
    pub fwd_cnt: u32,
}

impl Guest {
    /// A guest whose driver is up, with a host port. Also gives the host's end of that.
    pub fn new() -> (Self, UnixStream) {
        let (host, socket) = UnixStream::pair().unwrap();
        host.set_nonblocking(true).unwrap();
        (Self::with(vec![(HOST_PORT, socket.into())], None), host)
    }

    pub fn with(ports: Vec<(u32, OwnedFd)>, listener: Option<OwnedFd>) -> Self {
        let memory = GuestMemoryMmap::from_ranges(&[(GuestAddress(0), MEMORY)]).unwrap();
        let (rx, tx) = (DriverQueue::new(&memory, RX, QUEUE_SIZE), DriverQueue::new(&memory, TX, QUEUE_SIZE));
        let poller = Arc::new(Poller::new().unwrap());
        let interrupts = Counter::default();
        let ports = ports.into_iter().map(|(port, socket)| (port, Socket::new(socket).unwrap())).collect();
        let args = VsockArgs { guest_cid: GUEST_CID, ports, listener, bytes_per_second: None };
        let device = Vsock::new(args, poller.clone(), interrupts.clone()).unwrap();
        let free_slots =
            (0..(MEMORY as u64 - BUFFERS) / BUFFER_SIZE).map(|n| BUFFERS + n * BUFFER_SIZE).collect();
        let (posted, sending) = (BTreeMap::new(), BTreeMap::new());
        let mut guest =
            Self { memory, rx, tx, device, interrupts, poller, posted, free_slots, sending, fwd_cnt: 0 };
        guest.activate();
        guest
    }

    pub fn activate(&mut self) {
        let queues = [Some(self.rx.layout()), Some(self.tx.layout()), None];
        self.device.activate(&Activation { features: 1 << 32, queues }, &self.memory).unwrap();
    }

    /// Lets the device work until it has nothing to do.
    pub fn run(&mut self) {
        loop {
            let is_idle = !self.poll();
            let work = self.device.process().unwrap();
            self.device.check();
            if is_idle && work == Work::Done {
                return;
            }
        }
    }

    /// Passes on what has happened to sockets. Says whether there was anything.
    pub fn poll(&mut self) -> bool {
        let (device, mut any) = (&mut self.device, false);
        let on_event = |event| {
            any = true;
            device.handle_event(&event);
        };
        self.poller.wait(Some(Duration::ZERO), on_event).unwrap();
        any
    }

    /// Offers a buffer of `len` bytes to receive into, in one piece or with the header apart.
    pub fn post(&mut self, len: u32, split: bool) -> bool {
        if self.rx.free() < 2 {
            return false;
        }
        let Some(address) = self.free_slots.pop() else { return false };
        let header = HEADER_LEN as u32;
        let head = match split && len > header {
            true => self.rx.offer(&[(address, header), (address + u64::from(header), len - header)], WRITE),
            false => self.rx.offer(&[(address, len)], WRITE),
        };
        self.posted.insert(head, address);
        true
    }

    pub fn post_many(&mut self, count: usize, len: u32) {
        for _ in 0..count {
            assert!(self.post(len, false));
        }
    }

    /// Takes the packets that the device has written.
    pub fn receive(&mut self) -> Vec<(Header, Vec<u8>)> {
        let mut packets = Vec::new();
        while let Some((head, len)) = self.rx.take_used() {
            let address = self.posted.remove(&head).unwrap();
            self.free_slots.push(address);
            self.rx.release(head);
            if len == 0 {
                continue;
            }
            let mut header = [0; HEADER_LEN];
            self.memory.read_slice(&mut header, GuestAddress(address)).unwrap();
            let header = Header::from_bytes(&header);
            let mut payload = vec![0; len as usize - HEADER_LEN];
            self.memory.read_slice(&mut payload, GuestAddress(address + HEADER_LEN as u64)).unwrap();
            assert_eq!(header.len as usize, payload.len());
            packets.push((header, payload));
        }
        packets
    }

    pub fn header(&self, op: Op) -> Header {
        Header {
            src_cid: GUEST_CID,
            dst_cid: HOST_CID,
            src_port: GUEST_PORT,
            dst_port: HOST_PORT,
            socket_type: 1,
            op: op as u16,
            buf_alloc: GUEST_BUFFER,
            fwd_cnt: self.fwd_cnt,
            ..Header::default()
        }
    }

    /// Offers a packet. False if there is no room in the queue.
    pub fn send(&mut self, header: Header, payload: &[u8]) -> bool {
        while let Some((head, _)) = self.tx.take_used() {
            self.free_slots.push(self.sending.remove(&head).unwrap());
            self.tx.release(head);
        }
        if self.tx.free() < 3 {
            return false;
        }
        let Some(address) = self.free_slots.pop() else { return false };
        self.memory.write_slice(&header.to_bytes(), GuestAddress(address)).unwrap();
        self.memory.write_slice(payload, GuestAddress(address + HEADER_LEN as u64)).unwrap();
        let (header_len, len) = (HEADER_LEN as u32, payload.len() as u32);
        // The cut goes through the header, and through the payload.
        let cut = len / 3;
        let parts = [
            (address, 20),
            (address + 20, header_len - 20 + cut),
            (address + 44 + u64::from(cut), len - cut),
        ];
        let head = self.tx.offer(&parts, 0);
        self.sending.insert(head, address);
        true
    }

    pub fn send_op(&mut self, op: Op) {
        assert!(self.send(self.header(op), b""));
    }

    pub fn send_data(&mut self, data: &[u8]) -> bool {
        let header = Header { len: data.len() as u32, ..self.header(Op::ReadWrite) };
        self.send(header, data)
    }

    pub fn shut_down(&mut self, flags: u32) {
        assert!(self.send(Header { flags, ..self.header(Op::Shutdown) }, b""));
    }

    /// Connects to the host's port.
    pub fn connect(&mut self) -> Header {
        self.send_op(Op::Request);
        self.post_many(1, 4096);
        self.run();
        self.expect(Op::Response)
    }

    /// Takes the only packet there is, which has no payload.
    pub fn expect(&mut self, op: Op) -> Header {
        let packets = self.receive();
        assert_eq!(packets.len(), 1, "{packets:?}");
        assert_eq!((packets[0].0.op, packets[0].1.len()), (op as u16, 0), "{packets:?}");
        packets[0].0
    }
}
