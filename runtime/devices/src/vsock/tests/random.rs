//! Random guests and hosts, sound and hostile.

use super::guest::{GUEST_BUFFER, Guest};
use crate::queue::driver::{NEXT, WRITE};
use crate::vsock::{BUFFER_SIZE, HEADER_LEN, Header, Op, SHUTDOWN_SEND, Work};
use proptest::prelude::*;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use vm_memory::{Bytes, GuestAddress};

/// What guest and host do.
#[derive(Clone, Debug)]
enum Step {
    GuestSends(usize),
    GuestPosts(u32, bool),
    GuestReads,
    GuestTellsCredit,
    GuestEnds,
    HostSends(usize),
    HostReads(usize),
    HostEnds,
    DeviceRuns,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => (0usize..40_000).prop_map(Step::GuestSends),
        5 => (45u32..60_000, any::<bool>()).prop_map(|(len, split)| Step::GuestPosts(len, split)),
        4 => Just(Step::GuestReads),
        2 => Just(Step::GuestTellsCredit),
        5 => (0usize..100_000).prop_map(Step::HostSends),
        4 => (0usize..200_000).prop_map(Step::HostReads),
        1 => Just(Step::GuestEnds),
        1 => Just(Step::HostEnds),
        6 => Just(Step::DeviceRuns),
    ]
}

/// A well-behaved guest and a host, and what has to come out.
struct Model {
    guest: Guest,
    host: UnixStream,
    sent: usize,
    device_fwd_cnt: u32,
    guest_ended: bool,
    host_sent: usize,
    host_ended: bool,
    to_host: usize,
    to_guest: usize,
    guest_saw_end: bool,
    host_saw_end: bool,
}

/// Byte number `index` of either stream.
fn byte(index: usize) -> u8 {
    (index ^ index >> 8 ^ index >> 16) as u8
}

fn bytes(from: usize, len: usize) -> Vec<u8> {
    (from..from + len).map(byte).collect()
}

impl Model {
    fn new() -> Self {
        let (mut guest, host) = Guest::new();
        guest.connect();
        Self {
            guest,
            host,
            sent: 0,
            device_fwd_cnt: 0,
            guest_ended: false,
            host_sent: 0,
            host_ended: false,
            to_host: 0,
            to_guest: 0,
            guest_saw_end: false,
            host_saw_end: false,
        }
    }

    fn take(&mut self, step: &Step) {
        match *step {
            Step::GuestSends(len) if !self.guest_ended => {
                let room = BUFFER_SIZE - (self.sent as u32).wrapping_sub(self.device_fwd_cnt);
                let len = len.min(room as usize);
                if self.guest.send_data(&bytes(self.sent, len)) {
                    self.sent += len;
                }
            }
            Step::GuestPosts(len, split) => {
                self.guest.post(len, split);
            }
            Step::GuestReads => self.guest_reads(),
            Step::GuestTellsCredit => {
                let header = self.guest.header(Op::CreditUpdate);
                self.guest.send(header, b"");
            }
            Step::GuestEnds if !self.guest_ended => {
                let header = Header { flags: SHUTDOWN_SEND, ..self.guest.header(Op::Shutdown) };
                self.guest_ended = self.guest.send(header, b"");
            }
            Step::HostSends(len) if !self.host_ended => {
                self.host_sent += self.host.write(&bytes(self.host_sent, len)).unwrap_or(0);
            }
            Step::HostReads(len) => self.host_reads(len),
            Step::HostEnds if !self.host_ended => {
                self.host.shutdown(Shutdown::Write).unwrap();
                self.host_ended = true;
            }
            Step::DeviceRuns => self.guest.run(),
            Step::GuestSends(_) | Step::GuestEnds | Step::HostSends(_) | Step::HostEnds => {}
        }
    }

    fn guest_reads(&mut self) {
        for (header, payload) in self.guest.receive() {
            assert_eq!(header.buf_alloc, BUFFER_SIZE);
            assert!(header.fwd_cnt as usize <= self.sent);
            self.device_fwd_cnt = header.fwd_cnt;
            assert!(!self.guest_saw_end || payload.is_empty(), "data after the end");
            assert!(payload == bytes(self.to_guest, payload.len()), "at {}", self.to_guest);
            self.to_guest += payload.len();
            match Op::from_number(header.op) {
                Some(Op::Shutdown) => {
                    assert_eq!((header.flags, self.host_ended), (SHUTDOWN_SEND, true));
                    self.guest_saw_end = true;
                }
                Some(Op::ReadWrite | Op::CreditUpdate | Op::CreditRequest) => {}
                other => panic!("{other:?}"),
            }
        }
        assert!(
            self.to_guest as u32 - self.guest.fwd_cnt <= GUEST_BUFFER,
            "more than the guest has room for"
        );
        self.guest.fwd_cnt = self.to_guest as u32;
    }

    fn host_reads(&mut self, len: usize) {
        let mut data = vec![0; len];
        let got = match self.host.read(&mut data) {
            Ok(0) if len > 0 => {
                self.host_saw_end = true;
                0
            }
            Ok(got) => got,
            Err(_) => 0,
        };
        assert!(data[..got] == bytes(self.to_host, got), "at {}", self.to_host);
        self.to_host += got;
    }

    /// Lets everything flow to its end.
    fn finish(mut self) {
        for step in [Step::GuestEnds, Step::HostEnds] {
            while !matches!(
                (&step, self.guest_ended, self.host_ended),
                (Step::GuestEnds, true, _) | (Step::HostEnds, _, true)
            ) {
                self.take(&step);
                self.guest.run();
            }
        }
        for _ in 0..1000 {
            for step in
                [Step::GuestPosts(20_000, false), Step::DeviceRuns, Step::GuestReads, Step::GuestTellsCredit]
            {
                self.take(&step);
            }
            self.take(&Step::HostReads(100_000));
            if self.guest_saw_end && self.host_saw_end {
                break;
            }
        }
        assert_eq!((self.to_host, self.host_saw_end), (self.sent, true));
        assert_eq!((self.to_guest, self.guest_saw_end), (self.host_sent, true));
    }
}

/// Headers that may mean something.
fn header() -> impl Strategy<Value = Header> {
    let cid = || prop_oneof![8 => Just(2u64), 8 => Just(3u64), 1 => any::<u64>()];
    let port = || prop_oneof![6 => Just(1024u32), 6 => Just(5000u32), 2 => 0u32..4, 1 => any::<u32>()];
    let number = || prop_oneof![3 => Just(0u32), 3 => 0u32..70_000, 1 => any::<u32>()];
    let kind = prop_oneof![9 => Just(1u16), 1 => any::<u16>()];
    let op = prop_oneof![9 => 0u16..9, 1 => any::<u16>()];
    let flags = prop_oneof![4 => 0u32..4, 1 => any::<u32>()];
    (cid(), cid(), port(), port(), number(), kind, op, flags, number(), number()).prop_map(
        |(src_cid, dst_cid, src_port, dst_port, len, socket_type, op, flags, buf_alloc, fwd_cnt)| Header {
            src_cid,
            dst_cid,
            src_port,
            dst_port,
            len,
            socket_type,
            op,
            flags,
            buf_alloc,
            fwd_cnt,
        },
    )
}

/// What a hostile guest does.
#[derive(Clone, Debug)]
enum Attack {
    Packet(Header, u32),
    Buffer(u64, u32),
    Descriptor(bool, u16, u64, u32, u16, u16),
    Index(bool, u16),
    Scribble(u64, Vec<u8>),
    Host(usize),
    HostReads,
    Run,
}

fn attack() -> impl Strategy<Value = Attack> {
    let address = || prop_oneof![4 => 0u64..0x80_0000, 1 => any::<u64>()];
    let len = || prop_oneof![4 => 0u32..70_000, 1 => any::<u32>()];
    prop_oneof![
        8 => (header(), 0u32..70_000).prop_map(|(header, len)| Attack::Packet(header, len)),
        4 => (address(), len()).prop_map(|(address, len)| Attack::Buffer(address, len)),
        3 => (any::<bool>(), 0u16..64, address(), len(), 0u16..8, 0u16..66)
            .prop_map(|(tx, i, address, len, flags, next)| Attack::Descriptor(tx, i, address, len, flags, next)),
        1 => (any::<bool>(), any::<u16>()).prop_map(|(tx, index)| Attack::Index(tx, index)),
        1 => (0x1000u64..0xa000, prop::collection::vec(any::<u8>(), 1..64))
            .prop_map(|(at, bytes)| Attack::Scribble(at, bytes)),
        3 => (0usize..50_000).prop_map(Attack::Host),
        2 => Just(Attack::HostReads),
        6 => Just(Attack::Run),
    ]
}

fn carry_out(attack: Attack, guest: &mut Guest, host: &mut UnixStream) -> bool {
    match attack {
        Attack::Packet(header, len) => {
            guest.memory.write_slice(&header.to_bytes(), GuestAddress(0x70_0000)).unwrap();
            guest.tx.describe(0, 0x70_0000, HEADER_LEN as u32, NEXT, 1);
            guest.tx.describe(1, 0x71_0000, len, 0, 0);
            guest.tx.offer_head(0);
        }
        Attack::Buffer(address, len) => {
            guest.rx.describe(2, address, len, WRITE, 0);
            guest.rx.offer_head(2);
        }
        Attack::Descriptor(tx, index, address, len, flags, next) => {
            let queue = if tx { &guest.tx } else { &guest.rx };
            queue.describe(index, address, len, flags, next);
        }
        Attack::Index(tx, index) => {
            let queue = if tx { &mut guest.tx } else { &mut guest.rx };
            queue.set_available(index);
        }
        Attack::Scribble(at, bytes) => guest.memory.write_slice(&bytes, GuestAddress(at)).unwrap(),
        Attack::Host(len) => {
            let _ = host.write(&vec![7; len]);
        }
        Attack::HostReads => {
            let _ = host.read(&mut [0; 100_000]);
        }
        Attack::Run => return guest.run_hostile(),
    }
    true
}

impl Guest {
    /// Lets the device work. False if it has given up on us.
    fn run_hostile(&mut self) -> bool {
        // A guest has no more than a queue full to offer.
        for _ in 0..100 {
            self.poll();
            match self.device.process() {
                Ok(Work::Done | Work::Later(_)) => return true,
                Ok(Work::More) => self.device.check(),
                Err(_) => return false,
            }
        }
        panic!("the device does not come to an end");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    /// Every byte arrives once and in order, credit is kept on both sides, and ends come after the data.
    #[test]
    fn streams_are_streams(steps in prop::collection::vec(step(), 1..120)) {
        let mut model = Model::new();
        for step in &steps {
            model.take(step);
        }
        model.finish();
    }

    /// No guest makes the device panic, loop, or keep more than its share.
    #[test]
    fn no_guest_confuses_the_device(
        connects in any::<bool>(),
        attacks in prop::collection::vec(attack(), 1..100),
    ) {
        let (mut guest, mut host) = Guest::new();
        if connects {
            guest.connect();
        }
        for attack in attacks {
            if !carry_out(attack, &mut guest, &mut host) {
                // Broken: it works again after a reset.
                guest.device.reset();
                guest.memory.write_slice(&[0; 0x9000], GuestAddress(0x1000)).unwrap();
                guest.rx.set_available(0);
                guest.tx.set_available(0);
                guest.activate();
            }
            guest.device.check();
        }
        guest.device.finish();
        guest.device.check();
    }
}
