//! Sessions, controlling terminals, signals from keys.

use super::*;
use crate::testing::{call_as, local, take_signals};
use ampoule_kbase::Mutex;
use linux_raw_sys::general::TOSTOP;
use linux_raw_sys::ioctl::{TIOCGPGRP, TIOCGSID, TIOCNOTTY, TIOCSCTTY, TIOCSPGRP, TIOCSWINSZ};
use std::sync::atomic::{AtomicU32, Ordering};

const SIGHUP: u32 = 1;
const SIGINT: u32 = 2;
const SIGQUIT: u32 = 3;
const SIGCONT: u32 = 18;
const SIGTSTP: u32 = 20;
const SIGTTIN: u32 = 21;
const SIGTTOU: u32 = 22;
const SIGWINCH: u32 = 28;

/// A session number of one's own: tests run side by side.
fn session() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(10_000);
    let sid = NEXT.fetch_add(100, Ordering::Relaxed);
    call_as(leader(sid));
    sid
}

fn leader(sid: u32) -> Caller {
    Caller { pid: sid, tid: sid, pgid: sid, sid, ..Caller::default() }
}

/// A member of session `sid` in a group of its own.
fn job(sid: u32, number: u32) -> Caller {
    let pid = sid + number;
    Caller { pid, tid: pid, pgid: pid, sid, ..Caller::default() }
}

fn int(file: &dyn File, command: u32, value: u32) -> Result<()> {
    let memory = FakeMemory::new();
    memory.write_bytes(0, &value.to_ne_bytes()).unwrap();
    file.ioctl(command, 0, &memory).map(|_| ())
}

/// A terminal that controls a new session: master, slave and session.
fn controlled() -> (Arc<dyn File>, Arc<dyn File>, u32) {
    let (master, index) = master();
    let sid = session();
    let slave = open_slave(index, 0).unwrap();
    take_signals();
    (master, slave, sid)
}

#[test]
fn a_leader_gets_the_terminal_that_it_opens() {
    let (master, index) = master();
    let sid = session();
    assert_eq!(open_controlling(0).err(), Some(Errno::ENXIO));
    call_as(job(sid, 1));
    let _slave = open_slave(index, 0).unwrap();
    assert_eq!(controlling(sid), None);
    call_as(leader(sid));
    let _slave = open_slave(index, O_NOCTTY).unwrap();
    assert_eq!(controlling(sid), None);
    let slave = open_slave(index, 0).unwrap();
    assert_eq!(controlling(sid).unwrap().foreground, Some(sid));
    call_as(job(sid, 1));
    let tty = open_controlling(0).unwrap();
    assert_eq!(tty.stat().unwrap().rdev, slave.stat().unwrap().rdev);
    assert_eq!(testing::ioctl_int(&*tty, TIOCGSID), Ok(sid as i32));
    assert_eq!(testing::ioctl_int(&*master, TIOCGPGRP), Ok(sid as i32));
    // To another session it is just a file.
    session();
    assert_eq!(testing::ioctl_int(&*slave, TIOCGPGRP), Err(Errno::ENOTTY));
    assert_eq!(int(&*slave, TIOCSPGRP, 5), Err(Errno::ENOTTY));
    assert_eq!(slave.ioctl(TIOCSCTTY, 0, &FakeMemory::new()), Err(Errno::EPERM));
}

#[test]
fn root_can_steal_a_terminal() {
    let (_master, slave, sid) = controlled();
    let thief = session();
    slave.ioctl(TIOCSCTTY, 1, &FakeMemory::new()).unwrap();
    assert_eq!((controlling(sid), controlling(thief).unwrap().foreground), (None, Some(thief)));
    assert_eq!(slave.ioctl(TIOCSCTTY, 0, &FakeMemory::new()), Ok(0));
}

#[test]
fn keys_raise_signals_in_the_foreground() {
    let (master, slave, sid) = controlled();
    write(&*master, b"junk\x03").unwrap();
    assert_eq!(take_signals(), [(sid, SIGINT)]);
    // What is not shown yet when the signal comes never is.
    assert_eq!(read(&*master, 99).unwrap(), b"^C");
    int(&*slave, TIOCSPGRP, sid + 1).unwrap();
    write(&*master, b"\x1c\x1a\n").unwrap();
    assert_eq!(take_signals(), [(sid + 1, SIGQUIT), (sid + 1, SIGTSTP)]);
    // What was typed before is gone.
    call_as(job(sid, 1));
    assert_eq!(read(&*slave, 99).unwrap(), b"\n");
    let memory = FakeMemory::new();
    memory.write_bytes(0, &[24, 0, 80, 0]).unwrap();
    master.ioctl(TIOCSWINSZ, 0, &memory).unwrap();
    master.ioctl(TIOCSWINSZ, 0, &memory).unwrap();
    assert_eq!(take_signals(), [(sid + 1, SIGWINCH)]);
}

#[test]
fn the_background_is_stopped() {
    let (master, slave, sid) = controlled();
    write(&*master, b"line\n").unwrap();
    call_as(job(sid, 1));
    assert_eq!(read(&*slave, 9), Err(Errno::ERESTARTSYS));
    assert_eq!(take_signals(), [(sid + 1, SIGTTIN)]);
    assert_eq!(write(&*slave, b"x"), Ok(1));
    let mut termios = settings(&*slave);
    termios.local |= TOSTOP;
    assert_eq!(set(&*slave, termios), Err(Errno::ERESTARTSYS));
    assert_eq!(take_signals(), [(sid + 1, SIGTTOU)]);
    local(|l| l.ignored = vec![SIGTTIN, SIGTTOU]);
    set(&*slave, termios).unwrap();
    assert_eq!(read(&*slave, 9), Err(Errno::EIO));
    assert_eq!(write(&*slave, b"x"), Ok(1));
    local(|l| l.ignored.clear());
    assert_eq!(write(&*slave, b"x"), Err(Errno::ERESTARTSYS));
    take_signals();
    // An orphaned group would stay stopped for ever.
    local(|l| l.orphaned = vec![sid + 1]);
    assert_eq!((read(&*slave, 9), write(&*slave, b"x")), (Err(Errno::EIO), Err(Errno::EIO)));
    assert_eq!(int(&*slave, TIOCSPGRP, sid + 1), Err(Errno::ENOTTY));
    assert_eq!(take_signals(), []);
    local(|l| l.orphaned.clear());
    call_as(leader(sid));
    assert_eq!(read(&*slave, 9).unwrap(), b"line\n");
}

#[test]
fn a_closed_master_hangs_the_session_up() {
    let (master, slave, sid) = controlled();
    int(&*slave, TIOCSPGRP, sid + 1).unwrap();
    let alarm = Alarm::on(&*slave);
    drop(master);
    assert!(alarm.take().unwrap().contains(Events::HUP));
    assert_eq!(take_signals(), [(sid, SIGHUP), (sid, SIGCONT)]);
    assert_eq!(read(&*slave, 9).unwrap(), b"");
    assert_eq!(int(&*slave, TIOCSPGRP, sid), Err(Errno::ENOTTY));
    assert_eq!(testing::ioctl_int(&*slave, TIOCGPGRP), Err(Errno::EIO));
    assert_eq!(open_controlling(0).err(), Some(Errno::ENXIO));
    // When the leader follows, so does what it had in the foreground.
    session_ended(sid);
    assert_eq!(take_signals(), [(sid + 1, SIGHUP), (sid + 1, SIGCONT)]);
    session_ended(sid);
    assert_eq!(take_signals(), []);
}

#[test]
fn a_leader_that_exits_takes_the_terminal_with_it() {
    let (master, slave, sid) = controlled();
    raw(&*slave, 1, 0);
    int(&*slave, TIOCSPGRP, sid + 1).unwrap();
    session_ended(sid);
    assert_eq!(take_signals(), [(sid + 1, SIGHUP), (sid + 1, SIGCONT)]);
    assert_eq!((read(&*slave, 9), write(&*slave, b"x")), (Ok(vec![]), Err(Errno::EIO)));
    assert_eq!(controlling(sid), None);
    // The terminal can serve another session, with its settings as new.
    let other = session();
    let again = open_peer(&*master, 0).unwrap();
    assert_eq!(controlling(other).unwrap().foreground, Some(other));
    assert_eq!(settings(&*again), Termios::default());
    assert_eq!(write(&*again, b"x"), Ok(1));
}

#[test]
fn a_terminal_can_be_given_up() {
    let (_master, slave, sid) = controlled();
    slave.ioctl(TIOCNOTTY, 0, &FakeMemory::new()).unwrap();
    assert_eq!(take_signals(), [(sid, SIGHUP), (sid, SIGCONT)]);
    assert_eq!(controlling(sid), None);
    assert_eq!(slave.ioctl(TIOCNOTTY, 0, &FakeMemory::new()), Err(Errno::ENOTTY));
    slave.ioctl(TIOCSCTTY, 0, &FakeMemory::new()).unwrap();
    assert!(controlling(sid).is_some());
}

#[test]
fn a_terminal_in_a_mutex_does_not_deadlock_on_signals() {
    // Signals are sent when no lock of the terminal is held: whoever gets them may use it at once.
    let (master, slave, _) = controlled();
    let shared = Mutex::new(());
    let guard = shared.lock();
    write(&*master, b"\x03").unwrap();
    drop(guard);
    assert_eq!(slave.poll(), Events::OUT | Events::WRNORM);
}
