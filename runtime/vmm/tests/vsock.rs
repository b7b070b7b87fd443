//! Streams between guest and host, with a real driver in a real guest.

mod common;

use ampoule_vmm_api::{CONTROL_PORT, Reason};
use common::{TIMEOUT, Vm};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::Duration;

fn pattern(len: usize) -> Vec<u8> {
    (0..len as u32).map(|i| (i ^ i >> 8 ^ i >> 16) as u8).collect()
}

/// Writes everything, closes that direction, and reads until the end.
fn exchange(mut stream: UnixStream, data: &[u8]) -> Vec<u8> {
    let mut writer = stream.try_clone().unwrap();
    let sent = data.to_vec();
    let writing = thread::spawn(move || {
        writer.write_all(&sent).unwrap();
        writer.shutdown(Shutdown::Write).unwrap();
    });
    let mut received = Vec::new();
    stream.read_to_end(&mut received).unwrap();
    writing.join().unwrap();
    received
}

#[test]
fn what_goes_in_comes_back() {
    // The test guest runs in ring 0, which some hosts emulate: a megabyte takes seconds there.
    for len in [0, 1, 1_000_000] {
        let mut vm = Vm::new("echo");
        let host = vm.port(CONTROL_PORT);
        let running = vm.start();
        let data = pattern(len);
        assert!(exchange(host, &data) == data, "{len} bytes");
        let outcome = running.wait();
        outcome.expect(Reason::PowerOff);
        assert!(outcome.status.timings.control_connected.is_some());
    }
}

#[test]
fn interrupts_wake_a_guest_that_sleeps() {
    let mut vm = Vm::new("echo");
    let mut host = vm.port(CONTROL_PORT);
    let running = vm.start();
    for byte in 0..5 {
        thread::sleep(Duration::from_millis(20));
        host.write_all(&[byte]).unwrap();
        let mut echoed = [0];
        host.read_exact(&mut echoed).unwrap();
        assert_eq!(echoed, [byte]);
    }
    host.shutdown(Shutdown::Write).unwrap();
    assert_eq!(running.wait().expect(Reason::PowerOff).console, "interrupted=0x0000000000000001\n");
}

#[test]
fn nothing_is_lost_when_the_guest_powers_off() {
    let mut vm = Vm::new("sink");
    let mut host = vm.port(CONTROL_PORT);
    let mut running = vm.start();
    running.wait_for_line("sent");
    // The socket does not take all of it, so the VMM has to wait for us.
    thread::sleep(Duration::from_millis(100));
    assert!(running.process.try_wait().unwrap().is_none());
    let mut received = Vec::new();
    host.read_to_end(&mut received).unwrap();
    let expected: Vec<u8> = (0..50_000u32).flat_map(u32::to_le_bytes).collect();
    assert!(received == expected, "{} bytes", received.len());
    running.wait().expect(Reason::PowerOff);
}

#[test]
fn a_host_that_never_reads_does_not_keep_the_vm() {
    let mut vm = Vm::new("sink");
    let _host = vm.port(CONTROL_PORT);
    vm.run().expect(Reason::PowerOff);
}

#[test]
fn a_host_that_is_gone_does_not_stop_the_guest() {
    let mut vm = Vm::new("sink");
    drop(vm.port(CONTROL_PORT));
    vm.run().expect(Reason::PowerOff);
}

#[test]
fn a_guest_that_exceeds_its_credit_is_reset() {
    let mut vm = Vm::new("flood");
    let _host = vm.port(CONTROL_PORT);
    let outcome = vm.run();
    assert_eq!(outcome.expect(Reason::PowerOff).console, "was reset\n");
    assert!(outcome.status.peak_rss_kib < 12 * 1024, "{} KiB", outcome.status.peak_rss_kib);
}

#[test]
fn a_port_that_is_not_there_is_refused() {
    let outcome = Vm::new("echo").run();
    assert_eq!(outcome.expect(Reason::KernelPanic).console, "reset by the host\n");
}

#[test]
fn the_host_connects_to_the_guest() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("vsock");
    let mut vm = Vm::new("accept");
    vm.listen(&path);
    let mut running = vm.start();
    running.wait_for_line("listening");
    // Some who do not know how to behave.
    drop(UnixStream::connect(&path).unwrap());
    let mut nonsense = UnixStream::connect(&path).unwrap();
    nonsense.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    nonsense.set_read_timeout(Some(TIMEOUT)).unwrap();
    // It is closed with our nonsense unread, which is a reset.
    let _ = nonsense.read(&mut [0; 10]).map(|len| assert_eq!(len, 0));

    let mut client = UnixStream::connect(&path).unwrap();
    client.set_read_timeout(Some(TIMEOUT)).unwrap();
    client.write_all(b"CONNECT 80\n").unwrap();
    let mut reader = BufReader::new(client.try_clone().unwrap());
    let mut answer = String::new();
    reader.read_line(&mut answer).unwrap();
    let port = answer.strip_prefix("OK ").and_then(|port| port.trim_end().parse::<u32>().ok());
    assert!(port.is_some(), "{answer:?}");
    let data = pattern(100_000);
    assert!(exchange(client, &data) == data);
    assert_eq!(running.wait().expect(Reason::PowerOff).console, "port=0x0000000000000050\n");
}

#[test]
fn a_driver_that_breaks_the_rules_has_to_reset_the_device() {
    let mut vm = Vm::new("hostile");
    let mut host = vm.port(CONTROL_PORT);
    let outcome = vm.run();
    assert_eq!(outcome.expect(Reason::PowerOff).console, "needs reset\n");
    let mut received = String::new();
    host.read_to_string(&mut received).unwrap();
    assert_eq!(received, "fine\n");
}

#[test]
fn a_reset_of_the_device_closes_connections() {
    let mut vm = Vm::new("reset-device");
    let mut host = vm.port(CONTROL_PORT);
    let running = vm.start();
    let mut received = String::new();
    host.read_to_string(&mut received).unwrap();
    assert_eq!(received, "before");
    assert_eq!(running.wait().expect(Reason::PowerOff).console, "status=0x0000000000000000\n");
}
