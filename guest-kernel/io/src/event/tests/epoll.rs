//! The same calls on our epoll and on the host's report the same events in the same order.

use super::*;
use crate::pipe::pipe;
use ampoule_kbase::OpenFile;

/// An object that is watched.
struct Object {
    ours: Arc<OpenFile>,
    theirs: OwnedFd,
}

/// The other ends of pipes, and how to make things happen.
enum Other {
    None,
    Pipe(Arc<dyn File>, OwnedFd),
}

struct World {
    objects: Vec<(Object, Other)>,
    ours: Arc<Epoll>,
    theirs: OwnedFd,
}

fn object(index: usize) -> (Object, Other) {
    let mut fds = [0; 2];
    // SAFETY: room for two descriptors.
    assert_eq!(unsafe { libc::pipe2(fds.as_mut_ptr(), libc::O_NONBLOCK | libc::O_CLOEXEC) }, 0);
    let (host_reader, host_writer) = (owned(fds[0]).unwrap(), owned(fds[1]).unwrap());
    let (reader, writer) = pipe();
    match index % 4 {
        3 => {
            let mut fds = [0; 2];
            let kind = libc::SOCK_STREAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
            // SAFETY: room for two descriptors.
            assert_eq!(unsafe { libc::socketpair(libc::AF_UNIX, kind, 0, fds.as_mut_ptr()) }, 0);
            let (one, other) = crate::unix::socketpair(1, 0).unwrap();
            let object = Object { ours: OpenFile::new(one, 2), theirs: owned(fds[0]).unwrap() };
            (object, Other::Pipe(other, owned(fds[1]).unwrap()))
        }
        0 => {
            let object = Object { ours: OpenFile::new(reader, 0), theirs: host_reader };
            (object, Other::Pipe(writer, host_writer))
        }
        1 => {
            let object = Object { ours: OpenFile::new(writer, 1), theirs: host_writer };
            (object, Other::Pipe(reader, host_reader))
        }
        _ => {
            let object =
                Object { ours: OpenFile::new(EventFd::new(0, false), 2), theirs: host_eventfd(0, 0) };
            (object, Other::None)
        }
    }
}

#[derive(Clone, Debug)]
enum Op {
    Add(usize, u32),
    Modify(usize, u32),
    Remove(usize),
    Write(usize, usize),
    Read(usize, usize),
    Reopen(usize),
    CloseOther(usize),
    Wait(usize),
    Poll,
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let events = (0..8u32, 0..4u32).prop_map(|(what, how)| {
        let what = [1, 4, 5, 0, 1 | 0x2000, 5 | 0x40, 1, 4][what as usize];
        what | [0, 1 << 31, 1 << 30, 3 << 30][how as usize]
    });
    let count = prop_oneof![1..10usize, Just(4096), Just(65536)];
    let which = 0..8usize;
    let op = prop_oneof![
        6 => (which.clone(), events.clone()).prop_map(|(i, events)| Op::Add(i, events)),
        4 => (which.clone(), events).prop_map(|(i, events)| Op::Modify(i, events)),
        2 => which.clone().prop_map(Op::Remove),
        8 => (which.clone(), count.clone()).prop_map(|(i, count)| Op::Write(i, count)),
        8 => (which.clone(), count).prop_map(|(i, count)| Op::Read(i, count)),
        1 => which.clone().prop_map(Op::Reopen),
        1 => which.prop_map(Op::CloseOther),
        10 => (1..8usize).prop_map(Op::Wait),
        2 => Just(Op::Poll),
    ];
    proptest::collection::vec(op, 1..80)
}

impl World {
    fn new() -> Self {
        testing::setup();
        // SAFETY: no pointers.
        let theirs = owned(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) }).unwrap();
        Self { objects: (0..8).map(object).collect(), ours: Epoll::new(), theirs }
    }

    fn control(&self, op: i32, index: usize, events: u32) -> Result<usize> {
        let mut event = libc::epoll_event { events, u64: index as u64 };
        let fd = self.objects[index].0.theirs.as_raw_fd();
        // SAFETY: a valid event.
        host::check(unsafe { libc::epoll_ctl(self.theirs.as_raw_fd(), op, fd, &mut event) } as isize)
    }

    fn step(&mut self, op: &Op) {
        // Linux tells the writer at one end of a socket of everything read at the other, here only of room that it lacked:
        // so for sockets only reading is compared.
        let op = &match op {
            Op::Add(i, events) if i % 4 == 3 => Op::Add(*i, events & !4),
            Op::Modify(i, events) if i % 4 == 3 => Op::Modify(*i, events & !4),
            other => other.clone(),
        };
        let event = |index: &usize, events: &u32| EpollEvent { events: *events, data: *index as u64 };
        match op {
            Op::Add(i, events) => {
                let theirs = self.control(libc::EPOLL_CTL_ADD, *i, *events);
                let ours = self.ours.add(*i as i32, &self.objects[*i].0.ours, event(i, events));
                assert_eq!(ours, theirs.map(|_| ()));
            }
            Op::Modify(i, events) => {
                let theirs = self.control(libc::EPOLL_CTL_MOD, *i, *events);
                let ours = self.ours.modify(*i as i32, &self.objects[*i].0.ours, event(i, events));
                assert_eq!(ours, theirs.map(|_| ()));
            }
            Op::Remove(i) => {
                let theirs = self.control(libc::EPOLL_CTL_DEL, *i, 0);
                assert_eq!(self.ours.remove(*i as i32, &self.objects[*i].0.ours), theirs.map(|_| ()));
            }
            Op::Reopen(i) => self.objects[*i] = object(*i),
            Op::CloseOther(i) => self.objects[*i].1 = Other::None,
            Op::Write(i, count) => self.write(*i, *count),
            Op::Read(i, count) => self.read(*i, *count),
            Op::Wait(limit) => assert_eq!(self.our_events(*limit), self.their_events(*limit)),
            Op::Poll => assert_eq!(self.ours.poll(), host::poll(&self.theirs)),
        }
    }

    fn write(&self, index: usize, count: usize) {
        let (object, other) = &self.objects[index];
        // Sockets write to both sides in turn, in amounts that never fill them.
        let (ours, theirs) = match other {
            Other::Pipe(ours, theirs) if index.is_multiple_of(4) || (index % 4 == 3 && count % 2 == 1) => {
                (ours, theirs)
            }
            _ => (&object.ours.file, &object.theirs),
        };
        let count = [count, count, 8, count.min(10)][index % 4];
        let data = std::vec![1; count];
        let written = write(&**ours, &data);
        // Linux wakes the readers of a pipe even when a write found no room; there is no point in that.
        if written != Err(Errno::EAGAIN) {
            assert_eq!(written, host::write(theirs, &data));
        }
    }

    fn read(&self, index: usize, count: usize) {
        let (object, other) = &self.objects[index];
        let (ours, theirs) = match other {
            Other::Pipe(ours, theirs) if index % 4 == 1 || (index % 4 == 3 && count % 2 == 1) => {
                (ours, theirs)
            }
            _ => (&object.ours.file, &object.theirs),
        };
        let count = if index % 4 == 2 { 8 } else { count };
        assert_eq!(read(&**ours, count), host::read(theirs, count));
    }

    fn our_events(&self, limit: usize) -> Vec<(u32, u64)> {
        let mut events = Vec::new();
        let mut each = |event: EpollEvent| {
            events.push((event.events, event.data));
            Ok(())
        };
        assert!(self.ours.wait(limit, &mut each).unwrap() <= limit);
        events
    }

    fn their_events(&self, limit: usize) -> Vec<(u32, u64)> {
        let mut events = std::vec![libc::epoll_event { events: 0, u64: 0 }; limit];
        // SAFETY: room for `limit` events.
        let count =
            unsafe { libc::epoll_wait(self.theirs.as_raw_fd(), events.as_mut_ptr(), limit as i32, 0) };
        events[..count as usize].iter().map(|event| (event.events, event.u64)).collect()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn same_events_as_the_hosts(ops in ops()) {
        let mut world = World::new();
        for op in &ops {
            world.step(op);
        }
    }
}

fn open(file: Arc<dyn File>) -> Arc<OpenFile> {
    OpenFile::new(file, 2)
}

fn interest(events: u32) -> EpollEvent {
    EpollEvent { events, data: 0 }
}

#[test]
fn one_instance_watches_another() {
    testing::setup();
    let (inner, outer) = (Epoll::new(), Epoll::new());
    let event = EventFd::new(0, false);
    inner.add(1, &open(event.clone()), interest(1)).err();
    let event_file = open(event.clone());
    inner.add(1, &event_file, interest(1)).unwrap();
    let inner_file = open(inner.clone());
    outer.add(2, &inner_file, interest(1)).unwrap();
    assert_eq!(outer.poll(), Events::empty());
    let alarm = testing::Alarm::on(&*outer);
    event.signal(1);
    assert!(alarm.take().is_some());
    assert!(outer.poll().contains(Events::IN));
    read(&*event, 8).unwrap();
    assert_eq!((inner.poll(), outer.poll()), (Events::empty(), Events::empty()));
}

#[test]
fn circles_and_long_chains_are_refused() {
    testing::setup();
    let epolls: Vec<_> = (0..6).map(|_| Epoll::new()).collect();
    let files: Vec<_> = epolls.iter().map(|epoll| open(epoll.clone())).collect();
    assert_eq!(epolls[0].add(0, &files[0], interest(1)), Err(Errno::EINVAL));
    for i in 0..4 {
        epolls[i].add(0, &files[i + 1], interest(1)).unwrap();
    }
    assert_eq!(epolls[3].add(9, &files[0], interest(1)), Err(Errno::ELOOP));
    assert_eq!(epolls[4].add(9, &files[5], interest(1)), Err(Errno::ELOOP));
    epolls[0].remove(0, &files[1]).unwrap();
    epolls[4].add(9, &files[5], interest(1)).unwrap();
    epolls[0].add(0, &files[5], interest(1)).unwrap();
}

#[test]
fn closed_files_do_not_pile_up() {
    testing::setup();
    let epoll = Epoll::new();
    let event = EventFd::new(1, false);
    for fd in 0..1000 {
        epoll.add(fd, &open(event.clone()), interest(1)).unwrap();
    }
    assert!(epoll.state.lock().items.len() <= 64);
    // Nor do their entries in the queue of what lives on.
    let queue_is_long =
        (0..200).filter(|_| event.wait_queue().unwrap().wake_some(1, Events::empty()) > 0).count();
    assert!(queue_is_long <= 64);
    assert_eq!(epoll.wait(10, &mut |_| Ok(())), Ok(0));
}

#[test]
fn what_cannot_be_watched_and_what_cannot_be_exclusive() {
    testing::setup();
    let epoll = Epoll::new();
    let console = open(crate::console::Console::new());
    assert_eq!(epoll.add(1, &console, interest(1)), Err(Errno::EPERM));
    let event = open(EventFd::new(0, false));
    assert_eq!(epoll.add(1, &event, interest(1 << 28 | 1 << 30)), Err(Errno::EINVAL));
    epoll.add(1, &event, interest(1 << 28 | 1)).unwrap();
    assert_eq!(epoll.modify(1, &event, interest(1)), Err(Errno::EINVAL));
    // The same file under another number is another interest.
    epoll.add(2, &event, interest(4)).unwrap();
    assert_eq!(epoll.wait(9, &mut |_| Ok(())), Ok(1));
}

#[test]
fn an_event_that_cannot_be_told_stays() {
    testing::setup();
    let epoll = Epoll::new();
    let event = open(EventFd::new(1, false));
    epoll.add(1, &event, interest(1 | 1 << 31)).unwrap();
    assert_eq!(epoll.wait(9, &mut |_| Err(Errno::EFAULT)), Err(Errno::EFAULT));
    assert_eq!(epoll.wait(9, &mut |_| Ok(())), Ok(1));
    assert_eq!(epoll.wait(9, &mut |_| Ok(())), Ok(0));
}
