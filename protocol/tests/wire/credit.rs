//! Credit: a sender and a receiver that talk to each other never disagree, and neither can be overrun.

use crate::samples;
use ampoule_protocol::{Error, INITIAL_WINDOW, MAX_WINDOW, ReceiveWindow, SendWindow, Stream};
use proptest::prelude::*;

fn stream() -> Stream {
    Stream::Stdin(samples::job(1))
}

#[test]
fn sending_without_credit_is_a_violation() {
    let mut window = ReceiveWindow::new(stream());
    window.receive(INITIAL_WINDOW as usize).unwrap();
    let expected = Error::CreditExceeded { stream: stream(), len: 1, credit: 0 };
    assert_eq!(window.receive(1), Err(expected.clone()));
    assert_eq!(window.receive(0), Ok(()));
    assert!(window.receive(usize::MAX).is_err());

    let mut window = SendWindow::new(stream());
    window.spend(INITIAL_WINDOW as usize).unwrap();
    assert_eq!(window.spend(1), Err(expected));
}

#[test]
fn a_grant_cannot_overflow() {
    let mut window = SendWindow::new(stream());
    window.grant(MAX_WINDOW - INITIAL_WINDOW).unwrap();
    assert_eq!(window.grant(1), Err(Error::WindowOverflow { stream: stream(), bytes: 1 }));
    assert!(window.grant(u32::MAX).is_err());
    assert_eq!(window.available(), MAX_WINDOW as usize);
}

#[test]
fn grants_are_few() {
    let mut window = ReceiveWindow::new(stream());
    let mut grants = 0;
    for _ in 0..100 * INITIAL_WINDOW / 4096 {
        window.receive(4096).unwrap();
        grants += usize::from(window.consume(4096).is_some());
    }
    assert_eq!(grants, 200);
    assert_eq!(window.consume(1), None, "what was not received cannot be consumed");
}

proptest! {
    #[test]
    fn both_sides_agree(steps in proptest::collection::vec((0..300_000usize, 0..300_000usize), 0..200)) {
        let mut sender = SendWindow::new(stream());
        let mut receiver = ReceiveWindow::new(stream());
        for (send, consume) in steps {
            let send = send.min(sender.available());
            sender.spend(send).unwrap();
            receiver.receive(send).unwrap();
            prop_assert!(receiver.buffered() <= INITIAL_WINDOW as usize);
            if let Some(grant) = receiver.consume(consume) {
                sender.grant(grant.get()).unwrap();
            }
        }
        // Once all is consumed, the sender can go on.
        if let Some(grant) = receiver.consume(usize::MAX) {
            sender.grant(grant.get()).unwrap();
        }
        prop_assert!(sender.available() > INITIAL_WINDOW as usize / 2);
    }
}
