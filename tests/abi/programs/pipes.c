// Pipes: capacity, atomicity, blocking, signals, what pipes refuse.
#include "files.h"

static char big[1 << 20];

static void basics(void) {
    section("basics");
    int p[2];
    SHOW(pipe(p));
    V(p[0]), V(p[1]);
    SHOW(fcntl(p[0], F_GETFL));
    SHOW(fcntl(p[1], F_GETFL));
    SHOW(fcntl(p[0], F_GETFD));
    SHOW(write(p[1], "hello", 5));
    int n = 0;
    SHOW(ioctl(p[0], FIONREAD, &n));
    V(n);
    SHOW(ioctl(p[1], FIONREAD, &n));
    char b[10];
    SHOW(read(p[0], b, 3));
    SHOW(read(p[0], b + 3, 10));
    print_bytes("read", b, 5);
    SHOW(read(p[1], b, 1));
    SHOW(write(p[0], b, 1));
    SHOW(lseek(p[0], 0, SEEK_SET));
    SHOW(pread(p[0], b, 1, 0));
    SHOW(pwrite(p[1], b, 1, 0));
    SHOW(preadv2(p[0], &(struct iovec){b, 1}, 1, 0, 0));
    SHOW(ioctl(p[0], TCGETS, b));
    SHOW(read(p[0], b, 0));
    SHOW(write(p[1], b, 0));
    SHOW(close(p[1]));
    SHOW(read(p[0], b, 1));
    SHOW(close(p[0]));
    SHOW(pipe2(p, O_NONBLOCK | O_CLOEXEC));
    SHOW(fcntl(p[0], F_GETFL));
    SHOW(fcntl(p[1], F_GETFL));
    SHOW(fcntl(p[0], F_GETFD));
    SHOW(read(p[0], b, 1));
    SHOW(close(p[0])), SHOW(close(p[1]));
    SHOW(pipe2(p, O_APPEND));
    SHOW(syscall(SYS_pipe2, 8, 0));
    SHOW(pipe(p));
    V(p[0]);
    struct stat st;
    SHOW(fstat(p[0], &st));
    V(st.st_mode), V(st.st_size), V(st.st_nlink);
    close(p[0]), close(p[1]);
}

static void capacity(void) {
    section("capacity");
    int p[2];
    SHOW(pipe2(p, O_NONBLOCK));
    SHOW(fcntl(p[0], F_GETPIPE_SZ));
    SHOW(write(p[1], big, sizeof big));
    SHOW(write(p[1], big, 1));
    SHOW(fcntl(p[1], F_SETPIPE_SZ, 4096));
    SHOW(read(p[0], big, 4096));
    SHOW(write(p[1], big, 5000));
    SHOW(write(p[1], big, 1));
    SHOW(read(p[0], big, sizeof big));
    SHOW(fcntl(p[1], F_SETPIPE_SZ, 4096));
    SHOW(write(p[1], big, 4000));
    SHOW(write(p[1], big, 97));
    SHOW(write(p[1], big, 96));
    SHOW(write(p[1], big, 1));
    SHOW(fcntl(p[1], F_SETPIPE_SZ, 5000));
    SHOW(write(p[1], big, 10000));
    SHOW(fcntl(p[1], F_SETPIPE_SZ, 1 << 20));
    SHOW(fcntl(p[1], F_GETPIPE_SZ));
    SHOW(fcntl(p[1], F_SETPIPE_SZ, 0));
    SHOW(fcntl(p[1], F_SETPIPE_SZ, -1));
    close(p[0]), close(p[1]);
    int fd = open("plain", O_CREAT | O_RDWR, 0600);
    SHOW(fcntl(fd, F_GETPIPE_SZ));
    close(fd);
}

static void blocking(void) {
    section("blocking");
    int p[2], q[2];
    pipe(p), pipe(q);
    CHILD(reader, {
        close(p[1]);
        long total = 0, n;
        while ((n = read(p[0], big, 3000)) > 0)
            total += n;
        printf("reader: %ld\n", total);
        write(q[1], "!", 1);
    });
    close(p[0]);
    SHOW(write(p[1], big, 300000));
    struct iovec v[] = {{big, 50000}, {big, 1}, {big, 70000}};
    SHOW(writev(p[1], v, 3));
    close(p[1]);
    char c;
    SHOW(read(q[0], &c, 1));
    reap("reader", reader);
    CHILD(writer, {
        sleep_ms(20);
        write(q[1], "late", 4);
    });
    char b[10];
    SHOW(read(q[0], b, 10));
    print_bytes("late", b, 4);
    reap("writer", writer);
    close(q[0]), close(q[1]);
}

static void broken(void) {
    section("broken");
    int p[2];
    pipe(p);
    close(p[0]);
    catch_signal(SIGPIPE, 0);
    SHOW(write(p[1], "x", 1));
    V(signals[SIGPIPE]);
    SHOW(write(p[1], "x", 0));
    SHOW(writev(p[1], &(struct iovec){"x", 1}, 1));
    V(signals[SIGPIPE]);
    signal(SIGPIPE, SIG_IGN);
    SHOW(write(p[1], "x", 1));
    signal(SIGPIPE, SIG_DFL);
    CHILD(victim, {
        write(p[1], "x", 1);
        printf("not reached\n");
    });
    reap("victim", victim);
    close(p[1]);
    pipe(p);
    CHILD(quitter, {
        close(p[1]);
        read(p[0], big, 10000);
    });
    close(p[0]);
    catch_signal(SIGPIPE, 0);
    long n = write(p[1], big, 300000);
    printf("partial: %d\n", n >= 65536 && n < 300000);
    V(signals[SIGPIPE]);
    reap("quitter", quitter);
    close(p[1]);
}

static void packets(void) {
    section("packets");
    int p[2];
    SHOW(pipe2(p, O_DIRECT | O_NONBLOCK));
    SHOW(fcntl(p[1], F_GETFL));
    SHOW(fcntl(p[0], F_GETFL));
    SHOW(write(p[1], "one", 3));
    SHOW(write(p[1], "two", 3));
    char b[10];
    SHOW(read(p[0], b, 10));
    SHOW(read(p[0], b, 1));
    SHOW(read(p[0], b, 1));
    close(p[0]), close(p[1]);
}

static void faults(void) {
    section("faults");
    int p[2];
    pipe2(p, O_NONBLOCK);
    char *page = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    munmap(page + 4096, 4096);
    SHOW(write(p[1], NULL, 1));
    SHOW(read(p[0], NULL, 1));
    SHOW(write(p[1], "abc", 3));
    SHOW(read(p[0], NULL, 1));
    SHOW(read(p[0], page, 10));
    struct iovec v[] = {{"abc", 3}, {page + 4096, 3}};
    SHOW(writev(p[1], v, 2));
    SHOW(read(p[0], page, 10));
    close(p[0]), close(p[1]);
}

/* A pipe without a name is opened again at once, whether or not anybody is at its other side. */
static void reopened(void) {
    puts("-- reopened");
    int p[2];
    char path[64], b[8];
    MUST(pipe(p));
    MUST(write(p[1], "left", 4));
    close(p[1]);
    snprintf(path, sizeof path, "/proc/self/fd/%d", p[0]);
    int again = open(path, O_RDONLY);
    IS(again >= 0);
    SHOW(read(again, b, sizeof b));
    SHOW(read(again, b, sizeof b));
    close(p[0]);
    MUST(pipe(p));
    snprintf(path, sizeof path, "/proc/self/fd/%d", p[1]);
    close(p[0]);
    IS(open(path, O_WRONLY) >= 0);
    IS(open(path, O_WRONLY | O_NONBLOCK) >= 0);
}

int main(void) {
    basics();
    capacity();
    blocking();
    broken();
    packets();
    faults();
    reopened();
}
