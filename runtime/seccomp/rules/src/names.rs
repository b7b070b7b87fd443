//! Names of numbers, as Linux's headers have them for x86-64.

/// The number behind a name.
pub fn value(name: &str) -> Option<u64> {
    NAMES.iter().find(|(known, _)| *known == name).map(|&(_, value)| value)
}

const NAMES: [(&str, u64); 42] = [
    // linux/kvm.h
    ("KVM_CHECK_EXTENSION", io(0x03)),
    ("KVM_GET_SUPPORTED_CPUID", read_write(0x05, 8)),
    ("KVM_CREATE_VCPU", io(0x41)),
    ("KVM_SET_USER_MEMORY_REGION", write(0x46, 32)),
    ("KVM_IOEVENTFD", write(0x79, 64)),
    ("KVM_RUN", io(0x80)),
    ("KVM_GET_REGS", read(0x81, 144)),
    ("KVM_SET_REGS", write(0x82, 144)),
    ("KVM_GET_SREGS", read(0x83, 312)),
    ("KVM_SET_SREGS", write(0x84, 312)),
    ("KVM_TRANSLATE", read_write(0x85, 24)),
    ("KVM_SET_MSRS", write(0x89, 8)),
    ("KVM_SET_CPUID2", write(0x90, 8)),
    ("KVM_GET_TSC_KHZ", io(0xa3)),
    ("KVM_SIGNAL_MSI", write(0xa5, 32)),
    // linux/mman.h
    ("PROT_READ", 1),
    ("PROT_WRITE", 2),
    ("PROT_EXEC", 4),
    ("MAP_SHARED", 1),
    ("MAP_PRIVATE", 2),
    ("MAP_ANONYMOUS", 0x20),
    // linux/futex.h
    ("FUTEX_WAKE_PRIVATE", 0x80 | 1),
    ("FUTEX_WAIT_PRIVATE", 0x80),
    ("FUTEX_WAIT_BITSET", 9),
    ("FUTEX_WAIT_BITSET_PRIVATE", 0x80 | 9),
    ("FUTEX_CLOCK_REALTIME", 0x100),
    // linux/fcntl.h, linux/eventpoll.h, linux/eventfd.h
    ("F_GETFD", 1),
    ("SEEK_SET", 0),
    ("EPOLL_CTL_ADD", 1),
    ("EPOLL_CTL_DEL", 2),
    ("O_CLOEXEC", 0o2_000_000),
    ("O_NONBLOCK", 0o4000),
    // linux/socket.h
    ("MSG_PEEK", 2),
    ("MSG_DONTWAIT", 0x40),
    ("MSG_NOSIGNAL", 0x4000),
    ("SHUT_RD", 0),
    ("SHUT_WR", 1),
    // linux/seccomp.h, linux/time.h, linux/resource.h, linux/signal.h
    ("SECCOMP_SET_MODE_FILTER", 1),
    ("CLOCK_REALTIME", 0),
    ("CLOCK_MONOTONIC", 1),
    ("RUSAGE_SELF", 0),
    ("SIGABRT", 6),
];

/// The type of all KVM's ioctls.
const KVM: u64 = 0xae;

const fn io(number: u64) -> u64 {
    KVM << 8 | number
}

const fn write(number: u64, size: u64) -> u64 {
    1 << 30 | size << 16 | io(number)
}

const fn read(number: u64, size: u64) -> u64 {
    2 << 30 | size << 16 | io(number)
}

const fn read_write(number: u64, size: u64) -> u64 {
    3 << 30 | size << 16 | io(number)
}
