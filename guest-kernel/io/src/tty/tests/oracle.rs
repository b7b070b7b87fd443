//! The same keys and settings on our terminals and on the host's show and give the same.

use super::*;
use linux_raw_sys::ioctl::{FIONREAD, TCFLSH, TCSETSF, TCXONC, TIOCGWINSZ, TIOCSWINSZ};
use proptest::prelude::*;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::Duration;

#[derive(Clone, Debug)]
enum Op {
    Type(Vec<u8>),
    Print(Vec<u8>),
    ReadTyped(usize),
    ReadShown(usize),
    Set { termios: Termios, flush: bool },
    Flush(u32),
    Flow(u32),
    Window(u8),
    CloseSlave,
    OpenSlave,
}

const KEYS: &[u8] =
    b"abc e f_ \t\t\n\n\r\x7f\x7f\x7f\x15\x17\x04\x16\x12\x11\x13\0\xff\xc3\xa9\xe2\x82\xac\x01Z\x08";

fn keys() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(proptest::sample::select(KEYS), 1..20)
}

fn subset(all: &'static [u32]) -> impl Strategy<Value = u32> {
    proptest::sample::subsequence(all, 0..=all.len()).prop_map(|some| some.into_iter().fold(0, |a, b| a | b))
}

fn settings() -> impl Strategy<Value = Termios> {
    use linux_raw_sys::general as c;
    let local = subset(&[
        c::ISIG,
        c::ICANON,
        c::ECHO,
        c::ECHOE,
        c::ECHOK,
        c::ECHONL,
        c::NOFLSH,
        c::IEXTEN,
        c::ECHOCTL,
        c::ECHOKE,
        c::ECHOPRT,
    ]);
    // Most often lines are edited and shown.
    let local =
        (local, 0..4u8).prop_map(|(some, often)| if often > 0 { some | c::ICANON | c::ECHO } else { some });
    let input =
        subset(&[c::IGNCR, c::ICRNL, c::INLCR, c::ISTRIP, c::IUCLC, c::IXON, c::IXANY, c::IUTF8, c::PARMRK]);
    let output = subset(&[c::OPOST, c::ONLCR, c::OCRNL, c::ONOCR, c::ONLRET, c::OLCUC, c::XTABS]);
    let output = (output, 0..4u8).prop_map(|(some, often)| if often > 0 { some | c::OPOST } else { some });
    let chars = (0..4u8, 0..2u8, any::<bool>());
    (local, input, output, chars).prop_map(|(local, input, output, (min, time, ends))| {
        let mut termios = Termios { local, input, output, ..Termios::default() };
        termios.chars[c::VMIN as usize] = min;
        termios.chars[c::VTIME as usize] = time;
        if local & c::ECHOCTL == 0 {
            // Without that, Linux leaves echo of this character uncommitted, and later repeats its whole echo buffer.
            termios.chars[c::VLNEXT as usize] = 0;
        }
        if ends {
            termios.chars[c::VEOL as usize] = b'e';
            termios.chars[c::VEOL2 as usize] = b'f';
        }
        termios
    })
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let count = prop_oneof![1..12usize, Just(200)];
    let op = prop_oneof![
        12 => keys().prop_map(Op::Type),
        // By themselves, since on the host a signal races with the echo of what was typed just before.
        2 => proptest::sample::select(vec![b"\x03", b"\x1a", b"\x1c"]).prop_map(|key| Op::Type(key.to_vec())),
        5 => keys().prop_map(Op::Print),
        8 => count.clone().prop_map(Op::ReadTyped),
        5 => count.prop_map(Op::ReadShown),
        5 => (settings(), any::<bool>()).prop_map(|(termios, flush)| Op::Set { termios, flush }),
        1 => (0..4u32).prop_map(Op::Flush),
        1 => (0..5u32).prop_map(Op::Flow),
        1 => (0..3u8).prop_map(Op::Window),
        1 => Just(Op::CloseSlave),
        1 => Just(Op::OpenSlave),
    ];
    proptest::collection::vec(op, 1..40)
}

/// Agreement, or what differs.
type Verdict = core::result::Result<(), std::string::String>;

fn same<T: PartialEq + core::fmt::Debug>(ours: T, theirs: T) -> Verdict {
    if ours == theirs { Ok(()) } else { Err(std::format!("ours: {ours:?}, the host's: {theirs:?}")) }
}

/// One terminal: ours and the host's.
struct World {
    patience: Duration,
    master: (Arc<dyn File>, OwnedFd),
    slave: Option<(Arc<dyn File>, OwnedFd)>,
}

fn owned(result: i32) -> OwnedFd {
    let fd = host::check(result as isize).expect("a descriptor");
    // SAFETY: a descriptor that a call has just returned is nobody else's.
    unsafe { OwnedFd::from_raw_fd(fd as i32) }
}

fn host_ioctl<T>(fd: &OwnedFd, command: u32, argument: T) -> Result<usize> {
    // SAFETY: callers pass what the command takes: a number, or a pointer to something long enough.
    host::check(unsafe { libc::ioctl(fd.as_raw_fd(), command.into(), argument) } as isize)
}

impl World {
    fn new(patience: Duration) -> Self {
        let (ours, _) = master();
        let flags = libc::O_RDWR | libc::O_NOCTTY | libc::O_NONBLOCK | libc::O_CLOEXEC;
        // SAFETY: a constant path.
        let theirs = owned(unsafe { libc::open(c"/dev/ptmx".as_ptr(), flags) });
        let unlocked = 0i32;
        host_ioctl(&theirs, TIOCSPTLCK, &raw const unlocked).unwrap();
        let mut world = Self { patience, master: (ours, theirs), slave: None };
        world.open_slave();
        world
    }

    fn open_slave(&mut self) {
        let flags = libc::O_RDWR | libc::O_NOCTTY | libc::O_NONBLOCK | libc::O_CLOEXEC;
        let theirs = host_ioctl(&self.master.1, libc::TIOCGPTPEER as u32, flags).unwrap();
        let ours = open_peer(&*self.master.0, flags as u32).unwrap();
        self.slave = Some((ours, owned(theirs as i32)));
    }

    fn step(&mut self, op: &Op) -> Verdict {
        let master = &self.master;
        match (op, &self.slave) {
            (Op::Type(keys), _) => same(write(&*master.0, keys), host::write(&master.1, keys))?,
            (Op::ReadShown(count), _) => same(read(&*master.0, *count), host::read(&master.1, *count))?,
            (Op::Print(text), Some(slave)) => same(write(&*slave.0, text), host::write(&slave.1, text))?,
            (Op::ReadTyped(count), Some(slave)) => {
                same(read(&*slave.0, *count), host::read(&slave.1, *count))?;
            }
            (Op::Set { termios, flush }, Some(slave)) => set_both(slave, termios, *flush)?,
            (Op::Flush(queue), Some(slave)) => {
                let ours = slave.0.ioctl(TCFLSH, u64::from(*queue), &FakeMemory::new());
                same(ours.map(|_| 0), host_ioctl(&slave.1, TCFLSH, u64::from(*queue)))?;
            }
            (Op::Flow(action), Some(slave)) => {
                let ours = slave.0.ioctl(TCXONC, u64::from(*action), &FakeMemory::new());
                same(ours.map(|_| 0), host_ioctl(&slave.1, TCXONC, u64::from(*action)))?;
            }
            (Op::Window(rows), Some(slave)) => {
                let window = [*rows, 0, 80, 0, 0, 0, 0, 0];
                host_ioctl(&master.1, TIOCSWINSZ, window.as_ptr()).unwrap();
                let memory = FakeMemory::new();
                memory.write_bytes(0, &window).unwrap();
                master.0.ioctl(TIOCSWINSZ, 0, &memory).unwrap();
                let mut theirs = [0u8; 8];
                host_ioctl(&slave.1, TIOCGWINSZ, theirs.as_mut_ptr()).unwrap();
                slave.0.ioctl(TIOCGWINSZ, 8, &memory).unwrap();
                same(memory.0.borrow()[8..16].to_vec(), theirs.to_vec())?;
            }
            (Op::CloseSlave, _) => self.slave = None,
            (Op::OpenSlave, None) => self.open_slave(),
            _ => {}
        }
        self.settle()
    }

    /// What both sides have to say of the terminal now.
    fn states(&self) -> [std::string::String; 2] {
        let master = &self.master;
        let mut ours = std::format!("{:?} {:?}", master.0.poll(), testing::ioctl_int(&*master.0, FIONREAD));
        let mut theirs =
            std::format!("{:?} {:?}", host::poll(&master.1), host::ioctl_int(&master.1, FIONREAD.into()));
        if let Some(slave) = &self.slave {
            ours += &std::format!(" {:?} {:?}", slave.0.poll(), testing::ioctl_int(&*slave.0, FIONREAD));
            theirs +=
                &std::format!(" {:?} {:?}", host::poll(&slave.1), host::ioctl_int(&slave.1, FIONREAD.into()));
        }
        [ours, theirs]
    }

    /// The host moves bytes from side to side in the background.
    fn settle(&self) -> Verdict {
        std::thread::sleep(self.patience);
        for _ in 0..10 {
            let [ours, theirs] = self.states();
            if ours == theirs {
                return Ok(());
            }
            std::thread::sleep(self.patience);
        }
        let [ours, theirs] = self.states();
        same(ours, theirs)
    }
}

fn set_both(slave: &(Arc<dyn File>, OwnedFd), termios: &Termios, flush: bool) -> Verdict {
    let command = if flush { TCSETSF } else { TCSETS };
    let bytes = termios.to_bytes(false);
    let memory = FakeMemory::new();
    memory.write_bytes(0, &bytes).unwrap();
    let ours = slave.0.ioctl(command, 0, &memory).map(|_| 0);
    same(ours, host_ioctl(&slave.1, command, bytes.as_ptr()))?;
    let mut theirs = [0u8; termios::SIZE];
    host_ioctl(&slave.1, TCGETS, theirs.as_mut_ptr()).unwrap();
    same(super::settings(&*slave.0).to_bytes(false), theirs.to_vec())
}

fn run(ops: &[Op], patience: Duration) -> Verdict {
    let mut world = World::new(patience);
    world.settle()?;
    for op in ops {
        world.step(op)?;
    }
    world.step(&Op::ReadShown(10_000))?;
    world.step(&Op::ReadTyped(10_000))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn same_as_the_hosts(ops in ops()) {
        // What the host does in the background is not always done when it looks so: only what differs however long one
        // waits is a difference.
        let mut verdict = Ok(());
        for patience_us in [100, 1000, 10_000] {
            verdict = run(&ops, Duration::from_micros(patience_us));
            if verdict.is_ok() {
                break;
            }
        }
        prop_assert_eq!(verdict, Ok(()));
    }
}
