// read, write, lseek and their variants on regular files and directories.
#include "files.h"

static char buf[8192];

static void basics(void) {
    section("basics");
    int fd = SHOW(open("a", O_RDWR | O_CREAT | O_EXCL, 0644));
    SHOW(write(fd, "hello world", 11));
    SHOW(lseek(fd, 0, SEEK_CUR));
    SHOW(lseek(fd, 6, SEEK_SET));
    memset(buf, 0, sizeof buf);
    SHOW(read(fd, buf, 100));
    print_bytes("read", buf, 5);
    SHOW(read(fd, buf, 100));
    SHOW(read(fd, buf, 0));
    SHOW(write(fd, buf, 0));
    SHOW(pread(fd, buf, 5, 0));
    print_bytes("pread", buf, 5);
    SHOW(lseek(fd, 0, SEEK_CUR));
    SHOW(pwrite(fd, "HELLO", 5, 0));
    SHOW(pread(fd, buf, 11, 0));
    print_bytes("pread", buf, 11);
    SHOW(pread(fd, buf, 5, 11));
    SHOW(pread(fd, buf, 5, 1000));
    SHOW(pread(fd, buf, 5, -1));
    SHOW(pwrite(fd, buf, 5, -1));
    SHOW(lseek(fd, -1, SEEK_SET));
    SHOW(lseek(fd, -12, SEEK_END));
    SHOW(lseek(fd, -11, SEEK_END));
    SHOW(lseek(fd, 0, 77));
    SHOW(lseek(fd, 100, SEEK_SET));
    SHOW(write(fd, "x", 1));
    SHOW(pread(fd, buf, 200, 90));
    print_bytes("hole", buf, 11);
    SHOW(lseek(fd, 0, SEEK_DATA));
    SHOW(lseek(fd, 101, SEEK_DATA));
    SHOW(lseek(fd, 0, SEEK_HOLE));
    SHOW(lseek(fd, 101, SEEK_HOLE));
    SHOW(close(fd));
    SHOW(close(fd));
    SHOW(read(fd, buf, 1));
    SHOW(write(fd, buf, 1));
    SHOW(lseek(fd, 0, SEEK_SET));
}

static void modes(void) {
    section("modes");
    int r = SHOW(open("a", O_RDONLY)), w = SHOW(open("a", O_WRONLY)), p = SHOW(open("a", O_PATH));
    SHOW(write(r, "x", 1));
    SHOW(read(w, buf, 1));
    SHOW(pwrite(r, "x", 1, 0));
    SHOW(pread(w, buf, 1, 0));
    SHOW(read(p, buf, 1));
    SHOW(write(p, buf, 1));
    SHOW(lseek(p, 0, SEEK_SET));
    SHOW(lseek(r, 0, SEEK_END));
    SHOW(write(r, NULL, 0));
    close(r), close(w), close(p);
    int d = SHOW(open(".", O_RDONLY | O_DIRECTORY));
    SHOW(read(d, buf, 10));
    SHOW(pread(d, buf, 10, 0));
    SHOW(write(d, buf, 10));
    SHOW(lseek(d, 0, SEEK_SET));
    close(d);
    SHOW(open(".", O_RDWR));
    SHOW(open(".", O_WRONLY));
}

static void vectors(void) {
    section("vectors");
    int fd = SHOW(open("v", O_RDWR | O_CREAT | O_TRUNC, 0600));
    struct iovec out[] = {{"one,", 4}, {"", 0}, {"two,", 4}, {"three", 5}};
    SHOW(writev(fd, out, 4));
    char a[3], b[4], c[100];
    struct iovec in[] = {{a, 3}, {b, 4}, {NULL, 0}, {c, 100}};
    SHOW(lseek(fd, 0, SEEK_SET));
    SHOW(readv(fd, in, 4));
    print_bytes("a", a, 3), print_bytes("b", b, 4), print_bytes("c", c, 6);
    SHOW(preadv(fd, in, 2, 4));
    print_bytes("a", a, 3), print_bytes("b", b, 4);
    SHOW(pwritev(fd, out, 1, 13));
    SHOW(preadv2(fd, in, 4, -1, 0));
    SHOW(preadv2(fd, in, 4, 0, 0));
    SHOW(preadv2(fd, in, 4, -2, 0));
    SHOW(preadv2(fd, in, 4, 0, 0x40000000));
    SHOW(pwritev2(fd, out, 1, 0, RWF_APPEND));
    SHOW(lseek(fd, 0, SEEK_END));
    SHOW(readv(fd, in, 0));
    SHOW(readv(fd, in, -1));
    SHOW(readv(fd, in, 1025));
    struct iovec negative[] = {{a, 1}, {b, (size_t)-1}};
    SHOW(readv(fd, negative, 2));
    SHOW(writev(fd, negative, 2));
    SHOW(readv(fd, (struct iovec *)8, 1));
    SHOW(writev(-1, out, 1));
    struct iovec many[1024];
    for (int i = 0; i < 1024; i++)
        many[i] = (struct iovec){"ab", 2};
    SHOW(pwritev(fd, many, 1024, 0));
    SHOW(pread(fd, buf, 4, 2044));
    print_bytes("many", buf, 4);
    close(fd);
}

static void append(void) {
    section("append");
    int fd = SHOW(open("p", O_RDWR | O_CREAT | O_APPEND, 0600));
    SHOW(write(fd, "abc", 3));
    SHOW(lseek(fd, 0, SEEK_SET));
    SHOW(write(fd, "def", 3));
    SHOW(lseek(fd, 0, SEEK_CUR));
    SHOW(pwrite(fd, "ghi", 3, 0));
    SHOW(lseek(fd, 0, SEEK_CUR));
    SHOW(pread(fd, buf, 100, 0));
    print_bytes("append", buf, 9);
    SHOW(fcntl(fd, F_SETFL, 0));
    SHOW(pwrite(fd, "X", 1, 0));
    SHOW(pread(fd, buf, 100, 0));
    print_bytes("plain", buf, 9);
    SHOW(pwritev2(fd, &(struct iovec){"Y", 1}, 1, 1, RWF_APPEND));
    SHOW(lseek(fd, 0, SEEK_END));
    close(fd);
}

static void faults(void) {
    section("faults");
    int fd = SHOW(open("f", O_RDWR | O_CREAT | O_TRUNC, 0600));
    char *page = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    munmap(page + 4096, 4096);
    memset(page, 'p', 4096);
    SHOW(write(fd, NULL, 5));
    SHOW(write(fd, page + 4096, 5));
    SHOW(write(fd, page + 4090, 6));
    SHOW(read(fd, NULL, 5));
    SHOW(pread(fd, NULL, 5, 0));
    SHOW(pread(fd, page + 4096, 5, 0));
    SHOW(pread(fd, (void *)0x800000000000, 5, 0));
    SHOW(pread(fd, (void *)-4096L, 5, 0));
    SHOW(pread(fd, (void *)-1L, 0, 100));
    char *constant = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    SHOW(pread(fd, constant, 5, 0));
    SHOW(pwrite(fd, constant, 5, 0));
    char *none = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    SHOW(pread(fd, none, 5, 0));
    SHOW(pwrite(fd, none, 5, 0));
    close(fd);
}

static void size_limit(void) {
    section("size limit");
    catch_signal(SIGXFSZ, 0);
    struct rlimit limit = {10, RLIM_INFINITY};
    SHOW(setrlimit(RLIMIT_FSIZE, &limit));
    int fd = SHOW(open("l", O_RDWR | O_CREAT | O_TRUNC, 0600));
    SHOW(write(fd, "0123456789abcdef", 16));
    V(signals[SIGXFSZ]);
    SHOW(write(fd, "x", 1));
    V(signals[SIGXFSZ]);
    SHOW(write(fd, "x", 0));
    SHOW(pwrite(fd, "xyz", 3, 8));
    SHOW(ftruncate(fd, 11));
    V(signals[SIGXFSZ]);
    SHOW(truncate("l", 11));
    SHOW(ftruncate(fd, 9));
    SHOW(ftruncate(fd, 10));
    SHOW(fallocate(fd, 0, 0, 20));
    V(signals[SIGXFSZ]);
    int fds[2];
    SHOW(pipe(fds));
    SHOW(write(fds[1], "0123456789abcdef", 16));
    close(fds[0]), close(fds[1]), close(fd);
    limit.rlim_cur = RLIM_INFINITY;
    SHOW(setrlimit(RLIMIT_FSIZE, &limit));
}

static void truncation(void) {
    section("truncate");
    int fd = SHOW(open("t", O_RDWR | O_CREAT | O_TRUNC, 0600));
    SHOW(write(fd, "0123456789", 10));
    SHOW(ftruncate(fd, 4));
    SHOW(lseek(fd, 0, SEEK_CUR));
    SHOW(lseek(fd, 0, SEEK_END));
    SHOW(ftruncate(fd, 8));
    SHOW(pread(fd, buf, 20, 0));
    print_bytes("grown", buf, 8);
    SHOW(ftruncate(fd, -1));
    SHOW(truncate("t", -1));
    SHOW(truncate("t", 2));
    SHOW(truncate("missing", 2));
    SHOW(truncate(".", 2));
    SHOW(truncate("t/x", 2));
    int r = open("t", O_RDONLY);
    SHOW(ftruncate(r, 0));
    SHOW(fallocate(r, 0, 0, 10));
    SHOW(fallocate(fd, 0, 0, 10));
    SHOW(lseek(fd, 0, SEEK_END));
    SHOW(fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, 100));
    SHOW(lseek(fd, 0, SEEK_END));
    SHOW(fallocate(fd, 0, -1, 10));
    SHOW(fallocate(fd, 0, 0, 0));
    SHOW(fallocate(fd, 0x4000, 0, 1));
    SHOW(pwrite(fd, "0123456789", 10, 0));
    SHOW(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 2, 3));
    SHOW(pread(fd, buf, 20, 0));
    print_bytes("punched", buf, 10);
    int fds[2];
    pipe(fds);
    SHOW(ftruncate(fds[1], 0));
    SHOW(fallocate(fds[1], 0, 0, 10));
    SHOW(fsync(fds[1]));
    SHOW(fdatasync(fd));
    SHOW(fsync(fd));
    SHOW(fsync(99));
    SHOW(syncfs(fd));
    SHOW(posix_fadvise(fd, 0, 10, POSIX_FADV_WILLNEED));
    SHOW(posix_fadvise(fd, 0, 10, 99));
    SHOW(posix_fadvise(fds[0], 0, 10, POSIX_FADV_WILLNEED));
    SHOW(readahead(fd, 0, 10));
    SHOW(readahead(fds[0], 0, 10));
    SHOW(sync_file_range(fd, 0, 10, 0));
    SHOW(sync_file_range(fd, 0, 10, 99));
    SHOW(sync_file_range(fds[0], 0, 10, 0));
    int d = open(".", O_RDONLY);
    SHOW(fsync(d));
    SHOW(ftruncate(d, 0));
}

int main(void) {
    basics();
    modes();
    vectors();
    append();
    faults();
    size_limit();
    truncation();
}
