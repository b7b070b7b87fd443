//! Terminals against the host's own, and job control.

mod jobs;
mod oracle;

use super::*;
use crate::testing::{self, Alarm, FakeMemory, advance, host, read, write};
use alloc::vec;
use ampoule_kbase::platform::Caller;
use ampoule_kbase::{Events, UserMemory};
use linux_raw_sys::general::{ECHO, ICANON, O_NOCTTY, O_NONBLOCK, VMIN, VTIME};
use linux_raw_sys::ioctl::{TCGETS, TCSETS, TIOCGPTN, TIOCSPTLCK};
use termios::Termios;

/// An unlocked pair: the master and its number.
fn master() -> (Arc<dyn File>, u32) {
    testing::setup();
    let master = open_master(0).unwrap();
    let index = testing::ioctl_int(&*master, TIOCGPTN).unwrap() as u32;
    let memory = FakeMemory::new();
    master.ioctl(TIOCSPTLCK, 0, &memory).unwrap();
    (master, index)
}

fn pair() -> (Arc<dyn File>, Arc<dyn File>) {
    let (master, index) = master();
    (master, open_slave(index, O_NOCTTY).unwrap())
}

fn settings(file: &dyn File) -> Termios {
    let memory = FakeMemory::new();
    file.ioctl(TCGETS, 0, &memory).unwrap();
    Termios::default().changed_by(&memory.0.borrow()[..termios::SIZE])
}

fn set(file: &dyn File, termios: Termios) -> Result<()> {
    let memory = FakeMemory::new();
    memory.write_bytes(0, &termios.to_bytes(false)).unwrap();
    file.ioctl(TCSETS, 0, &memory).map(|_| ())
}

fn raw(file: &dyn File, min: u8, time: u8) {
    let mut termios = settings(file);
    termios.local &= !(ICANON | ECHO);
    (termios.chars[VMIN as usize], termios.chars[VTIME as usize]) = (min, time);
    set(file, termios).unwrap();
}

#[test]
fn a_line_is_read_when_it_is_finished() {
    let (master, slave) = pair();
    let alarm = Alarm::on(&*slave);
    write(&*master, b"helo").unwrap();
    assert_eq!(read(&*slave, 99), Err(Errno::EAGAIN));
    write(&*master, b"\x7flo\r").unwrap();
    assert!(alarm.take().unwrap().contains(Events::IN));
    assert_eq!(read(&*slave, 99).unwrap(), b"hello\n");
    assert_eq!(read(&*master, 99).unwrap(), b"helo\x08 \x08lo\r\n");
    write(&*slave, b"ok\n").unwrap();
    assert_eq!(read(&*master, 99).unwrap(), b"ok\r\n");
    write(&*master, b"\x04").unwrap();
    assert_eq!(read(&*slave, 99).unwrap(), b"");
}

#[test]
fn pairs_come_and_go() {
    testing::setup();
    let first = open_master(0).unwrap();
    let index = testing::ioctl_int(&*first, TIOCGPTN).unwrap() as u32;
    assert!(slaves().contains(&index));
    assert_eq!(open_slave(index, O_NOCTTY).err(), Some(Errno::EIO));
    assert_eq!(slave_stat(index).unwrap().rdev, 136 << 8 | u64::from(index));
    set_slave_owner(index, Some(1000), None).unwrap();
    set_slave_mode(index, 0o600).unwrap();
    let stat = slave_stat(index).unwrap();
    assert_eq!((stat.uid, stat.gid, stat.mode & 0o777), (1000, 5, 0o600));
    first.ioctl(TIOCSPTLCK, 0, &FakeMemory::new()).unwrap();
    let slave = open_slave(index, O_NOCTTY).unwrap();
    drop(first);
    assert!(!slaves().contains(&index));
    assert_eq!(open_slave(index, O_NOCTTY).err(), Some(Errno::ENXIO));
    // The number is taken for as long as somebody has the slave open.
    let (_second, other) = master();
    assert_ne!(index, other);
    assert_eq!(read(&*slave, 9).unwrap(), b"");
    assert_eq!(write(&*slave, b"x"), Err(Errno::EIO));
    assert!(slave.poll().contains(Events::HUP | Events::IN | Events::OUT | Events::ERR));
}

#[test]
fn a_master_sees_the_last_slave_go() {
    let (master, slave) = pair();
    let second = open_peer(&*master, O_NOCTTY).unwrap();
    write(&*slave, b"bye").unwrap();
    drop(slave);
    assert!(!master.poll().contains(Events::HUP));
    let alarm = Alarm::on(&*master);
    drop(second);
    assert!(alarm.take().unwrap().contains(Events::HUP));
    assert!(master.poll().contains(Events::HUP | Events::IN));
    assert_eq!(read(&*master, 9).unwrap(), b"bye");
    assert_eq!(read(&*master, 9), Err(Errno::EIO));
    let _third = open_peer(&*master, O_NOCTTY).unwrap();
    assert_eq!(read(&*master, 9), Err(Errno::EAGAIN));
    assert_eq!(open_peer(&*crate::console::Console::new(), 0).err(), Some(Errno::ENOTTY));
}

#[test]
fn both_directions_are_bounded() {
    let (master, slave) = pair();
    raw(&*slave, 1, 0);
    let fill = |file: &dyn File| {
        let mut total = 0;
        while let Ok(count) = write(file, &[b'x'; 1000]) {
            total += count;
        }
        total
    };
    let typed = fill(&*master);
    assert_eq!(typed, 4095 + 8192);
    assert!(!master.poll().contains(Events::OUT));
    let alarm = Alarm::on(&*master);
    assert_eq!(read(&*slave, 100).unwrap().len(), 100);
    assert!(alarm.take().unwrap().contains(Events::OUT));
    assert_eq!(fill(&*master), 100);
    let mut rest = 0;
    while let Ok(bytes) = read(&*slave, 5000) {
        rest += bytes.len();
    }
    assert_eq!(rest, typed);
    let written = fill(&*slave);
    assert!((8192..=16384).contains(&written), "{written}");
    assert!(!slave.poll().contains(Events::OUT));
    let alarm = Alarm::on(&*slave);
    assert_eq!(read(&*master, 1 << 20).unwrap().len(), written);
    assert!(alarm.take().unwrap().contains(Events::OUT));
}

#[test]
fn an_endless_line_can_still_be_ended() {
    let (master, slave) = pair();
    let mut typed = 0;
    while typed < 10_000 {
        typed += write(&*master, &[b'x'; 1000]).unwrap();
        read(&*master, 1 << 20).ok();
    }
    assert_eq!(read(&*slave, 9), Err(Errno::EAGAIN));
    write(&*master, b"\r").unwrap();
    let line = read(&*slave, 9999).unwrap();
    assert_eq!((line.len(), line[4094], line[4095]), (4096, b'x', b'\n'));
}

#[test]
fn a_minimum_is_waited_for() {
    let (master, slave) = pair();
    raw(&*slave, 3, 0);
    write(&*master, b"ab").unwrap();
    assert_eq!(read(&*slave, 99), Err(Errno::EAGAIN));
    assert!(!slave.poll().contains(Events::IN));
    // Not by those who do not wait, and not for more than they want.
    assert_eq!(read(&*slave, 2).unwrap(), b"ab");
    write(&*master, b"ab").unwrap();
    slave.set_status_flags(O_NONBLOCK);
    assert_eq!(read(&*slave, 99).unwrap(), b"ab");
    slave.set_status_flags(0);
    write(&*master, b"abcd").unwrap();
    assert_eq!(read(&*slave, 99).unwrap(), b"abcd");
}

#[test]
fn a_timed_read_gives_up() {
    const TENTH: u64 = 100_000_000;
    let (master, slave) = pair();
    raw(&*slave, 0, 5);
    assert_eq!(read(&*slave, 9), Err(Errno::EAGAIN));
    let alarm = Alarm::on(&*slave);
    advance(4 * TENTH);
    assert_eq!((alarm.take(), read(&*slave, 9)), (None, Err(Errno::EAGAIN)));
    advance(TENTH);
    assert!(alarm.take().is_some());
    assert_eq!(read(&*slave, 9).unwrap(), b"");
    // The next read waits anew, and what comes ends it.
    assert_eq!(read(&*slave, 9), Err(Errno::EAGAIN));
    write(&*master, b"x").unwrap();
    assert_eq!(read(&*slave, 9).unwrap(), b"x");
    assert_eq!(testing::armed_timers(), 0);
    // With a minimum too, time runs between bytes.
    raw(&*slave, 3, 2);
    assert_eq!(read(&*slave, 9), Err(Errno::EAGAIN));
    assert_eq!(testing::armed_timers(), 0);
    write(&*master, b"y").unwrap();
    assert_eq!(read(&*slave, 9), Err(Errno::EAGAIN));
    advance(TENTH);
    write(&*master, b"z").unwrap();
    assert_eq!(read(&*slave, 9), Err(Errno::EAGAIN));
    advance(TENTH);
    assert_eq!(read(&*slave, 9), Err(Errno::EAGAIN));
    advance(TENTH);
    assert_eq!(read(&*slave, 9).unwrap(), b"yz");
}
