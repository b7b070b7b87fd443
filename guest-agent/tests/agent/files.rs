//! Files in and out.

use crate::client::*;
use ampoule_protocol::*;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

fn put(guest: &mut Guest, path: &Path, mode: u16, content: &[u8]) -> Result<FileDone, FileFailed> {
    let stream = Stream::File(file(1));
    let mut window = SendWindow::new(stream);
    guest.send(&HostMessage::PutFile(PutFile { file: file(1), path: bytes(path), mode }));
    let mut rest = content;
    loop {
        let (now, later) = rest.split_at(rest.len().min(window.available()));
        window.spend(now.len()).unwrap();
        guest.send_data(stream, now);
        rest = later;
        if rest.is_empty() {
            guest.send(&HostMessage::Eof(stream));
            break;
        }
        match guest.next_message() {
            GuestMessage::Credit { bytes, .. } => window.grant(bytes).unwrap(),
            GuestMessage::FileFailed(failed) => return Err(failed),
            other => panic!("{other:?}"),
        }
    }
    guest.until(|message| match message {
        GuestMessage::FileDone(done) => Some(Ok(*done)),
        GuestMessage::FileFailed(failed) => Some(Err(failed.clone())),
        _ => None,
    })
}

fn get(guest: &mut Guest, path: &Path) -> Result<(FileDone, Vec<u8>), FileFailed> {
    get_up_to(guest, path, u64::MAX)
}

fn get_up_to(guest: &mut Guest, path: &Path, limit: u64) -> Result<(FileDone, Vec<u8>), FileFailed> {
    let stream = Stream::File(file(2));
    let mut window = ReceiveWindow::new(stream);
    guest.send(&HostMessage::GetFile(GetFile { file: file(2), path: bytes(path), limit }));
    let mut content = Vec::new();
    loop {
        match guest.next() {
            Event::Data(from, bytes) => {
                assert_eq!(from, stream);
                window.receive(bytes.len()).unwrap();
                content.extend_from_slice(&bytes);
                if let Some(grant) = window.consume(bytes.len()) {
                    guest.send(&HostMessage::Credit { stream, bytes: grant.get() });
                }
            }
            Event::Message(GuestMessage::FileDone(done)) => return Ok((done, content)),
            Event::Message(GuestMessage::FileFailed(failed)) => return Err(failed),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn big_and_small_there_and_back() {
    let mut guest = Guest::start();
    let directory = tempfile::tempdir().unwrap();
    for len in [0, 1, 65_536, 5_000_000] {
        let path = directory.path().join(format!("a/b/{len}"));
        let content: Vec<u8> = (0..len).map(|at| (at * 7 + at / 999) as u8).collect();
        let done = put(&mut guest, &path, 0o640, &content).unwrap();
        assert_eq!((done.bytes, done.mode), (len as u64, 0o640));
        assert!(std::fs::read(&path).unwrap() == content);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o640);
        let (done, back) = get(&mut guest, &path).unwrap();
        assert_eq!((done.bytes, done.mode), (len as u64, 0o640));
        assert!(back == content);
    }
    assert_eq!(std::fs::read_dir(directory.path().join("a/b")).unwrap().count(), 4);
    assert!(guest.rss_kib() < 1500, "{} KiB", guest.rss_kib());
}

#[test]
fn an_existing_file_is_replaced_whole() {
    let mut guest = Guest::start();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    std::fs::write(&path, "a long old content").unwrap();
    put(&mut guest, &path, 0o4755, b"new").unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), b"new");
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o4755);
}

#[test]
fn what_cannot_be_written_or_read_is_reported() {
    let mut guest = Guest::start();
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    std::fs::create_dir(path("directory")).unwrap();
    std::fs::write(path("file"), "").unwrap();
    let fifo = std::process::Command::new("mkfifo").arg(path("fifo")).status().unwrap();
    assert!(fifo.success());
    let mut put = |path: &Path| put(&mut guest, path, 0o644, b"x").unwrap_err();
    let failure = |failed: FileFailed| (failed.step, failed.errno);
    assert_eq!(failure(put(&path("directory"))), (FileStep::Commit, 21));
    assert_eq!(failure(put(&path("file/x"))), (FileStep::Open, 20));
    assert_eq!(failure(put(Path::new("relative"))), (FileStep::Accept, 0));
    assert_eq!(failure(put(Path::new("/tmp/"))), (FileStep::Accept, 0));
    assert_eq!(failure(put(Path::new("/proc/x/y"))), (FileStep::Parents, 2));
    let mut get = |path: &Path| get(&mut guest, path).unwrap_err();
    assert_eq!(failure(get(&path("none"))), (FileStep::Open, 2));
    assert_eq!(failure(get(&path("directory"))), (FileStep::Open, 0));
    assert_eq!(failure(get(&path("fifo"))), (FileStep::Open, 0));
    assert_eq!(failure(get(Path::new("/dev/zero"))), (FileStep::Open, 0));
    assert_eq!(failure(get(Path::new("relative"))), (FileStep::Accept, 0));
    assert_eq!(failure(get(Path::new("/proc/self/mem"))), (FileStep::Read, 5));
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 3, "temporary files are left");
}

#[test]
fn a_full_disk_fails_the_transfer_only() {
    let mut guest = Guest::start();
    let directory = tempfile::tempdir().unwrap();
    let mount = |arguments: &[&str]| {
        let mut command = std::process::Command::new(arguments[0]);
        assert!(command.args(&arguments[1..]).arg(directory.path()).status().unwrap().success());
    };
    mount(&["mount", "-t", "tmpfs", "-o", "size=64k", "none"]);
    let failed = put(&mut guest, &directory.path().join("x"), 0o644, &vec![1; 1_000_000]).unwrap_err();
    let left = std::fs::read_dir(directory.path()).unwrap().count();
    mount(&["umount"]);
    assert_eq!((failed.step, failed.errno), (FileStep::Write, 28));
    assert_eq!(left, 0);
    guest.send(&HostMessage::Ping { token: 1 });
    guest.until(|message| matches!(message, GuestMessage::Pong { token: 1 }).then_some(()));
}

#[test]
fn what_is_longer_than_the_host_takes_is_refused_before_any_of_it_is_read() {
    let mut guest = Guest::start();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("giant");
    std::fs::File::create(&path).unwrap().set_len(1 << 40).unwrap();
    let failed = get_up_to(&mut guest, &path, (1 << 40) - 1).unwrap_err();
    assert_eq!((failed.step, failed.errno), (FileStep::Open, 27));
    std::fs::write(&path, "just so").unwrap();
    assert_eq!(get_up_to(&mut guest, &path, 7).unwrap().1, b"just so");
}

#[test]
fn transfers_can_be_given_up() {
    let mut guest = Guest::start();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x");
    guest.send(&HostMessage::PutFile(PutFile { file: file(1), path: bytes(&path), mode: 0o644 }));
    guest.send_data(Stream::File(file(1)), b"half");
    guest.send(&HostMessage::Close(Stream::File(file(1))));
    guest.send(&HostMessage::GetFile(GetFile { file: file(2), path: bytes("/proc/kallsyms"), limit: 1 }));
    guest.send(&HostMessage::Close(Stream::File(file(2))));
    for number in [1, 2] {
        let failed = guest.until(|message| match message {
            GuestMessage::FileFailed(failed) => Some(failed.clone()),
            _ => None,
        });
        assert_eq!((failed.file, failed.step), (file(number), FileStep::Closed));
    }
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[test]
fn the_end_of_the_agent_leaves_no_half_file() {
    let mut guest = Guest::start();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x");
    guest.send(&HostMessage::PutFile(PutFile { file: file(1), path: bytes(&path), mode: 0o644 }));
    guest.send_data(Stream::File(file(1)), b"half");
    eventually(|| (std::fs::read_dir(directory.path()).unwrap().count() == 1).then_some(()));
    guest.stream.shutdown(std::net::Shutdown::Both).unwrap();
    guest.exit();
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[test]
fn ids_in_use_and_too_many_transfers_are_refused() {
    let mut guest = Guest::start();
    let directory = tempfile::tempdir().unwrap();
    let begin = |guest: &mut Guest, number: u32| {
        let path = bytes(directory.path().join(number.to_string()));
        guest.send(&HostMessage::PutFile(PutFile { file: file(number), path, mode: 0o600 }));
    };
    (1..=64).for_each(|number| begin(&mut guest, number));
    for number in [64, 65] {
        begin(&mut guest, number);
        match guest.next_message() {
            GuestMessage::FileFailed(failed) => {
                assert_eq!((failed.file, failed.step), (file(number), FileStep::Accept));
            }
            other => panic!("{other:?}"),
        }
    }
}
