/* Mapped files: private and shared, seen by read and write and by other processes, and beyond their end. */
#include "abi.h"
#include <setjmp.h>

enum { PAGE = 4096, RW = PROT_READ | PROT_WRITE };

static sigjmp_buf back;

static void jump(int signo) {
    siglongjmp(back, signo);
}

static const char *touch(volatile char *at) {
    int signo = sigsetjmp(back, 1);
    if (signo) return sigabbrev_np(signo);
    *at = *at;
    return "fine";
}

static void private_maps(int fd) {
    char *map = mmap(NULL, 2 * PAGE, RW, MAP_PRIVATE, fd, 0);
    printf("%.5s\n", map);
    memcpy(map, "mine!", 5);
    char buffer[6] = {0};
    MUST(pread(fd, buffer, 5, 0));
    printf("file %s map %.5s\n", buffer, map);
    /* What others write is seen in pages that were not written here. */
    MUST(pwrite(fd, "fresh", 5, PAGE));
    printf("%.5s\n", map + PAGE);
    IN_CHILD("child", {
        memcpy(map, "child", 5);
        printf("%.5s\n", map);
    });
    printf("%.5s\n", map);
    SHOW(munmap(map, 2 * PAGE));
}

static void shared_maps(int fd) {
    char *map = mmap(NULL, 2 * PAGE, RW, MAP_SHARED, fd, 0), *other = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0);
    memcpy(map, "shared", 6);
    char buffer[7] = {0};
    MUST(pread(fd, buffer, 6, 0));
    printf("file %s other %.6s\n", buffer, other);
    MUST(pwrite(fd, "SHARED", 6, 0));
    printf("map %.6s\n", map);
    IN_CHILD("child", memcpy(map + 100, "from the child", 14));
    printf("%.14s\n", map + 100);
    SHOW(msync(map, PAGE, MS_SYNC));
    SHOW(msync(map, PAGE, MS_SYNC | MS_ASYNC));
    char *later = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, PAGE);
    memcpy(map + PAGE, "second", 6);
    printf("%.6s\n", later);
    MUST(munmap(map, 2 * PAGE)), MUST(munmap(other, PAGE)), MUST(munmap(later, PAGE));
    MUST(pread(fd, buffer, 6, PAGE));
    printf("%s\n", buffer);
}

static void the_end(void) {
    int fd = MUST(open("end", O_RDWR | O_CREAT, 0644));
    MUST(pwrite(fd, "last", 4, PAGE));
    char *map = mmap(NULL, 4 * PAGE, RW, MAP_SHARED, fd, 0);
    printf("%s %s %s %s\n", touch(map), touch(map + PAGE + 4), touch(map + 2 * PAGE), touch(map + 3 * PAGE));
    printf("after the end %d\n", map[PAGE + 100]);
    map[PAGE + 100] = 'x';
    struct stat stat;
    MUST(fstat(fd, &stat));
    SHOW(stat.st_size);
    MUST(ftruncate(fd, 3 * PAGE));
    printf("%s %s\n", touch(map + 2 * PAGE), touch(map + 3 * PAGE));
    /* A call that is given such memory fails, where the program itself would get a signal. */
    SHOW(write(fd, map + 3 * PAGE, 10));
    SHOW(pread(fd, map + 3 * PAGE, 10, 0));
    MUST(ftruncate(fd, PAGE));
    printf("%s %s\n", touch(map), touch(map + PAGE));
    MUST(ftruncate(fd, 4 * PAGE));
    printf("%s %s %d\n", touch(map + PAGE), touch(map + 3 * PAGE), map[PAGE + 100]);
    map[2 * PAGE] = 'h';
    SHOW(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 2 * PAGE, PAGE));
    SHOW(map[2 * PAGE]);
    map[2 * PAGE] = 'i';
    char byte = 0;
    MUST(pread(fd, &byte, 1, 2 * PAGE));
    SHOW(byte);
    int again = MUST(open("end", O_WRONLY | O_TRUNC));
    printf("%s\n", touch(map));
    MUST(ftruncate(again, PAGE));
    printf("%s %s\n", touch(map), touch(map + PAGE));
    close(again);
    char *copy = mmap(NULL, 2 * PAGE, RW, MAP_PRIVATE, fd, 0);
    printf("%s %s\n", touch(copy), touch(copy + PAGE));
    close(fd);
    printf("closed: %s\n", touch(map));
    MUST(unlink("end"));
    printf("unlinked: %s\n", touch(map));
}

static void protection(int fd) {
    int reading = MUST(open("file", O_RDONLY));
    char *map = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, reading, 0);
    printf("%s\n", touch(map));
    SHOW(mprotect(map, PAGE, RW));
    char *copy = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, reading, 0);
    SHOW(mprotect(copy, PAGE, RW));
    printf("%s\n", touch(copy));
    char *shared = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0);
    SHOW(mprotect(shared, PAGE, RW));
    close(reading);
}

/* Memory that two processes share without a file that has a name. */
static void memory_files(void) {
    int fd = MUST(memfd_create("name", MFD_CLOEXEC | MFD_ALLOW_SEALING));
    MUST(ftruncate(fd, PAGE));
    int *map = mmap(NULL, PAGE, RW, MAP_SHARED, fd, 0);
    IN_CHILD("adds", __atomic_add_fetch(map, 7, __ATOMIC_SEQ_CST));
    SHOW(*map);
    SHOW(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW));
    SHOW(ftruncate(fd, 2 * PAGE));
    SHOW(ftruncate(fd, 0));
    SHOW(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE));
    MUST(munmap(map, PAGE));
    SHOW(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE));
    SHOW(write(fd, "x", 1));
    SHOW(fcntl(fd, F_GET_SEALS));
    SHOW(fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL));
    SHOW(fcntl(fd, F_ADD_SEALS, F_SEAL_GROW));
    SHOW(memfd_create("name", 0x100));
    int shm = MUST(shm_open("/abi", O_RDWR | O_CREAT | O_EXCL, 0600));
    SHOW(shm_open("/abi", O_RDWR | O_CREAT | O_EXCL, 0600));
    MUST(ftruncate(shm, PAGE));
    char *shared = mmap(NULL, PAGE, RW, MAP_SHARED, shm, 0);
    IN_CHILD("writes", {
        int again = MUST(shm_open("/abi", O_RDWR, 0));
        MUST(write(again, "by name", 7));
    });
    printf("%s\n", shared);
    SHOW(shm_unlink("/abi"));
    SHOW(shm_unlink("/abi"));
}

/* Counters in shared anonymous memory, counted up by several processes at once. */
static void counting(void) {
    long *counter = mmap(NULL, PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pid_t pids[4];
    for (int i = 0; i < 4; i++) {
        pids[i] = MUST(fork());
        if (pids[i] == 0) {
            for (int j = 0; j < 100000; j++) __atomic_add_fetch(counter, 1, __ATOMIC_RELAXED);
            _exit(0);
        }
    }
    for (int i = 0; i < 4; i++) MUST(waitpid(pids[i], NULL, 0));
    SHOW(*counter);
}

int main(void) {
    signal(SIGSEGV, jump), signal(SIGBUS, jump);
    int fd = MUST(open("file", O_RDWR | O_CREAT, 0644));
    MUST(write(fd, "hello world", 11));
    MUST(ftruncate(fd, 2 * PAGE));
    private_maps(fd);
    shared_maps(fd);
    the_end();
    protection(fd);
    memory_files();
    counting();
}
