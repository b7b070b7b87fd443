/* Random calls with random arguments: the kernel has to survive them, and to lose no memory. Only for the guest: elsewhere
 * the calls could do harm, so there this program just says what it would say. */
#include "files.h"
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mount.h>
#include <sys/signalfd.h>
#include <sys/sysinfo.h>
#include <sys/timerfd.h>
#include <sys/utsname.h>

enum { ROUNDS = 12, CALLS = 6000, ARENA = 65536 };

static const short calls[] = {
    SYS_read,         SYS_write,      SYS_readv,         SYS_writev,          SYS_pread64,         SYS_pwrite64,
    SYS_preadv,       SYS_pwritev,    SYS_preadv2,       SYS_pwritev2,        SYS_lseek,           SYS_sendfile,
    SYS_splice,       SYS_vmsplice,   SYS_close,         SYS_close_range,     SYS_dup,             SYS_dup2,
    SYS_dup3,         SYS_fcntl,      SYS_ioctl,         SYS_flock,           SYS_ftruncate,       SYS_fallocate,
    SYS_fsync,        SYS_fadvise64,  SYS_readahead,     SYS_pipe,            SYS_pipe2,           SYS_memfd_create,
    SYS_open,         SYS_openat,     SYS_openat2,       SYS_creat,           SYS_mkdir,           SYS_mkdirat,
    SYS_mknod,        SYS_mknodat,    SYS_rmdir,         SYS_unlink,          SYS_unlinkat,        SYS_rename,
    SYS_renameat,     SYS_renameat2,  SYS_link,          SYS_linkat,          SYS_symlink,         SYS_symlinkat,
    SYS_readlink,     SYS_readlinkat, SYS_getcwd,        SYS_fchdir,          SYS_umask,           SYS_getdents,
    SYS_getdents64,   SYS_truncate,   SYS_stat,          SYS_fstat,           SYS_lstat,           SYS_newfstatat,
    SYS_statx,        SYS_access,     SYS_faccessat,     SYS_chmod,           SYS_fchmod,          SYS_fchmodat,
    SYS_chown,        SYS_fchown,     SYS_fchownat,      SYS_utime,           SYS_utimes,          SYS_utimensat,
    SYS_statfs,       SYS_fstatfs,    SYS_setxattr,      SYS_listxattr,       SYS_poll,            SYS_ppoll,
    SYS_select,       SYS_pselect6,   SYS_epoll_create1, SYS_epoll_ctl,       SYS_epoll_wait,      SYS_epoll_pwait,
    SYS_eventfd2,     SYS_signalfd4,  SYS_timerfd_create, SYS_timerfd_settime, SYS_timerfd_gettime, SYS_socket,
    SYS_socketpair,   SYS_bind,       SYS_listen,        SYS_accept4,         SYS_connect,         SYS_getsockname,
    SYS_getpeername,  SYS_sendto,     SYS_recvfrom,      SYS_sendmsg,         SYS_recvmsg,         SYS_sendmmsg,
    SYS_recvmmsg,     SYS_shutdown,   SYS_setsockopt,    SYS_getsockopt,      SYS_syncfs,          SYS_mmap,
    SYS_copy_file_range,
};

static const char *paths[] = {"a",           "b",      "d",          "d/e",  "d/f",           "a/x",      ".",
                              "",            "/",      "/dev/null",  "l",    "/dev/full",     "/dev/tty", "/dev/ptmx",
                              "/dev/pts/0",  "sock",   "fifo",       "m/x",  "/proc/self/fd", "/proc",    "/proc/self/fd/5",
                              "/proc/self/maps", "/proc/self/mem", "/proc/self/exe", "/proc/mounts"};

static uint64_t state;
/* Open from the start: the calls may well remove the device. */
static int null;
static char *arena, *constant;

static uint64_t below(uint64_t n) {
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    return state % n;
}

static uint64_t path(void) {
    return (uint64_t)strcpy(arena + below(8) * 512, paths[below(sizeof paths / sizeof *paths)]);
}

static uint64_t pointer(void) {
    switch (below(10)) {
    case 0: return 0;
    case 1: return (uint64_t)arena + ARENA - below(40);
    case 2: return below(-1);
    case 3: return (uint64_t)constant + below(4096);
    default: return (uint64_t)arena + below(ARENA) / 8 * 8;
    }
}

static uint64_t argument(void) {
    switch (below(12)) {
    case 0: return -1;
    case 1: return below(-1);
    case 2: return 1ULL << below(64);
    case 3: return (1ULL << below(64)) - 1;
    case 4: return path();
    case 5: case 6: return pointer();
    case 7: case 8: return below(70);
    default: return 3 + below(20);
    }
}

/* Structures of all kinds: vectors, message headers, poll entries, addresses. */
static void fill_arena(void) {
    uint64_t *words = (uint64_t *)(arena + below(ARENA / 8 - 16) * 8);
    for (int i = 0; i < 16; i++) words[i] = below(3) ? argument() : 0x0000000100000003ULL + below(20);
    struct sockaddr_un *address = (void *)(arena + below(ARENA / 8 - 20) * 8);
    *address = (struct sockaddr_un){AF_UNIX, ""};
    strcpy(address->sun_path + below(2), paths[below(5)]);
}

static void put(int fd, int at) {
    if (fd >= 0 && fd != at) dup2(fd, at), close(fd);
}

/* A file of each kind, at known numbers. */
static void open_files(void) {
    int p[2], unblocked = below(2) ? O_NONBLOCK : 0;
    put(open("a", O_RDWR | O_CREAT, 0600), 3);
    if (pipe2(p, unblocked) == 0) put(p[0], 4), put(p[1], 5);
    if (socketpair(AF_UNIX, SOCK_STREAM | unblocked, 0, p) == 0) put(p[0], 6), put(p[1], 7);
    if (socketpair(AF_UNIX, below(2) ? SOCK_DGRAM : SOCK_SEQPACKET, 0, p) == 0) put(p[0], 8), put(p[1], 9);
    put(eventfd(1, EFD_NONBLOCK), 10);
    put(epoll_create1(0), 11);
    put(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK), 12);
    put(open(".", O_RDONLY), 13);
    mkfifo("fifo", 0600);
    put(open("fifo", O_RDWR | O_NONBLOCK), 14);
    put(memfd_create("x", MFD_ALLOW_SEALING), 15);
    struct sockaddr_un address = {AF_UNIX, "sock"};
    put(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0), 16);
    unlink("sock"), bind(16, (void *)&address, sizeof address), listen(16, 2);
    put(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0), 17);
    connect(17, (void *)&address, sizeof address);
    put(open("/dev/ptmx", O_RDWR | O_NOCTTY), 18);
    unlockpt(18);
    put(open(ptsname(18) ?: "", O_RDWR | O_NOCTTY | O_NONBLOCK), 19);
    put(open("/proc/self/status", O_RDONLY), 20);
    for (int fd = 3; fd < 21; fd++) {
        struct epoll_event event = {EPOLLIN | EPOLLOUT | (below(2) ? EPOLLET : 0), {.fd = fd}};
        epoll_ctl(11, EPOLL_CTL_ADD, fd, &event);
    }
    close_range(40, ~0U, 0);
}

static void one_call(void) {
    long number = calls[below(sizeof calls / sizeof *calls)];
    uint64_t a[6];
    for (int i = 0; i < 6; i++) a[i] = argument();
    if (below(4)) a[0] = 3 + below(18);
    if (below(3) == 0) a[1] = pointer();
    switch (number) {
    case SYS_open: a[1] = below(1 << 23); /* fall through */
    case SYS_mkdir: case SYS_stat: case SYS_mknod: case SYS_symlink: case SYS_rename: case SYS_link: case SYS_unlink:
        a[0] = path();
        break;
    case SYS_openat: a[0] = AT_FDCWD, a[1] = path(), a[2] = below(1 << 23); break;
    case SYS_ioctl: a[1] = 0x5400 + below(128); break;
    case SYS_fcntl: a[1] = below(3) ? below(50) : 1024 + below(16); break;
    case SYS_socket: case SYS_socketpair: a[0] = below(5) ? AF_UNIX : 40, a[1] = below(8), a[2] = 0; break;
    /* The transcript stays where it is. */
    case SYS_close: case SYS_close_range: a[0] = 3 + below(40), a[1] = 50; break;
    case SYS_dup2: case SYS_dup3: a[1] = 3 + below(40); break;
    /* Files stay small, and are never the program's own memory. */
    case SYS_ftruncate: case SYS_truncate: a[1] &= 0xfffff; break;
    case SYS_fallocate: a[2] &= 0xfffff, a[3] &= 0xfffff; break;
    case SYS_mmap: a[0] = 0, a[1] &= 0xfffff, a[3] = MAP_SHARED + below(2); break;
    /* A mask at random could keep the timer away, and a call could last for ever. */
    case SYS_ppoll: case SYS_epoll_pwait: case SYS_pselect6: a[3] = a[4] = a[5] = 0; break;
    }
    syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

static void interrupt(int signo) {
    (void)signo;
}

static void round_of_calls(unsigned seed) {
    state = seed * 0x9e3779b97f4a7c15ULL + 1;
    dup2(null, 0), dup2(null, 1), dup2(null, 2), close(null);
    arena = mmap(NULL, ARENA + 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    munmap(arena + ARENA, 4096);
    constant = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct sigaction action = {.sa_handler = interrupt};
    for (int signo = 1; signo < 32; signo++)
        if (signo != SIGSEGV && signo != SIGBUS) sigaction(signo, &action, NULL);
    struct itimerval timer = {{0, 2000}, {0, 2000}};
    setitimer(ITIMER_REAL, &timer, NULL);
    for (int i = 0; i < CALLS; i++) {
        if (i % 100 == 0) open_files();
        if (i % 8 == 0) fill_arena();
        one_call();
    }
}

static void empty_directory(void) {
    static const char *const names[] = {"d/e", "d/f", "a", "b", "d", "l", "sock", "fifo"};
    for (unsigned i = 0; i < sizeof names / sizeof *names; i++)
        if (unlink(names[i])) rmdir(names[i]);
}

int main(void) {
    struct utsname name;
    uname(&name);
    null = MUST(open("/dev/null", O_RDWR));
    unsigned long free_before = 0;
    for (unsigned seed = 1; seed <= ROUNDS && strstr(name.release, "ampoule"); seed++) {
        pid_t pid = MUST(fork());
        if (pid == 0) {
            round_of_calls(seed);
            _exit(0);
        }
        int status;
        MUST(waitpid(pid, &status, 0));
        if (status) show_status("round", status);
        empty_directory();
        struct sysinfo info;
        sysinfo(&info);
        if (seed == 2) free_before = info.freeram;
        else if (seed == ROUNDS && info.freeram + (4 << 20) < free_before)
            printf("%lu bytes were free, and then %lu\n", free_before, info.freeram);
    }
    printf("survived\n");
    return 0;
}
