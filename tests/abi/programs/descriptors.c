// Descriptors: dup, close, fcntl, ioctl, limits.
#include "files.h"
#include <linux/close_range.h>

static void duplicates(void) {
    section("dup");
    int fd = SHOW(open("a", O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    SHOW(fcntl(fd, F_GETFD));
    SHOW(fcntl(fd, F_GETFL));
    int copy = SHOW(dup(fd));
    SHOW(fcntl(copy, F_GETFD));
    write(fd, "abc", 3);
    SHOW(lseek(copy, 0, SEEK_CUR));
    SHOW(dup2(fd, 10));
    SHOW(dup2(fd, fd));
    SHOW(dup2(99, 99));
    SHOW(dup2(99, 5));
    SHOW(dup2(fd, -1));
    SHOW(dup2(fd, 1 << 20));
    SHOW(dup3(fd, 11, O_CLOEXEC));
    SHOW(fcntl(11, F_GETFD));
    SHOW(dup3(fd, 11, 0));
    SHOW(fcntl(11, F_GETFD));
    SHOW(dup3(fd, fd, 0));
    SHOW(dup3(fd, 12, O_NONBLOCK));
    SHOW(fcntl(fd, F_DUPFD, 20));
    SHOW(fcntl(fd, F_DUPFD, 20));
    SHOW(fcntl(fd, F_DUPFD_CLOEXEC, 20));
    SHOW(fcntl(22, F_GETFD));
    SHOW(fcntl(fd, F_DUPFD, -1));
    SHOW(fcntl(fd, F_DUPFD, 1 << 30));
    SHOW(fcntl(99, F_DUPFD, 0));
    SHOW(fcntl(fd, F_SETFD, 0));
    SHOW(fcntl(fd, F_GETFD));
    SHOW(fcntl(fd, F_SETFD, FD_CLOEXEC));
    SHOW(fcntl(fd, F_GETFD));
    SHOW(fcntl(fd, F_SETFL, O_NONBLOCK | O_APPEND | O_RDONLY | O_CREAT));
    SHOW(fcntl(copy, F_GETFL));
    SHOW(fcntl(fd, F_SETFL, 0));
    SHOW(fcntl(fd, F_GETFL));
    SHOW(fcntl(fd, 9999, 0));
    SHOW(fcntl(99, F_GETFL));
    SHOW(fcntl(fd, F_GETOWN));
    SHOW(fcntl(fd, F_GETSIG));
    SHOW(fcntl(fd, F_SETSIG, 100));
    SHOW(fcntl(fd, F_GETLEASE));
    SHOW(close(99));
    SHOW(close(-1));
    SHOW(close_range(20, 10, 0));
    SHOW(close_range(10, 30, 8));
    SHOW(close_range(20, 21, CLOSE_RANGE_CLOEXEC));
    SHOW(fcntl(21, F_GETFD));
    SHOW(close_range(10, 30, 0));
    SHOW(fcntl(21, F_GETFD));
    SHOW(close_range(10, ~0U, 0));
    SHOW(dup(fd));
    SHOW(close_range(4, ~0U, CLOSE_RANGE_UNSHARE));
    SHOW(fcntl(4, F_GETFD));
    close(fd), close(copy);
}

static void limits(void) {
    section("limits");
    struct rlimit limit = {6, 100};
    SHOW(setrlimit(RLIMIT_NOFILE, &limit));
    for (int i = 0; i < 4; i++)
        SHOW(dup(0));
    SHOW(open("a", O_RDONLY));
    SHOW(open("missing", O_RDONLY));
    SHOW(open("created", O_CREAT | O_RDWR, 0600));
    SHOW(access("created", F_OK));
    int p[2];
    SHOW(pipe(p));
    SHOW(close(5));
    SHOW(pipe(p));
    SHOW(dup(0));
    SHOW(dup2(0, 6));
    SHOW(fcntl(0, F_DUPFD, 6));
    SHOW(fcntl(0, F_DUPFD, 5));
    limit.rlim_cur = 100;
    SHOW(setrlimit(RLIMIT_NOFILE, &limit));
    SHOW(dup2(0, 50));
    limit.rlim_cur = 10;
    SHOW(setrlimit(RLIMIT_NOFILE, &limit));
    SHOW(fcntl(50, F_GETFD));
    limit.rlim_cur = 100;
    SHOW(setrlimit(RLIMIT_NOFILE, &limit));
    SHOW(close_range(3, ~0U, 0));
}

static void controls(void) {
    section("ioctl");
    int fd = SHOW(open("a", O_RDWR));
    int n = -1;
    SHOW(ftruncate(fd, 100));
    SHOW(lseek(fd, 30, SEEK_SET));
    SHOW(ioctl(fd, FIONREAD, &n));
    V(n);
    SHOW(lseek(fd, 130, SEEK_SET));
    SHOW(ioctl(fd, FIONREAD, &n));
    V(n);
    SHOW(ioctl(fd, FIOCLEX));
    SHOW(fcntl(fd, F_GETFD));
    SHOW(ioctl(fd, FIONCLEX));
    SHOW(fcntl(fd, F_GETFD));
    n = 1;
    SHOW(ioctl(fd, FIONBIO, &n));
    SHOW(fcntl(fd, F_GETFL));
    n = 0;
    SHOW(ioctl(fd, FIONBIO, &n));
    SHOW(fcntl(fd, F_GETFL));
    SHOW(ioctl(fd, FIONBIO, NULL));
    SHOW(ioctl(fd, TCGETS, &n));
    SHOW(ioctl(fd, TIOCGWINSZ, &n));
    SHOW(ioctl(99, FIONREAD, &n));
    SHOW(isatty(fd));
    int null = SHOW(open("/dev/null", O_RDWR));
    SHOW(ioctl(null, TCGETS, &n));
    SHOW(lseek(null, 100, SEEK_SET));
    char b[8];
    SHOW(read(null, b, 8));
    SHOW(write(null, b, 8));
    SHOW(write(null, NULL, 8));
    SHOW(fsync(null));
    SHOW(ftruncate(null, 0));
    int zero = SHOW(open("/dev/zero", O_RDWR));
    memset(b, 1, 8);
    SHOW(read(zero, b, 8));
    print_bytes("zero", b, 8);
    int full = SHOW(open("/dev/full", O_RDWR));
    SHOW(write(full, b, 8));
    SHOW(write(full, b, 0));
    SHOW(read(full, b, 8));
    int p = SHOW(open("a", O_PATH));
    SHOW(fcntl(p, F_GETFL));
    SHOW(fcntl(p, F_SETFL, 0));
    SHOW(fcntl(p, F_GETFD));
    SHOW(ioctl(p, FIONREAD, &n));
    SHOW(fcntl(p, F_DUPFD, 0));
    SHOW(ftruncate(p, 0));
    SHOW(fchmod(p, 0));
    SHOW(fchown(p, 0, 0));
    close_range(3, ~0U, 0);
}

// Descriptors with FD_CLOEXEC are closed by execve, others are kept.
static void over_exec(const char *self) {
    section("exec");
    int kept = open("a", O_RDWR), gone = open("a", O_RDWR | O_CLOEXEC);
    lseek(kept, 7, SEEK_SET);
    char a[10], b[10];
    sprintf(a, "%d", kept), sprintf(b, "%d", gone);
    CHILD(child, execl(self, self, a, b, NULL));
    reap("child", child);
}

int main(int argc, char **argv) {
    if (argc == 3) {
        SHOW(lseek(atoi(argv[1]), 0, SEEK_CUR));
        SHOW(lseek(atoi(argv[2]), 0, SEEK_CUR));
        return 0;
    }
    duplicates();
    limits();
    controls();
    over_exec("/proc/self/exe");
}
