/* sendfile, copy_file_range, splice, vmsplice, memfd with seals. */
#include "files.h"
#include <sys/mman.h>
#include <sys/sendfile.h>

static int filled(const char *path, int flags, long size) {
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | flags, 0600);
    for (long i = 0; i < size; i++) {
        char c = 'a' + i % 26;
        write(fd, &c, 1);
    }
    lseek(fd, 0, SEEK_SET);
    return fd;
}

static void sending(void) {
    section("sendfile");
    int in = filled("in", 0, 100), out = filled("out", 0, 0);
    char b[200];
    SHOW(sendfile(out, in, NULL, 10));
    SHOW(lseek(in, 0, SEEK_CUR));
    SHOW(lseek(out, 0, SEEK_CUR));
    off_t at = 95;
    SHOW(sendfile(out, in, &at, 10));
    V(at);
    SHOW(lseek(in, 0, SEEK_CUR));
    print_bytes("out", b, pread(out, b, 200, 0));
    SHOW(sendfile(out, in, &at, 10));
    at = -1;
    SHOW(sendfile(out, in, &at, 10));
    SHOW(sendfile(out, in, NULL, 1000));
    SHOW(sendfile(out, in, NULL, 0));
    int p[2], s[2];
    pipe(p);
    at = 0;
    SHOW(sendfile(p[1], in, &at, 26));
    SHOW(read(p[0], b, 200));
    SHOW(sendfile(out, p[0], NULL, 1));
    SHOW(sendfile(out, p[0], &at, 1));
    socketpair(AF_UNIX, SOCK_STREAM, 0, s);
    at = 50;
    SHOW(sendfile(s[0], in, &at, 10));
    SHOW(read(s[1], b, 200));
    SHOW(sendfile(out, s[0], NULL, 1));
    int r = open("in", O_RDONLY), w = open("in", O_WRONLY), d = open(".", O_RDONLY), a = open("out", O_WRONLY | O_APPEND);
    SHOW(sendfile(r, in, NULL, 1));
    SHOW(sendfile(out, w, NULL, 1));
    SHOW(sendfile(out, d, NULL, 1));
    SHOW(sendfile(a, in, NULL, 1));
    SHOW(sendfile(99, in, NULL, 1));
    SHOW(sendfile(out, 99, NULL, 1));
    SHOW(sendfile(out, in, (void *)8, 1));
    int null = open("/dev/null", O_WRONLY);
    at = 0;
    SHOW(sendfile(null, in, &at, 100));
    close_range(3, ~0U, 0);
}

static void ranges(void) {
    section("copy_file_range");
    int in = filled("in", 0, 100), out = filled("out", 0, 10);
    char b[200];
    off_t from = 5, to = 20;
    SHOW(copy_file_range(in, &from, out, &to, 30, 0));
    V(from), V(to);
    SHOW(lseek(in, 0, SEEK_CUR));
    SHOW(copy_file_range(in, NULL, out, NULL, 5, 0));
    SHOW(lseek(in, 0, SEEK_CUR));
    SHOW(lseek(out, 0, SEEK_CUR));
    print_bytes("out", b, pread(out, b, 200, 0));
    from = 90;
    SHOW(copy_file_range(in, &from, out, NULL, 100, 0));
    from = 100;
    SHOW(copy_file_range(in, &from, out, NULL, 100, 0));
    SHOW(copy_file_range(in, NULL, out, NULL, 5, 1));
    from = 0, to = 10;
    SHOW(copy_file_range(in, &from, in, &to, 20, 0));
    SHOW(copy_file_range(in, &from, in, &to, 10, 0));
    int p[2], r = open("in", O_RDONLY), w = open("in", O_WRONLY), d = open(".", O_RDONLY);
    int a = open("out", O_WRONLY | O_APPEND);
    pipe(p);
    SHOW(copy_file_range(p[0], NULL, out, NULL, 5, 0));
    SHOW(copy_file_range(in, NULL, p[1], NULL, 5, 0));
    SHOW(copy_file_range(d, NULL, out, NULL, 5, 0));
    SHOW(copy_file_range(in, NULL, r, NULL, 5, 0));
    SHOW(copy_file_range(w, NULL, out, NULL, 5, 0));
    SHOW(copy_file_range(in, NULL, a, NULL, 5, 0));
    SHOW(copy_file_range(99, NULL, out, NULL, 5, 0));
    close_range(3, ~0U, 0);
}

static void splicing(void) {
    section("splice");
    int in = filled("in", 0, 100), out = filled("out", 0, 0), p[2], q[2], s[2];
    char b[200];
    pipe(p), pipe(q);
    socketpair(AF_UNIX, SOCK_STREAM, 0, s);
    SHOW(splice(in, NULL, p[1], NULL, 30, 0));
    SHOW(lseek(in, 0, SEEK_CUR));
    SHOW(splice(p[0], NULL, out, NULL, 10, 0));
    loff_t at = 50;
    SHOW(splice(p[0], NULL, out, &at, 100, 0));
    V(at);
    print_bytes("out", b, pread(out, b, 200, 0));
    SHOW(splice(p[0], NULL, out, NULL, 10, SPLICE_F_NONBLOCK));
    at = 97;
    SHOW(splice(in, &at, p[1], NULL, 10, 0));
    V(at);
    SHOW(splice(in, &at, p[1], NULL, 10, 0));
    SHOW(splice(p[0], NULL, q[1], NULL, 2, 0));
    SHOW(splice(p[0], NULL, s[0], NULL, 100, 0));
    SHOW(read(s[1], b, 200));
    SHOW(read(q[0], b, 200));
    write(s[1], "from a socket", 13);
    SHOW(splice(s[0], NULL, p[1], NULL, 100, 0));
    SHOW(read(p[0], b, 200));
    SHOW(splice(s[0], NULL, p[1], NULL, 100, SPLICE_F_NONBLOCK));
    SHOW(splice(in, NULL, out, NULL, 10, 0));
    SHOW(splice(p[0], &at, out, NULL, 10, 0));
    SHOW(splice(in, NULL, p[1], &at, 10, 0));
    write(p[1], "x", 1);
    SHOW(splice(p[0], NULL, p[1], NULL, 10, 0));
    SHOW(splice(p[0], NULL, s[0], &at, 10, 0));
    SHOW(splice(p[1], NULL, out, NULL, 10, 0));
    SHOW(splice(in, NULL, p[0], NULL, 10, 0));
    SHOW(splice(99, NULL, p[1], NULL, 10, 0));
    SHOW(splice(in, NULL, p[1], NULL, 10, 0x80));
    SHOW(splice(in, NULL, p[1], NULL, 0, 0));
    int a = open("out", O_WRONLY | O_APPEND);
    SHOW(splice(p[0], NULL, a, NULL, 10, 0));
    close(p[1]);
    SHOW(splice(p[0], NULL, out, NULL, 10, 0));
    SHOW(splice(p[0], NULL, out, NULL, 10, 0));
    close(q[0]);
    catch_signal(SIGPIPE, 0);
    lseek(in, 0, SEEK_SET);
    SHOW(splice(in, NULL, q[1], NULL, 10, 0));
    V(signals[SIGPIPE]);
    close(p[0]), close(q[1]);
    pipe(p);
    struct iovec v[] = {{"one", 3}, {"two", 3}};
    SHOW(vmsplice(p[1], v, 2, 0));
    SHOW(read(p[0], b, 200));
    SHOW(vmsplice(out, v, 2, 0));
    CHILD(writer, {
        sleep_ms(20);
        write(p[1], "late", 4);
    });
    SHOW(splice(p[0], NULL, out, NULL, 10, 0));
    reap("writer", writer);
    close_range(3, ~0U, 0);
}

static void memory_files(void) {
    section("memfd");
    int fd = SHOW(memfd_create("name", MFD_CLOEXEC | MFD_ALLOW_SEALING));
    SHOW(fcntl(fd, F_GETFD));
    SHOW(fcntl(fd, F_GETFL));
    struct stat st;
    SHOW(fstat(fd, &st));
    printf("%o %d\n", st.st_mode, (int)st.st_nlink);
    char b[300];
    sprintf(b, "/proc/self/fd/%d", fd);
    char text[100];
    print_bytes("link", text, readlink(b, text, sizeof text));
    SHOW(fcntl(fd, F_GET_SEALS));
    SHOW(ftruncate(fd, 5000));
    SHOW(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK));
    SHOW(ftruncate(fd, 4000));
    SHOW(ftruncate(fd, 6000));
    SHOW(fcntl(fd, F_ADD_SEALS, F_SEAL_GROW));
    SHOW(ftruncate(fd, 7000));
    SHOW(pwrite(fd, "x", 1, 6000));
    SHOW(pwrite(fd, "xyz", 3, 5998));
    char *map = mmap(NULL, 6000, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    IS(map != MAP_FAILED);
    map[10] = 'm';
    SHOW(pread(fd, b, 1, 10));
    print_bytes("shared", b, 1);
    SHOW(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE));
    munmap(map, 6000);
    SHOW(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE));
    SHOW(pwrite(fd, "x", 1, 0));
    SHOW(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 10));
    IS(mmap(NULL, 6000, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED);
    IS(mmap(NULL, 6000, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0) != MAP_FAILED);
    SHOW(fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL));
    SHOW(fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL));
    SHOW(fcntl(fd, F_GET_SEALS));
    SHOW(fcntl(fd, F_ADD_SEALS, 0x10000));
    int again = SHOW(open(strcpy(b, "/proc/self/fd/3"), O_RDONLY));
    SHOW(fcntl(again, F_ADD_SEALS, 0));
    close(fd), close(again);
    fd = SHOW(memfd_create("", 0));
    SHOW(fcntl(fd, F_GET_SEALS));
    SHOW(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE));
    SHOW(memfd_create("x", 0x100));
    memset(b, 'n', 250);
    b[250] = 0;
    SHOW(memfd_create(b, 0));
    b[249] = 0;
    SHOW(close(SHOW(memfd_create(b, 0))));
    SHOW(memfd_create(NULL, 0));
    int plain = open("f", O_CREAT | O_RDWR, 0600), p[2];
    pipe(p);
    SHOW(fcntl(p[0], F_GET_SEALS));
    close(fd), close(plain), close(p[0]), close(p[1]);
}

int main(void) {
    sending();
    ranges();
    splicing();
    memory_files();
    return 0;
}
