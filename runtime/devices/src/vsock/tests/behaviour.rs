//! What the device does, case by case.

use super::guest::{GUEST_CID, GUEST_PORT, Guest, HOST_PORT};
use crate::queue::driver::NO_INTERRUPT;
use crate::vsock::{BUFFER_SIZE, HOST_CID, Header, Op, SHUTDOWN_RECEIVE, SHUTDOWN_SEND};
use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};

const BOTH: u32 = SHUTDOWN_RECEIVE | SHUTDOWN_SEND;

fn pattern(len: usize) -> Vec<u8> {
    (0..len as u32).map(|i| (i ^ i >> 8) as u8).collect()
}

/// What a socket has right now, and whether that is all there will be.
fn read_now(mut host: &UnixStream) -> (Vec<u8>, bool) {
    let mut data = Vec::new();
    match host.read_to_end(&mut data) {
        Ok(_) => (data, true),
        Err(error) if error.kind() == ErrorKind::WouldBlock => (data, false),
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn the_guest_connects_and_both_talk() {
    let (mut guest, mut host) = Guest::new();
    let response = guest.connect();
    let expected = Header {
        src_cid: HOST_CID,
        dst_cid: GUEST_CID,
        src_port: HOST_PORT,
        dst_port: GUEST_PORT,
        socket_type: 1,
        op: Op::Response as u16,
        buf_alloc: BUFFER_SIZE,
        ..Header::default()
    };
    assert_eq!(response, expected);
    assert_eq!(guest.device.accepted(), 1);
    assert!(guest.send_data(b"to the host"));
    host.write_all(b"to the guest").unwrap();
    guest.post_many(1, 4096);
    guest.run();
    assert_eq!(read_now(&host), (b"to the host".to_vec(), false));
    let packets = guest.receive();
    assert_eq!(packets.len(), 1);
    assert_eq!((packets[0].0.op, packets[0].0.fwd_cnt), (Op::ReadWrite as u16, 11));
    assert_eq!(packets[0].1, b"to the guest");
}

#[test]
fn a_port_works_once() {
    let (mut guest, _host) = Guest::new();
    guest.connect();
    guest.send(Header { src_port: 1, ..guest.header(Op::Request) }, b"");
    guest.post_many(1, 4096);
    guest.run();
    assert_eq!(guest.expect(Op::Reset).dst_port, 1);
}

#[test]
fn what_belongs_nowhere_is_reset() {
    let (mut guest, _host) = Guest::new();
    let request = guest.header(Op::Request);
    for (header, is_answered) in [
        (Header { dst_port: 7, ..request }, true),
        (Header { dst_cid: 77, ..request }, true),
        (Header { socket_type: 2, ..request }, true),
        (Header { op: 99, ..request }, true),
        (Header { op: Op::ReadWrite as u16, ..request }, true),
        (Header { op: Op::Reset as u16, ..request }, false),
        (Header { src_cid: 4, ..request }, false),
        (Header { len: 1, ..request }, false),
    ] {
        assert!(guest.send(header, b""));
        guest.post_many(1, 4096);
        guest.run();
        let answers = guest.receive();
        assert_eq!(answers.len(), usize::from(is_answered), "{header:?}");
        for (answer, _) in answers {
            assert_eq!(
                (answer.op, answer.src_cid, answer.src_port, answer.socket_type),
                (Op::Reset as u16, header.dst_cid, header.dst_port, header.socket_type)
            );
        }
    }
    assert_eq!(guest.device.accepted(), 0);
}

#[test]
fn resets_wait_for_buffers_and_nothing_grows() {
    let (mut guest, _host) = Guest::new();
    let header = Header { dst_port: 7, ..guest.header(Op::Request) };
    let mut sent = 0;
    // No buffers for the answers: at some point the device takes no more.
    while guest.send(Header { src_port: sent, ..header }, b"") {
        guest.run();
        sent += 1;
        assert!(sent < 200);
    }
    assert!(sent >= 64);
    let mut answered = Vec::new();
    while answered.len() < sent as usize {
        guest.post_many(4, 64);
        guest.run();
        answered.extend(guest.receive().into_iter().map(|(header, _)| header.dst_port));
    }
    assert_eq!(answered, (0..sent).collect::<Vec<_>>());
}

#[test]
fn large_data_fills_large_buffers() {
    let (mut guest, mut host) = Guest::new();
    guest.connect();
    let data = pattern(90_000);
    assert_eq!(host.write(&data).unwrap(), 90_000);
    guest.post_many(3, 40_000);
    guest.run();
    let lengths: Vec<usize> = guest.receive().iter().map(|(_, payload)| payload.len()).collect();
    assert_eq!(lengths, [39_956, 39_956, 90_000 - 2 * 39_956]);
}

#[test]
fn without_credit_nothing_is_read() {
    let (mut guest, mut host) = Guest::new();
    guest.connect();
    let mut written = 0;
    while let Ok(len) = host.write(&pattern(150_000)[written..]) {
        written += len;
        guest.post(60_000, true);
        guest.run();
        if written == 150_000 {
            break;
        }
    }
    guest.post_many(4, 60_000);
    guest.run();
    let packets = guest.receive();
    let got: usize = packets.iter().map(|(_, payload)| payload.len()).sum();
    assert_eq!(got, 100_000, "as much as the guest has room for");
    assert_eq!(packets.last().unwrap().0.op, Op::CreditRequest as u16);
    guest.fwd_cnt = 100_000;
    guest.send_op(Op::CreditUpdate);
    guest.run();
    let rest: usize = guest.receive().iter().map(|(_, payload)| payload.len()).sum();
    assert_eq!(rest, written - 100_000);
}

#[test]
fn a_host_that_does_not_read_takes_the_credit_away() {
    let (mut guest, host) = Guest::new();
    guest.connect();
    let data = pattern(1_000_000);
    let (mut sent, mut fwd_cnt) = (0, 0);
    let mut send_all = |guest: &mut Guest, fwd_cnt: &mut u32| {
        loop {
            let room = (BUFFER_SIZE - (sent as u32 - *fwd_cnt)) as usize;
            let len = room.min(30_000).min(data.len() - sent);
            if len == 0 {
                return sent;
            }
            assert!(guest.send_data(&data[sent..sent + len]));
            sent += len;
            guest.post(64, false);
            guest.run();
            for (header, _) in guest.receive() {
                *fwd_cnt = header.fwd_cnt;
            }
        }
    };
    let first = send_all(&mut guest, &mut fwd_cnt);
    assert!(first < 600_000, "{first}");
    assert!(guest.device.has_backlog());
    let mut received = Vec::new();
    while received.len() < data.len() {
        received.extend(read_now(&host).0);
        guest.run();
        for (header, _) in guest.receive() {
            assert_eq!(header.op, Op::CreditUpdate as u16);
            fwd_cnt = header.fwd_cnt;
        }
        send_all(&mut guest, &mut fwd_cnt);
    }
    assert!(received == data);
    assert!(!guest.device.has_backlog());
}

#[test]
fn data_beyond_the_credit_resets_the_connection() {
    let (mut guest, host) = Guest::new();
    guest.connect();
    let mut sent = 0;
    while guest.send_data(&[0; 60_000]) && sent < 20 {
        sent += 1;
        guest.run();
    }
    guest.post_many(1, 64);
    guest.run();
    guest.expect(Op::Reset);
    // What was within the credit still arrives, and then the end.
    let mut received = 0;
    loop {
        let (data, is_all) = read_now(&host);
        received += data.len();
        guest.run();
        if is_all {
            break;
        }
    }
    assert!(received >= BUFFER_SIZE as usize && received < sent * 60_000);
}

#[test]
fn the_end_of_the_host_comes_after_its_data() {
    let (mut guest, mut host) = Guest::new();
    guest.connect();
    host.write_all(b"last words").unwrap();
    host.shutdown(Shutdown::Write).unwrap();
    guest.post_many(3, 4096);
    guest.run();
    let packets = guest.receive();
    assert_eq!(packets[0].1, b"last words");
    assert_eq!((packets[1].0.op, packets[1].0.flags), (Op::Shutdown as u16, SHUTDOWN_SEND));
    assert_eq!(packets.len(), 2);
    // The other direction is still open.
    assert!(guest.send_data(b"answer"));
    guest.run();
    assert_eq!(read_now(&host), (b"answer".to_vec(), false));
    guest.shut_down(BOTH);
    guest.run();
    guest.expect(Op::Reset);
    assert_eq!(read_now(&host), (vec![], true));
}

#[test]
fn the_end_of_the_guest_comes_after_its_data() {
    let (mut guest, host) = Guest::new();
    guest.connect();
    for _ in 0..4 {
        assert!(guest.send_data(&[1; 60_000]));
    }
    guest.shut_down(SHUTDOWN_SEND);
    guest.run();
    let (first, is_all) = read_now(&host);
    assert!(!is_all, "the socket does not take all at once");
    guest.run();
    let (second, is_all) = read_now(&host);
    assert_eq!((first.len() + second.len(), is_all), (240_000, true));
    // The other direction is still open.
    (&host).write_all(b"thanks").unwrap();
    guest.post_many(1, 4096);
    guest.run();
    assert_eq!(guest.receive()[0].1, b"thanks");
}

#[test]
fn a_guest_that_closes_is_reset_once_everything_arrived() {
    let (mut guest, host) = Guest::new();
    guest.connect();
    for _ in 0..4 {
        assert!(guest.send_data(&[1; 60_000]));
    }
    guest.shut_down(BOTH);
    guest.post_many(2, 64);
    guest.run();
    assert!(guest.receive().is_empty(), "not yet");
    assert_eq!((&host).write(b"x").unwrap_err().kind(), ErrorKind::BrokenPipe);
    while !read_now(&host).1 {
        guest.run();
    }
    guest.expect(Op::Reset);
}

#[test]
fn a_reset_by_the_guest_does_not_lose_data() {
    let (mut guest, host) = Guest::new();
    guest.connect();
    for _ in 0..4 {
        assert!(guest.send_data(&[1; 60_000]));
    }
    guest.send_op(Op::Reset);
    guest.run();
    let mut received = 0;
    loop {
        let (data, is_all) = read_now(&host);
        received += data.len();
        guest.run();
        if is_all {
            break;
        }
    }
    assert_eq!(received, 240_000);
}

#[test]
fn a_host_that_is_gone_is_told() {
    let (mut guest, host) = Guest::new();
    guest.connect();
    drop(host);
    guest.post_many(4, 4096);
    guest.run();
    let told = guest.receive().iter().fold(0, |told, (header, _)| {
        assert_eq!(header.op, Op::Shutdown as u16);
        told | header.flags
    });
    assert_eq!(told, BOTH);
    // What comes nevertheless is thrown away, and takes no credit.
    for _ in 0..20 {
        assert!(guest.send_data(&[0; 60_000]));
        guest.run();
    }
    let updates = guest.receive();
    assert!(updates.iter().all(|(header, _)| header.op == Op::CreditUpdate as u16), "{updates:?}");
    guest.send_op(Op::Reset);
    guest.run();
    assert!(!guest.device.has_backlog());
}

#[test]
fn credit_is_told_when_asked() {
    let (mut guest, _host) = Guest::new();
    guest.connect();
    assert!(guest.send_data(b"hello"));
    guest.send_op(Op::CreditRequest);
    guest.post_many(2, 64);
    guest.run();
    let update = guest.expect(Op::CreditUpdate);
    assert_eq!((update.buf_alloc, update.fwd_cnt), (BUFFER_SIZE, 5));
}

#[test]
fn credit_is_not_told_for_every_byte() {
    let (mut guest, host) = Guest::new();
    guest.connect();
    for _ in 0..16 {
        guest.post(64, false);
        for _ in 0..16 {
            assert!(guest.send_data(&[0; 1024]));
            guest.run();
            read_now(&host);
        }
    }
    assert_eq!(guest.receive().len(), 1, "256 KiB");
}

#[test]
fn interrupts_come_for_batches_and_if_wanted() {
    let (mut guest, mut host) = Guest::new();
    guest.connect();
    let before = guest.interrupts.0.get();
    guest.post_many(8, 128);
    host.write_all(&[0; 400]).unwrap();
    guest.run();
    assert_eq!(guest.interrupts.0.get(), before + 1);
    assert_eq!(guest.receive().len(), 5);
    guest.rx.set_flags(NO_INTERRUPT);
    host.write_all(&[0; 10]).unwrap();
    guest.run();
    assert_eq!(guest.receive().len(), 1);
    assert_eq!(guest.interrupts.0.get(), before + 1);
}

#[test]
fn connections_take_turns() {
    let pairs: Vec<_> = (0..4).map(|_| UnixStream::pair().unwrap()).collect();
    let (hosts, sockets): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
    let ports = (0..).zip(sockets).map(|(port, socket)| (port, socket.into())).collect();
    let mut guest = Guest::with(ports, None);
    guest.post_many(4, 64);
    for port in 0..4 {
        assert!(guest.send(Header { dst_port: port, ..guest.header(Op::Request) }, b""));
    }
    guest.run();
    guest.receive();
    hosts.iter().for_each(|mut host| host.write_all(&[0; 400]).unwrap());
    guest.post_many(8, 144);
    guest.run();
    let ports: Vec<u32> = guest.receive().iter().map(|(header, _)| header.src_port).collect();
    assert_eq!(ports[..4], ports[4..], "{ports:?}");
}

#[test]
fn the_host_connects_and_may_speak_at_once() {
    let directory = std::env::temp_dir().join(format!("ampoule-vsock-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let path = directory.join("socket");
    let listener = UnixListener::bind(&path).unwrap();
    listener.set_nonblocking(true).unwrap();
    let mut guest = Guest::with(vec![], Some(listener.into()));
    let mut client = UnixStream::connect(&path).unwrap();
    std::fs::remove_dir_all(&directory).unwrap();
    client.set_nonblocking(true).unwrap();
    client.write_all(b"CONNECT 22\nhello").unwrap();
    guest.post_many(4, 4096);
    guest.run();
    let request = guest.expect(Op::Request);
    assert_eq!((request.dst_port, request.dst_cid), (22, GUEST_CID));
    let ports = Header { src_port: 22, dst_port: request.src_port, ..guest.header(Op::Response) };
    assert!(guest.send(ports, b""));
    guest.run();
    assert_eq!(read_now(&client).0, format!("OK {}\n", request.src_port).into_bytes());
    assert_eq!(guest.receive()[0].1, b"hello");
    assert!(guest.send(Header { op: Op::ReadWrite as u16, len: 2, ..ports }, b"ho"));
    guest.run();
    assert_eq!(read_now(&client).0, b"ho");
}

#[test]
fn a_client_that_goes_before_the_answer_is_forgotten() {
    let directory = std::env::temp_dir().join(format!("ampoule-vsock-gone-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let path = directory.join("socket");
    let listener = UnixListener::bind(&path).unwrap();
    listener.set_nonblocking(true).unwrap();
    let mut guest = Guest::with(vec![], Some(listener.into()));
    // Without a buffer for the request, the guest never hears of it.
    let mut client = UnixStream::connect(&path).unwrap();
    client.write_all(b"CONNECT 22\n").unwrap();
    guest.run();
    drop(client);
    guest.run();
    guest.post_many(4, 4096);
    guest.run();
    assert!(guest.receive().is_empty());
    // With one, it hears of the end.
    let mut client = UnixStream::connect(&path).unwrap();
    client.write_all(b"CONNECT 22\n").unwrap();
    guest.run();
    guest.expect(Op::Request);
    drop(client);
    guest.run();
    guest.expect(Op::Reset);
    std::fs::remove_dir_all(&directory).unwrap();
}

#[test]
fn what_the_guest_sent_is_delivered_when_it_ends() {
    let (mut guest, host) = Guest::new();
    guest.connect();
    for _ in 0..4 {
        assert!(guest.send_data(&[7; 60_000]));
    }
    // The device was not even notified.
    guest.device.finish();
    let mut received = 0;
    while received < 240_000 {
        received += read_now(&host).0.len();
        guest.run();
    }
    assert!(!guest.device.has_backlog());
}

#[test]
fn a_reset_of_the_device_closes_the_sockets() {
    let (mut guest, host) = Guest::new();
    guest.connect();
    guest.device.reset();
    assert_eq!(read_now(&host), (vec![], true));
    guest.run();
}
