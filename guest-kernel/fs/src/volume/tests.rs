//! What the oracle cannot see: pages that are shared with mappings, limits, what is kept in memory and for how long.

use super::{Limits, Node, Volume, memfd};
use crate::testing::{self, context, image, mkfs, open, write_path};
use crate::vfs::{Context, FileSystem, Inode, SetTime, location};
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use ampoule_kbase::{Errno, Frame, OpenFile, SliceSink, SliceSource};
use linux_raw_sys::general::{
    F_SEAL_GROW, F_SEAL_SEAL, F_SEAL_SHRINK, F_SEAL_WRITE, O_CREAT, O_RDONLY, O_RDWR, O_TMPFILE, O_WRONLY,
};
use std::format;

fn limits() -> Limits {
    Limits { bytes: 1 << 20, inodes: 100, root_mode: 0o755, ..Limits::NONE }
}

fn tmpfs() -> (Arc<Volume>, Context) {
    testing::setup();
    let volume = Volume::tmpfs(limits());
    (volume.clone(), context(volume))
}

/// A volume over an image with `/file` of 10,000 bytes `x`, and a directory of as many files as are asked for.
fn overlay(files: usize) -> (Arc<Volume>, Context) {
    testing::setup();
    let directory = tempfile::tempdir().expect("a directory");
    std::fs::write(directory.path().join("file"), [b'x'; 10_000]).expect("a file");
    std::fs::create_dir(directory.path().join("many")).expect("a directory");
    for i in 0..files {
        std::fs::write(directory.path().join(format!("many/{i}")), format!("{i}")).expect("a file");
    }
    let volume = Volume::overlay(image(&mkfs(directory.path(), &[])), limits()).expect("an image");
    (volume.clone(), context(volume))
}

fn write(file: &OpenFile, offset: u64, bytes: &[u8]) -> Result<usize, Errno> {
    file.file.write(offset, &mut SliceSource::new(bytes))
}

fn read(file: &OpenFile, offset: u64, length: usize) -> Vec<u8> {
    let mut buffer = vec![0; length];
    let count = file.file.read(offset, &mut SliceSink::new(&mut buffer)).expect("readable");
    buffer.truncate(count);
    buffer
}

fn in_page(frame: &Frame, offset: usize, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    frame.read(offset, &mut bytes);
    bytes
}

#[test]
fn mappings_and_writes_see_each_other() {
    let (_, context) = tmpfs();
    let file = open(&context, b"/f", O_CREAT | O_RDWR).expect("a file");
    write(&file, 0, &[1; 5000]).expect("room");
    let page = file.file.page(1, true).expect("a page");
    assert_eq!(in_page(&page, 0, 904), [1; 904]);
    assert_eq!(in_page(&page, 904, 3192), [0; 3192], "behind the end there are zeros");
    page.write(10, b"mapped");
    assert_eq!(read(&file, 4106, 6), b"mapped");
    write(&file, 4106, b"WRITTEN").expect("room");
    assert_eq!(in_page(&page, 10, 7), b"WRITTEN");
    assert_eq!(file.file.page(2, true), Err(Errno::EFAULT), "behind the last page");
}

#[test]
fn what_a_mapping_leaves_behind_the_end_is_not_seen_later() {
    let (_, context) = tmpfs();
    let file = open(&context, b"/f", O_CREAT | O_RDWR).expect("a file");
    for grow in [0, 1, 2] {
        file.file.truncate(100).expect("a length");
        let page = file.file.page(0, true).expect("a page");
        page.write(100, &[7; 200]);
        match grow {
            0 => file.file.truncate(300).expect("a length"),
            1 => drop(write(&file, 299, &[0]).expect("room")),
            _ => location(&file).expect("a place").inode().allocate(0, 0, 300).expect("room"),
        }
        assert_eq!(read(&file, 100, 199), [0; 199], "way {grow} to grow");
    }
}

#[test]
fn a_hole_that_is_mapped_becomes_a_page() {
    let (volume, context) = tmpfs();
    let file = open(&context, b"/f", O_CREAT | O_RDWR).expect("a file");
    file.file.truncate(1 << 30).expect("a length");
    let free = volume.statfs().blocks_free;
    let page = file.file.page(1000, false).expect("a page");
    assert_eq!(volume.statfs().blocks_free, free - 1);
    write(&file, 1000 * 4096, b"later").expect("room");
    assert_eq!(in_page(&page, 0, 5), b"later", "the reader sees it");
    assert_eq!(read(&file, 999 * 4096, 4100), [&[0; 4096][..], b"late"].concat());
}

#[test]
fn pages_of_the_image_are_shared_until_the_file_is_opened_for_writing() {
    let (volume, context) = overlay(0);
    let reader = open(&context, b"/file", O_RDONLY).expect("a file");
    let free = volume.statfs().blocks_free;
    assert!(!ampoule_kbase::frames::is_ram(reader.file.page(0, false).expect("a page").physical()));
    assert_eq!(volume.statfs().blocks_free, free, "nothing was copied");

    let writer = open(&context, b"/file", O_RDWR).expect("a file");
    let page = reader.file.page(0, false).expect("a page");
    assert!(ampoule_kbase::frames::is_ram(page.physical()), "somebody may write to it from now on");
    write(&writer, 5, b"changed").expect("room");
    assert_eq!(in_page(&page, 0, 14), b"xxxxxchangedxx");
    assert_eq!(volume.statfs().blocks_free, free - 1, "only the page that was used is copied");
    assert_eq!(read(&reader, 4090, 12), [b'x'; 12], "the next page is that of the image");
}

#[test]
fn a_copy_of_an_inlined_tail_is_replaced_when_the_file_changes() {
    let (volume, context) = overlay(0);
    let free = volume.statfs().blocks_free;
    let reader = open(&context, b"/file", O_RDONLY).expect("a file");
    let tail = reader.file.page(2, false).expect("a page");
    assert_eq!(in_page(&tail, 1800, 16), [&[b'x'; 8][..], &[0; 8]].concat());
    assert_eq!(volume.statfs().blocks_free, free, "a copy of the image is not counted");
    let writer = open(&context, b"/file", O_WRONLY).expect("a file");
    write(&writer, 9998, b"end").expect("room");
    assert_eq!(read(&reader, 9996, 100), b"xxend");
    assert_eq!(volume.statfs().blocks_free, free - 1);
    writer.file.truncate(9000).expect("a length");
    writer.file.truncate(10_000).expect("a length");
    assert_eq!(
        read(&reader, 8999, 100),
        [&[b'x'][..], &[0; 99]].concat(),
        "what was cut off does not come back"
    );
}

#[test]
fn limits_are_kept_and_given_back() {
    let (volume, context) = tmpfs();
    let whole = volume.statfs();
    let file = open(&context, b"/f", O_CREAT | O_RDWR).expect("a file");
    let bytes = vec![3; 2 << 20];
    assert_eq!(write(&file, 0, &bytes), Ok(1 << 20), "as much as fits");
    assert_eq!(write(&file, 1 << 20, b"more"), Err(Errno::ENOSPC));
    assert_eq!(volume.statfs().blocks_free, 0);
    assert_eq!(location(&file).expect("a place").inode().allocate(0, 0, 2 << 20), Err(Errno::ENOSPC));
    write(&file, 100, b"in place").expect("no new page");
    for i in 1..100 {
        context.mkdir(&context.root, format!("/{i}").as_bytes(), 0o755).expect("room");
    }
    assert_eq!(context.mkdir(&context.root, b"/more", 0o755).err(), Some(Errno::ENOSPC));
    assert_eq!(context.link((&context.root, b"/f"), (&context.root, b"/g"), 0), Err(Errno::ENOSPC));
    context.rename((&context.root, b"/f"), (&context.root, b"/g"), 0).expect("a rename needs no room");
    context.unlink(&context.root, b"/g").expect("a file");
    assert_eq!(volume.statfs().blocks_free, 0, "it is still open");
    drop(file);
    assert_eq!(volume.statfs().blocks_free, whole.blocks_free);
    for i in 1..100 {
        context.rmdir(&context.root, format!("/{i}").as_bytes()).expect("empty");
    }
    assert_eq!(volume.statfs(), whole);
}

#[test]
fn nodes_of_the_image_are_forgotten_but_changes_are_not() {
    let (volume, context) = overlay(6000);
    write_path(&context, b"/many/17", b"changed").expect("room");
    context.unlink(&context.root, b"/many/18").expect("a file");
    context.rename((&context.root, b"/many/19"), (&context.root, b"/many/moved"), 0).expect("a file");
    let kept = open(&context, b"/many/20", O_RDONLY).expect("a file");
    let before = kept.file.stat().expect("status");
    for i in 0..6000 {
        let _ = context.resolve(&context.root, format!("/many/{i}").as_bytes(), crate::vfs::Follow::Last);
    }
    let many = volume.root_node().find(b"many").expect("readable").expect("there");
    let remembered = many.state.lock().entries().expect("a directory").len();
    assert!(remembered < 3000, "{remembered} nodes are in memory");
    assert_eq!(read(&open(&context, b"/many/17", O_RDONLY).expect("a file"), 0, 100), b"changed");
    assert_eq!(open(&context, b"/many/18", O_RDONLY).err(), Some(Errno::ENOENT));
    assert_eq!(open(&context, b"/many/19", O_RDONLY).err(), Some(Errno::ENOENT));
    assert_eq!(read(&open(&context, b"/many/moved", O_RDONLY).expect("a file"), 0, 100), b"19");
    let again = open(&context, b"/many/20", O_RDONLY).expect("a file");
    assert!(Arc::ptr_eq(
        location(&kept).expect("a place").inode(),
        location(&again).expect("a place").inode()
    ));
    assert_eq!(again.file.stat().expect("status").ino, before.ino);
    assert_eq!(testing::list(&context, b"/many").expect("a directory").len(), 5999);
}

#[test]
fn inode_numbers_survive_being_forgotten_and_changed() {
    let (_, context) = overlay(3000);
    let ino = |path: &[u8]| {
        context.resolve(&context.root, path, crate::vfs::Follow::Last).expect("there").stat().ino
    };
    let numbers: Vec<_> = (0..3000).map(|i| ino(format!("/many/{i}").as_bytes())).collect();
    write_path(&context, b"/many/5", b"changed").expect("room");
    context.rename((&context.root, b"/many"), (&context.root, b"/elsewhere"), 0).expect("a directory");
    for (i, number) in numbers.iter().enumerate() {
        assert_eq!(ino(format!("/elsewhere/{i}").as_bytes()), *number);
    }
}

#[test]
fn deep_trees_are_taken_apart_without_recursion() {
    let (volume, context) = {
        testing::setup();
        let volume = Volume::tmpfs(Limits { inodes: 200_000, ..limits() });
        (volume.clone(), context(volume))
    };
    let mut at = context.root.clone();
    for _ in 0..100_000 {
        at = context.mkdir(&at, b"d", 0o755).expect("room");
    }
    let deepest = Arc::downgrade(at.inode());
    assert_eq!(at.path(None).text.len(), 200_000);
    drop((at, context, volume));
    assert!(deepest.upgrade().is_none(), "all of it is gone");
}

#[test]
fn a_volume_goes_with_its_last_user() {
    let (volume, context) = overlay(3);
    let shared = Arc::downgrade(&volume.shared);
    context.mkdir(&context.root, b"/d", 0o755).expect("room");
    context.link((&context.root, b"/file"), (&context.root, b"/d/file"), 0).expect("room");
    write_path(&context, b"/many/1", b"changed").expect("room");
    let removed = open(&context, b"/d/file", O_RDONLY).expect("a file");
    context.unlink(&context.root, b"/d/file").expect("a file");
    drop((volume, context));
    assert!(shared.upgrade().is_some(), "a file is open");
    drop(removed);
    assert!(shared.upgrade().is_none());
}

#[test]
fn a_name_that_is_gone_does_not_keep_its_directory() {
    let (volume, context) = tmpfs();
    context.mkdir(&context.root, b"/d", 0o755).expect("room");
    context.mkdir(&context.root, b"/d/e", 0o755).expect("room");
    write_path(&context, b"/d/f", b"").expect("room");
    context.link((&context.root, b"/d/f"), (&context.root, b"/d/e/f"), 0).expect("room");
    context.resolve(&context.root, b"/d/f", crate::vfs::Follow::Last).expect("there");
    context.unlink(&context.root, b"/d/f").expect("there");
    let shared = Arc::downgrade(&volume.shared);
    drop((volume, context));
    assert!(shared.upgrade().is_none());
}

#[test]
fn listing_goes_on_while_entries_come_and_go() {
    let (_, context) = overlay(500);
    let directory = open(&context, b"/many", O_RDONLY).expect("a directory");
    let mut offset = 0;
    let mut seen = Vec::new();
    loop {
        let mut batch = Vec::new();
        let mut each = |entry: ampoule_kbase::DirEntry| {
            batch.push(entry);
            batch.len() < 7
        };
        directory.file.read_directory(offset, &mut each).expect("a directory");
        let Some(last) = batch.last() else { break };
        offset = last.next_offset;
        for entry in batch.iter().filter(|entry| !entry.name.starts_with(b".")) {
            let path = [b"/many/", &entry.name[..]].concat();
            context.unlink(&context.root, &path).expect("what is listed is there");
            seen.push(entry.name.clone());
        }
        if seen.len() < 400 {
            let path = format!("/many/{}", seen.len());
            let _ = write_path(&context, path.as_bytes(), b"again");
            let _ = context.unlink(&context.root, path.as_bytes());
        }
    }
    seen.sort();
    seen.dedup();
    assert!(seen.len() <= 500 && seen.len() >= 400, "{} entries were listed", seen.len());
    assert_eq!(testing::list(&context, b"/many").expect("a directory"), [], "all were listed");
    context.rmdir(&context.root, b"/many").expect("empty");
}

#[test]
fn files_without_a_name_can_get_one() {
    let (volume, context) = tmpfs();
    let free = volume.statfs();
    let file = context.open(&context.root, b"/", O_TMPFILE | O_RDWR, 0o600).expect("a file").file;
    write(&file, 0, b"secret").expect("room");
    assert_eq!(file.file.stat().expect("status").nlink, 0);
    assert!(file.file.proc_name().ends_with(b" (deleted)"));
    let place = location(&file).expect("a place");
    let flags = linux_raw_sys::general::AT_EMPTY_PATH;
    context.link((place, b""), (&context.root, b"/named"), flags).expect("linkable");
    assert_eq!(file.file.stat().expect("status").nlink, 1);
    assert_eq!(file.file.proc_name(), b"/named");
    context.unlink(&context.root, b"/named").expect("there");
    drop(file);
    assert_eq!(volume.statfs(), free);
}

#[test]
fn memfds_obey_their_seals() {
    testing::setup();
    let file = memfd(b"buffer", true).expect("a file");
    assert_eq!(file.file.proc_name(), b"/memfd:buffer (deleted)");
    let inode = location(&file).expect("a place").inode().clone();
    assert_eq!(inode.seals(), Ok(0));
    write(&file, 0, b"0123456789").expect("room");
    inode.add_seals(F_SEAL_GROW).expect("sealable");
    assert_eq!(write(&file, 5, b"0123456789"), Err(Errno::EPERM));
    assert_eq!(file.file.truncate(11), Err(Errno::EPERM));
    write(&file, 0, b"a").expect("in place");
    inode.add_seals(F_SEAL_SHRINK | F_SEAL_WRITE | F_SEAL_SEAL).expect("sealable");
    assert_eq!(file.file.truncate(9), Err(Errno::EPERM));
    assert_eq!(write(&file, 0, b"b"), Err(Errno::EPERM));
    assert_eq!(inode.add_seals(F_SEAL_GROW), Err(Errno::EPERM));
    assert_eq!(read(&file, 0, 100), b"a123456789");
    let sealed = memfd(b"", false).expect("a file");
    assert_eq!(location(&sealed).expect("a place").inode().seals(), Ok(F_SEAL_SEAL));
    assert_eq!(memfd(&[b'x'; 250], false).err(), Some(Errno::EINVAL));
}

#[test]
fn programs_that_run_are_not_written_to() {
    let (_, context) = tmpfs();
    write_path(&context, b"/program", b"#!").expect("room");
    let reader = open(&context, b"/program", O_RDONLY).expect("a file");
    let running = location(&reader).expect("a place").deny_writers().expect("nobody writes");
    let copy = running.clone();
    assert_eq!(open(&context, b"/program", O_WRONLY).err(), Some(Errno::ETXTBSY));
    assert_eq!(location(&reader).expect("a place").truncate(0), Err(Errno::ETXTBSY));
    drop(running);
    assert_eq!(open(&context, b"/program", O_WRONLY).err(), Some(Errno::ETXTBSY));
    drop(copy);
    let writer = open(&context, b"/program", O_WRONLY).expect("nobody executes it");
    assert_eq!(location(&reader).expect("a place").deny_writers().err(), Some(Errno::ETXTBSY));
    drop(writer);
    location(&reader).expect("a place").deny_writers().expect("nobody writes any more");
}

#[test]
fn options_are_parsed_as_tmpfs_does() {
    testing::setup();
    let limits = Limits::parse(b"size=5k,nr_inodes=1m,mode=700,uid=5,gid=6").expect("options");
    assert_eq!(limits, Limits { bytes: 8192, inodes: 1 << 20, root_mode: 0o700, root_uid: 5, root_gid: 6 });
    assert_eq!(Limits::parse(b"").expect("no options"), Limits::half_of_memory());
    let half = Limits::parse(b"size=50%").expect("options").bytes;
    assert!(half.abs_diff(Limits::half_of_memory().bytes) <= 8192);
    for wrong in [
        "size",
        "size=",
        "size=x",
        "size=1x",
        "mode=9",
        "mode=rwx",
        "unknown",
        "size=99999999999999999999",
        "uid=-1",
    ] {
        assert_eq!(Limits::parse(wrong.as_bytes()).err(), Some(Errno::EINVAL), "{wrong}");
    }
}

#[test]
fn times_are_set_and_kept_exactly() {
    let (_, context) = overlay(0);
    let at = context.resolve(&context.root, b"/file", crate::vfs::Follow::Last).expect("a file");
    let before = at.stat();
    at.set_times(SetTime::At(-5), SetTime::Keep).expect("the owner");
    let after = at.stat();
    assert_eq!((after.atime_ns, after.mtime_ns), (-5, before.mtime_ns));
    assert!(after.ctime_ns > before.ctime_ns);
}

#[test]
fn nodes_are_small() {
    // Every node of the image that is looked at takes this much memory.
    assert!(size_of::<Node>() <= 256, "{}", size_of::<Node>());
    testing::setup();
    let _: fn(&Node) -> u64 = Inode::ino;
}
