/* poll, ppoll, select, pselect: readiness, time limits, signals. */
#include "files.h"
#include <sys/eventfd.h>

static void show_poll(const char *what, struct pollfd *fds, int count, int timeout) {
    int ready = poll(fds, count, timeout);
    printf("%s: %d", what, ready);
    if (ready < 0) printf(" %s", errno_name(errno));
    for (int i = 0; i < count; i++) printf(" %x", fds[i].revents);
    printf("\n");
}

static void readiness(void) {
    section("poll");
    int p[2];
    pipe(p);
    struct pollfd fds[] = {{p[0], POLLIN | POLLRDNORM | POLLOUT, 0}, {p[1], POLLIN | POLLOUT | POLLWRNORM, 0}};
    show_poll("empty pipe", fds, 2, 0);
    write(p[1], "x", 1);
    show_poll("filled pipe", fds, 2, 1000);
    struct pollfd none[] = {{p[0], 0, 0}, {-1, POLLIN, 7}, {99, POLLIN, 0}, {-99, POLLIN, 7}};
    show_poll("nothing wanted", none, 4, 1000);
    close(p[1]);
    struct pollfd reader = {p[0], POLLIN, 0};
    show_poll("hung up with data", &reader, 1, 1000);
    char b[10];
    read(p[0], b, 10);
    show_poll("hung up", &reader, 1, 1000);
    reader.events = 0;
    show_poll("hung up, nothing wanted", &reader, 1, 1000);
    close(p[0]);
    pipe(p);
    close(p[0]);
    struct pollfd writer = {p[1], POLLOUT, 0};
    show_poll("no reader", &writer, 1, 1000);
    close(p[1]);
    int fd = open("f", O_RDWR | O_CREAT, 0600), dir = open(".", O_RDONLY), path = open("f", O_PATH);
    int null = open("/dev/null", O_RDWR);
    struct pollfd files[] = {{fd, POLLIN | POLLOUT | POLLPRI, 0}, {dir, POLLIN, 0}, {path, POLLIN, 0}, {null, POLLIN, 0}};
    show_poll("files", files, 4, 0);
    close(fd), close(dir), close(path), close(null);
    pipe(p);
    fcntl(p[1], F_SETFL, O_NONBLOCK);
    static char big[65536];
    write(p[1], big, sizeof big);
    writer = (struct pollfd){p[1], POLLOUT, 0};
    show_poll("full pipe", &writer, 1, 0);
    read(p[0], big, 4095);
    show_poll("less full pipe", &writer, 1, 0);
    read(p[0], big, 1);
    show_poll("pipe with a free page", &writer, 1, 0);
    close(p[0]), close(p[1]);
    SHOW(poll(NULL, 1, 0));
    SHOW(poll(NULL, 0, 0));
    SHOW(poll(NULL, 0, 5));
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    SHOW(poll(files, limit.rlim_cur + 1, 0));
}

static void waiting(void) {
    section("waiting");
    int p[2], q[2];
    pipe(p), pipe(q);
    struct pollfd fds[] = {{p[0], POLLIN, 0}, {q[0], POLLIN, 0}};
    long long before = now_ms();
    show_poll("timeout", fds, 2, 30);
    long long spent = now_ms() - before;
    IS(spent >= 29 && spent < 1000);
    CHILD(writer, {
        sleep_ms(20);
        write(q[1], "x", 1);
        sleep_ms(20);
        write(p[1], "y", 1);
    });
    show_poll("first", fds, 2, -1);
    fds[1].fd = -1;
    show_poll("second", fds, 2, 5000);
    reap("writer", writer);
    catch_signal(SIGALRM, SA_RESTART);
    struct itimerval timer = {.it_value = {0, 20000}};
    fds[0].fd = -1;
    setitimer(ITIMER_REAL, &timer, NULL);
    show_poll("signal", fds, 2, -1);
    V(signals[SIGALRM]);
    alarm(60);
    close(p[0]), close(p[1]), close(q[0]), close(q[1]);
}

static void masks(void) {
    section("ppoll");
    catch_signal(SIGUSR1, 0);
    sigset_t block, empty, old;
    sigemptyset(&block), sigaddset(&block, SIGUSR1), sigemptyset(&empty);
    sigprocmask(SIG_BLOCK, &block, NULL);
    kill(getpid(), SIGUSR1);
    V(signals[SIGUSR1]);
    struct timespec none = {0, 0}, second = {1, 0};
    SHOW(ppoll(NULL, 0, &none, NULL));
    V(signals[SIGUSR1]);
    SHOW(ppoll(NULL, 0, &second, &empty));
    V(signals[SIGUSR1]);
    sigprocmask(SIG_BLOCK, NULL, &old);
    V(sigismember(&old, SIGUSR1));
    kill(getpid(), SIGUSR1);
    SHOW(ppoll(NULL, 0, &none, &empty));
    V(signals[SIGUSR1]);
    int p[2];
    pipe(p);
    write(p[1], "x", 1);
    struct pollfd fd = {p[0], POLLIN, 0};
    kill(getpid(), SIGUSR1);
    SHOW(ppoll(&fd, 1, &second, &empty));
    V(signals[SIGUSR1]);
    SHOW(sigprocmask(SIG_UNBLOCK, &block, NULL));
    V(signals[SIGUSR1]);
    struct timespec invalid = {0, 1000000000};
    SHOW(ppoll(&fd, 1, &invalid, NULL));
    invalid = (struct timespec){-1, 0};
    SHOW(ppoll(&fd, 1, &invalid, NULL));
    SHOW(syscall(SYS_ppoll, &fd, 1, NULL, &empty, 4));
    SHOW(syscall(SYS_ppoll, &fd, 1, NULL, NULL, 4));
    close(p[0]), close(p[1]);
}

static void show_select(const char *what, int n, fd_set *r, fd_set *w, fd_set *e, struct timeval *t) {
    int ready = select(n, r, w, e, t);
    printf("%s: %d", what, ready);
    if (ready < 0) printf(" %s", errno_name(errno));
    for (int i = 0; i < 12; i++)
        printf(" %d%d%d", r && FD_ISSET(i, r), w && FD_ISSET(i, w), e && FD_ISSET(i, e));
    printf("\n");
}

static void selecting(void) {
    section("select");
    int p[2];
    pipe(p);
    fd_set r, w, e;
    struct timeval t = {0, 0};
    FD_ZERO(&r); FD_ZERO(&w); FD_ZERO(&e);
    FD_SET(p[0], &r), FD_SET(p[1], &r), FD_SET(p[0], &w), FD_SET(p[1], &w), FD_SET(p[0], &e), FD_SET(p[1], &e);
    show_select("empty", 10, &r, &w, &e, &t);
    write(p[1], "x", 1);
    FD_SET(p[0], &r), FD_SET(p[1], &w);
    show_select("filled", 10, &r, &w, NULL, NULL);
    FD_SET(p[0], &r), FD_SET(p[1], &w);
    show_select("few", p[1], &r, &w, NULL, &t);
    FD_ZERO(&r); FD_SET(p[0], &r), FD_SET(30, &r);
    show_select("bad", 31, &r, NULL, NULL, &t);
    show_select("not so bad", 30, &r, NULL, NULL, &t);
    show_select("negative", -1, &r, NULL, NULL, &t);
    close(p[1]);
    char b[4];
    read(p[0], b, 4);
    FD_SET(p[0], &r);
    show_select("hung up", 10, &r, NULL, NULL, NULL);
    close(p[0]);
    t = (struct timeval){-1, 0};
    SHOW(select(0, NULL, NULL, NULL, &t));
    t = (struct timeval){0, 20000};
    SHOW(select(0, NULL, NULL, NULL, &t));
    IS(t.tv_sec == 0 && t.tv_usec == 0);
    pipe(p);
    FD_ZERO(&r); FD_SET(p[0], &r);
    CHILD(writer, {
        sleep_ms(20);
        write(p[1], "x", 1);
    });
    t = (struct timeval){5, 0};
    SHOW(select(10, &r, NULL, NULL, &t));
    IS(t.tv_sec == 4 && t.tv_usec > 0);
    reap("writer", writer);
    SHOW(select(10, (fd_set *)8, NULL, NULL, &t));
    struct timespec none = {0, 0};
    SHOW(pselect(10, &r, NULL, NULL, &none, NULL));
    catch_signal(SIGUSR2, SA_RESTART);
    sigset_t block, empty;
    sigemptyset(&block), sigaddset(&block, SIGUSR2), sigemptyset(&empty);
    sigprocmask(SIG_BLOCK, &block, NULL);
    kill(getpid(), SIGUSR2);
    struct timespec second = {1, 0};
    SHOW(pselect(0, NULL, NULL, NULL, &second, &empty));
    V(signals[SIGUSR2]);
    long broken[] = {(long)&empty, 4};
    SHOW(syscall(SYS_pselect6, 0, NULL, NULL, NULL, &second, broken));
    close(p[0]), close(p[1]);
}

int main(void) {
    readiness();
    waiting();
    masks();
    selecting();
    return 0;
}
