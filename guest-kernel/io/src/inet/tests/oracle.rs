//! Random operations on both ends of a connection, with the host's Linux as the oracle.

use super::*;
use crate::testing::{host, ioctl_int};
use ampoule_kbase::SliceSink;
use linux_raw_sys::ioctl::FIONREAD;
use linux_raw_sys::net::MSG_PEEK;
use proptest::prelude::*;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

#[derive(Clone, Debug)]
enum Op {
    Send(usize, usize),
    Receive(usize, usize, bool),
    Shutdown(usize, u32),
    Error(usize),
    Close(usize),
}

fn op() -> impl Strategy<Value = Op> {
    let side = 0..2usize;
    prop_oneof![
        4 => (side.clone(), 0..3000usize).prop_map(|(side, len)| Op::Send(side, len)),
        4 => (side.clone(), 1..3000usize, any::<bool>()).prop_map(|(side, len, peek)| Op::Receive(side, len, peek)),
        2 => (side.clone(), 0..3u32).prop_map(|(side, how)| Op::Shutdown(side, how)),
        1 => side.clone().prop_map(Op::Error),
        1 => side.prop_map(Op::Close),
    ]
}

/// One end, here and there.
struct Twin {
    ours: Arc<dyn File>,
    theirs: TcpStream,
}

fn result<T>(result: std::io::Result<T>) -> Result<T> {
    result.map_err(|error| Errno(error.raw_os_error().expect("an error of the system") as u16))
}

impl Twin {
    fn pair() -> [Option<Self>; 2] {
        let (client, server) = connection();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let theirs = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let accepted = listener.accept().unwrap().0;
        [(client, theirs), (server, accepted)].map(|(ours, theirs)| {
            theirs.set_nonblocking(true).unwrap();
            Some(Self { ours, theirs })
        })
    }

    fn step(&self, op: &Op) {
        match *op {
            Op::Send(_, len) => {
                let bytes: Vec<u8> = (0..len).map(|i| i as u8).collect();
                assert_eq!(write(&*self.ours, &bytes), result((&self.theirs).write(&bytes)), "{op:?}");
            }
            Op::Receive(_, len, peek) => {
                let (mut ours, mut theirs) = (std::vec![0; len], std::vec![0; len]);
                let flags = if peek { MSG_PEEK } else { 0 };
                let got = sock(&self.ours).receive(&mut SliceSink::new(&mut ours), flags);
                let got = got.map(|received| received.bytes);
                let expected =
                    if peek { self.theirs.peek(&mut theirs) } else { (&self.theirs).read(&mut theirs) };
                assert_eq!(got, result(expected), "{op:?}");
                assert!(ours == theirs, "{op:?}");
            }
            Op::Shutdown(_, how) => {
                let which = [Shutdown::Read, Shutdown::Write, Shutdown::Both][how as usize];
                assert_eq!(sock(&self.ours).shutdown(how), result(self.theirs.shutdown(which)), "{op:?}");
            }
            Op::Error(_) => {
                let theirs = self.theirs.take_error().unwrap();
                let theirs = theirs.map(|error| Errno(error.raw_os_error().unwrap() as u16));
                assert_eq!(sock(&self.ours).take_error(), theirs, "{op:?}");
            }
            Op::Close(_) => {}
        }
    }

    /// What can be seen without changing anything.
    fn compare(&self) {
        let fd: OwnedFd = self.theirs.as_fd().try_clone_to_owned().unwrap();
        let ours =
            (self.ours.poll(), ioctl_int(&*self.ours, FIONREAD), sock(&self.ours).peer_address().is_ok());
        let mut theirs = None;
        // A host that is busy hands packets on later.
        for _ in 0..2000 {
            theirs = Some((
                host::poll(&fd),
                host::ioctl_int(&fd, FIONREAD.into()),
                self.theirs.peer_addr().is_ok(),
            ));
            if theirs == Some(ours) {
                return;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(Some(ours), theirs);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn like_the_hosts(ops in proptest::collection::vec(op(), 1..25)) {
        testing::setup();
        let mut ends = Twin::pair();
        for op in ops {
            let (Op::Send(side, _) | Op::Receive(side, ..) | Op::Shutdown(side, _) | Op::Error(side) | Op::Close(side)) = op;
            if let Some(twin) = &ends[side] {
                twin.step(&op);
            }
            if let Op::Close(side) = op {
                ends[side] = None;
            }
            ends.iter().flatten().for_each(Twin::compare);
        }
    }
}
