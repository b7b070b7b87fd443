/* RLIMIT_CPU: a signal each second from the soft limit on, and the end at the hard one. */
#include "abi.h"
#include <sys/resource.h>

static void on_limit(int signo) {
    struct rlimit limit;
    getrlimit(RLIMIT_CPU, &limit);
    printf("SIG%s, limits %ld %ld\n", sigabbrev_np(signo), (long)limit.rlim_cur, (long)limit.rlim_max);
}

static void use(long seconds) {
    struct timespec time;
    do clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    while (time.tv_sec < seconds);
}

int main(void) {
    IN_CHILD("soft and hard", {
        signal(SIGXCPU, on_limit);
        MUST(setrlimit(RLIMIT_CPU, &(struct rlimit){1, 3}));
        use(10);
    });
    IN_CHILD("soft", {
        MUST(setrlimit(RLIMIT_CPU, &(struct rlimit){1, RLIM_INFINITY}));
        use(10);
    });
    /* Linux looks at each tick: with no time at all, a program may or may not get some work done. */
    IN_CHILD("none at all", {
        MUST(setrlimit(RLIMIT_CPU, &(struct rlimit){0, RLIM_INFINITY}));
        use(10);
    });
    IN_CHILD("in a child that inherits it", {
        MUST(setrlimit(RLIMIT_CPU, &(struct rlimit){1, RLIM_INFINITY}));
        IN_CHILD("inner", use(10));
    });
    IN_CHILD("that sleeps", {
        MUST(setrlimit(RLIMIT_CPU, &(struct rlimit){1, 1}));
        sleep_ms(1200);
    });
    return 0;
}
