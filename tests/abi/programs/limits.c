/* Resource limits, random numbers, and other calls that ask about the process. */
#include "abi.h"
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/utsname.h>

static void limits(void) {
    struct rlimit limit = {100, 200}, old;
    SHOW(setrlimit(RLIMIT_NOFILE, &limit));
    SHOW(getrlimit(RLIMIT_NOFILE, &old));
    printf("%ld %ld\n", (long)old.rlim_cur, (long)old.rlim_max);
    limit.rlim_cur = 201;
    SHOW(setrlimit(RLIMIT_NOFILE, &limit));
    SHOW(setrlimit(99, &limit));
    SHOW(getrlimit(RLIMIT_NOFILE, (void *)8));
    limit = (struct rlimit){6, 150};
    SHOW(prlimit(0, RLIMIT_NOFILE, &limit, &old));
    printf("%ld %ld\n", (long)old.rlim_cur, (long)old.rlim_max);
    int fd = -1, opened = 0;
    while ((fd = open("/dev/null", O_RDONLY)) >= 0) opened++;
    printf("opened %d, then %s\n", opened, errno_name(errno));
    SHOW(dup(0));
    SHOW(dup2(0, 6));
    SHOW(fcntl(0, F_DUPFD, 6));
    int ends[2];
    SHOW(pipe(ends));
    close(5), close(4), close(3);
    IN_CHILD("inherited", {
        MUST(getrlimit(RLIMIT_NOFILE, &old));
        printf("%ld %ld\n", (long)old.rlim_cur, (long)old.rlim_max);
    });
    limit = (struct rlimit){150, 150};
    MUST(setrlimit(RLIMIT_NOFILE, &limit));
    /* A file may not grow beyond its limit. */
    signal(SIGXFSZ, SIG_IGN);
    limit = (struct rlimit){1000, RLIM_INFINITY};
    MUST(setrlimit(RLIMIT_FSIZE, &limit));
    fd = MUST(open("file", O_RDWR | O_CREAT, 0644));
    char data[600] = {0};
    SHOW(write(fd, data, 600));
    SHOW(write(fd, data, 600));
    SHOW(write(fd, data, 600));
    SHOW(ftruncate(fd, 2000));
    IN_CHILD("signal", {
        signal(SIGXFSZ, SIG_DFL);
        write(fd, data, 600);
    });
    limit.rlim_cur = RLIM_INFINITY;
    MUST(setrlimit(RLIMIT_FSIZE, &limit));
    for (int i = 0; i < RLIM_NLIMITS; i++)
        if (getrlimit(i, &old)) printf("limit %d: %s\n", i, errno_name(errno));
}

static void random_numbers(void) {
    unsigned char one[300] = {0}, two[300] = {0};
    SHOW(getrandom(one, sizeof one, 0));
    SHOW(getrandom(two, sizeof two, GRND_NONBLOCK));
    IS(memcmp(one, two, 16) != 0 && memcmp(one + 284, two + 284, 16) != 0);
    int seen[256] = {0}, different = 0;
    for (int i = 0; i < 300; i++) seen[one[i]] = 1;
    for (int i = 0; i < 256; i++) different += seen[i];
    IS(different > 120);
    SHOW(getrandom(one, 0, 0));
    SHOW(getrandom(one, 4, 0x80));
    SHOW(getrandom((void *)8, 4, 0));
    SHOW(getrandom(one, 4, GRND_RANDOM | GRND_INSECURE));
    static unsigned char large[100000];
    SHOW(getrandom(large, sizeof large, 0));
    SHOW(getentropy(one, 256));
    SHOW(getentropy(one, 257));
    IN_CHILD("child", {
        getrandom(two, 16, 0);
        getrandom(one, 16, 0);
        IS(memcmp(one, two, 16) != 0);
    });
}

static void process(void) {
    char name[17] = {0};
    SHOW(prctl(PR_SET_NAME, "a name that is too long"));
    SHOW(prctl(PR_GET_NAME, name));
    puts(name);
    SHOW(prctl(PR_SET_DUMPABLE, 0));
    SHOW(prctl(PR_GET_DUMPABLE));
    SHOW(prctl(PR_SET_DUMPABLE, 9));
    SHOW(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
    SHOW(prctl(9999));
    SHOW(umask(0777));
    SHOW(umask(022));
    cpu_set_t set;
    IS(sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) >= 1);
    SHOW(sched_getaffinity(0, 1, &set));
    unsigned cpu = 1000, node = 1000;
    SHOW(getcpu(&cpu, &node));
    IS(cpu < 1000 && node < 1000);
    SHOW(sched_getscheduler(0));
    SHOW(sched_yield());
    SHOW(setpriority(PRIO_PROCESS, 0, 15));
    SHOW(getpriority(PRIO_PROCESS, 0));
    SHOW(nice(3));
    IN_CHILD("nicer", SHOW(getpriority(PRIO_PROCESS, 0)); SHOW(setpriority(PRIO_PROCESS, 0, 100)); SHOW(nice(0)));
    SHOW(getpriority(PRIO_PROCESS, 0));
    SHOW(getpriority(9, 0));
    SHOW(setpriority(PRIO_PROCESS, 999999, 0));
    SHOW(uname((void *)8));
    SHOW(syscall(SYS_personality, 0xffffffff));
    SHOW(syscall(500));
    SHOW(syscall(100000));
    SHOW(syscall(-1));
    SHOW(syscall(SYS_membarrier, 99, 0, 0));
    SHOW(gethostname(name, 0));
}

int main(void) {
    limits();
    random_numbers();
    process();
}
