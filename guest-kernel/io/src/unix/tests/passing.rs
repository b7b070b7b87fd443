//! Descriptors on their way.

use super::*;
use crate::event::EventFd;
use crate::unix::passed;

fn opened(file: Arc<dyn File>) -> Arc<OpenFile> {
    OpenFile::new(file, 2)
}

#[test]
fn a_descriptor_belongs_to_its_bytes() {
    let _turn = alone();
    let (one, other) = pair(Kind::Stream);
    let event = EventFd::new(5, false);
    write(&*one, b"before").unwrap();
    send(&one, b"with", None, vec![opened(event.clone())]).unwrap();
    write(&*one, b"after").unwrap();
    assert_eq!(passed::in_flight(), 1);
    let (bytes, received) = receive(&other, 8, 0x2).unwrap();
    assert_eq!((bytes.as_slice(), received.ancillary.files.len()), (&b"beforewi"[..], 1));
    let (bytes, received) = receive(&other, 3, 0).unwrap();
    assert_eq!((bytes.as_slice(), received.ancillary.files.len()), (&b"bef"[..], 0));
    let (bytes, received) = receive(&other, 99, 0).unwrap();
    assert_eq!((bytes.as_slice(), received.ancillary.files.len()), (&b"orewith"[..], 1));
    assert_eq!(read(&*received.ancillary.files[0].file, 8).unwrap(), 5u64.to_ne_bytes());
    assert_eq!(receive(&other, 99, 0).unwrap().0, b"after");
    assert_eq!(passed::in_flight(), 0);
}

#[test]
fn what_nobody_receives_is_closed() {
    let _turn = alone();
    let (one, other) = pair(Kind::SeqPacket);
    let event = EventFd::new(0, false);
    send(&one, b"x", None, vec![opened(event.clone())]).unwrap();
    drop(other);
    assert_eq!((Arc::strong_count(&event), passed::in_flight()), (1, 0));
    let failed = send(&one, b"x", None, vec![opened(event.clone())]);
    assert_eq!((failed, Arc::strong_count(&event)), (Err(Errno::ECONNRESET), 1));
}

#[test]
fn circles_are_collected() {
    let _turn = alone();
    let event = EventFd::new(0, false);
    for _ in 0..100 {
        // Each in the other's queue, and one of them in its own.
        let (one, other) = pair(Kind::Stream);
        let (one, other) = (opened(one), opened(other));
        send(&one.file, b"x", None, vec![one.clone(), opened(event.clone())]).unwrap();
        send(&other.file, b"x", None, vec![one.clone(), other.clone()]).unwrap();
    }
    drop(pair(Kind::Stream));
    assert_eq!((passed::in_flight(), Arc::strong_count(&event)), (0, 1));
}

#[test]
fn what_is_reachable_is_not_collected() {
    let _turn = alone();
    let (outside, inside) = pair(Kind::Stream);
    let (far, near) = pair(Kind::Stream);
    // `near` is known only to a message to `inside`, and holds a message for whoever gets it.
    let near = opened(near);
    send(&far, b"hello", None, vec![near.clone()]).unwrap();
    send(&outside, b"x", None, vec![near]).unwrap();
    passed::collect();
    let (_, received) = receive(&inside, 9, 0).unwrap();
    let near = received.ancillary.files[0].clone();
    let (bytes, again) = receive(&near.file, 9, 0).unwrap();
    assert_eq!((bytes.as_slice(), again.ancillary.files.len()), (&b"hello"[..], 1));
    assert!(Arc::ptr_eq(&again.ancillary.files[0], &near));
}

#[test]
fn long_chains_do_not_exhaust_the_stack() {
    let _turn = alone();
    let mut last = opened(EventFd::new(0, false));
    for _ in 0..3000 {
        let (one, other) = pair(Kind::Stream);
        send(&one, b"x", None, vec![last]).unwrap();
        last = opened(other);
    }
    assert_eq!(passed::in_flight(), 3000);
    drop(last);
    assert_eq!(passed::in_flight(), 0);
}

#[test]
fn there_is_a_limit() {
    let _turn = alone();
    let (one, _other) = pair(Kind::Datagram);
    let event = opened(EventFd::new(0, false));
    assert_eq!(send(&one, b"x", None, vec![event.clone(); 254]), Err(Errno::EINVAL));
    let sent = (0..100).take_while(|_| send(&one, b"x", None, vec![event.clone(); 253]).is_ok()).count();
    assert_eq!(sent, 16);
    assert_eq!(send(&one, b"x", None, vec![event.clone(); 253]), Err(Errno(109)));
}
