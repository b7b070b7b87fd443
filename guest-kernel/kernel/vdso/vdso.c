/* The vDSO (vdso(7)): clock functions that run in the program. The kernel maps one page of parameters right before this
   image, and keeps it up to date; see src/time/vdso.rs. */
typedef unsigned long long u64;
typedef long long s64;

struct parameters {
    u64 boot_tsc;    /* the counter at boot */
    u64 multiplier;  /* nanoseconds a tick, times 2^32 */
    u64 wall_offset; /* time of day less time since boot, in nanoseconds */
};

struct timespec { s64 seconds, nanoseconds; };
struct timeval { s64 seconds, microseconds; };

extern const volatile struct parameters parameters __attribute__((visibility("hidden")));

enum { SYS_gettimeofday = 96, SYS_clock_gettime = 228, SYS_clock_getres = 229 };
enum { REALTIME, MONOTONIC, MONOTONIC_RAW = 4, REALTIME_COARSE, MONOTONIC_COARSE, BOOTTIME, TAI = 11 };

static long call(long number, long first, void *second)
{
    long result;
    __asm__ volatile("syscall" : "=a"(result) : "0"(number), "D"(first), "S"(second) : "rcx", "r11", "memory");
    return result;
}

static u64 monotonic(void)
{
    unsigned low, high;
    __asm__ volatile("lfence; rdtsc" : "=a"(low), "=d"(high)::"memory");
    u64 ticks = ((u64)high << 32 | low) - parameters.boot_tsc;
    return (u64)(((unsigned __int128)ticks * parameters.multiplier) >> 32);
}

int __vdso_clock_gettime(int clock, struct timespec *to)
{
    u64 ns;
    switch (clock) {
    case REALTIME: case REALTIME_COARSE: case TAI: ns = monotonic() + parameters.wall_offset; break;
    case MONOTONIC: case MONOTONIC_RAW: case MONOTONIC_COARSE: case BOOTTIME: ns = monotonic(); break;
    default: return (int)call(SYS_clock_gettime, clock, to);
    }
    to->seconds = (s64)(ns / 1000000000);
    to->nanoseconds = (s64)(ns % 1000000000);
    return 0;
}

int __vdso_gettimeofday(struct timeval *to, void *zone)
{
    if (zone)
        return (int)call(SYS_gettimeofday, (long)to, zone);
    u64 ns = monotonic() + parameters.wall_offset;
    to->seconds = (s64)(ns / 1000000000);
    to->microseconds = (s64)(ns % 1000000000 / 1000);
    return 0;
}

s64 __vdso_time(s64 *to)
{
    s64 now = (s64)((monotonic() + parameters.wall_offset) / 1000000000);
    if (to)
        *to = now;
    return now;
}

int __vdso_clock_getres(int clock, struct timespec *to)
{
    return (int)call(SYS_clock_getres, clock, to);
}

int __vdso_getcpu(unsigned *cpu, unsigned *node, void *unused)
{
    (void)unused;
    if (cpu)
        *cpu = 0;
    if (node)
        *node = 0;
    return 0;
}
