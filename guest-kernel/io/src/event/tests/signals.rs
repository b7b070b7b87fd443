//! signalfd over a fake of the kernel's signals.

use super::*;
use core::cell::RefCell;

struct Fake;

std::thread_local! {
    static PENDING: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

fn wanted(signo: u8, mask: u64) -> bool {
    mask >> (signo - 1) & 1 == 1
}

impl Signals for Fake {
    fn pending(&self, mask: u64) -> bool {
        PENDING.with(|pending| pending.borrow().iter().any(|signo| wanted(*signo, mask)))
    }
    fn dequeue(&self, mask: u64) -> Option<SignalInfo> {
        PENDING.with(|pending| {
            let mut pending = pending.borrow_mut();
            let at = pending.iter().position(|signo| wanted(*signo, mask))?;
            let mut info = [0; 128];
            info[0] = pending.remove(at);
            Some(info)
        })
    }
}

#[test]
fn gives_the_signals_of_its_mask() {
    testing::setup();
    install_signals(&Fake);
    let signals = SignalFd::new(1 << 1 | 1 << 8 | 1 << 9);
    assert_eq!((signals.poll(), read(&*signals, 128)), (Events::empty(), Err(Errno::EAGAIN)));
    // SIGKILL, which nobody takes; SIGINT, SIGUSR1 and SIGTERM.
    PENDING.with(|pending| pending.borrow_mut().extend([9, 2, 10, 15]));
    assert_eq!(signals.poll(), Events::IN);
    assert_eq!(read(&*signals, 127), Err(Errno::EINVAL));
    let records = read(&*signals, 1000).unwrap();
    assert_eq!((records.len(), records[0], records[128]), (256, 2, 10));
    assert_eq!(read(&*signals, 128), Err(Errno::EAGAIN));
    signals.set_mask(1 << 14);
    assert_eq!(read(&*signals, 128).unwrap()[0], 15);
}
