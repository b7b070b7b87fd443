/* epoll, eventfd, timerfd, signalfd. */
#include "files.h"
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>

static void show_wait(const char *what, int epoll, int limit, int timeout) {
    struct epoll_event events[8];
    int count = epoll_wait(epoll, events, limit, timeout);
    printf("%s: %d", what, count);
    if (count < 0) printf(" %s", errno_name(errno));
    for (int i = 0; i < count; i++) printf(" %x/%llu", events[i].events, (unsigned long long)events[i].data.u64);
    printf("\n");
}

static int control(int epoll, int op, int fd, unsigned events, unsigned long long data) {
    struct epoll_event event = {.events = events, .data.u64 = data};
    return epoll_ctl(epoll, op, fd, &event);
}

static void basics(void) {
    section("epoll");
    int ep = SHOW(epoll_create1(EPOLL_CLOEXEC));
    SHOW(fcntl(ep, F_GETFD));
    SHOW(fcntl(ep, F_GETFL));
    SHOW(epoll_create(0));
    SHOW(epoll_create(-1));
    SHOW(close(SHOW(epoll_create(5))));
    SHOW(epoll_create1(1));
    int p[2];
    pipe(p);
    SHOW(control(ep, EPOLL_CTL_ADD, p[0], EPOLLIN, 0x123456789abcULL));
    SHOW(control(ep, EPOLL_CTL_ADD, p[0], EPOLLIN, 1));
    SHOW(control(ep, EPOLL_CTL_ADD, p[1], EPOLLOUT, 2));
    SHOW(control(ep, EPOLL_CTL_MOD, 0, EPOLLOUT, 2));
    SHOW(control(ep, EPOLL_CTL_DEL, 99, 0, 0));
    SHOW(control(99, EPOLL_CTL_ADD, p[0], 0, 0));
    SHOW(control(p[0], EPOLL_CTL_ADD, p[1], 0, 0));
    SHOW(control(ep, EPOLL_CTL_ADD, ep, 0, 0));
    SHOW(control(ep, 77, p[0], 0, 0));
    SHOW(epoll_ctl(ep, EPOLL_CTL_MOD, p[0], NULL));
    int file = open("f", O_CREAT | O_RDWR, 0600), dir = open(".", O_RDONLY), null = open("/dev/null", O_RDWR);
    SHOW(control(ep, EPOLL_CTL_ADD, file, EPOLLIN, 0));
    SHOW(control(ep, EPOLL_CTL_ADD, dir, EPOLLIN, 0));
    SHOW(control(ep, EPOLL_CTL_ADD, null, EPOLLIN, 0));
    close(file), close(dir), close(null);
    show_wait("writable", ep, 8, 0);
    write(p[1], "x", 1);
    show_wait("both", ep, 8, -1);
    show_wait("one at a time", ep, 1, -1);
    show_wait("one at a time", ep, 1, -1);
    SHOW(control(ep, EPOLL_CTL_MOD, p[1], 0, 3));
    show_wait("no longer wanted", ep, 8, 0);
    SHOW(epoll_ctl(ep, EPOLL_CTL_DEL, p[1], NULL));
    SHOW(epoll_ctl(ep, EPOLL_CTL_DEL, p[1], NULL));
    SHOW(control(ep, EPOLL_CTL_MOD, p[1], 0, 0));
    struct epoll_event event;
    SHOW(epoll_wait(ep, &event, 0, 0));
    SHOW(epoll_wait(ep, &event, -1, 0));
    SHOW(epoll_wait(99, &event, 1, 0));
    SHOW(epoll_wait(p[0], &event, 1, 0));
    SHOW(epoll_wait(ep, (void *)8, 1, 0));
    show_wait("still there", ep, 8, 0);
    close(p[1]);
    show_wait("hung up", ep, 8, 0);
    int copy = dup(p[0]);
    close(p[0]);
    show_wait("a copy is open", ep, 8, 0);
    close(copy);
    show_wait("closed", ep, 8, 0);
    close(ep);
}

static void kinds(void) {
    section("edge and one-shot");
    int ep = epoll_create1(0), p[2];
    pipe(p);
    SHOW(control(ep, EPOLL_CTL_ADD, p[0], EPOLLIN | EPOLLET, 1));
    write(p[1], "x", 1);
    show_wait("edge", ep, 8, 0);
    show_wait("no new edge", ep, 8, 0);
    write(p[1], "x", 1);
    show_wait("new edge", ep, 8, 0);
    char b[10];
    read(p[0], b, 10);
    show_wait("drained", ep, 8, 0);
    SHOW(control(ep, EPOLL_CTL_MOD, p[0], EPOLLIN | EPOLLONESHOT, 2));
    write(p[1], "x", 1);
    show_wait("one shot", ep, 8, 0);
    write(p[1], "x", 1);
    show_wait("spent", ep, 8, 0);
    SHOW(control(ep, EPOLL_CTL_MOD, p[0], EPOLLIN | EPOLLONESHOT, 3));
    show_wait("rearmed", ep, 8, 0);
    SHOW(control(ep, EPOLL_CTL_DEL, p[0], 0, 0));
    int outer = epoll_create1(0);
    SHOW(control(ep, EPOLL_CTL_ADD, p[0], EPOLLIN, 4));
    SHOW(control(outer, EPOLL_CTL_ADD, ep, EPOLLIN, 5));
    SHOW(control(ep, EPOLL_CTL_ADD, outer, EPOLLIN, 6));
    show_wait("nested", outer, 8, 0);
    struct pollfd fd = {outer, POLLIN, 0};
    SHOW(poll(&fd, 1, 0));
    read(p[0], b, 10);
    show_wait("nested, drained", outer, 8, 0);
    CHILD(writer, {
        sleep_ms(20);
        write(p[1], "x", 1);
    });
    show_wait("nested, waited for", outer, 8, 5000);
    reap("writer", writer);
    read(p[0], b, 10);
    long long before = now_ms();
    show_wait("timeout", outer, 8, 30);
    IS(now_ms() - before >= 29);
    catch_signal(SIGALRM, SA_RESTART);
    struct itimerval timer = {.it_value = {0, 20000}};
    setitimer(ITIMER_REAL, &timer, NULL);
    show_wait("signal", outer, 8, -1);
    alarm(60);
    sigset_t block, empty;
    sigemptyset(&block), sigaddset(&block, SIGUSR1), sigemptyset(&empty);
    catch_signal(SIGUSR1, 0);
    sigprocmask(SIG_BLOCK, &block, NULL);
    kill(getpid(), SIGUSR1);
    struct epoll_event event;
    SHOW(epoll_pwait(ep, &event, 1, 10, NULL));
    SHOW(epoll_pwait(ep, &event, 1, 1000, &empty));
    V(signals[SIGUSR1]);
    struct timespec short_time = {0, 10000000};
    SHOW(syscall(SYS_epoll_pwait2, ep, &event, 1, &short_time, NULL, 8));
    short_time.tv_nsec = -1;
    SHOW(syscall(SYS_epoll_pwait2, ep, &event, 1, &short_time, NULL, 8));
    close(ep), close(outer), close(p[0]), close(p[1]);
}

static void counters(void) {
    section("eventfd");
    int fd = SHOW(eventfd(3, EFD_NONBLOCK | EFD_CLOEXEC));
    SHOW(fcntl(fd, F_GETFL));
    uint64_t value = 0;
    SHOW(read(fd, &value, 8));
    V(value);
    SHOW(read(fd, &value, 8));
    SHOW(read(fd, &value, 7));
    SHOW(write(fd, &(uint64_t){5}, 8));
    SHOW(write(fd, &(uint64_t){7}, 8));
    SHOW(read(fd, &value, 16));
    V(value);
    SHOW(write(fd, &(uint64_t){-1}, 8));
    SHOW(write(fd, &(uint64_t){-2}, 8));
    SHOW(write(fd, &(uint64_t){1}, 8));
    SHOW(write(fd, &(uint64_t){0}, 8));
    SHOW(write(fd, &value, 4));
    struct pollfd p = {fd, POLLIN | POLLOUT, 0};
    SHOW(poll(&p, 1, 0));
    V(p.revents);
    SHOW(read(fd, &value, 8));
    SHOW(poll(&p, 1, 0));
    V(p.revents);
    SHOW(lseek(fd, 0, SEEK_SET));
    SHOW(pread(fd, &value, 8, 0));
    close(fd);
    fd = SHOW(eventfd(2, EFD_SEMAPHORE));
    SHOW(read(fd, &value, 8));
    V(value);
    SHOW(read(fd, &value, 8));
    CHILD(poster, {
        sleep_ms(20);
        write(fd, &(uint64_t){1}, 8);
    });
    SHOW(read(fd, &value, 8));
    reap("poster", poster);
    SHOW(eventfd(0, 77));
    SHOW(write(fd, &(uint64_t){-2}, 8));
    CHILD(taker, {
        sleep_ms(20);
        read(fd, &value, 8);
    });
    SHOW(write(fd, &(uint64_t){1}, 8));
    reap("taker", taker);
    close(fd);
}

static struct itimerspec setting(long value_ms, long interval_ms) {
    return (struct itimerspec){{interval_ms / 1000, interval_ms % 1000 * 1000000},
                               {value_ms / 1000, value_ms % 1000 * 1000000}};
}

static void timers(void) {
    section("timerfd");
    int fd = SHOW(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK));
    SHOW(timerfd_create(77, 0));
    SHOW(timerfd_create(CLOCK_MONOTONIC, 77));
    uint64_t ticks = 0;
    SHOW(read(fd, &ticks, 8));
    struct itimerspec set = setting(20, 0), old;
    SHOW(timerfd_settime(fd, 0, &set, &old));
    V(old.it_value.tv_nsec);
    SHOW(timerfd_gettime(fd, &old));
    IS(old.it_value.tv_nsec > 0 && old.it_value.tv_nsec <= 20000000);
    SHOW(read(fd, &ticks, 8));
    struct pollfd p = {fd, POLLIN, 0};
    SHOW(poll(&p, 1, 1000));
    SHOW(read(fd, &ticks, 4));
    SHOW(read(fd, &ticks, 8));
    V(ticks);
    SHOW(read(fd, &ticks, 8));
    SHOW(timerfd_gettime(fd, &old));
    V(old.it_value.tv_nsec);
    fcntl(fd, F_SETFL, 0);
    set = setting(10, 10);
    SHOW(timerfd_settime(fd, 0, &set, NULL));
    sleep_ms(35);
    SHOW(read(fd, &ticks, 8));
    IS(ticks >= 3 && ticks < 30);
    SHOW(read(fd, &ticks, 8));
    IS(ticks >= 1 && ticks < 30);
    set = setting(0, 0);
    SHOW(timerfd_settime(fd, 0, &set, &old));
    V(old.it_interval.tv_nsec);
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    set.it_value = now;
    SHOW(timerfd_settime(fd, TFD_TIMER_ABSTIME, &set, NULL));
    SHOW(read(fd, &ticks, 8));
    V(ticks);
    set.it_value.tv_nsec = 1000000000;
    SHOW(timerfd_settime(fd, 0, &set, NULL));
    SHOW(timerfd_settime(fd, 77, &old, NULL));
    SHOW(timerfd_settime(0, 0, &old, NULL));
    SHOW(timerfd_gettime(99, &old));
    SHOW(write(fd, &ticks, 8));
    close(fd);
    fd = timerfd_create(CLOCK_REALTIME, 0);
    clock_gettime(CLOCK_REALTIME, &now);
    set = (struct itimerspec){{0, 0}, {now.tv_sec, now.tv_nsec}};
    SHOW(timerfd_settime(fd, TFD_TIMER_ABSTIME, &set, NULL));
    SHOW(read(fd, &ticks, 8));
    close(fd);
}

static void signal_files(void) {
    section("signalfd");
    sigset_t mask;
    sigemptyset(&mask), sigaddset(&mask, SIGUSR1), sigaddset(&mask, SIGCHLD), sigaddset(&mask, SIGRTMIN);
    sigprocmask(SIG_BLOCK, &mask, NULL);
    sigdelset(&mask, SIGRTMIN);
    int fd = SHOW(signalfd(-1, &mask, SFD_NONBLOCK));
    struct signalfd_siginfo info[4];
    SHOW(read(fd, info, sizeof info));
    SHOW(read(fd, info, 10));
    kill(getpid(), SIGUSR1);
    struct pollfd p = {fd, POLLIN, 0};
    SHOW(poll(&p, 1, 1000));
    SHOW(read(fd, info, sizeof info));
    printf("signo %d code %d self %d uid %d\n", info[0].ssi_signo, info[0].ssi_code, info[0].ssi_pid == getpid(),
           info[0].ssi_uid);
    sigqueue(getpid(), SIGRTMIN, (union sigval){.sival_int = 42});
    SHOW(poll(&p, 1, 0));
    sigaddset(&mask, SIGRTMIN);
    V(signalfd(fd, &mask, 0) == fd);
    SHOW(poll(&p, 1, 0));
    SHOW(read(fd, info, sizeof info));
    printf("code %d int %d\n", info[0].ssi_code, info[0].ssi_int);
    pid_t pid = fork();
    if (pid == 0) _exit(7);
    SHOW(poll(&p, 1, 5000));
    SHOW(read(fd, info, sizeof info));
    printf("signo %d code %d pid %d status %d\n", info[0].ssi_signo, info[0].ssi_code, info[0].ssi_pid == pid,
           info[0].ssi_status);
    waitpid(pid, NULL, 0);
    fcntl(fd, F_SETFL, 0);
    pid = fork();
    if (pid == 0) {
        sleep_ms(20);
        kill(getppid(), SIGUSR1);
        _exit(0);
    }
    SHOW(read(fd, info, sizeof *info));
    V(info[0].ssi_signo);
    SHOW(read(fd, info, sizeof *info));
    V(info[0].ssi_signo);
    waitpid(pid, NULL, 0);
    SHOW(signalfd(0, &mask, 0));
    SHOW(signalfd(-1, &mask, 77));
    SHOW(syscall(SYS_signalfd4, -1, &mask, 4, 0));
    int ep = epoll_create1(0);
    control(ep, EPOLL_CTL_ADD, fd, EPOLLIN, 1);
    show_wait("nothing", ep, 8, 0);
    kill(getpid(), SIGUSR1);
    show_wait("signal", ep, 8, 0);
    close(fd), close(ep);
}

int main(void) {
    basics();
    kinds();
    counters();
    timers();
    signal_files();
    return 0;
}
