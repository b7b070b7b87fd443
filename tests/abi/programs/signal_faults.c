/* Faults: what SIGSEGV, SIGBUS, SIGFPE, SIGILL and SIGTRAP say, recovery from them, and stacks for handlers. */
#include "abi.h"
#include <setjmp.h>
#include <sys/resource.h>
#include <ucontext.h>

static sigjmp_buf back;
static volatile siginfo_t seen;
static volatile void *on_stack;

static void jump(int signo, siginfo_t *info, void *context) {
    (void)context;
    char here;
    on_stack = &here;
    *(siginfo_t *)&seen = *info;
    siglongjmp(back, signo);
}

static void catch_all(int flags) {
    struct sigaction action = {.sa_sigaction = jump, .sa_flags = SA_SIGINFO | flags};
    int signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP};
    for (int i = 0; i < 5; i++) MUST(sigaction(signals[i], &action, NULL));
}

#define FAULT(what, base, block)                                                                          \
    do {                                                                                                  \
        int signo_ = sigsetjmp(back, 1);                                                                  \
        if (signo_ == 0) {                                                                                \
            block;                                                                                        \
            printf("%s: nothing happened\n", what);                                                       \
        } else                                                                                            \
            printf("%s: SIG%s code %d offset %ld\n", what, sigabbrev_np(signo_), seen.si_code,            \
                   base ? (long)((char *)seen.si_addr - (char *)(base)) : 0L);                            \
    } while (0)

static void memory_faults(void) {
    char *map = mmap(NULL, 3 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    MUST(mprotect(map + 4096, 4096, PROT_READ));
    MUST(munmap(map + 8192, 4096));
    volatile char *at = map;
    FAULT("null", 0, *(volatile char *)NULL = 1);
    FAULT("low", 0, at[0] = *(volatile char *)0x10);
    IS(seen.si_addr == (void *)0x10);
    FAULT("write to read-only", map, at[4096 + 5] = 1);
    FAULT("read beyond", map, at[0] = at[8192 + 7]);
    FAULT("write across", map, *(volatile long *)(map + 4092) = 1);
    MUST(mprotect(map, 4096, PROT_NONE));
    FAULT("read of none", map, at[4096] = at[3]);
    FAULT("jump to data", 0, ((void (*)(void))(map + 4096))());
    IS(seen.si_addr == map + 4096);
    FAULT("not canonical", 0, *(volatile char *)0x8000000000000000 = 1);
    FAULT("write to code", 0, *(volatile char *)memory_faults = 1);
    int fd = MUST(open("file", O_RDWR | O_CREAT, 0644));
    MUST(ftruncate(fd, 4096 + 100));
    map = mmap(NULL, 4 * 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    at = map;
    FAULT("end of file", map, at[4096 + 200] = 1);
    FAULT("beyond the file", map, at[8192 + 9] = 1);
    FAULT("read beyond the file", map, at[0] = at[3 * 4096]);
    MUST(ftruncate(fd, 0));
    FAULT("file cut off", map, at[0] = 1);
}

static void processor_faults(void) {
    volatile int zero = 0, one = 1;
    FAULT("division", 0, one = one / zero);
    FAULT("overflow", 0, asm volatile("idivl %0" ::"m"(one), "a"(0), "d"(0x7fffffff)));
    FAULT("undefined", 0, asm volatile("ud2"));
    FAULT("privileged", 0, asm volatile("hlt"));
    FAULT("breakpoint", 0, asm volatile("int3"));
}

/* A handler can mend the cause and go on, at the same or at another instruction. */
static char *page;

static void mend(int signo, siginfo_t *info, void *context) {
    (void)signo, (void)context;
    if ((char *)info->si_addr == page) mprotect(page, 4096, PROT_READ | PROT_WRITE);
}

static void skip(int signo, siginfo_t *info, void *context) {
    (void)signo, (void)info;
    ucontext_t *user = context;
    user->uc_mcontext.gregs[REG_RIP] += 2;
    user->uc_mcontext.gregs[REG_RBX] = 4711;
}

static void going_on(void) {
    page = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct sigaction action = {.sa_sigaction = mend, .sa_flags = SA_SIGINFO};
    MUST(sigaction(SIGSEGV, &action, NULL));
    *(volatile char *)page = 33;
    SHOW(*page);
    action.sa_sigaction = skip;
    MUST(sigaction(SIGILL, &action, NULL));
    long result = 0;
    asm volatile("mov $1, %%rbx; ud2; mov %%rbx, %0" : "=r"(result)::"rbx");
    SHOW(result);
}

static int recurse(int depth) {
    volatile char frame[512];
    frame[0] = depth;
    return depth > 1 << 30 ? 0 : recurse(depth + 1) + frame[0];
}

static void alternate_stack(void) {
    static char area[65536];
    stack_t stack = {.ss_sp = area, .ss_size = sizeof area}, old;
    SHOW(sigaltstack(NULL, &old));
    IS(old.ss_flags == SS_DISABLE);
    SHOW(sigaltstack(&stack, NULL));
    catch_all(SA_ONSTACK);
    FAULT("undefined", 0, asm volatile("ud2"));
    IS((char *)on_stack >= area && (char *)on_stack < area + sizeof area);
    struct rlimit limit = {1 << 20, RLIM_INFINITY};
    MUST(setrlimit(RLIMIT_STACK, &limit));
    FAULT("stack overflow", 0, recurse(0));
    IS((char *)on_stack >= area && (char *)on_stack < area + sizeof area);
    stack.ss_size = 100;
    SHOW(sigaltstack(&stack, NULL));
    stack.ss_flags = 99;
    SHOW(sigaltstack(&stack, NULL));
    stack.ss_flags = SS_DISABLE;
    SHOW(sigaltstack(&stack, NULL));
}

/* Without a handler, or with the signal blocked or ignored, a fault ends the program. */
static void ends(void) {
    signal(SIGSEGV, SIG_DFL), signal(SIGILL, SIG_DFL);
    IN_CHILD("default", *(volatile char *)NULL = 1);
    IN_CHILD("ignored", {
        signal(SIGSEGV, SIG_IGN);
        *(volatile char *)NULL = 1;
    });
    IN_CHILD("blocked", {
        sigset_t all;
        sigfillset(&all);
        sigprocmask(SIG_SETMASK, &all, NULL);
        *(volatile char *)NULL = 1;
    });
    IN_CHILD("in its handler", {
        struct sigaction action = {.sa_sigaction = (void *)recurse, .sa_flags = SA_SIGINFO};
        sigaction(SIGSEGV, &action, NULL);
        *(volatile char *)NULL = 1;
    });
    IN_CHILD("no stack for the handler", {
        catch_all(0);
        asm volatile("mov $16, %%rsp; ud2" ::: "memory");
    });
}

int main(void) {
    catch_all(0);
    memory_faults();
    processor_faults();
    going_on();
    alternate_stack();
    ends();
}
