/* Clocks, sleeps and timers: never early, never backwards, and what they refuse. */
// abi: dynamic
#include "abi.h"
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/times.h>

static long long ns_of(struct timespec time) {
    return time.tv_sec * 1000000000LL + time.tv_nsec;
}

static long long now(clockid_t clock) {
    struct timespec time;
    MUST(clock_gettime(clock, &time));
    return ns_of(time);
}

static void clocks(void) {
    clockid_t all[] = {CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_MONOTONIC_RAW, CLOCK_BOOTTIME, CLOCK_REALTIME_COARSE,
                       CLOCK_MONOTONIC_COARSE, CLOCK_PROCESS_CPUTIME_ID, CLOCK_THREAD_CPUTIME_ID, CLOCK_TAI};
    struct timespec spec;
    for (int i = 0; i < 9; i++) {
        int backwards = 0;
        long long before = now(all[i]);
        for (int j = 0; j < 20000; j++) {
            long long after = now(all[i]);
            backwards += after < before;
            before = after;
        }
        printf("clock %d: %d backwards\n", all[i], backwards);
        SHOW(clock_getres(all[i], &spec));
        IS(spec.tv_sec == 0 && spec.tv_nsec > 0 && spec.tv_nsec <= 10000000);
    }
    SHOW(clock_gettime(99, &spec));
    SHOW(clock_getres(99, &spec));
    SHOW(syscall(SYS_clock_gettime, CLOCK_REALTIME, (void *)8));
    SHOW(clock_getres(CLOCK_MONOTONIC, NULL));
    /* The call and the vDSO agree. */
    struct timespec by_call;
    long long before = now(CLOCK_MONOTONIC);
    MUST(syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &by_call));
    long long after = now(CLOCK_MONOTONIC);
    IS(before <= ns_of(by_call) && ns_of(by_call) <= after);
    struct timeval day;
    before = now(CLOCK_REALTIME);
    MUST(gettimeofday(&day, NULL));
    long long micros = day.tv_sec * 1000000LL + day.tv_usec;
    IS(micros >= before / 1000 - 1 && micros <= now(CLOCK_REALTIME) / 1000 + 1);
    time_t seconds = time(NULL);
    IS(seconds >= day.tv_sec - 1 && seconds <= day.tv_sec + 2);
    IS(seconds > 1700000000);
}

static void sleeps(void) {
    struct timespec time = {0, 30000000}, rest;
    long long before = now(CLOCK_MONOTONIC);
    SHOW(nanosleep(&time, &rest));
    IS(now(CLOCK_MONOTONIC) - before >= 30000000);
    before = now(CLOCK_MONOTONIC);
    SHOW(clock_nanosleep(CLOCK_REALTIME, 0, &time, NULL));
    IS(now(CLOCK_MONOTONIC) - before >= 29000000);
    MUST(clock_gettime(CLOCK_MONOTONIC, &time));
    long long until = ns_of(time) + 30000000;
    time = (struct timespec){until / 1000000000, until % 1000000000};
    SHOW(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, NULL));
    IS(now(CLOCK_MONOTONIC) >= until);
    SHOW(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, NULL));
    time = (struct timespec){0, 1000000000};
    SHOW(nanosleep(&time, NULL));
    time = (struct timespec){-1, 0};
    SHOW(nanosleep(&time, NULL));
    time = (struct timespec){0, 0};
    SHOW(nanosleep(&time, NULL));
    SHOW(syscall(SYS_nanosleep, (void *)8, NULL));
    printf("clock_nanosleep: %s\n", errno_name(clock_nanosleep(99, 0, &time, NULL)));
    before = now(CLOCK_MONOTONIC);
    for (int i = 0; i < 20; i++) usleep(1000);
    long long took = now(CLOCK_MONOTONIC) - before;
    IS(took >= 20000000 && took < 5000000000);
}

static volatile int ticks;

static void tick(int signo) {
    (void)signo;
    ticks++;
}

static void interval_timers(void) {
    struct itimerval timer = {{0, 5000}, {0, 5000}}, old;
    signal(SIGALRM, tick), signal(SIGVTALRM, tick), signal(SIGPROF, tick);
    SHOW(setitimer(ITIMER_REAL, &timer, NULL));
    while (ticks < 5) pause();
    MUST(getitimer(ITIMER_REAL, &old));
    IS(old.it_value.tv_sec == 0 && old.it_value.tv_usec <= 5000 && old.it_interval.tv_usec == 5000);
    timer = (struct itimerval){{0, 0}, {100, 0}};
    MUST(setitimer(ITIMER_REAL, &timer, &old));
    IS(old.it_interval.tv_usec == 5000);
    IS(alarm(0) >= 99);
    SHOW(alarm(0));
    ticks = 0;
    sleep_ms(20);
    SHOW(ticks);
    timer = (struct itimerval){{0, 0}, {0, 20000}};
    SHOW(setitimer(ITIMER_VIRTUAL, &timer, NULL));
    while (!ticks) {}
    SHOW(ticks);
    SHOW(setitimer(ITIMER_PROF, &timer, NULL));
    while (ticks < 2) getppid();
    SHOW(ticks);
    timer.it_value.tv_usec = 1000000;
    SHOW(setitimer(ITIMER_REAL, &timer, NULL));
    SHOW(setitimer(9, &timer, NULL));
    SHOW(getitimer(9, &timer));
    alarm(60);
}

static void named_timers(void) {
    timer_t timer;
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1, .sigev_value.sival_int = 33};
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    MUST(sigprocmask(SIG_BLOCK, &set, NULL));
    SHOW(timer_create(CLOCK_MONOTONIC, &event, &timer));
    struct itimerspec spec = {{0, 3000000}, {0, 3000000}}, left;
    SHOW(timer_settime(timer, 0, &spec, NULL));
    sleep_ms(30);
    siginfo_t info;
    SHOW(sigwaitinfo(&set, &info));
    printf("code %d value %d\n", info.si_code, info.si_value.sival_int);
    IS(timer_getoverrun(timer) == info.si_overrun);
    MUST(timer_gettime(timer, &left));
    IS(left.it_interval.tv_nsec == 3000000 && left.it_value.tv_nsec <= 3000000);
    SHOW(timer_delete(timer));
    SHOW(timer_create(99, &event, &timer));
    event.sigev_signo = 99;
    SHOW(timer_create(CLOCK_MONOTONIC, &event, &timer));
}

static void used(void) {
    struct tms before, after;
    struct rusage usage;
    clock_t start = times(&before);
    long long cpu = now(CLOCK_PROCESS_CPUTIME_ID);
    while (now(CLOCK_PROCESS_CPUTIME_ID) - cpu < 100000000) {}
    clock_t end = times(&after);
    IS(end - start >= 9);
    IS(after.tms_utime + after.tms_stime - before.tms_utime - before.tms_stime >= 8);
    SHOW(after.tms_cutime);
    /* Linux counts pages for each processor apart: a few may be missing. */
    static char used[8 << 20];
    memset(used, 1, sizeof used);
    MUST(getrusage(RUSAGE_SELF, &usage));
    IS(usage.ru_utime.tv_sec * 1000000 + usage.ru_utime.tv_usec + usage.ru_stime.tv_sec * 1000000 +
           usage.ru_stime.tv_usec >= 100000);
    IS(usage.ru_maxrss > 7 << 10 && usage.ru_maxrss < 64 << 10);
    SHOW(getrusage(99, &usage));
    SHOW(getrusage(RUSAGE_THREAD, &usage));
    /* Sleeping takes no processor. */
    cpu = now(CLOCK_PROCESS_CPUTIME_ID);
    sleep_ms(100);
    IS(now(CLOCK_PROCESS_CPUTIME_ID) - cpu < 50000000);
}

/* Takes some time. */
static int sum_up(void) {
    volatile unsigned sum = 0;
    for (unsigned i = 0; i < 10000000; i++) sum += i;
    return sum & 63;
}

/* Timers that are due all the time: the program that handles them gets on nevertheless, and so do others. */
static void storm(void) {
    signal(SIGALRM, tick);
    signal(SIGUSR2, tick);
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR2};
    timer_t timer;
    MUST(timer_create(CLOCK_MONOTONIC, &event, &timer));
    struct itimerspec often = {{0, 20000}, {0, 20000}};
    struct itimerval as_often = {{0, 20}, {0, 20}};
    ticks = 0;
    pid_t pid = MUST(fork());
    if (pid == 0) {
        sleep_ms(20);
        _exit(sum_up());
    }
    MUST(timer_settime(timer, 0, &often, NULL));
    MUST(setitimer(ITIMER_REAL, &as_often, NULL));
    SHOW(sum_up());
    int status = 0;
    while (waitpid(pid, &status, 0) == -1 && errno == EINTR) {}
    show_status("the other", status);
    timer_delete(timer);
    as_often = (struct itimerval){};
    setitimer(ITIMER_REAL, &as_often, NULL);
    IS(ticks > 10);
}

int main(void) {
    clocks();
    sleeps();
    interval_timers();
    named_timers();
    used();
    storm();
}
