/* Filters of system calls: which programs are taken, what each action does, who inherits them. */
// abi: dynamic
#include "abi.h"
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <ucontext.h>

#define LENGTH(array) (sizeof(array) / sizeof(array)[0])
#define NUMBER BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr))
#define GIVE(value) BPF_STMT(BPF_RET | BPF_K, value)

static long install(unsigned flags, struct sock_filter *filter, unsigned short length) {
    struct sock_fprog program = {length, filter};
    return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
}

/* A call that nobody else makes gets an answer, all others are allowed. */
static long answer_call(unsigned flags, int number, unsigned answer) {
    struct sock_filter filter[] = {NUMBER, BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1), GIVE(answer),
                                   GIVE(SECCOMP_RET_ALLOW)};
    return install(flags, filter, LENGTH(filter));
}
#define ANSWER(answer) MUST(answer_call(0, SYS_getppid, answer))

static long raw_getppid(void) {
    return syscall(SYS_getppid);
}

static void requests(void) {
    struct sock_filter allow[] = {GIVE(SECCOMP_RET_ALLOW)};
    unsigned action;
    SHOW(syscall(SYS_seccomp, 99, 0, NULL));
    SHOW(syscall(SYS_seccomp, SECCOMP_SET_MODE_STRICT, 1, NULL));
    SHOW(syscall(SYS_seccomp, SECCOMP_SET_MODE_STRICT, 0, allow));
    SHOW(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, NULL));
    SHOW(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 1 << 20, NULL));
    SHOW(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, NULL));
    SHOW(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_LOG, NULL));
    SHOW(syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 1, &action));
    SHOW(syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, NULL));
    unsigned actions[] = {SECCOMP_RET_KILL_PROCESS, SECCOMP_RET_KILL_THREAD, SECCOMP_RET_TRAP, SECCOMP_RET_ERRNO,
                          SECCOMP_RET_TRACE, SECCOMP_RET_LOG, SECCOMP_RET_ALLOW, 0x12340000, SECCOMP_RET_ERRNO | 1};
    for (unsigned i = 0; i < LENGTH(actions); i++) {
        action = actions[i];
        SHOW(syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action));
    }
    SHOW(prctl(PR_SET_SECCOMP, 3, 0, 0, 0));
    SHOW(prctl(PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0));
    SHOW(prctl(PR_SET_NO_NEW_PRIVS, 1, 1, 0, 0));
    SHOW(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 1));
    SHOW(prctl(PR_GET_NO_NEW_PRIVS, 1, 0, 0, 0));
    SHOW(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
    IN_CHILD("without a privilege", {
        if (geteuid() == 0) MUST(setuid(65534));
        SHOW(install(0, allow, 0));
        SHOW(install(0, allow, 1));
        SHOW(install(0, NULL, 1));
        SHOW(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
        SHOW(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
        SHOW(install(0, NULL, 1));
        SHOW(install(0, allow, 1));
        SHOW(prctl(PR_GET_SECCOMP, 0, 0, 0, 0));
    });
}

static void programs(void) {
    static struct sock_filter long_one[5000];
    for (unsigned i = 0; i < LENGTH(long_one); i++) long_one[i] = (struct sock_filter)GIVE(SECCOMP_RET_ALLOW);
    SHOW(install(0, long_one, 4097));
    /* Each of these alone, in front of a return. */
    struct sock_filter ones[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 60),   BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 64),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 2),    BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 0),
        BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 0),    BPF_STMT(BPF_LD | BPF_W | BPF_IND, 0),
        BPF_STMT(BPF_LD | BPF_W | BPF_LEN, 0),    BPF_STMT(BPF_LDX | BPF_W | BPF_LEN, 0),
        BPF_STMT(BPF_LDX | BPF_B | BPF_MSH, 0),   BPF_STMT(BPF_LD | BPF_IMM, 5),
        BPF_STMT(BPF_LDX | BPF_IMM, 5),           BPF_STMT(BPF_LD | BPF_MEM, 0),
        BPF_STMT(BPF_LD | BPF_MEM, 16),           BPF_STMT(BPF_ST, 15),
        BPF_STMT(BPF_STX, 16),                    BPF_STMT(BPF_ALU | BPF_DIV | BPF_K, 0),
        BPF_STMT(BPF_ALU | BPF_DIV | BPF_X, 0),   BPF_STMT(BPF_ALU | BPF_MOD | BPF_K, 3),
        BPF_STMT(BPF_ALU | BPF_LSH | BPF_K, 31),  BPF_STMT(BPF_ALU | BPF_LSH | BPF_K, 32),
        BPF_STMT(BPF_ALU | BPF_RSH | BPF_K, 32),  BPF_STMT(BPF_ALU | BPF_XOR | BPF_X, 0),
        BPF_STMT(BPF_ALU | BPF_NEG, 0),           BPF_STMT(BPF_ALU | BPF_NEG | BPF_X, 0),
        BPF_STMT(BPF_MISC | BPF_TAX, 0),          BPF_STMT(BPF_MISC | BPF_TXA, 0),
        BPF_STMT(BPF_JMP | BPF_JA, 0),            BPF_STMT(BPF_JMP | BPF_JA, 1),
        BPF_STMT(BPF_JMP | BPF_JA, 0xffffffff),   BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 0),
        BPF_JUMP(BPF_JMP | BPF_JGT | BPF_X, 0, 1, 0), BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, 0, 0, 1),
        BPF_STMT(0xff, 0),                        BPF_STMT(0x100, 0),
    };
    for (unsigned i = 0; i < LENGTH(ones); i++) {
        struct sock_filter filter[] = {ones[i], GIVE(SECCOMP_RET_ALLOW)};
        errno = 0;
        long result = install(0, filter, 2);
        printf("code %#x k %#x: %ld %s\n", ones[i].code, ones[i].k, result, result ? errno_name(errno) : "");
    }
    struct sock_filter endless[] = {GIVE(SECCOMP_RET_ALLOW), NUMBER};
    SHOW(install(0, endless, 2));
    struct sock_filter returns_a[] = {BPF_STMT(BPF_LD | BPF_IMM, SECCOMP_RET_ALLOW), BPF_STMT(BPF_RET | BPF_A, 0)};
    SHOW(install(0, returns_a, 2));
    struct sock_filter one_way[] = {NUMBER, BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 1), BPF_STMT(BPF_ST, 1),
                                    BPF_STMT(BPF_LD | BPF_MEM, 1), GIVE(SECCOMP_RET_ALLOW)};
    SHOW(install(0, one_way, LENGTH(one_way)));
    one_way[1].jf = 0;
    SHOW(install(0, one_way, LENGTH(one_way)));
    /* There is an end to how many there can be. */
    int count = 0;
    while (install(0, long_one, 4096) == 0) count++;
    printf("%d long ones, then %s\n", count, errno_name(errno));
}

/* Computes with the arguments, and answers with the result as an errno. */
static void arithmetic(void) {
    struct sock_filter filter[] = {
        NUMBER,
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getppid, 1, 0),
        GIVE(SECCOMP_RET_ALLOW),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[1])),
        BPF_STMT(BPF_ST, 3),
        BPF_STMT(BPF_LDX | BPF_MEM, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0])),
        BPF_STMT(BPF_ALU | BPF_DIV | BPF_X, 0),
        BPF_STMT(BPF_ALU | BPF_LSH | BPF_X, 0),
        BPF_STMT(BPF_ALU | BPF_NEG, 0),
        BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 0xff),
        BPF_STMT(BPF_ALU | BPF_OR | BPF_K, SECCOMP_RET_ERRNO),
        BPF_STMT(BPF_RET | BPF_A, 0),
    };
    MUST(install(0, filter, LENGTH(filter)));
    long pairs[][2] = {{7, 2}, {100, 33}, {-1, 5}, {1L << 40, 1}, {200, 1}};
    for (unsigned i = 0; i < LENGTH(pairs); i++) {
        errno = 0;
        long result = syscall(SYS_getppid, pairs[i][0], pairs[i][1]);
        printf("%ld of %ld and %ld: %ld %d\n", (long)i, pairs[i][0], pairs[i][1], result, errno);
    }
    /* A division by zero is the end: its result is SECCOMP_RET_KILL_THREAD. */
    syscall(SYS_getppid, 1, 0);
    puts("still there");
}

static void *after_call;
static void on_sigsys(int signo, siginfo_t *info, void *context) {
    ucontext_t *machine = context;
    printf("SIG%s code %d errno %d call %d arch %s address %s rax %lld\n", sigabbrev_np(signo), info->si_code,
           info->si_errno, info->si_syscall, info->si_arch == AUDIT_ARCH_X86_64 ? "x86-64" : "?",
           info->si_call_addr == (void *)machine->uc_mcontext.gregs[REG_RIP] ? "right" : "wrong",
           (long long)machine->uc_mcontext.gregs[REG_RAX]);
    after_call = info->si_call_addr;
    machine->uc_mcontext.gregs[REG_RAX] = 1234;
}

static void trap(void) {
    struct sigaction action = {.sa_sigaction = on_sigsys, .sa_flags = SA_SIGINFO};
    MUST(sigaction(SIGSYS, &action, NULL));
    ANSWER(SECCOMP_RET_TRAP | 77);
    SHOW(raw_getppid());
    IS(after_call != NULL);
    MUST(answer_call(0, 9999, SECCOMP_RET_TRAP));
    SHOW(syscall(9999));
    MUST(answer_call(0, -5, SECCOMP_RET_TRAP));
    SHOW(syscall(-5));
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, NULL);
    raw_getppid();
    puts("still there");
}

static void *call_in_thread(void *unused) {
    (void)unused;
    return (void *)raw_getppid();
}

static void *kill_thread(void *unused) {
    (void)unused;
    ANSWER(SECCOMP_RET_KILL_THREAD);
    raw_getppid();
    puts("still there");
    return NULL;
}

static void actions(void) {
    IN_CHILD("errno", {
        ANSWER(SECCOMP_RET_ERRNO | EXDEV);
        SHOW(raw_getppid());
        SHOW(prctl(PR_GET_SECCOMP, 0, 0, 0, 0));
        SHOW(syscall(SYS_seccomp, SECCOMP_SET_MODE_STRICT, 0, NULL));
    });
    IN_CHILD("no errno", { ANSWER(SECCOMP_RET_ERRNO); SHOW(raw_getppid()); });
    IN_CHILD("large errno", { ANSWER(SECCOMP_RET_ERRNO | 0xffff); SHOW(raw_getppid() == -1 ? errno : 0); });
    IN_CHILD("trace", { ANSWER(SECCOMP_RET_TRACE | 5); SHOW(raw_getppid()); });
    IN_CHILD("log", { ANSWER(SECCOMP_RET_LOG); IS(raw_getppid() > 0); });
    IN_CHILD("trap", trap());
    IN_CHILD("trap ignored", { signal(SIGSYS, SIG_IGN); ANSWER(SECCOMP_RET_TRAP); raw_getppid(); });
    IN_CHILD("kill process", { signal(SIGSYS, SIG_IGN); ANSWER(SECCOMP_RET_KILL_PROCESS); raw_getppid(); });
    IN_CHILD("unknown action", { ANSWER(0x12340000); raw_getppid(); });
    IN_CHILD("kill thread, the only one", { ANSWER(SECCOMP_RET_KILL_THREAD); raw_getppid(); });
    IN_CHILD("kill process from a thread", {
        ANSWER(SECCOMP_RET_KILL_PROCESS);
        pthread_t thread;
        MUST(-pthread_create(&thread, NULL, call_in_thread, NULL));
        pthread_join(thread, NULL);
        puts("still there");
    });
    IN_CHILD("arithmetic", arithmetic());
    IN_CHILD("through prctl", {
        struct sock_filter filter[] = {NUMBER, BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getppid, 0, 1),
                                       GIVE(SECCOMP_RET_ERRNO | 9), GIVE(SECCOMP_RET_ALLOW)};
        struct sock_fprog program = {LENGTH(filter), filter};
        SHOW(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0));
        SHOW(raw_getppid());
    });
    /* Where a filter is in place already, strict mode cannot be had: then its lines are only told. */
    if (prctl(PR_GET_SECCOMP, 0, 0, 0, 0) == 0) {
        IN_CHILD("strict", { MUST(prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT, 0, 0, 0)); puts("strict"); syscall(SYS_exit, 7); });
        IN_CHILD("strict, and out", { MUST(prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT, 0, 0, 0)); raw_getppid(); });
    } else {
        puts("strict\nstrict: exited 7\nstrict, and out: killed by SIGKILL");
    }
}

/* The strictest answer counts, and of equal ones the newest. */
static void stacked(void) {
    IN_CHILD("errno over allow", { ANSWER(SECCOMP_RET_ERRNO | 1); ANSWER(SECCOMP_RET_ALLOW); SHOW(raw_getppid()); });
    IN_CHILD("allow over errno", { ANSWER(SECCOMP_RET_ALLOW); ANSWER(SECCOMP_RET_ERRNO | 1); SHOW(raw_getppid()); });
    IN_CHILD("newest of equals", { ANSWER(SECCOMP_RET_ERRNO | 1); ANSWER(SECCOMP_RET_ERRNO | 2); SHOW(raw_getppid()); });
    IN_CHILD("kill over errno", { ANSWER(SECCOMP_RET_KILL_PROCESS); ANSWER(SECCOMP_RET_ERRNO | 1); raw_getppid(); });
    IN_CHILD("trap over errno", { ANSWER(SECCOMP_RET_ERRNO | 1); ANSWER(SECCOMP_RET_TRAP); raw_getppid(); });
    IN_CHILD("thread over trap", { ANSWER(SECCOMP_RET_TRAP); ANSWER(SECCOMP_RET_KILL_THREAD); raw_getppid(); });
    IN_CHILD("process over thread", { ANSWER(SECCOMP_RET_KILL_PROCESS); ANSWER(SECCOMP_RET_KILL_THREAD); raw_getppid(); });
}

static void *wait_and_call(void *gate) {
    pthread_barrier_wait(gate);
    pthread_barrier_wait(gate);
    return raw_getppid() == -1 ? (void *)(long)errno : NULL;
}

static void *filter_itself(void *gate) {
    ANSWER(SECCOMP_RET_ERRNO | 3);
    pthread_barrier_wait(gate);
    pthread_barrier_wait(gate);
    return NULL;
}

static void heirs(void) {
    IN_CHILD("fork", {
        ANSWER(SECCOMP_RET_ERRNO | 5);
        IN_CHILD("its child", SHOW(raw_getppid()));
        char *arguments[] = {"/proc/self/exe", "after-exec", NULL};
        MUST(execv(arguments[0], arguments));
    });
    IN_CHILD("only this thread", {
        pthread_barrier_t gate;
        pthread_barrier_init(&gate, NULL, 2);
        pthread_t thread;
        void *result;
        MUST(-pthread_create(&thread, NULL, wait_and_call, &gate));
        pthread_barrier_wait(&gate);
        ANSWER(SECCOMP_RET_ERRNO | 6);
        pthread_barrier_wait(&gate);
        pthread_join(thread, &result);
        printf("the other thread got %ld\n", (long)result);
        SHOW(raw_getppid());
    });
    IN_CHILD("all threads", {
        pthread_barrier_t gate;
        pthread_barrier_init(&gate, NULL, 2);
        pthread_t thread;
        void *result;
        MUST(-pthread_create(&thread, NULL, wait_and_call, &gate));
        pthread_barrier_wait(&gate);
        SHOW(answer_call(SECCOMP_FILTER_FLAG_TSYNC, SYS_getppid, SECCOMP_RET_ERRNO | 6));
        pthread_barrier_wait(&gate);
        pthread_join(thread, &result);
        printf("the other thread got %ld\n", (long)result);
    });
    IN_CHILD("a thread with a filter of its own", {
        pthread_barrier_t gate;
        pthread_barrier_init(&gate, NULL, 2);
        pthread_t thread;
        MUST(-pthread_create(&thread, NULL, filter_itself, &gate));
        pthread_barrier_wait(&gate);
        IS(answer_call(SECCOMP_FILTER_FLAG_TSYNC, SYS_getppid, SECCOMP_RET_ERRNO | 6) > 0);
        SHOW(answer_call(SECCOMP_FILTER_FLAG_TSYNC | SECCOMP_FILTER_FLAG_TSYNC_ESRCH, SYS_getppid, SECCOMP_RET_ERRNO));
        IS(raw_getppid() > 0);
        pthread_barrier_wait(&gate);
        pthread_join(thread, NULL);
    });
    IN_CHILD("a thread dies", {
        pthread_t thread;
        MUST(-pthread_create(&thread, NULL, kill_thread, NULL));
        sleep_ms(100);
        puts("the rest lives");
    });
}

int main(int argc, char **argv) {
    if (argc > 1) {
        printf("%s\n", argv[1]);
        SHOW(raw_getppid());
        return 3;
    }
    requests();
    MUST(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
    IN_CHILD("programs", programs());
    actions();
    stacked();
    heirs();
    return 0;
}
