//! Sockets of the Internet families against the host's own, and what cannot be compared. The conformance program `inet` compares more.

mod oracle;

use super::{AF_INET, AF_INET6, DATAGRAM, STREAM, socket};
use crate::testing::{self, Alarm, read, write};
use alloc::sync::Arc;
use ampoule_kbase::platform::Caller;
use ampoule_kbase::{Ancillary, Errno, Events, File, Result, SliceSource, Socket, SocketAddress};
use std::vec::Vec;

fn sock(file: &Arc<dyn File>) -> &dyn Socket {
    file.socket().expect("a socket")
}

fn loopback(port: u16) -> SocketAddress {
    SocketAddress([b"\x02\0", &port.to_be_bytes()[..], b"\x7f\0\0\x01\0\0\0\0\0\0\0\0"].concat())
}

fn port_of(file: &Arc<dyn File>) -> u16 {
    let name = sock(file).local_address().unwrap();
    u16::from_be_bytes(*name.0[2..].first_chunk().unwrap())
}

fn listener(backlog: i32) -> (Arc<dyn File>, SocketAddress) {
    testing::setup();
    let listener = socket(AF_INET, STREAM, 0).unwrap();
    sock(&listener).bind(&loopback(0)).unwrap();
    sock(&listener).listen(backlog).unwrap();
    let address = loopback(port_of(&listener));
    (listener, address)
}

/// Connects as a program does that waits.
fn connect(file: &Arc<dyn File>, to: &SocketAddress) -> Result<()> {
    match sock(file).connect(to) {
        Err(Errno::EINPROGRESS) if file.poll().intersects(Events::OUT | Events::ERR) => {
            sock(file).take_error().map_or(Ok(()), Err)
        }
        result => result,
    }
}

/// A connection: who connected, and who was accepted.
fn connection() -> (Arc<dyn File>, Arc<dyn File>) {
    let (listener, address) = listener(1);
    let client = socket(AF_INET, STREAM, 0).unwrap();
    connect(&client, &address).unwrap();
    let server = sock(&listener).accept().unwrap();
    (client, server)
}

fn send_to(file: &Arc<dyn File>, bytes: &[u8], to: &SocketAddress) -> Result<usize> {
    sock(file).send(&mut SliceSource::new(bytes), Some(to), Ancillary::default(), 0)
}

#[test]
fn who_comes_to_a_full_listener_waits_for_its_turn() {
    let (listener, address) = listener(0);
    let clients: Vec<_> = (0..3).map(|_| socket(AF_INET, STREAM, 0).unwrap()).collect();
    connect(&clients[0], &address).unwrap();
    assert_eq!(connect(&clients[1], &address), Err(Errno::EINPROGRESS));
    assert_eq!(connect(&clients[2], &address), Err(Errno::EINPROGRESS));
    assert_eq!(sock(&clients[1]).connect(&address), Err(Errno::EALREADY));
    assert_eq!(clients[1].poll(), Events::empty());
    let alarm = Alarm::on(&*clients[1]);
    let first = sock(&listener).accept().unwrap();
    assert!(alarm.take().unwrap().contains(Events::OUT));
    let second = sock(&listener).accept().unwrap();
    write(&*clients[1], b"second").unwrap();
    assert_eq!((read(&*second, 9).unwrap(), read(&*first, 9)), (b"second".to_vec(), Err(Errno::EAGAIN)));
    // Whose turn it is not yet when the listener goes is refused, who was not accepted is reset.
    let last = socket(AF_INET, STREAM, 0).unwrap();
    assert_eq!(connect(&last, &address), Err(Errno::EINPROGRESS));
    drop(listener);
    assert_eq!(sock(&last).take_error(), Some(Errno::ECONNREFUSED));
    assert_eq!(sock(&clients[2]).take_error(), Some(Errno::ECONNRESET));
}

#[test]
fn a_stream_is_bounded_and_flows_on() {
    for set in [None, Some(5000u32)] {
        let (client, server) = connection();
        if let Some(bytes) = set {
            sock(&client).set_option(1, 7, &bytes.to_ne_bytes()).unwrap();
            sock(&server).set_option(1, 8, &bytes.to_ne_bytes()).unwrap();
        }
        let mut total = 0;
        while let Ok(count) = write(&*client, &[3; 50_000]) {
            total += count;
        }
        assert_eq!(total, if set.is_some() { 20_000 } else { 1 << 20 });
        assert!(!client.poll().contains(Events::OUT));
        let alarm = Alarm::on(&*client);
        read(&*server, total / 10).unwrap();
        assert_eq!(alarm.take(), None);
        read(&*server, total / 2).unwrap();
        assert!(alarm.take().unwrap().contains(Events::OUT));
        assert!(client.poll().contains(Events::OUT));
    }
}

#[test]
fn ports_come_back() {
    testing::setup();
    // More sockets than there are ports to choose from, one after the other.
    for _ in 0..30_000 {
        let datagrams = socket(AF_INET, DATAGRAM, 0).unwrap();
        sock(&datagrams).bind(&loopback(0)).unwrap();
    }
    let (listener, address) = listener(1);
    drop(listener);
    let client = socket(AF_INET, STREAM, 0).unwrap();
    assert_eq!(connect(&client, &address), Err(Errno::ECONNREFUSED));
    drop(client);
    let again = socket(AF_INET, STREAM, 0).unwrap();
    sock(&again).bind(&address).unwrap();
}

#[test]
fn low_ports_are_roots() {
    testing::setup();
    testing::call_as(Caller { pid: 7, tid: 7, uid: 1000, fsuid: 1000, ..Caller::default() });
    let file = socket(AF_INET, STREAM, 0).unwrap();
    assert_eq!(sock(&file).bind(&loopback(99)), Err(Errno::EACCES));
}

#[test]
fn nothing_leaves_the_machine() {
    testing::setup();
    let mut abroad = loopback(80);
    abroad.0[4..8].copy_from_slice(&[192, 0, 2, 1]);
    for kind in [STREAM, DATAGRAM] {
        let file = socket(AF_INET, kind, 0).unwrap();
        assert_eq!(sock(&file).connect(&abroad), Err(Errno::ENETUNREACH));
        assert_eq!(sock(&file).bind(&abroad), Err(Errno::EADDRNOTAVAIL));
    }
    let datagrams = socket(AF_INET, DATAGRAM, 0).unwrap();
    assert_eq!(send_to(&datagrams, b"x", &abroad), Err(Errno::ENETUNREACH));
    assert_eq!(socket(AF_INET6, 3, 58).err(), Some(Errno::EPERM), "raw sockets");
}

#[test]
fn a_flood_of_datagrams_is_bounded() {
    testing::setup();
    let (from, to) = (socket(AF_INET, DATAGRAM, 0).unwrap(), socket(AF_INET, DATAGRAM, 0).unwrap());
    sock(&to).bind(&loopback(0)).unwrap();
    let address = loopback(port_of(&to));
    for len in [0, 1, 60_000] {
        for _ in 0..2000 {
            assert_eq!(send_to(&from, &[7; 60_000][..len], &address), Ok(len));
        }
        let received =
            core::iter::from_fn(|| read(&*to, 65_535).ok()).map(|bytes| bytes.len() + 768).sum::<usize>();
        assert!((200_000..300_000).contains(&received), "{received} bytes of datagrams of {len}");
    }
}
