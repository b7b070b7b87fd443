/* Registers, of the floating point and vector units too, survive signals, system calls and other programs. */
#include "abi.h"
#include <cpuid.h>
#include <immintrin.h>
#include <sys/time.h>

static volatile int handled;

/* Uses every vector register for something else. */
static void trash(int signo) {
    (void)signo;
    unsigned char other[32];
    memset(other, 0xa5, sizeof other);
    asm volatile("movdqu (%0), %%xmm0; movdqu (%0), %%xmm1; movdqu (%0), %%xmm7; movdqu (%0), %%xmm8;"
                 "movdqu (%0), %%xmm15; fninit; fld1; fld1"
                 ::"r"(other) : "xmm0", "xmm1", "xmm7", "xmm8", "xmm15", "memory");
    unsigned mxcsr = 0x1f80 | 0x6000;
    asm volatile("ldmxcsr %0" ::"m"(mxcsr));
    handled++;
}

__attribute__((target("avx"))) static void trash_wide(int signo) {
    unsigned char other[32];
    memset(other, 0x5a, sizeof other);
    asm volatile("vmovdqu (%0), %%ymm0; vmovdqu (%0), %%ymm9; vmovdqu (%0), %%ymm15"
                 ::"r"(other) : "xmm0", "xmm9", "xmm15", "memory");
    trash(signo);
}

/* Spins until a handler ran, with known values in registers; counts those that changed. */
static int spin_xmm(unsigned char seed) {
    unsigned char values[16 * 16], found[16 * 16];
    for (int i = 0; i < 256; i++) values[i] = seed + i * 7;
    int before = handled;
    asm volatile(
        "movdqu 0(%1), %%xmm0; movdqu 16(%1), %%xmm1; movdqu 112(%1), %%xmm7; movdqu 128(%1), %%xmm8;"
        "movdqu 240(%1), %%xmm15;"
        "1: pause; cmp %2, (%0); je 1b;"
        "movdqu %%xmm0, 0(%3); movdqu %%xmm1, 16(%3); movdqu %%xmm7, 112(%3); movdqu %%xmm8, 128(%3);"
        "movdqu %%xmm15, 240(%3);"
        ::"r"(&handled), "r"(values), "r"(before), "r"(found)
        : "memory", "cc", "xmm0", "xmm1", "xmm7", "xmm8", "xmm15");
    int bad = 0, used[] = {0, 1, 7, 8, 15};
    for (int i = 0; i < 5; i++) bad += memcmp(values + used[i] * 16, found + used[i] * 16, 16) != 0;
    return bad;
}

__attribute__((target("avx"))) static int spin_ymm(unsigned char seed) {
    unsigned char values[3 * 32], found[3 * 32];
    for (int i = 0; i < 96; i++) values[i] = seed + i * 11;
    int before = handled;
    asm volatile(
        "vmovdqu 0(%1), %%ymm0; vmovdqu 32(%1), %%ymm9; vmovdqu 64(%1), %%ymm15;"
        "1: pause; cmp %2, (%0); je 1b;"
        "vmovdqu %%ymm0, 0(%3); vmovdqu %%ymm9, 32(%3); vmovdqu %%ymm15, 64(%3); vzeroupper;"
        ::"r"(&handled), "r"(values), "r"(before), "r"(found)
        : "memory", "cc", "xmm0", "xmm9", "xmm15");
    int bad = 0;
    for (int i = 0; i < 3; i++) bad += memcmp(values + i * 32, found + i * 32, 32) != 0;
    return bad;
}

static void start_timer(void (*handler)(int)) {
    signal(SIGALRM, handler);
    struct itimerval timer = {{0, 2000}, {0, 2000}};
    setitimer(ITIMER_REAL, &timer, NULL);
}

static void stop_timer(void) {
    struct itimerval timer = {{0, 0}, {0, 0}};
    setitimer(ITIMER_REAL, &timer, NULL);
}

static void over_signals(void) {
    bool wide = __builtin_cpu_supports("avx");
    start_timer(trash);
    int bad = 0;
    for (int i = 0; i < 20; i++) bad += spin_xmm(i);
    SHOW(bad);
    start_timer(wide ? trash_wide : trash);
    bad = 0;
    for (int i = 0; i < 20; i++) bad += wide ? spin_ymm(i) : 0;
    SHOW(bad);
    /* The x87 stack and both control words. */
    unsigned mxcsr = 0x1f80 | 0x2000, after = 0;
    unsigned short control = 0x0c7f, control_after = 0;
    long double pi = 3.14159265358979323846L, result = 0;
    int before = handled;
    asm volatile("ldmxcsr %2; fldcw %3; fldt %4; 1: pause; cmp %6, (%5); je 1b; fstpt %0; stmxcsr %1"
                 : "=m"(result), "=m"(after)
                 : "m"(mxcsr), "m"(control), "m"(pi), "r"(&handled), "r"(before)
                 : "memory", "cc");
    asm volatile("fnstcw %0" : "=m"(control_after));
    stop_timer();
    IS(result == pi);
    printf("mxcsr %x control %x\n", after, control_after);
    asm volatile("fninit; ldmxcsr %0" ::"m"((unsigned){0x1f80}));
}

/* General registers and flags, at every instruction of a loop. */
static void general(void) {
    start_timer(trash);
    long bad = 0, rounds = 0;
    int before = handled;
    while (handled < before + 20) {
        long flags_bad = 0;
        asm volatile(
            "mov $1, %%r8; mov $2, %%r9; mov $3, %%r10; mov $4, %%r11; mov $5, %%r12; mov $6, %%r13; mov $7, %%r14;"
            "mov $2000, %%rcx; stc;"
            "1: jnc 2f; dec %%rcx; jnz 1b; jmp 3f;"
            "2: inc %0; stc; jmp 1b;"
            "3: cmp $1, %%r8; jne 4f; cmp $2, %%r9; jne 4f; cmp $3, %%r10; jne 4f; cmp $4, %%r11; jne 4f;"
            "cmp $5, %%r12; jne 4f; cmp $6, %%r13; jne 4f; cmp $7, %%r14; je 5f;"
            "4: inc %0; 5:"
            : "+r"(flags_bad)::"rcx", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "cc", "memory");
        bad += flags_bad;
        rounds++;
    }
    stop_timer();
    SHOW(bad);
    IS(rounds > 0);
}

/* System calls change rax, rcx and r11, nothing else. */
static void over_calls(void) {
    long bad = 0;
    for (int i = 0; i < 1000; i++) {
        long result;
        asm volatile(
            "mov $1, %%rdx; mov $2, %%r8; mov $3, %%r9; mov $4, %%r10; mov $5, %%r12; mov $6, %%rdi; mov $7, %%rsi;"
            "movq %%rdx, %%xmm3; movq %%r12, %%xmm12;"
            "mov $39, %%eax; syscall; mov %%rax, %0;"
            "cmp $1, %%rdx; jne 1f; cmp $2, %%r8; jne 1f; cmp $3, %%r9; jne 1f; cmp $4, %%r10; jne 1f;"
            "cmp $5, %%r12; jne 1f; cmp $6, %%rdi; jne 1f; cmp $7, %%rsi; jne 1f;"
            "movq %%xmm3, %%rdx; cmp $1, %%rdx; jne 1f; movq %%xmm12, %%rdx; cmp $5, %%rdx; je 2f;"
            "1: incq %1; 2:"
            : "=m"(result), "+m"(bad)
            ::"rax", "rcx", "rdx", "rdi", "rsi", "r8", "r9", "r10", "r11", "r12", "xmm3", "xmm12", "cc", "memory");
        bad += result != getpid();
    }
    SHOW(bad);
}

/* Two processes that compute and yield do not see each other's registers. */
static void over_switches(void) {
    double sums[2] = {0, 0};
    int ends[2];
    MUST(pipe(ends));
    pid_t pid = MUST(fork());
    double step = pid == 0 ? 1.25 : -0.5, sum = 0;
    for (int i = 0; i < 200; i++) {
        for (int j = 0; j < 2000; j++) sum += step;
        if (i % 10 == 0) sched_yield();
    }
    if (pid == 0) {
        write(ends[1], &sum, sizeof sum);
        _exit(0);
    }
    sums[0] = sum;
    MUST(read(ends[0], &sums[1], sizeof sum));
    reap("other", pid);
    printf("%.2f %.2f\n", sums[0], sums[1]);
}

int main(void) {
    over_signals();
    general();
    over_calls();
    over_switches();
}
