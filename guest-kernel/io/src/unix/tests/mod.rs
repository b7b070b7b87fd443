//! Unix sockets against the host's own, and what cannot be compared.

mod oracle;
mod passing;

use super::*;
use crate::testing::{self, Alarm, host, read, write};
use alloc::vec;
use alloc::vec::Vec;
use ampoule_kbase::platform::Caller;
use ampoule_kbase::{
    Ancillary, Events, Mutex, OpenFile, Received, SliceSink, SliceSource, Socket, SocketAddress,
};
use std::sync::MutexGuard;

/// Descriptors on their way are counted for the whole process, so tests that pass some take turns.
fn alone() -> MutexGuard<'static, ()> {
    static TURN: std::sync::Mutex<()> = std::sync::Mutex::new(());
    testing::setup();
    TURN.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

fn sock(file: &Arc<dyn File>) -> &dyn Socket {
    file.socket().expect("a socket")
}

fn make(kind: Kind) -> Arc<dyn File> {
    socket(kind as u32, 0).unwrap()
}

fn pair(kind: Kind) -> (Arc<dyn File>, Arc<dyn File>) {
    testing::setup();
    socketpair(kind as u32, 0).unwrap()
}

fn hidden(name: &str) -> SocketAddress {
    SocketAddress([b"\x01\0\0", name.as_bytes()].concat())
}

fn path(name: &str) -> SocketAddress {
    SocketAddress([b"\x01\0", name.as_bytes()].concat())
}

fn receive(file: &Arc<dyn File>, count: usize, flags: u32) -> Result<(Vec<u8>, Received)> {
    let mut buffer = vec![0; count];
    let received = sock(file).receive(&mut SliceSink::new(&mut buffer), flags)?;
    buffer.truncate(received.bytes);
    Ok((buffer, received))
}

fn send(
    file: &Arc<dyn File>,
    bytes: &[u8],
    to: Option<&SocketAddress>,
    files: Vec<Arc<OpenFile>>,
) -> Result<usize> {
    let ancillary = Ancillary { files, credentials: None };
    sock(file).send(&mut SliceSource::new(bytes), to, ancillary, 0)
}

/// The file systems, as far as these tests need them.
struct Paths(Mutex<Vec<(Vec<u8>, Arc<Binding>)>>);

static PATHS: Paths = Paths(Mutex::new(Vec::new()));

impl Names for Paths {
    fn bind(&self, path: &[u8], binding: Arc<Binding>) -> Result<()> {
        let mut paths = self.0.lock();
        if paths.iter().any(|(known, _)| known == path) {
            return Err(Errno::EADDRINUSE);
        }
        paths.push((path.to_vec(), binding));
        Ok(())
    }
    fn find(&self, path: &[u8]) -> Result<Arc<Binding>> {
        let paths = self.0.lock();
        paths.iter().find(|(known, _)| known == path).map(|(_, binding)| binding.clone()).ok_or(Errno::ENOENT)
    }
}

#[test]
fn paths_lead_to_sockets_while_those_live() {
    testing::setup();
    install_names(&PATHS);
    let listener = make(Kind::Stream);
    sock(&listener).bind(&path("/run/a")).unwrap();
    assert_eq!(sock(&listener).local_address(), Ok(path("/run/a\0")));
    assert_eq!(sock(&make(Kind::Stream)).bind(&path("/run/a")), Err(Errno::EADDRINUSE));
    let client = make(Kind::Stream);
    assert_eq!(sock(&client).connect(&path("/run/a")), Err(Errno::ECONNREFUSED));
    sock(&listener).listen(0).unwrap();
    assert_eq!(sock(&client).connect(&path("/run/b")), Err(Errno::ENOENT));
    assert_eq!(sock(&make(Kind::Datagram)).connect(&path("/run/a")), Err(Errno::EPROTOTYPE));
    sock(&client).connect(&path("/run/a")).unwrap();
    assert_eq!(sock(&client).peer_address(), Ok(path("/run/a\0")));
    // The inode stays when the socket is gone.
    drop(listener);
    assert_eq!(sock(&make(Kind::Stream)).connect(&path("/run/a")), Err(Errno::ECONNREFUSED));
}

#[test]
fn a_full_backlog_wakes_who_waits() {
    testing::setup();
    let listener = make(Kind::Stream);
    sock(&listener).bind(&hidden("backlog")).unwrap();
    sock(&listener).listen(0).unwrap();
    let (first, second) = (make(Kind::Stream), make(Kind::Stream));
    sock(&first).connect(&hidden("backlog")).unwrap();
    assert_eq!(sock(&second).connect(&hidden("backlog")), Err(Errno::EAGAIN));
    let alarm = Alarm::on(&*second);
    let accepted = sock(&listener).accept().unwrap();
    assert!(alarm.take().is_some());
    sock(&second).connect(&hidden("backlog")).unwrap();
    write(&*first, b"hi").unwrap();
    assert_eq!(read(&*accepted, 9).unwrap(), b"hi");
    // Who was not accepted is reset.
    drop(listener);
    assert!(second.poll().contains(Events::ERR | Events::HUP));
    assert_eq!(read(&*second, 1), Err(Errno::ECONNRESET));
}

#[test]
fn names_find_themselves() {
    testing::setup();
    let (one, other) = (make(Kind::Datagram), make(Kind::Datagram));
    sock(&one).bind(&SocketAddress(b"\x01\0".to_vec())).unwrap();
    sock(&other).bind(&SocketAddress(b"\x01\0".to_vec())).unwrap();
    let name = sock(&one).local_address().unwrap();
    assert_eq!((name.0.len(), name.0[2]), (8, 0));
    assert_ne!(sock(&other).local_address().unwrap(), name);
    assert_eq!(send(&other, b"x", Some(&name), Vec::new()), Ok(1));
}

#[test]
fn credentials_are_those_of_who_acts() {
    testing::setup();
    let act_as = |pid, uid| testing::call_as(Caller { pid, uid, fsuid: uid, ..Caller::default() });
    act_as(7, 1000);
    let listener = make(Kind::Stream);
    sock(&listener).bind(&hidden("credentials")).unwrap();
    sock(&listener).listen(1).unwrap();
    act_as(8, 2000);
    let client = make(Kind::Stream);
    sock(&client).connect(&hidden("credentials")).unwrap();
    let accepted = sock(&listener).accept().unwrap();
    let credentials = |file: &Arc<dyn File>| {
        let raw = sock(file).get_option(1, 17).unwrap();
        (raw[0], u32::from_ne_bytes(*raw[4..].first_chunk().unwrap()))
    };
    assert_eq!(credentials(&client), (7, 1000));
    assert_eq!(credentials(&accepted), (8, 2000));
    assert_eq!(credentials(&make(Kind::Stream)), (0, u32::MAX));
    // Messages show them where they are asked for, and nobody can claim others.
    sock(&accepted).set_option(1, 16, &1u32.to_ne_bytes()).unwrap();
    write(&*client, b"a").unwrap();
    act_as(9, 2000);
    write(&*client, b"b").unwrap();
    let claim = Ancillary { files: Vec::new(), credentials: Some((1, 0, 0)) };
    let result = sock(&client).send(&mut SliceSource::new(b"c"), None, claim, 0);
    assert_eq!(result, Err(Errno::EPERM));
    let (bytes, received) = receive(&accepted, 9, 0).unwrap();
    assert_eq!((bytes, received.ancillary.credentials), (b"a".to_vec(), Some((8, 2000, 0))));
    assert_eq!(receive(&accepted, 9, 0).unwrap().1.ancillary.credentials, Some((9, 2000, 0)));
}

#[test]
fn a_stream_is_bounded_and_flows_on() {
    let (one, other) = pair(Kind::Stream);
    let mut total = 0;
    while let Ok(count) = write(&*one, &[3; 50_000]) {
        total += count;
    }
    assert_eq!(total, 212_992 - 768);
    assert!(!one.poll().contains(Events::OUT));
    let alarm = Alarm::on(&*one);
    read(&*other, 100_000).unwrap();
    assert_eq!(alarm.take(), None);
    read(&*other, 100_000).unwrap();
    assert!(alarm.take().unwrap().contains(Events::OUT));
    assert!(one.poll().contains(Events::OUT));
}

#[test]
fn many_senders_wait_for_one_receiver() {
    testing::setup();
    let receiver = make(Kind::Datagram);
    sock(&receiver).bind(&hidden("many")).unwrap();
    let sender = make(Kind::Datagram);
    sock(&sender).connect(&hidden("many")).unwrap();
    let sent = (0..100).take_while(|_| write(&*sender, b"x").is_ok()).count();
    assert_eq!(sent, 11);
    assert!(!sender.poll().contains(Events::OUT));
    let alarm = Alarm::on(&*sender);
    read(&*receiver, 1).unwrap();
    assert!(alarm.take().unwrap().contains(Events::OUT));
    assert!(sender.poll().contains(Events::OUT));
    drop(receiver);
    assert_eq!(write(&*sender, b"x"), Err(Errno::ECONNREFUSED));
}
