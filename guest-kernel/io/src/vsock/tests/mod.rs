//! The driver and its sockets against a device that the tests play.

mod device;
mod hostile;
mod stream;

use super::address::{ANY, Address};
use super::driver::Driver;
use super::endpoint::{DEFAULT_BUFFER, Endpoint};
use super::header::{Header, TYPE_STREAM, op, shut};
use super::socket::VsockSocket;
use crate::socket_file::SocketFile;
use crate::testing::{self, Alarm, advance, read, write};
use alloc::sync::Arc;
use alloc::vec::Vec;
use ampoule_kbase::{Errno, Events, File, Socket};
use device::Device;

/// A machine: driver and device.
struct Machine {
    driver: Arc<Driver>,
    device: Device,
}

/// Room that the host claims to have.
const HOST_BUFFER: u32 = 64 << 10;

impl Machine {
    /// The device is set up at once.
    fn new() -> Self {
        testing::setup();
        let (registers, log) = device::registers();
        let driver = Driver::new(registers, Some(3));
        driver.with(|inner| inner.transport().map(|_| ())).unwrap();
        Self { driver, device: Device::attach(log) }
    }

    fn socket(&self) -> Arc<SocketFile<VsockSocket>> {
        VsockSocket::new(self.driver.clone(), Endpoint::new())
    }

    /// A packet from the host's `from` to the guest's `to`, and what the driver makes of it.
    fn deliver(&mut self, from: u32, to: u32, op: u16, payload: &[u8]) {
        let header = header(from, to, op, payload.len());
        assert!(self.device.deliver(header, payload), "the driver has offered no buffer");
        self.driver.process();
    }

    /// A connection to port 1024, and the guest's port.
    fn connected(&mut self) -> (Arc<SocketFile<VsockSocket>>, u32) {
        let socket = self.socket();
        assert_eq!(socket.connect(&host(1024)), Err(Errno::EINPROGRESS));
        let (request, _) = self.device.sent().unwrap();
        assert_eq!((request.op, request.dst_port, request.buf_alloc), (op::REQUEST, 1024, DEFAULT_BUFFER));
        self.deliver(1024, request.src_port, op::RESPONSE, &[]);
        assert!(socket.poll().contains(Events::OUT));
        (socket, request.src_port)
    }

    /// The operations of the packets that the driver has sent.
    fn sent_ops(&mut self) -> Vec<u16> {
        core::iter::from_fn(|| self.device.sent()).map(|(header, _)| header.op).collect()
    }
}

fn header(from: u32, to: u32, op: u16, len: usize) -> Header {
    Header {
        src_cid: 2,
        dst_cid: 3,
        src_port: from,
        dst_port: to,
        len: len as u32,
        kind: TYPE_STREAM,
        op,
        flags: 0,
        buf_alloc: HOST_BUFFER,
        fwd_cnt: 0,
    }
}

fn host(port: u32) -> ampoule_kbase::SocketAddress {
    Address { cid: 2, port }.to_raw()
}

fn own(port: u32) -> ampoule_kbase::SocketAddress {
    Address { cid: ANY, port }.to_raw()
}

#[test]
fn set_up_costs_three_status_writes_and_no_read() {
    let machine = Machine::new();
    let log = machine.device.log.lock().clone();
    assert!(log.iter().all(|(_, value)| value.is_some()), "a register was read");
    let status: Vec<_> = log.iter().filter(|(offset, _)| *offset == 0x70).map(|(_, v)| v.unwrap()).collect();
    assert_eq!(status, [3, 11, 15]);
    assert!(log.len() <= 26, "{} register writes", log.len());
    assert_eq!(machine.device.queues.map(|queue| queue.size), [16, 64, 2]);
    assert!(!machine.device.queues[1].interrupts() && machine.device.queues[0].interrupts());
}

#[test]
fn a_batch_has_the_same_writes() {
    testing::setup();
    let base = 0x2000;
    let (registers, log, port) = device::batching_registers(base);
    Driver::new(registers, Some(3)).with(|inner| inner.transport().map(|_| ())).unwrap();
    let expected: Vec<_> = log.lock().iter().map(|(at, value)| (base + *at as u32, value.unwrap())).collect();
    assert!(expected.len() > 20, "{expected:x?}");
    assert_eq!(device::batch(*port), expected);
}

#[test]
fn nothing_happens_before_the_first_use() {
    testing::setup();
    let (registers, log) = device::registers();
    let driver = Driver::new(registers, None);
    let socket = VsockSocket::new(driver.clone(), Endpoint::new());
    driver.process();
    assert!(log.lock().is_empty());
    assert_eq!(socket.connect(&host(1)), Err(Errno::EINPROGRESS));
    assert_eq!(log.lock().iter().filter(|access| **access == (0x100, None)).count(), 1);
    let (request, _) = Device::attach(log).sent().unwrap();
    assert_eq!(request.src_cid, 3);
}

#[test]
fn connects_and_talks() {
    let mut machine = Machine::new();
    let (socket, port) = machine.connected();
    assert_eq!(write(&*socket, b"hello"), Ok(5));
    let (packet, payload) = machine.device.sent().unwrap();
    assert_eq!((packet.op, packet.src_port, payload.as_slice()), (op::RW, port, &b"hello"[..]));
    assert_eq!(read(&*socket, 9), Err(Errno::EAGAIN));
    let alarm = Alarm::on(&*socket);
    machine.deliver(1024, port, op::RW, b"world");
    assert!(alarm.take().unwrap().contains(Events::IN));
    assert_eq!(read(&*socket, 3).unwrap(), b"wor");
    assert_eq!(read(&*socket, 9).unwrap(), b"ld");
    assert_eq!(socket.peer_address(), Ok(host(1024)));
    assert_eq!(socket.local_address(), Ok(Address { cid: 3, port }.to_raw()));
    assert_eq!(socket.connect(&host(7)), Err(Errno::EISCONN));
}

#[test]
fn a_refusal_and_a_silent_host() {
    let mut machine = Machine::new();
    let socket = machine.socket();
    assert_eq!(socket.connect(&host(9)), Err(Errno::EINPROGRESS));
    assert_eq!(socket.connect(&host(9)), Err(Errno::EALREADY));
    assert_eq!(socket.poll(), Events::empty());
    let port = machine.device.sent().unwrap().0.src_port;
    machine.deliver(9, port, op::RST, &[]);
    assert!(socket.poll().contains(Events::ERR | Events::OUT));
    assert_eq!(socket.take_error(), Some(Errno::ECONNRESET));
    assert_eq!(socket.take_error(), None);
    // It can try again, and this time nobody answers.
    assert_eq!(socket.connect(&host(9)), Err(Errno::EINPROGRESS));
    machine.sent_ops();
    advance(1_999_999_999);
    assert_eq!(socket.take_error(), None);
    let alarm = Alarm::on(&*socket);
    advance(1);
    assert!(alarm.take().is_some());
    assert_eq!(socket.take_error(), Some(Errno::ETIMEDOUT));
    assert_eq!(machine.sent_ops(), [op::RST]);
    assert_eq!(testing::armed_timers(), 0);
}

#[test]
fn listens_and_accepts() {
    let mut machine = Machine::new();
    let listener = machine.socket();
    assert_eq!(listener.listen(1), Err(Errno::EINVAL));
    listener.bind(&own(52)).unwrap();
    assert_eq!(machine.socket().bind(&own(52)), Err(Errno::EADDRINUSE));
    listener.listen(1).unwrap();
    assert_eq!(listener.accept().err(), Some(Errno::EAGAIN));
    machine.deliver(7000, 52, op::REQUEST, &[]);
    assert!(listener.poll().contains(Events::IN));
    let (response, _) = machine.device.sent().unwrap();
    assert_eq!((response.op, response.dst_port), (op::RESPONSE, 7000));
    // The backlog is full.
    machine.deliver(7001, 52, op::REQUEST, &[]);
    assert_eq!(machine.sent_ops(), [op::RST]);
    machine.deliver(7000, 52, op::RW, b"early");
    let connection = listener.accept().unwrap();
    assert_eq!(read(&*connection, 9).unwrap(), b"early");
    // A listener that goes takes those with it whom nobody has accepted; the accepted one stays.
    machine.deliver(7002, 52, op::REQUEST, &[]);
    assert_eq!(machine.sent_ops(), [op::RESPONSE]);
    drop(listener);
    assert_eq!(machine.sent_ops(), [op::RST]);
    assert_eq!(write(&*connection, b"x"), Ok(1));
    assert_eq!(machine.sent_ops(), [op::RW]);
}

#[test]
fn strangers_are_refused() {
    let mut machine = Machine::new();
    machine.deliver(5, 6, op::RW, b"x");
    let (answer, _) = machine.device.sent().unwrap();
    assert_eq!((answer.op, answer.src_port, answer.dst_port), (op::RST, 6, 5));
    machine.deliver(5, 6, op::RST, &[]);
    assert_eq!(machine.sent_ops(), []);
}

#[test]
fn closing_is_agreed_upon() {
    let mut machine = Machine::new();
    let (socket, port) = machine.connected();
    drop(socket);
    let (packet, _) = machine.device.sent().unwrap();
    assert_eq!((packet.op, packet.flags), (op::SHUTDOWN, shut::BOTH));
    assert_eq!(testing::armed_timers(), 1);
    machine.deliver(1024, port, op::RST, &[]);
    assert_eq!(testing::armed_timers(), 0);
    // A host that never agrees is forgotten after a while.
    let (socket, port) = machine.connected();
    drop(socket);
    advance(8_000_000_000);
    assert_eq!(machine.sent_ops(), [op::SHUTDOWN, op::RST]);
    machine.deliver(1024, port, op::RW, b"x");
    assert_eq!(machine.sent_ops(), [op::RST]);
}

#[test]
fn half_closing_works_both_ways() {
    let mut machine = Machine::new();
    let (socket, port) = machine.connected();
    socket.shutdown(1).unwrap();
    let (packet, _) = machine.device.sent().unwrap();
    assert_eq!((packet.op, packet.flags), (op::SHUTDOWN, shut::SEND));
    assert_eq!(write(&*socket, b"x"), Err(Errno::EPIPE));
    assert_eq!(testing::take_signals(), [(0, 13)]);
    machine.deliver(1024, port, op::RW, b"still");
    let mut end = header(1024, port, op::SHUTDOWN, 0);
    end.flags = shut::SEND;
    machine.device.deliver(end, &[]);
    machine.driver.process();
    assert!(socket.poll().contains(Events::RDHUP | Events::IN | Events::HUP));
    assert_eq!(read(&*socket, 9).unwrap(), b"still");
    assert_eq!(read(&*socket, 9).unwrap(), b"");
}

#[test]
fn what_arrived_before_a_reset_is_still_read() {
    let mut machine = Machine::new();
    let (socket, port) = machine.connected();
    machine.deliver(1024, port, op::RW, b"last words");
    machine.deliver(1024, port, op::RST, &[]);
    assert_eq!(read(&*socket, 99).unwrap(), b"last words");
    assert_eq!(read(&*socket, 99).unwrap(), b"");
    assert_eq!(write(&*socket, b"x"), Err(Errno::EPIPE));
}
