/* FIFOs, /dev, /proc/self/fd, and what several processes or threads share. */
#include "files.h"
#include <pthread.h>

static void fifos(void) {
    section("fifo");
    char b[100];
    SHOW(mkfifo("p", 0600));
    SHOW(open("p", O_WRONLY | O_NONBLOCK));
    int r = SHOW(open("p", O_RDONLY | O_NONBLOCK));
    SHOW(fcntl(r, F_GETFL));
    SHOW(read(r, b, 10));
    struct pollfd p = {r, POLLIN, 0};
    SHOW(poll(&p, 1, 0));
    int w = SHOW(open("p", O_WRONLY | O_NONBLOCK));
    SHOW(read(r, b, 10));
    SHOW(write(w, "hello", 5));
    SHOW(read(r, b, 10));
    close(w);
    SHOW(read(r, b, 10));
    SHOW(poll(&p, 1, 0));
    V(p.revents);
    struct stat st, other;
    fstat(r, &st), stat("p", &other);
    printf("%o\n", st.st_mode);
    IS(st.st_ino == other.st_ino && st.st_dev == other.st_dev);
    SHOW(fchmod(r, 0640));
    stat("p", &other);
    printf("%o\n", other.st_mode);
    SHOW(lseek(r, 0, SEEK_SET));
    SHOW(fcntl(r, F_GETPIPE_SZ));
    close(r);
    CHILD(writer, {
        int fd = open("p", O_WRONLY);
        write(fd, "from the child", 14);
    });
    r = SHOW(open("p", O_RDONLY));
    SHOW(read(r, b, 100));
    SHOW(read(r, b, 100));
    reap("writer", writer);
    close(r);
    CHILD(reader, {
        sleep_ms(20);
        int fd = open("p", O_RDONLY);
        print_bytes("reader", b, read(fd, b, 100));
    });
    w = open("p", O_WRONLY);
    int written = write(w, "to the child", 12);
    close(w);
    reap("reader", reader);
    V(written);
    int both = SHOW(open("p", O_RDWR));
    SHOW(write(both, "self", 4));
    SHOW(read(both, b, 10));
    fcntl(both, F_SETFL, O_NONBLOCK);
    SHOW(read(both, b, 10));
    SHOW(unlink("p"));
    SHOW(write(both, "x", 1));
    close(both);
    mkfifo("q", 0600);
    catch_signal(SIGALRM, 0);
    struct itimerval timer = {.it_value = {0, 20000}};
    setitimer(ITIMER_REAL, &timer, NULL);
    SHOW(open("q", O_RDONLY));
    alarm(60);
    SHOW(open("q", O_PATH));
    SHOW(truncate("q", 0));
    close(3);
}

static void reopening(void) {
    section("/proc/self/fd");
    char path[40], b[100];
    int fd = open("f", O_RDWR | O_CREAT, 0600), p[2];
    write(fd, "content", 7);
    sprintf(path, "/proc/self/fd/%d", fd);
    int again = SHOW(open(path, O_RDONLY));
    SHOW(read(again, b, 100));
    SHOW(write(again, "x", 1));
    SHOW(fcntl(again, F_GETFL));
    close(again);
    SHOW(unlink("f"));
    again = SHOW(open(path, O_RDONLY));
    SHOW(read(again, b, 100));
    close(again);
    pipe(p);
    sprintf(path, "/dev/fd/%d", p[1]);
    again = SHOW(open(path, O_WRONLY));
    SHOW(write(again, "through", 7));
    SHOW(read(p[0], b, 100));
    close(p[1]);
    SHOW(fcntl(p[0], F_SETFL, O_NONBLOCK));
    SHOW(read(p[0], b, 100));
    close(again);
    SHOW(read(p[0], b, 100));
    sprintf(path, "/proc/self/fd/%d", p[0]);
    struct stat st;
    SHOW(stat(path, &st));
    printf("%o\n", st.st_mode);
    SHOW(lstat(path, &st));
    printf("%o\n", st.st_mode & S_IFMT);
    int n = readlink(path, b, sizeof b);
    IS(n > 6 && memcmp(b, "pipe:[", 6) == 0);
    int s[2];
    socketpair(AF_UNIX, SOCK_STREAM, 0, s);
    sprintf(path, "/proc/self/fd/%d", s[0]);
    SHOW(open(path, O_RDWR));
    n = readlink(path, b, sizeof b);
    IS(n > 8 && memcmp(b, "socket:[", 8) == 0);
    SHOW(open("/proc/self/fd/99", O_RDONLY));
    fflush(stdout);
    int out = SHOW(open("/dev/stdout", O_WRONLY));
    SHOW(write(out, "by /dev/stdout\n", 15));
    SHOW(fchdir(p[0]));
    SHOW(fchmod(p[0], 0600));
    SHOW(fchown(p[0], -1, -1));
    close_range(3, ~0U, 0);
}

static void devices(void) {
    section("/dev");
    char b[100];
    struct stat st;
    const char *names[] = {"/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty", "/dev/ptmx"};
    for (unsigned i = 0; i < sizeof names / sizeof *names; i++)
        if (stat(names[i], &st)) printf("%s: %s\n", names[i], errno_name(errno));
        else printf("%s: %o %lx\n", names[i], st.st_mode & S_IFMT, (long)st.st_rdev);
    int fd = SHOW(open("/dev/urandom", O_RDONLY));
    SHOW(read(fd, b, 100));
    SHOW(write(fd, b, 10));
    SHOW(open("/dev/tty", O_RDWR));
    SHOW(open("/dev/missing", O_RDWR));
    SHOW(open("/dev/null", O_RDONLY | O_TRUNC | O_CREAT, 0600));
    SHOW(truncate("/dev/null", 0));
    char *map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, open("/dev/zero", O_RDWR), 0);
    IS(map != MAP_FAILED && map[0] == 0);
    IS(mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, open("/dev/null", O_RDWR), 0) == MAP_FAILED);
    V(errno);
    close_range(3, ~0U, 0);
}

static void *closer(void *argument) {
    sleep_ms(20);
    int *p = argument;
    close(p[2]);
    write(p[1], "x", 1);
    return NULL;
}

static void sharing(void) {
    section("sharing");
    int fd = open("shared", O_RDWR | O_CREAT, 0600);
    write(fd, "0123456789", 10);
    lseek(fd, 3, SEEK_SET);
    CHILD(child, {
        char c;
        read(fd, &c, 1);
        printf("child: %c\n", c);
        fcntl(fd, F_SETFL, O_APPEND);
        close(fd);
    });
    reap("child", child);
    SHOW(lseek(fd, 0, SEEK_CUR));
    SHOW(fcntl(fd, F_GETFL));
    int p[3];
    pipe(p);
    p[2] = dup(p[0]);
    pthread_t thread;
    pthread_create(&thread, NULL, closer, p);
    char c;
    SHOW(read(p[2], &c, 1));
    pthread_join(thread, NULL);
    SHOW(read(p[2], &c, 1));
    umask(0);
    CHILD(masker, {
        umask(077);
        chdir("/");
    });
    reap("masker", masker);
    SHOW(umask(022));
    SHOW(access("shared", F_OK));
    close_range(3, ~0U, 0);
}

static void interruptions(void) {
    section("interruptions");
    int p[2];
    pipe(p);
    char c;
    static char big[100000];
    struct itimerval timer = {.it_value = {0, 20000}};
    catch_signal(SIGALRM, 0);
    setitimer(ITIMER_REAL, &timer, NULL);
    SHOW(read(p[0], &c, 1));
    setitimer(ITIMER_REAL, &timer, NULL);
    SHOW(write(p[1], big, sizeof big));
    setitimer(ITIMER_REAL, &timer, NULL);
    SHOW(write(p[1], big, sizeof big));
    V(signals[SIGALRM]);
    while (read(p[0], big, sizeof big) == sizeof big) {}
    catch_signal(SIGALRM, SA_RESTART);
    CHILD(writer, {
        sleep_ms(100);
        write(p[1], "z", 1);
    });
    setitimer(ITIMER_REAL, &timer, NULL);
    SHOW(read(p[0], &c, 1));
    V(signals[SIGALRM]);
    reap("writer", writer);
    int s[2];
    socketpair(AF_UNIX, SOCK_STREAM, 0, s);
    catch_signal(SIGALRM, 0);
    setitimer(ITIMER_REAL, &timer, NULL);
    SHOW(recv(s[0], &c, 1, 0));
    signal(SIGALRM, SIG_IGN);
    setitimer(ITIMER_REAL, &timer, NULL);
    CHILD(sender, {
        sleep_ms(60);
        write(s[1], "s", 1);
    });
    SHOW(recv(s[0], &c, 1, 0));
    reap("sender", sender);
    catch_signal(SIGALRM, 0);
    alarm(60);
    close_range(3, ~0U, 0);
}

int main(void) {
    fifos();
    reopening();
    devices();
    sharing();
    interruptions();
    return 0;
}
