/* Reading and writing: offsets, vectors, appending, end of file, bad descriptors and bad memory. */
#include "abi.h"
#include <sys/uio.h>

static char buffer[64];

static void show_buffer(ssize_t len) {
    printf("\"%.*s\"\n", len < 0 ? 0 : (int)len, buffer);
}

static void offsets(void) {
    int fd = MUST(open("f", O_RDWR | O_CREAT, 0644));
    SHOW(write(fd, "0123456789", 10));
    SHOW(lseek(fd, 0, SEEK_CUR));
    SHOW(read(fd, buffer, 4));
    SHOW(lseek(fd, 3, SEEK_SET));
    show_buffer(read(fd, buffer, 4));
    SHOW(lseek(fd, -2, SEEK_END));
    show_buffer(read(fd, buffer, 9));
    SHOW(lseek(fd, -1, SEEK_SET));
    SHOW(lseek(fd, -100, SEEK_CUR));
    SHOW(lseek(fd, 0, 99));
    SHOW(lseek(fd, 100, SEEK_SET));
    SHOW(read(fd, buffer, 4));
    show_buffer(pread(fd, buffer, 3, 5));
    SHOW(pread(fd, buffer, 3, -1));
    SHOW(pwrite(fd, "XY", 2, 1));
    SHOW(lseek(fd, 0, SEEK_CUR));
    print_file("f");
    SHOW(read(fd, buffer, 0));
    SHOW(write(fd, buffer, 0));
    close(fd);
}

static void vectors(void) {
    int fd = MUST(open("v", O_RDWR | O_CREAT, 0644));
    struct iovec out[3] = {{"abc", 3}, {NULL, 0}, {"defg", 4}};
    SHOW(writev(fd, out, 3));
    SHOW(writev(fd, out, 0));
    SHOW(writev(fd, out, -1));
    SHOW(writev(fd, out, 1025));
    char a[2], b[8];
    struct iovec in[2] = {{a, 2}, {b, 8}};
    MUST(lseek(fd, 0, SEEK_SET));
    SHOW(readv(fd, in, 2));
    printf("%.2s %.5s\n", a, b);
    SHOW(preadv(fd, in, 2, 4));
    printf("%.2s %.1s\n", a, b);
    SHOW(pwritev(fd, out, 1, 20));
    SHOW(preadv2(fd, in, 2, -1, 0));
    SHOW(lseek(fd, 0, SEEK_CUR));
    struct iovec bad[2] = {{(void *)8, 2}, {"ok", 2}};
    SHOW(pwritev(fd, bad, 2, 0));
    struct iovec huge[2] = {{a, SSIZE_MAX}, {b, SSIZE_MAX}};
    SHOW(readv(fd, huge, 2));
    close(fd);
}

static void appending(void) {
    int fd = MUST(open("a", O_RDWR | O_CREAT | O_APPEND, 0644));
    int other = MUST(open("a", O_RDWR));
    SHOW(write(fd, "one", 3));
    SHOW(lseek(fd, 0, SEEK_SET));
    SHOW(write(fd, "two", 3));
    SHOW(lseek(fd, 0, SEEK_CUR));
    SHOW(write(other, "ONE", 3));
    /* Linux appends even with pwrite. */
    SHOW(pwrite(fd, "end", 3, 0));
    print_file("a");
    SHOW(fcntl(fd, F_SETFL, 0));
    SHOW(lseek(fd, 0, SEEK_SET));
    SHOW(write(fd, "now", 3));
    SHOW(fcntl(fd, F_SETFL, O_APPEND));
    SHOW(write(fd, "!", 1));
    print_file("a");
    close(fd), close(other);
}

static void wrong(void) {
    int reading = MUST(open("f", O_RDONLY)), writing = MUST(open("f", O_WRONLY));
    int dir = MUST(open(".", O_RDONLY));
    SHOW(write(reading, "x", 1));
    SHOW(read(writing, buffer, 1));
    SHOW(read(dir, buffer, 1));
    SHOW(read(-1, buffer, 1));
    SHOW(read(1000, buffer, 1));
    SHOW(read(reading, (void *)8, 4));
    SHOW(write(writing, (void *)8, 4));
    SHOW(pread(1000, buffer, 1, 0));
    int ends[2];
    MUST(pipe(ends));
    SHOW(lseek(ends[0], 0, SEEK_CUR));
    SHOW(pread(ends[0], buffer, 1, 0));
    SHOW(pwrite(ends[1], buffer, 1, 0));
    SHOW(read(ends[1], buffer, 1));
    SHOW(write(ends[0], buffer, 1));
    SHOW(close(ends[0]));
    SHOW(close(ends[0]));
    SHOW(close(-1));
    SHOW(ftruncate(reading, 0));
    SHOW(ftruncate(dir, 0));
    SHOW(fsync(writing));
    SHOW(fdatasync(dir));
    SHOW(fsync(ends[1]));
}

/* A buffer whose second page is not there: what fits is transferred. */
static void partly_there(void) {
    char *pages = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    MUST(munmap(pages + 4096, 4096));
    memset(pages, 'p', 4096);
    int ends[2];
    MUST(pipe(ends));
    SHOW(write(ends[1], pages + 4090, 6));
    SHOW(read(ends[0], pages + 4090, 100));
    int fd = MUST(open("partly", O_RDWR | O_CREAT, 0644));
    SHOW(write(fd, pages, 4096));
    SHOW(pread(fd, pages + 4092, 4, 0));
    SHOW(pread(fd, pages + 4096, 4, 0));
}

int main(void) {
    offsets();
    vectors();
    appending();
    wrong();
    partly_there();
}
