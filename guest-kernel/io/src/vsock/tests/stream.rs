//! Bulk data in both directions, with credit and scarce buffers.

use super::*;
use crate::testing::Alarm;
use alloc::vec;
use proptest::prelude::*;
use std::collections::VecDeque;

/// What the host knows of one connection.
struct Peer {
    port: u32,
    /// Bytes that came from the guest and that the host has not read.
    unread: usize,
    taken: u32,
    received: Vec<u8>,
    /// The guest's credit.
    sent: u32,
    guest_buffer: u32,
    guest_taken: u32,
}

impl Peer {
    fn new(port: u32) -> Self {
        Self {
            port,
            unread: 0,
            taken: 0,
            received: Vec::new(),
            sent: 0,
            guest_buffer: DEFAULT_BUFFER,
            guest_taken: 0,
        }
    }

    fn header(&self, op: u16, len: usize) -> Header {
        Header { fwd_cnt: self.taken, ..header(1024, self.port, op, len) }
    }

    fn credit(&self) -> usize {
        (self.guest_buffer - self.sent.wrapping_sub(self.guest_taken)) as usize
    }

    /// Handles up to `count` packets of the guest's.
    fn collect(&mut self, machine: &mut Machine, count: usize) {
        for _ in 0..count {
            let Some((packet, payload)) = machine.device.sent() else { break };
            (self.guest_buffer, self.guest_taken) = (packet.buf_alloc, packet.fwd_cnt);
            self.unread += payload.len();
            assert!(self.unread <= HOST_BUFFER as usize, "the guest exceeds its credit");
            self.received.extend(payload);
        }
    }

    /// Sends as much of `data` as credit and buffers allow.
    fn send(&mut self, machine: &mut Machine, data: &[u8]) -> usize {
        let count = data.len().min(self.credit()).min(16 * 1024 - 44);
        if count == 0 || !machine.device.deliver(self.header(op::RW, count), &data[..count]) {
            return 0;
        }
        self.sent = self.sent.wrapping_add(count as u32);
        count
    }

    /// The host's reader takes what came.
    fn read(&mut self, machine: &mut Machine) {
        if self.unread > 0 {
            self.taken = self.taken.wrapping_add(self.unread as u32);
            self.unread = 0;
            machine.device.deliver(self.header(op::CREDIT_UPDATE, 0), &[]);
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    GuestWrite(usize),
    GuestRead(usize),
    HostCollect(usize),
    HostSend(usize),
    HostRead,
    Interrupt,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        (1..100_000usize).prop_map(Step::GuestWrite),
        (1..200_000usize).prop_map(Step::GuestRead),
        (1..40usize).prop_map(Step::HostCollect),
        (1..100_000usize).prop_map(Step::HostSend),
        Just(Step::HostRead),
        Just(Step::Interrupt),
    ];
    proptest::collection::vec(step, 1..150)
}

fn data(from: usize, count: usize) -> Vec<u8> {
    (from..from + count).map(|i| (i.wrapping_mul(2_654_435_761) >> 11) as u8).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn bytes_arrive_once_and_in_order(steps in steps()) {
        let mut machine = Machine::new();
        let (socket, port) = machine.connected();
        let mut peer = Peer::new(port);
        let (mut out, mut sent_in, mut got) = (0, 0, Vec::new());
        let mut pending: VecDeque<u8> = VecDeque::new();
        for step in steps {
            match step {
                Step::GuestWrite(count) => match write(&*socket, &data(out, count)) {
                    Ok(written) => out += written,
                    Err(error) => prop_assert_eq!(error, Errno::EAGAIN),
                },
                Step::GuestRead(count) => match read(&*socket, count) {
                    Ok(bytes) => got.extend(bytes),
                    Err(error) => prop_assert_eq!(error, Errno::EAGAIN),
                },
                Step::HostCollect(count) => peer.collect(&mut machine, count),
                Step::HostSend(count) => {
                    pending.extend(data(sent_in + pending.len(), count));
                    let sent = peer.send(&mut machine, pending.make_contiguous());
                    pending.drain(..sent);
                    sent_in += sent;
                }
                Step::HostRead => peer.read(&mut machine),
                Step::Interrupt => machine.driver.process(),
            }
        }
        // In the end everything gets through.
        for _ in 0..1000 {
            peer.collect(&mut machine, 100);
            peer.read(&mut machine);
            machine.driver.process();
            let sent = peer.send(&mut machine, pending.make_contiguous());
            pending.drain(..sent);
            sent_in += sent;
            got.extend(read(&*socket, 1 << 20).unwrap_or_default());
        }
        prop_assert!(pending.is_empty(), "{} bytes stuck", pending.len());
        prop_assert_eq!(peer.received.len(), out);
        prop_assert!(peer.received == data(0, out));
        prop_assert_eq!(got.len(), sent_in);
        prop_assert!(got == data(0, sent_in));
    }
}

#[test]
fn a_writer_waits_for_buffers_and_is_woken() {
    let mut machine = Machine::new();
    let (socket, port) = machine.connected();
    // More credit than there are buffers.
    let mut credit = header(1024, port, op::CREDIT_UPDATE, 0);
    credit.buf_alloc = 16 << 20;
    machine.device.deliver(credit, &[]);
    machine.driver.process();
    let mut held = vec![];
    let mut total = 0;
    while let Ok(count) = write(&*socket, &[1; 100_000]) {
        total += count;
        held.extend(core::iter::from_fn(|| machine.device.hold()));
    }
    assert!((128 << 10..=512 << 10).contains(&total), "{total} bytes on their way");
    assert!(!socket.poll().contains(Events::OUT));
    assert!(machine.device.queues[1].interrupts());
    // Small packets still get out: another connection can come about.
    let other = machine.socket();
    assert_eq!(other.connect(&host(7)), Err(Errno::EINPROGRESS));
    assert_eq!(machine.device.hold().unwrap().1.0.op, op::REQUEST);
    let alarm = Alarm::on(&*socket);
    machine.device.queues[1].push(held[0].0.into(), 0);
    machine.driver.process();
    assert!(alarm.take().unwrap().contains(Events::OUT));
    assert!(!machine.device.queues[1].interrupts());
    assert!(write(&*socket, &[1; 1000]).is_ok());
}

#[test]
fn notifications_are_spared() {
    let mut machine = Machine::new();
    let (socket, _) = machine.connected();
    let before = machine.device.notifications(1);
    machine.device.queues[1].suppress_notifications();
    write(&*socket, b"x").unwrap();
    assert_eq!(machine.device.notifications(1), before);
    assert!(machine.device.sent().is_some());
}

#[test]
fn more_buffers_are_posted_when_they_run_out() {
    let mut machine = Machine::new();
    let (socket, port) = machine.connected();
    let mut most = 0;
    for _ in 0..4 {
        let mut burst = 0;
        while machine.device.deliver(header(1024, port, op::RW, 100), &[5; 100]) {
            burst += 1;
        }
        most = most.max(burst);
        machine.driver.process();
        assert_eq!(read(&*socket, 1 << 20).unwrap().len(), burst * 100);
    }
    assert_eq!(most, 16);
}
