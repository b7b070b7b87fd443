//! Mounts, and paths through them; what the oracle covers is not repeated here.

use super::{Context, Follow, Location, MountFlags, mountinfo_text, mounts_text};
use crate::testing::{self, context, list, open, read_path, write_path};
use crate::volume::{Limits, Volume};
use alloc::sync::Arc;
use alloc::vec::Vec;
use ampoule_kbase::Errno;
use linux_raw_sys::general::{
    MS_BIND, MS_MOVE, MS_NODEV, MS_NOEXEC, MS_NOSUID, MS_PRIVATE, MS_RDONLY, MS_REC, MS_REMOUNT, O_CREAT,
    O_RDONLY, O_RDWR,
};
use std::string::String;

const DETACH: u32 = 2;

fn volume() -> Arc<Volume> {
    Volume::tmpfs(Limits { bytes: 1 << 20, inodes: 100, root_mode: 0o755, ..Limits::NONE })
}

/// A root with the directories `/a`, `/a/b` and `/m`, and a file `/a/f`.
fn root() -> Context {
    testing::setup();
    testing::call_as(0);
    let context = context(volume());
    for path in [&b"/a"[..], b"/a/b", b"/m"] {
        context.mkdir(&context.root, path, 0o755).expect("room");
    }
    write_path(&context, b"/a/f", b"below").expect("room");
    context
}

fn at(context: &Context, path: &[u8]) -> Location {
    context.resolve(&context.cwd, path, Follow::Last).expect("there")
}

fn mounts(context: &Context) -> String {
    String::from_utf8(mounts_text(&context.root)).expect("text")
}

#[test]
fn a_mount_covers_and_uncovers() {
    let context = root();
    context.mount(b"none", b"/a", b"tmpfs", 0, b"mode=700").expect("a mount");
    assert_eq!(open(&context, b"/a/f", O_RDONLY).err(), Some(Errno::ENOENT));
    assert_eq!(at(&context, b"/a").stat().mode, 0o40700);
    assert_ne!(at(&context, b"/a").stat().dev, at(&context, b"/").stat().dev);
    assert!(at(&context, b"/a/..") == context.root, "the parent is that of the mount point");
    write_path(&context, b"/a/g", b"above").expect("room");
    assert_eq!(context.rmdir(&context.root, b"/a"), Err(Errno::EBUSY));
    assert_eq!(context.rename((&context.root, b"/a"), (&context.root, b"/z"), 0), Err(Errno::EBUSY));
    assert_eq!(context.rename((&context.root, b"/a/g"), (&context.root, b"/g"), 0), Err(Errno::EXDEV));
    assert_eq!(context.link((&context.root, b"/a/g"), (&context.root, b"/g"), 0), Err(Errno::EXDEV));
    context.unmount(b"/a", 0).expect("nobody uses it");
    assert_eq!(read_path(&context, b"/a/f").as_deref(), Ok(&b"below"[..]));
    assert_eq!(context.unmount(b"/a", 0), Err(Errno::EINVAL));
}

#[test]
fn a_mount_in_use_is_busy() {
    let mut context = root();
    context.mount(b"none", b"/a", b"tmpfs", 0, b"").expect("a mount");
    let file = open(&context, b"/a/g", O_CREAT | O_RDWR).expect("a file");
    assert_eq!(context.unmount(b"/a", 0), Err(Errno::EBUSY));
    drop(file);
    context.set_cwd(at(&context, b"/a")).expect("a directory");
    assert_eq!(context.unmount(b"/a", 0), Err(Errno::EBUSY));
    context.set_cwd(context.root.clone()).expect("a directory");
    context.mkdir(&context.root, b"/a/c", 0o755).expect("room");
    context.mount(b"none", b"/a/c", b"tmpfs", 0, b"").expect("a mount");
    assert_eq!(context.unmount(b"/a", 0), Err(Errno::EBUSY), "something is mounted on it");
    context.unmount(b"/a", DETACH).expect("detached");
    assert_eq!(list(&context, b"/a").expect("a directory").len(), 2);
    assert_eq!(context.unmount(b"/", 0), Err(Errno::EBUSY));
}

#[test]
fn mounts_stack() {
    let context = root();
    for name in [b"one", b"two"] {
        context.mount(name, b"/a", b"tmpfs", 0, b"").expect("a mount");
        write_path(&context, &[b"/a/", &name[..]].concat(), b"").expect("room");
    }
    assert_eq!(list(&context, b"/a").expect("a directory")[0].name, b"two");
    assert!(at(&context, b"/a/..") == context.root);
    context.unmount(b"/a", 0).expect("nobody uses it");
    assert_eq!(list(&context, b"/a").expect("a directory")[0].name, b"one");
}

#[test]
fn binds_show_a_part_elsewhere() {
    let context = root();
    context.mount(b"none", b"/a/b", b"tmpfs", 0, b"").expect("a mount");
    write_path(&context, b"/a/b/inner", b"").expect("room");
    context.mount(b"/a", b"/m", b"", MS_BIND, b"").expect("a bind mount");
    assert_eq!(read_path(&context, b"/m/f").as_deref(), Ok(&b"below"[..]));
    assert_eq!(list(&context, b"/m/b").expect("a directory").len(), 0, "mounts in it are left out");
    assert_eq!(at(&context, b"/m").stat().ino, at(&context, b"/a").stat().ino);
    assert!(at(&context, b"/m/..") == context.root);
    assert_eq!(at(&context, b"/m/b").path(None).text, b"/m/b");
    context.unmount(b"/m", 0).expect("nobody uses it");
    context.mount(b"/a", b"/m", b"", MS_BIND | MS_REC, b"").expect("a bind mount");
    assert_eq!(list(&context, b"/m/b").expect("a directory")[0].name, b"inner");
    context.mount(b"/", b"/a/b", b"", MS_BIND | MS_REC, b"").expect("a mount in itself ends");
    assert_eq!(context.mount(b"/a/f", b"/m", b"", MS_BIND, b""), Err(Errno::ENOTDIR));
    write_path(&context, b"/target", b"").expect("room");
    context.mount(b"/a/f", b"/target", b"", MS_BIND, b"").expect("a bind mount of a file");
    assert_eq!(read_path(&context, b"/target").as_deref(), Ok(&b"below"[..]));
    assert_eq!(at(&context, b"/target").path(None).text, b"/target");
    assert_eq!(context.unlink(&context.root, b"/target"), Err(Errno::EBUSY));
}

#[test]
fn flags_of_a_mount_are_obeyed() {
    let context = root();
    context.mount(b"none", b"/m", b"tmpfs", 0, b"").expect("a mount");
    write_path(&context, b"/m/f", b"x").expect("room");
    at(&context, b"/m/f").chmod(0o4755).expect("the owner");
    context.mknod(&context.root, b"/m/null", 0o020_666, 0x103).expect("room");
    let file = at(&context, b"/m/f");
    file.check_execute().expect("executable");
    assert!(file.honours_setuid());
    let all = MS_REMOUNT | MS_RDONLY | MS_NODEV | MS_NOSUID | MS_NOEXEC;
    context.mount(b"", b"/m", b"", all, b"").expect("a remount");
    assert_eq!(file.check_execute(), Err(Errno::EACCES));
    assert!(!file.honours_setuid());
    assert_eq!(open(&context, b"/m/null", O_RDONLY).err(), Some(Errno::EACCES));
    assert_eq!(open(&context, b"/m/f", O_RDWR).err(), Some(Errno::EROFS));
    assert_eq!(open(&context, b"/m/new", O_CREAT | O_RDWR).err(), Some(Errno::EROFS));
    assert_eq!(context.mkdir(&context.root, b"/m/d", 0o755).err(), Some(Errno::EROFS));
    assert_eq!(context.mkdir(&context.root, b"/m/f", 0o755).err(), Some(Errno::EEXIST));
    assert_eq!(context.unlink(&context.root, b"/m/f"), Err(Errno::EROFS));
    assert_eq!(file.chmod(0), Err(Errno::EROFS));
    assert_eq!(file.access(2, super::Credentials::current()), Err(Errno::EROFS));
    assert!(
        mounts(&context).contains("none /m tmpfs ro,nosuid,nodev,noexec,noatime,size="),
        "{}",
        mounts(&context)
    );
    context.mount(b"", b"/m", b"", MS_REMOUNT, b"size=1m").expect("a remount");
    write_path(&context, b"/m/f", b"y").expect("writable again");
    assert!(mounts(&context).contains(" /m tmpfs rw,noatime,size=1024k,"), "{}", mounts(&context));
}

#[test]
fn a_moved_mount_keeps_what_is_in_it() {
    let context = root();
    context.mount(b"none", b"/a", b"tmpfs", 0, b"").expect("a mount");
    context.mkdir(&context.root, b"/a/in", 0o755).expect("room");
    assert_eq!(context.mount(b"/a", b"/a/in", b"", MS_MOVE, b""), Err(Errno::ELOOP));
    context.mount(b"/a", b"/m", b"", MS_MOVE, b"").expect("a move");
    assert_eq!(list(&context, b"/m").expect("a directory")[0].name, b"in");
    assert_eq!(read_path(&context, b"/a/f").as_deref(), Ok(&b"below"[..]));
    assert_eq!(context.mount(b"/a", b"/m", b"", MS_MOVE, b""), Err(Errno::EINVAL), "not a mount");
}

#[test]
fn only_root_mounts_and_only_what_there_is() {
    let context = root();
    assert_eq!(context.mount(b"none", b"/m", b"ext4", 0, b""), Err(Errno::ENODEV));
    assert_eq!(context.mount(b"none", b"/m", b"tmpfs", 0, b"size=wrong"), Err(Errno::EINVAL));
    assert_eq!(context.mount(b"none", b"/a/f", b"tmpfs", 0, b""), Err(Errno::ENOTDIR));
    assert_eq!(context.mount(b"none", b"/none", b"tmpfs", 0, b""), Err(Errno::ENOENT));
    assert_eq!(context.mount(b"/a/f", b"/m", b"erofs", 0, b""), Err(Errno::ENOTBLK));
    assert_eq!(context.mount(b"", b"/m", b"", MS_PRIVATE, b""), Err(Errno::EINVAL), "not a mount");
    context.mount(b"", b"/", b"", MS_PRIVATE | MS_REC, b"").expect("there is nothing to do");
    testing::call_as(1000);
    assert_eq!(context.mount(b"none", b"/m", b"tmpfs", 0, b""), Err(Errno::EPERM));
    assert_eq!(context.unmount(b"/m", 0), Err(Errno::EPERM));
    testing::call_as(0);
}

#[test]
fn a_root_directory_is_the_top() {
    let mut context = root();
    context.mkdir(&context.root, b"/a/b/c", 0o755).expect("room");
    context.symlink(b"/b/c", &context.root, b"/a/link").expect("room");
    let outside = context.clone();
    context.set_root(at(&context, b"/a")).expect("a directory");
    assert_eq!(context.current_directory(), Ok(b"(unreachable)/".to_vec()));
    context.set_cwd(at(&context, b"/link")).expect("a link that counts from the root");
    assert_eq!(context.current_directory(), Ok(b"/b/c".to_vec()));
    let top = context.resolve(&context.cwd, b"../../../../..", Follow::Last).expect("there");
    assert!(top == context.root);
    outside.mount(b"none", b"/a/b", b"tmpfs", 0, b"").expect("a mount");
    assert!(mounts(&context).starts_with("none /b tmpfs "), "only what can be reached: {}", mounts(&context));
    let info = String::from_utf8(mountinfo_text(&outside.root)).expect("text");
    assert!(
        info.lines().nth(1).is_some_and(|line| line.contains(" / /a/b rw,noatime - tmpfs none rw,size=")),
        "{info}"
    );
}

#[test]
fn names_in_mounts_are_escaped() {
    let context = root();
    context.mkdir(&context.root, b"/a b\\c", 0o755).expect("room");
    context.mount(b"x\ty", b"/a b\\c", b"tmpfs", 0, b"").expect("a mount");
    assert!(mounts(&context).contains("x\\011y /a\\040b\\134c tmpfs "), "{}", mounts(&context));
}

#[test]
fn removed_directories_have_no_path() {
    let mut context = root();
    context.set_cwd(at(&context, b"/a/b")).expect("a directory");
    context.rename((&context.root, b"/a"), (&context.root, b"/moved"), 0).expect("a directory");
    assert_eq!(context.current_directory(), Ok(b"/moved/b".to_vec()));
    context.rmdir(&context.root, b"/moved/b").expect("empty");
    assert_eq!(context.current_directory(), Err(Errno::ENOENT));
    assert_eq!(context.cwd.describe(), b"/moved/b (deleted)");
    assert!(context.resolve(&context.cwd, b"..", Follow::Last).expect("there") == at(&context, b"/moved"));
    assert_eq!(context.mkdir(&context.cwd, b"new", 0o755).err(), Some(Errno::ENOENT));
}

#[test]
fn statfs_tells_the_type_and_the_flags() {
    let context = root();
    context.mount(b"none", b"/m", b"tmpfs", MS_RDONLY | MS_NODEV, b"size=64k").expect("a mount");
    let answer = at(&context, b"/m").statfs();
    assert_eq!(
        (answer.kind, answer.blocks, answer.blocks_free, answer.name_length),
        (0x0102_1994, 16, 16, 255)
    );
    assert_eq!(answer.flags, 0x20 | 1 | 4);
    let mounted = at(&context, b"/m");
    assert_eq!(answer.id, mounted.mount().file_system().device());
    assert_eq!(mounted.mount().flags(), MountFlags::READ_ONLY | MountFlags::NO_DEVICES);
}

#[test]
fn special_files_are_opened_by_their_drivers() {
    let context = root();
    context.mknod(&context.root, b"/fifo", 0o010_644, 0).expect("room");
    let first = context.open(&context.root, b"/fifo", O_RDONLY, 0).expect("a FIFO");
    let complete = first.complete.expect("it has to wait");
    assert!(!complete());
    let second = context.open(&context.root, b"/fifo", O_RDWR, 0).expect("a FIFO");
    assert!(complete() && second.complete.is_none());
    assert_eq!(super::location(&second.file).expect("a place").path(None).text, b"/fifo");

    context.mknod(&context.root, b"/tty", 0o020_644, 0x501).expect("room");
    context.mknod(&context.root, b"/none", 0o020_644, 0x777).expect("room");
    context.mknod(&context.root, b"/disk", 0o060_644, 0x777).expect("room");
    let socket = context.mknod(&context.root, b"/socket", 0o140_755, 0).expect("room");
    open(&context, b"/tty", O_RDWR).expect("there is a driver");
    for path in [&b"/none"[..], b"/disk", b"/socket"] {
        assert_eq!(open(&context, path, O_RDONLY).err(), Some(Errno::ENXIO));
    }
    socket.inode().slot().expect("a socket has a slot").set(Arc::new(7u8));
    let found: Vec<_> = [b"/socket", b"/socket"].iter().map(|path| at(&context, *path)).collect();
    let attached = found[1].inode().slot().expect("a slot").get().expect("attached");
    assert_eq!(attached.downcast_ref::<u8>(), Some(&7));
}
