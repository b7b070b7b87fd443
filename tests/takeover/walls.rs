//! Without its filters: what the jail alone keeps from an attacker.

use crate::{end_of, start, start_in};
use ampoule_engine::{End, Isolation};
use std::ffi::CStr;
use std::net::TcpListener;
use std::os::unix::net::UnixListener;

const THREADS: [&str; 2] = ["vcpu", "devices"];

/// What an attack of each thread brings.
fn brought(what: &str) -> Vec<String> {
    brought_in(Isolation::Strict, what)
}

fn brought_in(isolation: Isolation, what: &str) -> Vec<String> {
    let attack = |thread| {
        let words = format!("unfiltered attack={thread},{what}");
        match end_of(start_in(isolation, &words), &words) {
            End::Vmm { message, .. } => message.strip_prefix("attack: ").unwrap_or(&message).to_owned(),
            end => panic!("{words}: {end}"),
        }
    };
    THREADS.into_iter().map(attack).collect()
}

fn fails(what: &str) {
    for message in brought(what) {
        assert!(message.starts_with("failed: "), "{what}: {message}");
    }
}

#[test]
fn there_is_nothing_to_execute_or_open() {
    for path in ["/bin/sh", "/proc/self/exe", "/proc/self/fd/2"] {
        fails(&format!("exec,{path}"));
    }
    for path in
        ["/etc/passwd", "/proc", "/proc/1/mem", "/proc/self/mem", "/dev/kvm", "/sys", "/tmp", "../../etc"]
    {
        fails(&format!("open,{path}"));
    }
    for message in brought("open,/") {
        assert!(message == "listed: " || message.starts_with("failed: "), "the root is not empty: {message}");
    }
    fails("bind,/file");
}

#[test]
fn nobody_can_be_connected_to() {
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    fails(&format!("connect,{}", tcp.local_addr().unwrap().port()));
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("socket");
    let _listener = UnixListener::bind(&path).unwrap();
    fails(&format!("connect,{}", path.display()));
}

#[test]
fn no_other_process_can_be_seen() {
    for message in brought("processes,100000") {
        let (seen, own) =
            message.strip_prefix("sees: ").and_then(|rest| rest.split_once(" and is ")).unwrap();
        assert_eq!(seen, own);
    }
}

#[test]
fn the_memory_of_siblings_and_of_the_host_cannot_be_read() {
    let secret = Box::new(*b"a secret");
    let address = secret.as_ptr().expose_provenance();
    fails(&format!("peek,{},{address}", std::process::id()));
    // A sandbox that only halts.
    let sibling = start("");
    fails(&format!("peek,{},{}", sibling.vmm_pid(), 0x40_0000));
    // Under the number that it has in its own jail.
    fails("peek,2,4194304");
    assert_eq!(*secret, *b"a secret");
}

#[test]
fn the_only_descriptors_are_those_that_were_given() {
    for message in brought("descriptors") {
        let kinds: Vec<&str> =
            message.split(' ').filter_map(|one| one.split_once(':').map(|(_, kind)| kind)).collect();
        // Sockets: the connection to the agent's port, and nothing else. No directory.
        assert_eq!(kinds.iter().filter(|kind| **kind == "140000").count(), 1, "{message}");
        assert!(!kinds.contains(&"40000"), "{message}");
        assert!(kinds.len() < 20, "{message}");
    }
}

/// Gives this thread a session keyring with a key that whoever possesses it may read. Gives its number.
fn session_with_a_key() -> i64 {
    const READABLE_BY_WHO_POSSESSES_IT: libc::c_long = 0x3f00_0000;
    let (kind, name): (&CStr, &CStr) = (c"user", c"ampoule-takeover-test");
    let no_name = std::ptr::null::<libc::c_char>();
    let ring = libc::KEY_SPEC_SESSION_KEYRING;
    // SAFETY: the strings live, the payload is eight bytes of a longer one, and the other calls take no pointers.
    let (key, done) = unsafe {
        libc::syscall(libc::SYS_keyctl, libc::KEYCTL_JOIN_SESSION_KEYRING, no_name);
        let key = libc::syscall(libc::SYS_add_key, kind.as_ptr(), name.as_ptr(), name.as_ptr(), 8, ring);
        let rights = READABLE_BY_WHO_POSSESSES_IT;
        (key, libc::syscall(libc::SYS_keyctl, libc::KEYCTL_SETPERM, key, rights) == 0)
    };
    assert!(key > 0 && done, "there is no key: {}", std::io::Error::last_os_error());
    key
}

#[test]
fn keys_of_the_callers_session_cannot_be_read() {
    let key = session_with_a_key();
    let read = format!("call,{},{},{key},0,0", libc::SYS_keyctl, libc::KEYCTL_READ);
    // Else the test would show nothing.
    assert_eq!(brought_in(Isolation::None, &read), ["gave 8", "gave 8"]);
    fails(&read);
}

/// The control group limits memory as well, where there is one.
#[test]
fn no_more_private_memory_than_the_limit_can_be_had() {
    let taken = |isolation| {
        let number = |message: String| {
            let mib = message.strip_prefix("took ").and_then(|rest| rest.strip_suffix(" MiB"));
            mib.unwrap_or_else(|| panic!("{message}")).parse::<u32>().unwrap()
        };
        brought_in(isolation, "hoard,80").into_iter().map(number).collect::<Vec<_>>()
    };
    assert_eq!(taken(Isolation::None), [80, 80]);
    assert!(taken(Isolation::Strict).iter().all(|mib| (32..64).contains(mib)));
}
