/* Anonymous memory: mmap, munmap, mprotect, mremap, brk, madvise and what they refuse. */
// abi: dynamic
#include "abi.h"
#include <setjmp.h>
#include <sys/resource.h>

enum { PAGE = 4096, RW = PROT_READ | PROT_WRITE, PRIVATE = MAP_PRIVATE | MAP_ANONYMOUS };

static sigjmp_buf back;

static void jump(int signo) {
    siglongjmp(back, signo);
}

static bool readable(volatile char *at) {
    return sigsetjmp(back, 1) ? false : (*at, true);
}

static bool writable(volatile char *at) {
    return sigsetjmp(back, 1) ? false : (*at = *at, true);
}

/* A letter for each page: w(ritable), r(eadable), -. */
static void access_map(const char *what, char *at, int pages) {
    printf("%s: ", what);
    for (int i = 0; i < pages; i++) putchar(writable(at + i * PAGE) ? 'w' : readable(at + i * PAGE) ? 'r' : '-');
    putchar('\n');
}

static void splitting(void) {
    char *map = mmap(NULL, 8 * PAGE, RW, PRIVATE, -1, 0);
    IS(map != MAP_FAILED && (uintptr_t)map % PAGE == 0);
    int sum = 0;
    for (int i = 0; i < 8 * PAGE; i++) sum += map[i];
    SHOW(sum);
    for (int i = 0; i < 8; i++) map[i * PAGE] = 'a' + i;
    MUST(mprotect(map + PAGE, PAGE, PROT_READ));
    MUST(mprotect(map + 3 * PAGE, 2 * PAGE, PROT_NONE));
    MUST(munmap(map + 6 * PAGE, PAGE));
    access_map("split", map, 8);
    SHOW(mprotect(map + 5 * PAGE, 3 * PAGE, PROT_READ));
    access_map("over a hole", map, 8);
    SHOW(mprotect(map, 6 * PAGE, RW));
    access_map("again", map, 8);
    for (int i = 0; i < 8; i++)
        if (i != 6) putchar(map[i * PAGE]);
    putchar('\n');
    SHOW(munmap(map, 8 * PAGE));
    access_map("gone", map, 8);
    SHOW(munmap(map, 8 * PAGE));
}

static void fixed(void) {
    char *map = mmap(NULL, 4 * PAGE, RW, PRIVATE, -1, 0);
    map[PAGE] = 'x';
    IS(mmap(map + PAGE, PAGE, PROT_READ, PRIVATE | MAP_FIXED, -1, 0) == map + PAGE);
    SHOW(map[PAGE]);
    access_map("fixed", map, 4);
    IS(mmap(map + 2 * PAGE, PAGE, RW, PRIVATE | MAP_FIXED_NOREPLACE, -1, 0) == MAP_FAILED && errno == EEXIST);
    MUST(munmap(map + 2 * PAGE, PAGE));
    IS(mmap(map + 2 * PAGE, PAGE, RW, PRIVATE | MAP_FIXED_NOREPLACE, -1, 0) == map + 2 * PAGE);
    MUST(munmap(map + 3 * PAGE, PAGE));
    /* A hint that is free is taken. */
    IS(mmap(map + 3 * PAGE, PAGE, RW, PRIVATE, -1, 0) == map + 3 * PAGE);
    IS(mmap(map, PAGE, RW, PRIVATE, -1, 0) != map);
}

static void refused(void) {
    char *map = mmap(NULL, 4 * PAGE, RW, PRIVATE, -1, 0);
#define REFUSED(call) ((void)(errno = 0), printf("%s: %s\n", #call, (void *)(call) == MAP_FAILED ? errno_name(errno) : "works"))
    REFUSED(mmap(NULL, 0, RW, PRIVATE, -1, 0));
    REFUSED(mmap(map + 1, PAGE, RW, PRIVATE | MAP_FIXED, -1, 0));
    REFUSED(mmap(NULL, PAGE, RW, MAP_ANONYMOUS, -1, 0));
    REFUSED(mmap(NULL, PAGE, RW, MAP_PRIVATE, -1, 0));
    REFUSED(mmap(NULL, PAGE, RW, MAP_PRIVATE, 77, 0));
    REFUSED(mmap(NULL, SIZE_MAX, RW, PRIVATE, -1, 0));
    REFUSED(mmap(NULL, 1L << 47, RW, PRIVATE, -1, 0));
    REFUSED(mmap((void *)(1L << 47), PAGE, RW, PRIVATE | MAP_FIXED, -1, 0));
    int fd = MUST(open("file", O_RDONLY | O_CREAT, 0644)), dir = MUST(open(".", O_RDONLY));
    REFUSED(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, fd, 1));
    REFUSED(mmap(NULL, PAGE, RW, MAP_SHARED, fd, 0));
    REFUSED(mmap(NULL, PAGE, RW, MAP_PRIVATE, fd, 0));
    REFUSED(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, dir, 0));
    int writing = MUST(open("file", O_WRONLY));
    REFUSED(mmap(NULL, PAGE, PROT_WRITE, MAP_SHARED, writing, 0));
    SHOW(munmap(map + 1, PAGE));
    SHOW(munmap(map, 0));
    SHOW(mprotect(map + 1, PAGE, RW));
    SHOW(mprotect(map, 0, RW));
    SHOW(mprotect(map, PAGE, 0x1000));
    SHOW(madvise(map + 1, PAGE, MADV_NORMAL));
    SHOW(madvise(map, PAGE, 99));
    SHOW(msync(map, PAGE, 99));
    REFUSED(mremap(map + 1, PAGE, PAGE, 0));
    REFUSED(mremap(map, PAGE, 0, 0));
    REFUSED(mremap(map, PAGE, PAGE, 99));
    REFUSED(mremap(map, PAGE, PAGE, MREMAP_FIXED, map));
    close(fd), close(dir), close(writing);
}

static void moving(void) {
    char *map = mmap(NULL, 8 * PAGE, RW, PRIVATE, -1, 0);
    for (int i = 0; i < 8; i++) map[i * PAGE] = 'a' + i;
    IS(mremap(map, 8 * PAGE, 4 * PAGE, 0) == map);
    access_map("shrunk", map, 8);
    IS(mremap(map, 4 * PAGE, 6 * PAGE, 0) == map);
    access_map("grown", map, 8);
    SHOW(map[5 * PAGE]);
    MUST((long)mmap(map + 6 * PAGE, PAGE, PROT_NONE, PRIVATE | MAP_FIXED, -1, 0));
    IS(mremap(map, 6 * PAGE, 64 * PAGE, 0) == MAP_FAILED && errno == ENOMEM);
    char *moved = mremap(map, 6 * PAGE, 64 * PAGE, MREMAP_MAYMOVE);
    IS(moved != MAP_FAILED && moved != map);
    printf("%c%c\n", moved[0], moved[3 * PAGE]);
    access_map("left", map, 6);
    char *target = mmap(NULL, 16 * PAGE, PROT_NONE, PRIVATE, -1, 0);
    IS(mremap(moved, 4 * PAGE, 4 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, target + 8 * PAGE) == target + 8 * PAGE);
    access_map("target", target, 16);
    SHOW(target[10 * PAGE]);
    IS(readable(moved));
    SHOW(moved == MAP_FAILED ? 0 : moved[4 * PAGE]);
    IS(mremap(map, PAGE, 2 * PAGE, MREMAP_MAYMOVE) == MAP_FAILED && errno == EFAULT);
}

static void advice(void) {
    char *map = mmap(NULL, 4 * PAGE, RW, PRIVATE, -1, 0);
    memset(map, 'z', 4 * PAGE);
    SHOW(madvise(map + PAGE, 2 * PAGE, MADV_DONTNEED));
    printf("%d %d %d %d\n", map[0], map[PAGE], map[3 * PAGE - 1], map[3 * PAGE]);
    MUST(munmap(map + PAGE, PAGE));
    SHOW(madvise(map, 3 * PAGE, MADV_DONTNEED));
    SHOW(map[2 * PAGE]);
    unsigned char resident[4];
    SHOW(mincore(map + 3 * PAGE, PAGE, resident));
    SHOW(resident[0] & 1);
    SHOW(mincore(map, 4 * PAGE, resident));
    SHOW(mlock(map, PAGE));
    SHOW(munlock(map, PAGE));
}

static void program_break(void) {
    char *start = sbrk(0);
    IS(sbrk(3 * PAGE) == start);
    start[3 * PAGE - 1] = 'q';
    IS(sbrk(-2 * PAGE) == start + 3 * PAGE);
    IS(sbrk(2 * PAGE) == start + PAGE);
    SHOW(start[3 * PAGE - 1]);
    IS(sbrk(0) == start + 3 * PAGE);
    IS(sbrk(1L << 47) == (void *)-1 && errno == ENOMEM);
    SHOW(brk(start));
    IS(sbrk(0) == start);
}

static void limits(void) {
    struct rlimit limit = {64 << 20, RLIM_INFINITY};
    IN_CHILD("address space", {
        MUST(setrlimit(RLIMIT_AS, &limit));
        IS(mmap(NULL, 100 << 20, RW, PRIVATE, -1, 0) == MAP_FAILED && errno == ENOMEM);
        IS(mmap(NULL, 10 << 20, RW, PRIVATE, -1, 0) != MAP_FAILED);
    });
    IN_CHILD("data", {
        limit.rlim_cur = 0;
        MUST(setrlimit(RLIMIT_DATA, &limit));
        IS(sbrk(100 * PAGE) == (void *)-1);
    });
}

/* A growing stack, with large steps, up to its limit. */
static long dig(int depth) {
    volatile char frame[20000];
    frame[0] = depth;
    return depth ? dig(depth - 1) + frame[0] : 0;
}

int main(void) {
    signal(SIGSEGV, jump), signal(SIGBUS, jump);
    splitting();
    fixed();
    refused();
    moving();
    advice();
    program_break();
    limits();
    SHOW(dig(300));
}
