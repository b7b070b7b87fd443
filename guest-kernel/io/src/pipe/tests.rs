//! Pipes against the host's own.

use super::*;
use crate::testing::{self, Alarm, host};
use alloc::sync::Arc;
use alloc::vec::Vec;
use ampoule_kbase::{Errno, Events, File, Result};
use proptest::prelude::*;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

#[derive(Clone, Debug)]
enum Op {
    Write(usize),
    Read(usize),
    Resize(usize),
    CloseReader,
    CloseWriter,
}

fn sizes() -> impl Strategy<Value = usize> {
    prop_oneof![
        4 => 0..200usize,
        2 => prop_oneof![Just(4095), Just(4096), Just(4097), Just(8192), Just(65536)],
        2 => 0..20_000usize,
        1 => 0..200_000usize,
    ]
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        20 => sizes().prop_map(Op::Write),
        20 => sizes().prop_map(Op::Read),
        2 => (0..40usize).prop_map(|pages| Op::Resize(pages * 3000)),
        1 => Just(Op::CloseReader),
        1 => Just(Op::CloseWriter),
    ];
    proptest::collection::vec(op, 0..60)
}

fn host_pipe(flags: i32) -> (OwnedFd, OwnedFd) {
    let mut fds = [0; 2];
    // SAFETY: room for two descriptors, which are then ours alone.
    unsafe {
        assert_eq!(libc::pipe2(fds.as_mut_ptr(), flags | libc::O_NONBLOCK | libc::O_CLOEXEC), 0);
        (OwnedFd::from_raw_fd(fds[0]), OwnedFd::from_raw_fd(fds[1]))
    }
}

type Ends<T> = (Option<T>, Option<T>);

/// Both pipes, until an end is closed.
struct Pair {
    ours: Ends<Arc<dyn File>>,
    hosts: Ends<OwnedFd>,
    written: u8,
}

impl Pair {
    fn new(packets: bool) -> Self {
        let (reader, writer) = pipe();
        let (host_reader, host_writer) = host_pipe(if packets { libc::O_DIRECT } else { 0 });
        if packets {
            writer.set_status_flags(libc::O_DIRECT as u32);
        }
        Self { ours: (Some(reader), Some(writer)), hosts: (Some(host_reader), Some(host_writer)), written: 0 }
    }

    fn step(&mut self, op: &Op) {
        match (op, &self.ours, &self.hosts) {
            (Op::Write(count), (_, Some(ours)), (_, Some(theirs))) => {
                self.written = self.written.wrapping_add(1);
                let data: Vec<u8> = (0..*count).map(|i| (i as u8) ^ self.written).collect();
                assert_eq!(testing::write(&**ours, &data), host::write(theirs, &data), "{op:?}");
            }
            (Op::Read(count), (Some(ours), _), (Some(theirs), _)) => {
                let (a, b) = (testing::read(&**ours, *count), host::read(theirs, *count));
                assert_eq!(a.as_ref().map(Vec::len), b.as_ref().map(Vec::len), "{op:?}");
                assert!(a == b, "the data of {op:?} differs");
            }
            (Op::Resize(bytes), (Some(ours), _), (Some(theirs), _)) => {
                let end = PipeEnd::of(&**ours).expect("a pipe end");
                let (fd, size) = (theirs.as_raw_fd(), *bytes as i32);
                // SAFETY: fcntl with an int argument.
                let b = host::check(unsafe { libc::fcntl(fd, libc::F_SETPIPE_SZ, size) } as isize);
                assert_eq!(resize(end, *bytes), b, "{op:?}");
            }
            (Op::CloseReader, ..) => (self.ours.0, self.hosts.0) = (None, None),
            (Op::CloseWriter, ..) => (self.ours.1, self.hosts.1) = (None, None),
            _ => {}
        }
        self.compare_states();
    }

    fn compare_states(&self) {
        let ours = [&self.ours.0, &self.ours.1];
        let hosts = [&self.hosts.0, &self.hosts.1];
        for (a, b) in ours.into_iter().zip(hosts) {
            let (Some(a), Some(b)) = (a, b) else { continue };
            assert_eq!(a.poll(), host::poll(b));
            let command = linux_raw_sys::ioctl::FIONREAD;
            assert_eq!(testing::ioctl_int(&**a, command), host::ioctl_int(b, command.into()));
        }
    }
}

fn resize(end: &PipeEnd, bytes: usize) -> Result<usize> {
    end.set_capacity(bytes)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn same_as_the_host(ops in ops(), packets in any::<bool>()) {
        testing::setup();
        let mut pair = Pair::new(packets);
        for op in &ops {
            pair.step(op);
        }
    }
}

#[test]
fn a_broken_pipe_signals() {
    testing::setup();
    let (reader, writer) = pipe();
    drop(reader);
    assert_eq!(testing::write(&*writer, b"x"), Err(Errno::EPIPE));
    assert_eq!(testing::take_signals(), [(0, 13)]);
}

#[test]
fn waiters_hear_of_data_room_and_closing() {
    testing::setup();
    let (reader, writer) = pipe();
    let (reads, writes) = (Alarm::on(&*reader), Alarm::on(&*writer));
    testing::write(&*writer, &[1; 65536]).unwrap();
    assert_eq!((reads.take(), writes.take()), (Some(Events::IN | Events::RDNORM), None));
    testing::read(&*reader, 4096).unwrap();
    assert_eq!((reads.take(), writes.take()), (None, Some(Events::OUT | Events::WRNORM)));
    drop(writer);
    assert!(reads.take().unwrap().contains(Events::HUP));
}

#[test]
fn a_reader_that_keeps_up_costs_few_pages() {
    testing::setup();
    let (reader, writer) = pipe();
    let mut pages = std::collections::BTreeSet::new();
    for _ in 0..200 {
        testing::write(&*writer, &[7; 4096]).unwrap();
        let end = PipeEnd::of(&*reader).unwrap();
        pages.extend(end.shared().state.lock().ring.pages());
        testing::read(&*reader, 4096).unwrap();
    }
    assert!(pages.len() <= 2, "{} pages", pages.len());
}

fn open(fifo: &Fifo, flags: i32) -> Result<Opening> {
    fifo.open(flags as u32)
}

#[test]
fn a_fifo_waits_for_the_other_side() {
    testing::setup();
    let fifo = Fifo::new();
    let reader = open(&fifo, libc::O_RDONLY).unwrap();
    assert!(!reader.is_complete());
    let alarm = Alarm::on(&*reader.file());
    let writer = open(&fifo, libc::O_WRONLY).unwrap();
    assert!(writer.is_complete() && reader.is_complete());
    assert!(alarm.take().is_some());
    testing::write(&*writer.file(), b"hello").unwrap();
    drop(writer);
    // Complete for good, even when the writer is gone again before the reader looks.
    assert!(reader.is_complete());
    assert_eq!(testing::read(&*reader.file(), 9).unwrap(), b"hello");
}

#[test]
fn a_fifo_is_like_the_hosts() {
    testing::setup();
    let directory = std::env::temp_dir().join(std::format!("kio-fifo-{}", std::process::id()));
    let path = std::ffi::CString::new(directory.to_str().unwrap()).unwrap();
    // SAFETY: a valid path.
    assert_eq!(unsafe { libc::mkfifo(path.as_ptr(), 0o600) }, 0);
    let fifo = Fifo::new();
    let both = |flags: i32| {
        let flags = flags | libc::O_NONBLOCK;
        // SAFETY: a valid path; the descriptor is ours.
        let fd = host::check(unsafe { libc::open(path.as_ptr(), flags) } as isize);
        // SAFETY: as above.
        let theirs = fd.map(|fd| unsafe { OwnedFd::from_raw_fd(fd as i32) });
        let ours = open(&fifo, flags).map(|opening| opening.file());
        assert_eq!(ours.as_ref().err(), theirs.as_ref().err());
        ours.ok().zip(theirs.ok())
    };
    let same = |pair: &(Arc<dyn File>, OwnedFd)| assert_eq!(pair.0.poll(), host::poll(&pair.1));
    assert!(both(libc::O_WRONLY).is_none());
    let reader = both(libc::O_RDONLY).unwrap();
    same(&reader);
    assert_eq!(testing::read(&*reader.0, 1), host::read(&reader.1, 1));
    let writer = both(libc::O_WRONLY).unwrap();
    same(&reader);
    same(&writer);
    drop(writer);
    same(&reader);
    let another = both(libc::O_RDONLY).unwrap();
    same(&another);
    let duplex = both(libc::O_RDWR).unwrap();
    same(&duplex);
    testing::write(&*duplex.0, b"x").unwrap();
    host::write(&duplex.1, b"x").unwrap();
    same(&duplex);
    same(&another);
    std::fs::remove_file(&directory).unwrap();
}
