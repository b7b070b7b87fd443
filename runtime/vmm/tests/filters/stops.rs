//! A VMM that has been taken over makes system calls that its filters do not allow, and dies.

use crate::attacker;
use crate::common::Vm;
use ampoule_vmm_api::{Reason, VmStatus};
use std::io::Read;
use std::os::unix::process::ExitStatusExt;

const THREADS: [&str; 4] = ["main", "vcpu", "loader", "devices"];

/// Calls that no thread may make, with arguments that would do something.
const FORBIDDEN: [(&str, i64, &[i64]); 86] = [
    // Other programs, other processes, other threads.
    ("execve", libc::SYS_execve, &[0, 0, 0]),
    ("execveat", libc::SYS_execveat, &[-1, 0, 0, 0, 0]),
    ("fork", libc::SYS_fork, &[]),
    ("vfork", libc::SYS_vfork, &[]),
    ("clone", libc::SYS_clone, &[17, 0, 0, 0, 0]),
    ("clone of a namespace", libc::SYS_clone, &[0x1000_0000 | 17, 0, 0, 0, 0]),
    ("clone3", libc::SYS_clone3, &[0, 88]),
    ("kill", libc::SYS_kill, &[1, 0]),
    ("tkill", libc::SYS_tkill, &[1, 0]),
    ("tgkill of init", libc::SYS_tgkill, &[1, 1, 6]),
    ("tgkill with another signal", libc::SYS_tgkill, &[1, 1, 9]),
    ("rt_sigqueueinfo", libc::SYS_rt_sigqueueinfo, &[1, 0, 0]),
    ("pidfd_open", libc::SYS_pidfd_open, &[1, 0]),
    ("pidfd_getfd", libc::SYS_pidfd_getfd, &[0, 0, 0]),
    ("pidfd_send_signal", libc::SYS_pidfd_send_signal, &[0, 0, 0, 0]),
    ("ptrace", libc::SYS_ptrace, &[16, 1, 0, 0]),
    ("process_vm_readv", libc::SYS_process_vm_readv, &[1, 0, 0, 0, 0, 0]),
    ("process_vm_writev", libc::SYS_process_vm_writev, &[1, 0, 0, 0, 0, 0]),
    ("process_madvise", libc::SYS_process_madvise, &[0, 0, 0, 0, 0]),
    ("kcmp", libc::SYS_kcmp, &[1, 1, 0, 0, 0]),
    ("wait4", libc::SYS_wait4, &[-1, 0, 0, 0]),
    ("setpgid", libc::SYS_setpgid, &[0, 0]),
    // Files.
    ("open", libc::SYS_open, &[0, 0, 0]),
    ("openat", libc::SYS_openat, &[-100, 0, 0, 0]),
    ("openat2", libc::SYS_openat2, &[-100, 0, 0, 24]),
    ("creat", libc::SYS_creat, &[0, 0]),
    ("open_by_handle_at", libc::SYS_open_by_handle_at, &[-100, 0, 0]),
    ("unlink", libc::SYS_unlink, &[0]),
    ("rename", libc::SYS_rename, &[0, 0]),
    ("link", libc::SYS_link, &[0, 0]),
    ("symlink", libc::SYS_symlink, &[0, 0]),
    ("mkdir", libc::SYS_mkdir, &[0, 0]),
    ("mknod", libc::SYS_mknod, &[0, 0, 0]),
    ("chmod", libc::SYS_chmod, &[0, 0]),
    ("stat", libc::SYS_stat, &[0, 0]),
    ("readlink", libc::SYS_readlink, &[0, 0, 0]),
    ("getdents64", libc::SYS_getdents64, &[0, 0, 0]),
    ("ftruncate", libc::SYS_ftruncate, &[-1, 0]),
    ("pwrite64", libc::SYS_pwrite64, &[-1, 0, 0, 0]),
    ("memfd_create", libc::SYS_memfd_create, &[0, 0]),
    ("dup", libc::SYS_dup, &[2]),
    ("fcntl that sets flags", libc::SYS_fcntl, &[2, 4, 0]),
    ("ioctl that types into a terminal", libc::SYS_ioctl, &[0, 0x5412, 0]),
    ("ioctl that creates a VM", libc::SYS_ioctl, &[-1, 0xae01, 0]),
    // Sockets.
    ("socket", libc::SYS_socket, &[1, 1, 0]),
    ("socketpair", libc::SYS_socketpair, &[1, 1, 0, 0]),
    ("connect", libc::SYS_connect, &[-1, 0, 0]),
    ("bind", libc::SYS_bind, &[-1, 0, 0]),
    ("listen", libc::SYS_listen, &[-1, 0]),
    ("accept", libc::SYS_accept, &[-1, 0, 0]),
    ("sendto an address", libc::SYS_sendto, &[-1, 0, 0, 0x4040, 4096, 16]),
    ("sendmsg", libc::SYS_sendmsg, &[-1, 0, 0x4040]),
    ("recvmsg", libc::SYS_recvmsg, &[-1, 0, 0x40]),
    ("sendmmsg", libc::SYS_sendmmsg, &[-1, 0, 0, 0]),
    // Memory with code.
    ("mmap of code", libc::SYS_mmap, &[0, 4096, 5, 0x22, -1, 0]),
    ("mmap of code that can be written", libc::SYS_mmap, &[0, 4096, 7, 0x22, -1, 0]),
    ("mmap of a file as code", libc::SYS_mmap, &[0, 4096, 5, 1, 3, 0]),
    ("mmap over what is there", libc::SYS_mmap, &[4096, 4096, 3, 0x32, -1, 0]),
    ("mprotect to code", libc::SYS_mprotect, &[0, 4096, 5]),
    ("pkey_mprotect", libc::SYS_pkey_mprotect, &[0, 4096, 5, -1]),
    ("mremap", libc::SYS_mremap, &[0, 4096, 8192, 1, 0]),
    ("remap_file_pages", libc::SYS_remap_file_pages, &[0, 4096, 0, 0, 0]),
    ("shmat", libc::SYS_shmat, &[0, 0, 0]),
    ("personality", libc::SYS_personality, &[0x40_0000]),
    // Much of the kernel.
    ("bpf", libc::SYS_bpf, &[0, 0, 0]),
    ("io_uring_setup", libc::SYS_io_uring_setup, &[1, 0]),
    ("io_uring_enter", libc::SYS_io_uring_enter, &[-1, 0, 0, 0, 0, 0]),
    ("io_uring_register", libc::SYS_io_uring_register, &[-1, 0, 0, 0]),
    ("userfaultfd", libc::SYS_userfaultfd, &[0]),
    ("perf_event_open", libc::SYS_perf_event_open, &[0, 0, -1, -1, 0]),
    ("keyctl", libc::SYS_keyctl, &[0, 0, 0, 0, 0]),
    ("add_key", libc::SYS_add_key, &[0, 0, 0, 0, 0]),
    ("init_module", libc::SYS_init_module, &[0, 0, 0]),
    ("futex that requeues", libc::SYS_futex, &[0, 12, 1, 1, 0, 0]),
    ("modify_ldt", libc::SYS_modify_ldt, &[1, 0, 0]),
    ("prctl", libc::SYS_prctl, &[4, 1, 0, 0, 0]),
    ("arch_prctl", libc::SYS_arch_prctl, &[0x1002, 0]),
    ("rt_sigaction", libc::SYS_rt_sigaction, &[31, 0, 0, 8]),
    // The jail.
    ("mount", libc::SYS_mount, &[0, 0, 0, 0, 0]),
    ("umount2", libc::SYS_umount2, &[0, 0]),
    ("unshare", libc::SYS_unshare, &[0x1000_0000]),
    ("setns", libc::SYS_setns, &[-1, 0]),
    ("chroot", libc::SYS_chroot, &[0]),
    ("setuid", libc::SYS_setuid, &[0]),
    ("setrlimit", libc::SYS_setrlimit, &[7, 0]),
    // A call of the x32 ABI: `write`.
    ("x32", 0x4000_0001, &[2, 0, 0]),
];

/// What becomes of a VMM that does this: the signal that ended it, or its message.
fn attack(words: &str) -> Result<VmStatus, i32> {
    let mut vm = Vm::new("halt");
    vm.command = vec![attacker().into()];
    vm.config.cmdline = format!("test=halt {words}");
    let (mut status, writer) = std::io::pipe().unwrap();
    vm.config.status_fd = Some(vm.pass(writer));
    let mut process = vm.start_silently();
    let mut line = Vec::new();
    status.read_to_end(&mut line).unwrap();
    let ended = process.wait().unwrap();
    match ended.signal() {
        Some(signal) => Err(signal),
        None => Ok(VmStatus::from_json(&line).unwrap()),
    }
}

fn call(thread: &str, number: i64, arguments: &[i64]) -> String {
    let arguments: String = arguments.iter().map(|argument| format!(",{argument}")).collect();
    format!("attack={thread},call,{number}{arguments}")
}

#[test]
fn every_thread_dies_of_what_it_never_does() {
    for thread in THREADS {
        for (what, number, arguments) in FORBIDDEN {
            let ended = attack(&call(thread, number, arguments));
            assert_eq!(ended.err(), Some(libc::SIGSYS), "{thread}: {what}");
        }
    }
}

/// Calls that one thread needs and the others do not.
#[test]
fn threads_have_filters_of_their_own() {
    let cases: [(&str, i64, &[i64], [bool; 4]); 13] = [
        ("getpid", libc::SYS_getpid, &[], [true, true, true, true]),
        ("eventfd2", libc::SYS_eventfd2, &[0, 0o2_004_000], [true, false, false, false]),
        ("sendfile", libc::SYS_sendfile, &[-1, -1, 0, 0], [true, false, true, false]),
        ("seccomp", libc::SYS_seccomp, &[1, 0, 0], [true, false, true, false]),
        ("lseek", libc::SYS_lseek, &[-1, 0, 0], [true, false, true, false]),
        ("close", libc::SYS_close, &[-1], [true, false, true, true]),
        ("munmap", libc::SYS_munmap, &[0, 0], [true, false, true, true]),
        ("mmap of the vCPU", libc::SYS_mmap, &[0, 4096, 3, 1, -1, 0], [true, false, false, false]),
        ("mmap of memory", libc::SYS_mmap, &[0, 4096, 3, 0x22, -1, 0], [false, false, true, true]),
        ("KVM_RUN", libc::SYS_ioctl, &[-1, 0xae80, 0], [true, true, false, false]),
        ("KVM_SET_USER_MEMORY_REGION", libc::SYS_ioctl, &[-1, 0x4020_ae46, 0], [true, false, false, false]),
        ("accept4", libc::SYS_accept4, &[-1, 0, 0, 0o2_004_000], [false, false, true, true]),
        ("writev", libc::SYS_writev, &[-1, 0, 0], [false, false, true, true]),
    ];
    for (what, number, arguments, allowed) in cases {
        for (thread, allowed) in THREADS.into_iter().zip(allowed) {
            match attack(&call(thread, number, arguments)) {
                Ok(status) => {
                    assert!(allowed, "{thread}: {what}: {}", status.message);
                    assert_eq!(status.reason, Reason::HostError);
                    assert!(status.message.starts_with("attack: "), "{thread}: {what}: {}", status.message);
                }
                Err(signal) => {
                    assert!(!allowed && signal == libc::SIGSYS, "{thread}: {what}: signal {signal}")
                }
            }
        }
    }
}

/// Else the tests above would show nothing.
#[test]
fn without_filters_the_same_calls_return() {
    for thread in THREADS {
        for (what, number, arguments) in
            [("socket", libc::SYS_socket, [1, 1, 0]), ("openat", libc::SYS_openat, [-100, 0, 0])]
        {
            let status = attack(&format!("{} unfiltered", call(thread, number, &arguments)));
            let message = status.unwrap_or_else(|signal| panic!("{thread}: {what}: signal {signal}")).message;
            assert!(message.starts_with("attack: "), "{thread}: {what}: {message}");
        }
    }
}

/// A bug is told as one, and not taken for an attack.
#[test]
fn a_bug_ends_with_a_message_and_its_own_signal() {
    for thread in THREADS {
        assert_eq!(attack(&format!("attack={thread},panic")).err(), Some(libc::SIGABRT), "{thread}");
    }
}
