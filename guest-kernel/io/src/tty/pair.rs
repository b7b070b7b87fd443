//! A pair of master and slave, and the table of all pairs.
//!
//! What an operation changes is compared before and after it, under the lock; signals are sent and waiters woken
//! when the lock is free.

use super::discipline::{Discipline, INCOMING_LIMIT};
use super::session;
use super::termios::Termios;
use crate::anon;
use alloc::collections::BTreeMap;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use ampoule_kbase::{Errno, Events, FileType, Mutex, Result, Stat, TimerId, WaitQueue, platform};
use linux_raw_sys::general::{SIGCONT, SIGHUP, VMIN, VTIME};

/// Pairs at most.
const MAX_PAIRS: u32 = 1024;
/// The major number of slaves.
const SLAVE_MAJOR: u64 = 136;
/// The group that owns terminals on Debian.
const TTY_GROUP: u32 = 5;

/// All pairs, by number.
static PAIRS: Mutex<BTreeMap<u32, Weak<Pair>>> = Mutex::new(BTreeMap::new());

/// A terminal.
pub struct Pair {
    /// Its number in `/dev/pts`.
    pub index: u32,
    /// Who waits at the master.
    pub master_queue: WaitQueue,
    /// Who waits at the slave.
    pub slave_queue: WaitQueue,
    /// The rest.
    pub state: Mutex<State>,
}

/// The changeable part.
pub struct State {
    /// What is between the two sides.
    pub discipline: Discipline,
    /// `struct winsize`.
    pub window: [u8; 8],
    /// `TIOCSPTLCK`: the slave cannot be opened yet.
    pub locked: bool,
    /// `TIOCEXCL`: only root can open the slave.
    pub exclusive: bool,
    /// The master is open.
    pub master_open: bool,
    /// How often the slave is open.
    pub slaves: usize,
    /// The slave was open and is not any more.
    pub slave_closed: bool,
    /// The session that it controls.
    pub session: Option<u32>,
    /// The foreground process group.
    pub foreground: Option<u32>,
    /// How often it has hung up: slaves that were opened before are dead.
    pub hang_ups: u64,
    /// When something was typed last, for `VTIME`.
    pub last_input_ns: u64,
    /// A read that waits for `VTIME`.
    pub read_wait: Option<ReadWait>,
    /// `chmod`, `chown` of the slave's inode.
    pub permissions: u32,
    /// As above.
    pub owner: (u32, u32),
    created_ns: i64,
}

/// A read with a timeout.
pub struct ReadWait {
    /// The thread that reads.
    pub tid: u32,
    /// When it gives up.
    pub deadline_ns: u64,
    /// Wakes it then.
    pub timer: TimerId,
}

/// What waiters may care for.
#[derive(PartialEq, Eq)]
struct Levels {
    typed: usize,
    finished: usize,
    incoming: usize,
    output: usize,
    stopped: bool,
}

impl State {
    fn levels(&self) -> Levels {
        Levels {
            typed: self.discipline.input.len(),
            finished: self.discipline.input.finished(),
            incoming: self.discipline.incoming.len(),
            output: self.discipline.output.len(),
            stopped: self.discipline.is_stopped(),
        }
    }

    /// Bytes that a raw read waits for.
    pub fn minimum(&self) -> usize {
        self.discipline.termios.char(VMIN).into()
    }

    /// The read timeout.
    pub fn timeout_ns(&self) -> u64 {
        u64::from(self.discipline.termios.char(VTIME)) * 100_000_000
    }

    /// Whether `poll` reports something to read.
    pub fn has_input(&self) -> bool {
        if self.discipline.reads_lines() {
            return self.discipline.input.finished() > 0;
        }
        let wanted = if self.timeout_ns() == 0 { self.minimum().max(1) } else { 1 };
        self.discipline.input.len() >= wanted
    }

    /// Bytes that the slave can write, each of which may become several.
    pub fn slave_room(&self) -> usize {
        if self.discipline.is_stopped() { 0 } else { self.discipline.output.room() / 8 }
    }

    /// Bytes that the master can write.
    pub fn master_room(&self) -> usize {
        INCOMING_LIMIT.saturating_sub(self.discipline.incoming.len())
    }
}

impl Pair {
    /// A new pair, with its master open.
    pub fn new() -> Result<Arc<Self>> {
        let caller = platform().caller();
        let state = State {
            discipline: Discipline::default(),
            window: [0; 8],
            locked: true,
            exclusive: false,
            master_open: true,
            slaves: 0,
            slave_closed: false,
            session: None,
            foreground: None,
            hang_ups: 0,
            last_input_ns: 0,
            read_wait: None,
            permissions: 0o620,
            owner: (caller.fsuid, TTY_GROUP),
            created_ns: platform().realtime_ns() as i64,
        };
        let mut pairs = PAIRS.lock();
        let index = (0..MAX_PAIRS).find(|index| !pairs.contains_key(index)).ok_or(Errno::ENOSPC)?;
        let pair = Arc::new(Self {
            index,
            master_queue: WaitQueue::new(),
            slave_queue: WaitQueue::new(),
            state: Mutex::new(state),
        });
        pairs.insert(index, Arc::downgrade(&pair));
        Ok(pair)
    }

    /// The pair with a number, while its master is open.
    pub fn find(index: u32) -> Option<Arc<Self>> {
        let pair = PAIRS.lock().get(&index).and_then(Weak::upgrade)?;
        let open = pair.state.lock().master_open;
        open.then_some(pair)
    }

    /// The numbers of all pairs whose master is open.
    pub fn all() -> Vec<u32> {
        let pairs: Vec<_> = PAIRS.lock().values().filter_map(Weak::upgrade).collect();
        pairs.iter().filter(|pair| pair.state.lock().master_open).map(|pair| pair.index).collect()
    }

    /// Does something to the terminal, and tells whom it concerns.
    pub fn with<R>(&self, action: impl FnOnce(&mut State) -> R) -> R {
        let (result, signals, foreground, before, after) = {
            let mut state = self.state.lock();
            let before = state.levels();
            let result = action(&mut state);
            let after = state.levels();
            if after.typed > before.typed {
                state.last_input_ns = platform().monotonic_ns();
            }
            let signals = core::mem::take(&mut state.discipline.signals);
            (result, signals, state.foreground, before, after)
        };
        if let Some(group) = foreground {
            signals.into_iter().for_each(|signal| platform().signal_group(group, signal));
        }
        self.tell(&before, &after);
        result
    }

    fn tell(&self, before: &Levels, after: &Levels) {
        let readable = Events::IN | Events::RDNORM;
        let writable = Events::OUT | Events::WRNORM;
        if after.output > before.output {
            self.master_queue.wake(readable);
        }
        if after.incoming < before.incoming || after.typed < before.typed {
            self.master_queue.wake(writable);
        }
        let mut slave = Events::empty();
        slave.set(readable, after.typed > before.typed || after.finished > before.finished);
        slave.set(writable, after.output < before.output || (before.stopped && !after.stopped));
        if !slave.is_empty() {
            self.slave_queue.wake(slave);
        }
    }

    /// The master is closed: whoever has the slave open finds it dead.
    pub fn close_master(self: &Arc<Self>) {
        let session = {
            let mut state = self.state.lock();
            state.master_open = false;
            state.slave_closed = true;
            state.session
        };
        if let Some(sid) = session {
            session::lost_terminal(sid, self);
            platform().signal_process(sid, SIGHUP);
            platform().signal_process(sid, SIGCONT);
        }
        self.hang_up();
    }

    /// Makes everybody who has the slave open find it dead; it can be opened again.
    pub fn hang_up(&self) {
        {
            let mut state = self.state.lock();
            state.hang_ups += 1;
            (state.session, state.foreground) = (None, None);
            state.discipline.flush_input();
            state.discipline.set_termios(Termios::default());
        }
        self.slave_queue.wake(Events::all());
        self.master_queue.wake(Events::all());
    }

    /// One of those who have the slave open has closed it.
    pub fn close_slave(&self) {
        let last = {
            let mut state = self.state.lock();
            state.slaves -= 1;
            let last = state.slaves == 0;
            state.slave_closed |= last;
            last
        };
        if last {
            self.master_queue.wake(Events::all());
        }
    }

    /// `st_rdev` of the slave, as `makedev(3)` encodes it.
    pub fn rdev(&self) -> u64 {
        let minor = u64::from(self.index);
        (minor & 0xff) | SLAVE_MAJOR << 8 | (minor & !0xff) << 12
    }

    /// The status of the slave's inode.
    pub fn stat(&self) -> Stat {
        let state = self.state.lock();
        Stat {
            dev: anon::DEVPTS,
            ino: u64::from(self.index) + 3,
            mode: FileType::CharDevice as u32 | state.permissions,
            nlink: 1,
            uid: state.owner.0,
            gid: state.owner.1,
            rdev: self.rdev(),
            blksize: 1024,
            atime_ns: state.created_ns,
            mtime_ns: state.created_ns,
            ctime_ns: state.created_ns,
            ..Stat::default()
        }
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        PAIRS.lock().remove(&self.index);
    }
}
