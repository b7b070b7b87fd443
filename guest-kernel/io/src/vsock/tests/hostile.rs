//! A device that lies: nothing panics, nothing grows.

use super::*;
use device::store;
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Lie {
    Packet { from: u32, to: u32, op: u16, kind: u16, flags: u32, len: u32, credit: (u32, u32), used_len: u32 },
    UsedId { queue: usize, id: u32, len: u32 },
    UsedIndex { queue: usize, ahead: u16 },
}

fn lies() -> impl Strategy<Value = Vec<Lie>> {
    let small = prop_oneof![0..4u32, 1020..1030u32, any::<u32>()];
    let packet = (
        (small.clone(), small.clone(), 0..9u16, 0..3u16, 0..5u32),
        prop_oneof![0..100u32, any::<u32>()],
        (small.clone(), any::<u32>()),
        prop_oneof![Just(44u32), 0..20_000u32, any::<u32>()],
    );
    let packet = packet.prop_map(|((from, to, op, kind, flags), len, credit, used_len)| Lie::Packet {
        from,
        to,
        op,
        kind,
        flags,
        len,
        credit,
        used_len,
    });
    let lie = prop_oneof![
        20 => packet,
        5 => (0..3usize, prop_oneof![0..80u32, any::<u32>()], any::<u32>())
            .prop_map(|(queue, id, len)| Lie::UsedId { queue, id, len }),
        1 => (0..3usize, any::<u16>()).prop_map(|(queue, ahead)| Lie::UsedIndex { queue, ahead }),
    ];
    proptest::collection::vec(lie, 1..80)
}

fn tell(machine: &mut Machine, lie: &Lie) {
    match *lie {
        Lie::Packet { from, to, op, kind, flags, len, credit, used_len } => {
            let mut packet = header(from, to, op, 0);
            (packet.kind, packet.flags, packet.len) = (kind, flags, len);
            (packet.buf_alloc, packet.fwd_cnt) = credit;
            if machine.device.deliver(packet, &[]) {
                let queue = machine.device.queues[0];
                let entry = queue.used + 4 + 8 * u64::from(queue.next_used.wrapping_sub(1) % queue.size);
                store(entry + 4, used_len);
            }
        }
        Lie::UsedId { queue, id, len } => machine.device.queues[queue].push(id, len),
        Lie::UsedIndex { queue, ahead } => {
            let queue = machine.device.queues[queue];
            store(queue.used + 2, queue.next_used.wrapping_add(ahead));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn nothing_breaks(lies in lies()) {
        let mut machine = Machine::new();
        let listener = machine.socket();
        listener.bind(&own(1024)).unwrap();
        listener.listen(4).unwrap();
        let (socket, _) = machine.connected();
        let mut accepted = Vec::new();
        for lie in &lies {
            tell(&mut machine, lie);
            machine.driver.process();
            let _ = read(&*socket, 1000);
            let _ = write(&*socket, &[1; 5000]);
            accepted.extend(listener.accept());
            while machine.device.sent_unchecked() {}
        }
        let total: usize = accepted.iter().filter_map(|file| read(&**file, 1 << 20).ok()).map(|b| b.len()).sum();
        prop_assert!(total <= accepted.len() * DEFAULT_BUFFER as usize);
    }
}

#[test]
fn a_peer_without_credit_is_cut_off() {
    let mut machine = Machine::new();
    let (socket, port) = machine.connected();
    for _ in 0..DEFAULT_BUFFER / 16_000 {
        machine.deliver(1024, port, op::RW, &[1; 16_000]);
    }
    assert_eq!(machine.sent_ops(), []);
    machine.deliver(1024, port, op::RW, &[1; 16_000]);
    assert_eq!(machine.sent_ops(), [op::RST]);
    assert_eq!(socket.take_error(), Some(Errno::ECONNRESET));
}

#[test]
fn a_broken_queue_ends_connections() {
    let mut machine = Machine::new();
    let (socket, _) = machine.connected();
    let queue = machine.device.queues[0];
    store(queue.used + 2, queue.next_used.wrapping_add(17));
    machine.driver.process();
    assert_eq!(read(&*socket, 1), Err(Errno::ECONNRESET));
}

#[test]
fn a_reset_of_the_transport_ends_connections() {
    let mut machine = Machine::new();
    let (socket, _) = machine.connected();
    let (head, _) = machine.device.queues[2].pop().unwrap();
    machine.device.queues[2].push(head.into(), 4);
    machine.driver.process();
    assert_eq!(read(&*socket, 1), Err(Errno::ECONNRESET));
    // The context id is read again, and the driver goes on.
    machine.connected();
    assert_eq!(machine.device.log.lock().iter().filter(|access| access.1.is_none()).count(), 1);
}
