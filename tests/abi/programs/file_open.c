/* open(2): every flag that programs use, and the errno of every way to misuse one. */
#include "abi.h"
#include <sys/ioctl.h>

static long open_close(const char *path, int flags, mode_t mode) {
    int fd = open(path, flags, mode);
    if (fd >= 0) close(fd);
    return fd;
}

static void creation(void) {
    SHOW(open_close("new", O_WRONLY, 0));
    SHOW(open_close("new", O_WRONLY | O_CREAT, 0640));
    SHOW(open_close("new", O_WRONLY | O_CREAT | O_EXCL, 0640));
    SHOW(open_close("dir/new", O_WRONLY | O_CREAT, 0640));
    SHOW(open_close("", O_RDONLY, 0));
    struct stat stat;
    MUST(lstat("new", &stat));
    printf("mode %o\n", stat.st_mode);
    write_file("full", "content");
    SHOW(open_close("full", O_RDONLY, 0));
    print_file("full");
    SHOW(open_close("full", O_WRONLY | O_TRUNC, 0));
    print_file("full");
    umask(077);
    SHOW(open_close("private", O_WRONLY | O_CREAT, 0666));
    MUST(lstat("private", &stat));
    printf("mode %o\n", stat.st_mode);
    umask(022);
    /* The new file's permissions do not bind the descriptor that created it. */
    int fd = open("readonly", O_RDWR | O_CREAT, 0444);
    SHOW(write(fd, "x", 1));
    close(fd);
}

static void kinds(void) {
    MUST(mkdir("dir", 0755));
    MUST(symlink("full", "link"));
    MUST(symlink("missing", "dangling"));
    MUST(symlink("dir", "dirlink"));
    SHOW(open_close("dir", O_RDONLY, 0));
    SHOW(open_close("dir", O_WRONLY, 0));
    SHOW(open_close("dir", O_RDWR, 0));
    SHOW(open_close("dir", O_RDONLY | O_CREAT, 0644));
    SHOW(open_close("dir/", O_RDONLY | O_CREAT, 0644));
    SHOW(open_close("none/", O_RDONLY | O_CREAT, 0644));
    SHOW(open_close("full/", O_RDONLY, 0));
    SHOW(open_close("full/x", O_RDONLY, 0));
    SHOW(open_close("full", O_RDONLY | O_DIRECTORY, 0));
    SHOW(open_close("dir", O_RDONLY | O_DIRECTORY, 0));
    SHOW(open_close("link", O_RDONLY | O_NOFOLLOW, 0));
    SHOW(open_close("dirlink/", O_RDONLY | O_NOFOLLOW, 0));
    SHOW(open_close("dirlink", O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0));
    SHOW(open_close("link", O_RDONLY | O_CREAT | O_EXCL, 0644));
    SHOW(open_close("dangling", O_RDONLY, 0));
    SHOW(open_close("dangling", O_WRONLY | O_CREAT | O_EXCL, 0644));
    SHOW(open_close("dangling", O_WRONLY | O_CREAT, 0644));
    IS(access("missing", F_OK) == 0);
}

static void paths_only(void) {
    char buffer[8];
    int fd = MUST(open("full", O_PATH));
    SHOW(read(fd, buffer, 1));
    SHOW(write(fd, buffer, 1));
    SHOW(fchmod(fd, 0600));
    SHOW(ioctl(fd, FIONREAD, buffer));
    SHOW(fcntl(fd, F_GETFL) & O_PATH ? 1 : 0);
    struct stat stat;
    SHOW(fstat(fd, &stat));
    close(fd);
    fd = MUST(open("link", O_PATH | O_NOFOLLOW));
    MUST(fstat(fd, &stat));
    IS(S_ISLNK(stat.st_mode));
    SHOW(readlinkat(fd, "", buffer, sizeof buffer));
    close(fd);
    fd = MUST(open("dir", O_PATH | O_DIRECTORY));
    SHOW(openat(fd, "below", O_WRONLY | O_CREAT, 0644));
    IS(access("dir/below", F_OK) == 0);
    close(fd);
}

static void unnamed(void) {
    int fd = SHOW(open("dir", O_TMPFILE | O_RDWR, 0600));
    SHOW(write(fd, "secret", 6));
    struct stat stat;
    MUST(fstat(fd, &stat));
    SHOW(stat.st_nlink);
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    SHOW(linkat(AT_FDCWD, path, AT_FDCWD, "named", AT_SYMLINK_FOLLOW));
    print_file("named");
    close(fd);
    SHOW(open("dir", O_TMPFILE | O_RDONLY, 0600));
}

static void bad_arguments(void) {
    SHOW(open((char *)8, O_RDONLY));
    SHOW(openat(-1, "full", O_RDONLY));
    SHOW(openat(77, "full", O_RDONLY));
    int fd = MUST(open("full", O_RDONLY));
    SHOW(openat(fd, "x", O_RDONLY));
    SHOW(open_close("/", O_RDONLY, 0));
    close(fd);
    char name[300];
    memset(name, 'n', sizeof name);
    name[255] = 0;
    SHOW(open_close(name, O_WRONLY | O_CREAT, 0644));
    name[255] = 'n', name[256] = 0;
    SHOW(open_close(name, O_WRONLY | O_CREAT, 0644));
    static char path[5000];
    memset(path, '/', sizeof path - 1);
    SHOW(open_close(path, O_RDONLY, 0));
    path[4095] = 0;
    SHOW(open_close(path, O_RDONLY, 0));
}

int main(void) {
    creation();
    kinds();
    paths_only();
    unnamed();
    bad_arguments();
}
