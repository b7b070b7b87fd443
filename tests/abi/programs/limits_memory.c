/* Limits of address space, data, stack, and of a user's processes. */
// abi: root
#include "abi.h"
#include <sys/resource.h>

enum { MIB = 1 << 20, NOBODY_ELSE = 54321 };

static void *private_pages(size_t size, int protection) {
    return mmap(NULL, size, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}
#define MAPS(size, protection) printf("map %s %s: %s\n", #size, #protection, \
    private_pages(size, protection) == MAP_FAILED ? errno_name(errno) : "works")

static void address_space(void) {
    MUST(setrlimit(RLIMIT_AS, &(struct rlimit){100 * MIB, RLIM_INFINITY}));
    MAPS(200 * MIB, PROT_READ | PROT_WRITE);
    MAPS(200 * MIB, PROT_NONE);
    MAPS(10 * MIB, PROT_READ);
    void *page = private_pages(4096, PROT_READ);
    SHOW(mremap(page, 4096, 200 * MIB, MREMAP_MAYMOVE) == MAP_FAILED ? -1 : 0);
    SHOW((long)sbrk(200 * MIB));
}

static void data(void) {
    MUST(setrlimit(RLIMIT_DATA, &(struct rlimit){20 * MIB, RLIM_INFINITY}));
    MAPS(30 * MIB, PROT_READ | PROT_WRITE);
    MAPS(30 * MIB, PROT_READ);
    MAPS(12 * MIB, PROT_READ | PROT_WRITE);
    MAPS(12 * MIB, PROT_READ | PROT_WRITE);
    SHOW((long)sbrk(30 * MIB));
    IS(mmap(NULL, 30 * MIB, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0) != MAP_FAILED);
}

static long deep(long bytes) {
    volatile char room[1024];
    room[0] = (char)bytes;
    return bytes <= 0 ? room[0] : deep(bytes - 1024) + room[0];
}

static void stack(const char *size) {
    MUST(setrlimit(RLIMIT_STACK, &(struct rlimit){256 << 10, RLIM_INFINITY}));
    char *arguments[] = {"/proc/self/exe", (char *)size, NULL};
    MUST(execv(arguments[0], arguments));
}

/* Children that wait, until there may be no more; each is one of the user's processes. */
static void processes(void) {
    int count = 0;
    pid_t child;
    while (count < 20 && (child = fork()) >= 0) {
        if (child == 0) {
            pause();
            _exit(0);
        }
        count++;
    }
    printf("%d children, then %s\n", count, count < 20 ? errno_name(errno) : "enough");
    kill(0, SIGTERM);
}

static void users(void) {
    setpgid(0, 0);
    signal(SIGTERM, SIG_DFL);
    MUST(setrlimit(RLIMIT_NPROC, &(struct rlimit){5, 5}));
}

int main(int argc, char **argv) {
    if (argc > 1) {
        deep(atol(argv[1]) << 10);
        return 0;
    }
    IN_CHILD("address space", address_space());
    IN_CHILD("data", data());
    IN_CHILD("a stack that suffices", stack("100"));
    IN_CHILD("a stack that does not", stack("600"));
    IN_CHILD("processes of a user", { users(); MUST(setresuid(NOBODY_ELSE, NOBODY_ELSE, NOBODY_ELSE)); processes(); });
    IN_CHILD("processes of root", { users(); processes(); });
    return 0;
}
