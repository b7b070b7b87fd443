/* Threads and the rest of the system: signals to one of several, fork, exec and exit with threads, futex calls. */
#include "abi.h"
#include <linux/futex.h>
#include <pthread.h>
#include <stdatomic.h>

static atomic_int ready, word;
static __thread volatile int mine;
static volatile int handled_by_other, handled;

static long futex(atomic_int *at, int operation, int value, const struct timespec *limit, void *at2, int value3) {
    return syscall(SYS_futex, at, operation, value, limit, at2, value3);
}

static void *sleeper(void *argument) {
    (void)argument;
    ready++;
    for (;;) pause();
    return NULL;
}

static void handler(int signo) {
    (void)signo;
    handled++;
    if (mine) handled_by_other++;
}

static void *receiver(void *argument) {
    (void)argument;
    mine = 1;
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
    ready++;
    while (handled < 6) sched_yield();
    return NULL;
}

static void directed(void) {
    signal(SIGUSR1, handler);
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    pthread_t thread;
    ready = 0;
    pthread_create(&thread, NULL, receiver, NULL);
    while (!ready) sched_yield();
    for (int i = 0; i < 3; i++) {
        int before = handled;
        pthread_kill(thread, SIGUSR1);
        while (handled == before) sched_yield();
    }
    /* To the process: it goes to the one that does not block it. */
    for (int i = 0; i < 3; i++) {
        int before = handled;
        kill(getpid(), SIGUSR1);
        while (handled == before) sched_yield();
    }
    pthread_join(thread, NULL);
    SHOW(handled_by_other);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
    SHOW(handled);
    IS(syscall(SYS_gettid) == getpid());
}

static void *exits(void *argument) {
    if (argument) exit(21);
    pthread_exit(NULL);
}

/* Ends the process once the main thread is gone. At the same time it must not be: in a static program, `exit` takes away
 * what `pthread_exit` needs to unwind the stack, and then that aborts. */
static void *exits_after(void *argument) {
    IS(pthread_join(*(pthread_t *)argument, NULL) == 0);
    exit(21);
}

static void *execs(void *argument) {
    (void)argument;
    execl("/proc/self/exe", "thread_processes", "after exec", NULL);
    return NULL;
}

static void *faults(void *argument) {
    *(volatile int *)argument = 1;
    return NULL;
}

static void *forks(void *argument) {
    pid_t pid = fork();
    if (pid == 0) _exit(syscall(SYS_gettid) == getpid() ? 31 : 32);
    *(pid_t *)argument = pid;
    return NULL;
}

static void several(int count) {
    pthread_t thread;
    ready = 0;
    for (int i = 0; i < count; i++) pthread_create(&thread, NULL, sleeper, NULL);
    while (ready < count) sched_yield();
}

static void ends(void) {
    pthread_t thread;
    IN_CHILD("exit of one ends all", {
        several(5);
        pthread_create(&thread, NULL, exits, (void *)1);
        for (;;) pause();
    });
    IN_CHILD("main thread goes first", {
        pthread_create(&thread, NULL, exits, NULL);
        pthread_join(thread, NULL);
        static pthread_t first;
        first = pthread_self();
        pthread_create(&thread, NULL, exits_after, &first);
        pthread_exit(NULL);
    });
    IN_CHILD("main returns", {
        several(3);
        _exit(22);
    });
    IN_CHILD("fault of one ends all", {
        several(3);
        pthread_create(&thread, NULL, faults, NULL);
        for (;;) pause();
    });
    pid_t pid = MUST(fork());
    if (pid == 0) {
        several(4);
        pthread_create(&thread, NULL, execs, NULL);
        for (;;) pause();
    }
    reap("exec in a thread", pid);
    pid = MUST(fork());
    if (pid == 0) {
        several(4);
        for (;;) pause();
    }
    sleep_ms(50);
    int status;
    MUST(kill(pid, SIGSTOP));
    MUST(waitpid(pid, &status, WUNTRACED));
    show_status("all stop", status);
    MUST(kill(pid, SIGKILL));
    reap("all end", pid);
    pid_t child = 0;
    pthread_create(&thread, NULL, forks, &child);
    pthread_join(thread, NULL);
    reap("child of a thread", child);
}

static void *waits(void *argument) {
    ready++;
    long result = futex(&word, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0);
    (void)argument;
    return (void *)(result == 0 ? 1L : 0L);
}

static void *waits_bits(void *argument) {
    ready++;
    futex(&word, FUTEX_WAIT_BITSET_PRIVATE, 0, NULL, NULL, (long)argument);
    return argument;
}

static void futexes(void) {
    struct timespec soon = {0, 10000000}, bad = {0, 2000000000}, past = {1, 0};
    SHOW(futex(&word, FUTEX_WAIT, 1, NULL, NULL, 0));
    SHOW(futex(&word, FUTEX_WAIT, 0, &soon, NULL, 0));
    SHOW(futex(&word, FUTEX_WAIT, 0, &bad, NULL, 0));
    SHOW(futex(&word, FUTEX_WAIT_BITSET, 0, &past, NULL, FUTEX_BITSET_MATCH_ANY));
    SHOW(futex(&word, FUTEX_WAIT_BITSET, 0, &past, NULL, 0));
    SHOW(futex((atomic_int *)8, FUTEX_WAIT, 0, NULL, NULL, 0));
    SHOW(futex((atomic_int *)((char *)&word + 1), FUTEX_WAIT, 0, NULL, NULL, 0));
    SHOW(futex(&word, FUTEX_WAKE, 1, NULL, NULL, 0));
    SHOW(futex(&word, 99, 1, NULL, NULL, 0));
    pthread_t threads[6];
    ready = 0;
    for (int i = 0; i < 6; i++) pthread_create(&threads[i], NULL, waits, NULL);
    while (ready < 6) sched_yield();
    sleep_ms(50);
    SHOW(futex(&word, FUTEX_WAKE_PRIVATE, 2, NULL, NULL, 0));
    static atomic_int other;
    SHOW(futex(&word, FUTEX_CMP_REQUEUE_PRIVATE, 1, (void *)2L, &other, 1));
    SHOW(futex(&word, FUTEX_CMP_REQUEUE_PRIVATE, 1, (void *)2L, &other, 0));
    SHOW(futex(&other, FUTEX_WAKE_PRIVATE, 10, NULL, NULL, 0));
    SHOW(futex(&word, FUTEX_WAKE_PRIVATE, 10, NULL, NULL, 0));
    long woken = 0;
    for (int i = 0; i < 6; i++) {
        void *result;
        pthread_join(threads[i], &result);
        woken += (long)result;
    }
    SHOW(woken);
    ready = 0;
    pthread_create(&threads[0], NULL, waits_bits, (void *)1L);
    pthread_create(&threads[1], NULL, waits_bits, (void *)2L);
    while (ready < 2) sched_yield();
    sleep_ms(50);
    SHOW(futex(&word, FUTEX_WAKE_BITSET_PRIVATE, 10, NULL, NULL, 4));
    SHOW(futex(&word, FUTEX_WAKE_BITSET_PRIVATE, 10, NULL, NULL, 2));
    SHOW(futex(&word, FUTEX_WAKE_BITSET_PRIVATE, 10, NULL, NULL, 1));
    for (int i = 0; i < 2; i++) pthread_join(threads[i], NULL);
}

/* A futex in shared memory is the same in every process that maps it. */
static void shared_futex(void) {
    atomic_int *shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pid_t pid = MUST(fork());
    if (pid == 0) {
        while (*shared == 0) futex(shared, FUTEX_WAIT, 0, NULL, NULL, 0);
        _exit(*shared);
    }
    sleep_ms(50);
    *shared = 9;
    SHOW(futex(shared, FUTEX_WAKE, 1, NULL, NULL, 0));
    reap("waiter", pid);
}

static atomic_int *own_word;

static void *own_waiter(void *argument) {
    (void)argument;
    struct timespec limit = {5, 0};
    ready++;
    if (futex(own_word, FUTEX_WAIT_PRIVATE, 0, &limit, NULL, 0)) return (void *)(long)errno;
    return NULL;
}

/* A futex in memory of one's own stays the same when the process forks, and then writes to what both share until then. */
static void futex_and_fork(int megabytes) {
    size_t size = (size_t)megabytes << 20;
    char *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memset(memory, 1, size);
    own_word = (atomic_int *)(memory + size / 2);
    *own_word = 0;
    pthread_t thread;
    ready = 0;
    pthread_create(&thread, NULL, own_waiter, NULL);
    while (!ready) sched_yield();
    sleep_ms(50);
    pid_t pid = MUST(fork());
    if (pid == 0) {
        /* In memory of the child's own, nobody waits. */
        *own_word = 2;
        _exit(futex(own_word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0));
    }
    *own_word = 1;
    SHOW(futex(own_word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0));
    void *why;
    pthread_join(thread, &why);
    printf("the waiter: %ld\n", (long)why);
    reap("child", pid);
    munmap(memory, size);
}

int main(int argc, char **argv) {
    if (argc > 1) {
        puts(argv[1]);
        return syscall(SYS_gettid) == getpid() ? 23 : 24;
    }
    directed();
    ends();
    futexes();
    shared_futex();
    futex_and_fork(1);
    futex_and_fork(32);
}
