// A command that runs as root in the guest and tries to speak for the agent, or to take it over. It prints what it
// achieved; a line for each. It is to print nothing.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/vm_sockets.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

static void achieved(const char *what, long result) {
    if (result >= 0) printf("%s\n", what);
}

static int vsock(unsigned cid, unsigned port, int (*how)(int, const struct sockaddr *, socklen_t)) {
    int fd = socket(AF_VSOCK, SOCK_STREAM, 0);
    struct sockaddr_vm at = {.svm_family = AF_VSOCK, .svm_cid = cid, .svm_port = port};
    int result = fd < 0 ? -1 : how(fd, (const struct sockaddr *)&at, sizeof at);
    if (fd >= 0) close(fd);
    return result;
}

int main(void) {
    // The agent's port of the host, which takes one connection, and others, where nobody is.
    static const unsigned ports[] = {1024, 0, 1, 22, 1023, 1025, 2375, 65535, 0x7fffffff, 0xfffffffe, 0xffffffff};
    char line[100], link[100];
    for (unsigned cid = 0; cid < 4; cid++) {
        for (unsigned i = 0; i < LENGTH(ports); i++) {
            snprintf(line, sizeof line, "connected to port %u of %u", ports[i], cid);
            achieved(line, vsock(cid, ports[i], connect));
        }
    }
    // The agent's descriptors: its connection is none that can be opened again.
    for (int fd = 0; fd < 64; fd++) {
        snprintf(line, sizeof line, "/proc/1/fd/%d", fd);
        ssize_t len = readlink(line, link, sizeof link - 1);
        if (len > 0 && (link[len] = 0, strncmp(link, "socket:", 7) == 0)) achieved(line, open(line, O_RDWR));
        achieved("took a descriptor", syscall(SYS_pidfd_getfd, syscall(SYS_pidfd_open, 1, 0), fd, 0));
    }
    static const char *const doors[] = {"/proc/1/mem", "/dev/mem", "/dev/kmem", "/dev/port", "/proc/kcore",
        "/proc/sysrq-trigger", "/dev/pmem1"};
    for (unsigned i = 0; i < LENGTH(doors); i++) achieved(doors[i], open(doors[i], O_RDWR));
    achieved("the agent's program", open("/proc/1/exe", O_RDWR));
    long word = 0;
    struct iovec here = {&word, sizeof word}, there = {(void *)0x400000, sizeof word};
    achieved("attached to the agent", ptrace(PTRACE_ATTACH, 1, 0, 0));
    achieved("read the agent's memory", syscall(SYS_process_vm_readv, 1, &here, 1, &there, 1, 0));
    achieved("wrote the agent's memory", syscall(SYS_process_vm_writev, 1, &here, 1, &there, 1, 0));
    achieved("loaded a module", syscall(SYS_init_module, "", 0, ""));
    achieved("loaded a kernel", syscall(SYS_kexec_load, 0, 0, 0, 0));
    achieved("reached ports", syscall(SYS_ioperm, 0, 1024, 1));
    achieved("reached all ports", syscall(SYS_iopl, 3));
    fflush(stdout);
    return 7;
}
