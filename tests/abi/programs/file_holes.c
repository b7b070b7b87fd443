/* Truncation and holes: what is not written reads as zeros, what was cut off never comes back. */
#include "abi.h"

static int fd;

static int zeros(off_t from, size_t len) {
    static char buffer[70000];
    ssize_t got = pread(fd, buffer, len, from);
    if (got != (ssize_t)len) return 0;
    for (size_t i = 0; i < len; i++)
        if (buffer[i]) return 0;
    return 1;
}

static off_t size(void) {
    struct stat stat;
    MUST(fstat(fd, &stat));
    return stat.st_size;
}

static void cutting(void) {
    fd = MUST(open("cut", O_RDWR | O_CREAT, 0644));
    static char full[10000];
    memset(full, 'x', sizeof full);
    MUST(write(fd, full, sizeof full));
    SHOW(ftruncate(fd, 100));
    SHOW(size());
    SHOW(ftruncate(fd, 9000));
    SHOW(size());
    IS(zeros(100, 8900));
    SHOW(zeros(99, 1));
    SHOW(truncate("cut", 0));
    SHOW(truncate("cut", 5));
    IS(zeros(0, 5));
    SHOW(truncate("cut", -1));
    SHOW(ftruncate(fd, -1));
    SHOW(truncate("missing", 0));
    SHOW(truncate(".", 0));
    SHOW(lseek(fd, 0, SEEK_CUR));
    SHOW(write(fd, "y", 1));
    SHOW(size());
    IS(zeros(5, 9995));
    /* A mapping sees the cut at once, also within the last page. */
    char *map = mmap(NULL, 8192, PROT_READ, MAP_SHARED, fd, 0);
    MUST(pwrite(fd, full, 8000, 0));
    SHOW(map[7999]);
    MUST(ftruncate(fd, 4096 + 10));
    SHOW(map[4096 + 9]);
    SHOW(map[4096 + 10]);
    close(fd);
}

static void holes(void) {
    fd = MUST(open("hole", O_RDWR | O_CREAT, 0644));
    SHOW(pwrite(fd, "start", 5, 0));
    SHOW(pwrite(fd, "end", 3, 1 << 20));
    SHOW(size());
    IS(zeros(5, 65536));
    IS(zeros((1 << 20) - 4096, 4096));
    SHOW(lseek(fd, 0, SEEK_DATA));
    SHOW(lseek(fd, 0, SEEK_HOLE));
    SHOW(lseek(fd, 5000, SEEK_DATA));
    SHOW(lseek(fd, 5000, SEEK_HOLE));
    SHOW(lseek(fd, 1 << 20, SEEK_HOLE));
    SHOW(lseek(fd, (1 << 20) + 3, SEEK_DATA));
    SHOW(lseek(fd, (1 << 20) + 3, SEEK_HOLE));
    SHOW(ftruncate(fd, 1 << 30));
    SHOW(size());
    struct stat stat;
    MUST(fstat(fd, &stat));
    IS(stat.st_blocks < 100);
    SHOW(pwrite(fd, "far", 3, 1LL << 40));
    printf("size %lld\n", (long long)size());
    SHOW(ftruncate(fd, 0));
    SHOW(lseek(fd, 0, SEEK_DATA));
    close(fd);
}

static void allocation(void) {
    fd = MUST(open("alloc", O_RDWR | O_CREAT, 0644));
    SHOW(fallocate(fd, 0, 0, 10000));
    SHOW(size());
    IS(zeros(0, 10000));
    SHOW(fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, 50000));
    SHOW(size());
    MUST(pwrite(fd, "abcdefghij", 10, 0));
    SHOW(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 2, 3));
    IS(zeros(2, 3));
    char buffer[10];
    SHOW(pread(fd, buffer, 10, 0));
    printf("%.2s %.5s\n", buffer, buffer + 5);
    SHOW(fallocate(fd, 0, -1, 10));
    SHOW(fallocate(fd, 0, 0, 0));
    SHOW(fallocate(fd, FALLOC_FL_PUNCH_HOLE, 0, 10));
    SHOW(posix_fallocate(fd, 0, 20000));
    SHOW(size());
    int reading = MUST(open("alloc", O_RDONLY));
    SHOW(fallocate(reading, 0, 0, 10));
}

int main(void) {
    cutting();
    holes();
    allocation();
}
