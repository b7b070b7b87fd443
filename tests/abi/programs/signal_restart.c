/* What a signal does to a system call that waits: go on after the handler, or fail with EINTR. */
#include "abi.h"
#include <poll.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/time.h>

static volatile int handled;

static void handler(int signo) {
    (void)signo;
    handled++;
}

static void with(int flags) {
    struct sigaction action = {.sa_handler = handler, .sa_flags = flags};
    MUST(sigaction(SIGALRM, &action, NULL));
    handled = 0;
}

static void soon(void) {
    struct itimerval timer = {.it_value = {0, 30000}};
    setitimer(ITIMER_REAL, &timer, NULL);
}

/* Writes a byte to a pipe after the timer has gone off. */
static pid_t feed(int fd) {
    pid_t pid = MUST(fork());
    if (pid == 0) {
        sleep_ms(150);
        write(fd, "x", 1);
        _exit(0);
    }
    return pid;
}

static void transfers(int flags) {
    char c;
    int ends[2];
    MUST(pipe(ends));
    with(flags);
    pid_t pid = feed(ends[1]);
    soon();
    SHOW(read(ends[0], &c, 1));
    SHOW(handled);
    reap("feeder", pid);
    if (!(flags & SA_RESTART)) MUST(read(ends[0], &c, 1));
    /* A full pipe: the reader comes after the signal. */
    static char full[65536];
    MUST(write(ends[1], full, 65536));
    pid = MUST(fork());
    if (pid == 0) {
        sleep_ms(150);
        for (int i = 0; i < (flags ? 20 : 16); i++) read(ends[0], full, 4096);
        _exit(0);
    }
    soon();
    SHOW(write(ends[1], full, 16384));
    SHOW(handled);
    reap("drainer", pid);
    close(ends[0]), close(ends[1]);
    int pair[2];
    MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
    pid = feed(pair[1]);
    soon();
    SHOW(recv(pair[0], &c, 1, 0));
    reap("sender", pid);
    pid = MUST(fork());
    if (pid == 0) {
        sleep_ms(150);
        _exit(5);
    }
    int status = 0;
    soon();
    pid_t got = waitpid(pid, &status, 0);
    printf("waitpid: %s\n", got == pid ? "child" : errno_name(errno));
    if (got != pid) reap("child", pid);
    SHOW(handled);
}

static void never_restarted(void) {
    int ends[2];
    MUST(pipe(ends));
    struct pollfd entry = {ends[0], POLLIN, 0};
    with(SA_RESTART);
    soon();
    SHOW(poll(&entry, 1, 5000));
    soon();
    fd_set set;
    FD_ZERO(&set);
    FD_SET(ends[0], &set);
    struct timeval limit = {5, 0};
    SHOW(select(ends[0] + 1, &set, NULL, NULL, &limit));
    IS(limit.tv_sec == 4);
    int epoll = MUST(epoll_create1(0));
    struct epoll_event event = {.events = EPOLLIN};
    MUST(epoll_ctl(epoll, EPOLL_CTL_ADD, ends[0], &event));
    soon();
    SHOW(epoll_wait(epoll, &event, 1, 5000));
    soon();
    SHOW(pause());
    struct timespec wish = {5, 0}, rest = {0, 0};
    soon();
    SHOW(nanosleep(&wish, &rest));
    IS(rest.tv_sec == 4 && rest.tv_nsec > 500000000);
    soon();
    SHOW(clock_nanosleep(CLOCK_MONOTONIC, 0, &wish, &rest));
    IS(rest.tv_sec == 4);
    clock_gettime(CLOCK_MONOTONIC, &wish);
    wish.tv_sec += 5;
    soon();
    SHOW(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &wish, NULL));
    SHOW(handled);
}

/* Signals that nothing happens on interrupt nothing. */
static void not_interrupted(void) {
    signal(SIGALRM, SIG_IGN);
    int ends[2];
    MUST(pipe(ends));
    struct pollfd entry = {ends[0], POLLIN, 0};
    pid_t pid = feed(ends[1]);
    soon();
    SHOW(poll(&entry, 1, 5000));
    reap("feeder", pid);
    long long start = now_ms();
    struct timespec wish = {0, 100000000};
    soon();
    SHOW(nanosleep(&wish, NULL));
    IS(now_ms() - start >= 100);
    /* Stopping and going on does not end a sleep either. */
    pid = MUST(fork());
    if (pid == 0) {
        wish.tv_nsec = 300000000;
        SHOW(nanosleep(&wish, NULL));
        _exit(0);
    }
    sleep_ms(50);
    MUST(kill(pid, SIGSTOP));
    MUST(waitpid(pid, NULL, WUNTRACED));
    MUST(kill(pid, SIGCONT));
    reap("sleeper", pid);
}

/* ppoll and pselect let a signal in only while they wait. */
static void masks_while_waiting(void) {
    with(0);
    sigset_t blocked, none;
    sigemptyset(&none);
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGALRM);
    MUST(sigprocmask(SIG_BLOCK, &blocked, NULL));
    raise(SIGALRM);
    SHOW(handled);
    struct timespec limit = {5, 0};
    SHOW(ppoll(NULL, 0, &limit, &none));
    SHOW(handled);
    raise(SIGALRM);
    SHOW(pselect(0, NULL, NULL, NULL, &limit, &none));
    raise(SIGALRM);
    struct epoll_event event;
    SHOW(epoll_pwait(MUST(epoll_create1(0)), &event, 1, 5000, &none));
    SHOW(handled);
    sigset_t now;
    MUST(sigprocmask(SIG_BLOCK, NULL, &now));
    SHOW(sigismember(&now, SIGALRM));
}

int main(void) {
    transfers(SA_RESTART);
    transfers(0);
    never_restarted();
    not_interrupted();
    masks_while_waiting();
}
