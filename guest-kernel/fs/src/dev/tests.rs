//! Devices, and the tables of `/dev` and `/sys`.

use super::{add_pts, devfs, device_number, devpts, pts_number, remove_pts, split_device_number, sysfs};
use crate::testing::{self, context, list, open, read_path, write_path};
use crate::vfs::{Context, Follow};
use alloc::vec;
use alloc::vec::Vec;
use ampoule_kbase::{Errno, FileType, Result, SliceSink, SliceSource};
use linux_raw_sys::general::{O_RDONLY, O_RDWR};
use std::string::String;

/// There is one `/dev` for all, so tests use names of their own in it.
fn dev() -> Context {
    testing::setup();
    testing::call_as(0);
    context(devfs())
}

fn read(context: &Context, path: &[u8], count: usize) -> Result<Vec<u8>> {
    let file = open(context, path, O_RDONLY)?;
    let mut bytes = vec![0xaa; count];
    let count = file.file.read(0, &mut SliceSink::new(&mut bytes))?;
    bytes.truncate(count);
    Ok(bytes)
}

fn write(context: &Context, path: &[u8], bytes: &[u8]) -> Result<usize> {
    open(context, path, O_RDWR)?.file.write(0, &mut SliceSource::new(bytes))
}

#[test]
fn memory_devices_do_what_their_names_say() {
    let dev = dev();
    assert_eq!(read(&dev, b"/null", 10), Ok(vec![]));
    assert_eq!(read(&dev, b"/zero", 10_000), Ok(vec![0; 10_000]));
    assert_eq!(read(&dev, b"/full", 3), Ok(vec![0; 3]));
    assert_eq!(read(&dev, b"/urandom", 1000).map(|bytes| bytes.len()), Ok(1000));
    assert_ne!(read(&dev, b"/random", 300), Ok(vec![0xaa; 300]));
    for path in [&b"/null"[..], b"/zero", b"/urandom", b"/kmsg"] {
        assert_eq!(write(&dev, path, &[1; 5000]), Ok(5000));
    }
    assert_eq!(write(&dev, b"/full", b"x"), Err(Errno::ENOSPC));
    assert_eq!(open(&dev, b"/tty", O_RDWR).err(), Some(Errno::ENXIO), "the driver has its say");
}

#[test]
fn a_device_is_its_inode() {
    let dev = dev();
    let file = open(&dev, b"/null", O_RDWR).expect("a device");
    let stat = file.file.stat().expect("status");
    assert_eq!((stat.mode, stat.rdev, stat.nlink), (0o020_666, 0x103, 1));
    assert_eq!(file.file.proc_name(), b"/null");
    assert_eq!(crate::location(&file).expect("a place").stat(), stat);
    assert_eq!(file.file.page(0, false), Err(Errno::ENODEV));
}

#[test]
fn tables_can_be_changed_like_any_directory() {
    let dev = dev();
    let names: Vec<_> = list(&dev, b"/").expect("a directory").into_iter().map(|entry| entry.name).collect();
    for name in ["null", "tty", "ptmx", "pts", "shm", "fd", "stdin"] {
        assert!(names.contains(&name.as_bytes().to_vec()), "{name}");
    }
    assert_eq!(dev.read_link(&dev.root, b"/fd"), Ok(b"/proc/self/fd".to_vec()));
    dev.mknod(&dev.root, b"/mine", 0o020_600, 0x109).expect("room");
    assert_eq!(read(&dev, b"/mine", 7).map(|bytes| bytes.len()), Ok(7));
    dev.unlink(&dev.root, b"/mine").expect("there");
    dev.unlink(&dev.root, b"/kmsg").expect("from the table");
    assert_eq!(open(&dev, b"/kmsg", O_RDONLY).err(), Some(Errno::ENOENT));
    assert!(!list(&dev, b"/").expect("a directory").iter().any(|entry| entry.name == b"kmsg"));
    dev.mknod(&dev.root, b"/kmsg", 0o020_644, 0x10b).expect("room");
    let console = dev.resolve(&dev.root, b"/console", Follow::Last).expect("there");
    console.chmod(0o640).expect("the owner");
    assert_eq!(console.stat().mode, 0o020_640);
    assert_eq!(dev.resolve(&dev.root, b"/shm", Follow::Last).expect("there").stat().mode, 0o041_777);
}

#[test]
fn terminals_come_and_go() {
    testing::setup();
    let pts = context(devpts());
    add_pts(300, 5, 6, 0o620).expect("room");
    let stat = pts.resolve(&pts.root, b"/300", Follow::Last).expect("there").stat();
    assert_eq!((stat.mode, stat.uid, stat.gid), (0o020_620, 5, 6));
    assert_eq!(pts_number(stat.rdev), Ok(300));
    assert_eq!(add_pts(300, 0, 0, 0o620), Err(Errno::EEXIST));
    remove_pts(300);
    remove_pts(300);
    assert_eq!(pts.resolve(&pts.root, b"/300", Follow::Last).err(), Some(Errno::ENOENT));
    assert_eq!(pts_number(device_number(5, 2)), Err(Errno::ENXIO));
}

#[test]
fn sys_tells_of_one_cpu_and_cannot_be_changed() {
    testing::setup();
    let sys = context(sysfs());
    for name in ["online", "possible", "present"] {
        let path = [b"/devices/system/cpu/", name.as_bytes()].concat();
        assert_eq!(read_path(&sys, &path).as_deref(), Ok(&b"0\n"[..]));
    }
    assert_eq!(write_path(&sys, b"/devices/system/cpu/online", b"1"), Err(Errno::EROFS));
    assert_eq!(sys.mkdir(&sys.root, b"/new", 0o755).err(), Some(Errno::EROFS));
    let tree = testing::our_tree(&sys, testing::Times::Ignored);
    let cpus = tree.keys().filter(|path| {
        let name = String::from_utf8_lossy(path);
        name.starts_with("devices/system/cpu/cpu") && name.matches('/').count() == 3
    });
    assert_eq!(cpus.count(), 1);
    assert!(tree.values().all(|file| FileType::from_mode(file.mode).is_some()));
}

#[test]
fn device_numbers_are_those_of_the_c_library() {
    for (major, minor) in
        [(0, 0), (1, 3), (5, 2), (136, 255), (250, 70_000), (4095, 0xf_ffff), (0x12345, 0x6789_abcd)]
    {
        assert_eq!(device_number(major, minor), libc::makedev(major, minor));
        assert_eq!(split_device_number(device_number(major, minor)), (major, minor));
    }
}
