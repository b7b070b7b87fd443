/* stat, statx, times and modes of files. */
#include "abi.h"
#include <sys/statvfs.h>
#include <sys/sysmacros.h>

static void show_stat(const char *path) {
    struct stat stat;
    if (fstatat(AT_FDCWD, path, &stat, AT_SYMLINK_NOFOLLOW) == -1) {
        printf("%s: %s\n", path, errno_name(errno));
        return;
    }
    printf("%s: mode %o links %ld size %ld rdev %d:%d\n", path, stat.st_mode, (long)stat.st_nlink,
           S_ISDIR(stat.st_mode) ? 0 : (long)stat.st_size, major(stat.st_rdev), minor(stat.st_rdev));
}

static void show_times(const char *path) {
    struct stat stat;
    MUST(lstat(path, &stat));
    printf("%s: atime %ld.%09ld mtime %ld.%09ld\n", path, stat.st_atim.tv_sec, stat.st_atim.tv_nsec,
           stat.st_mtim.tv_sec, stat.st_mtim.tv_nsec);
}

static void modes(void) {
    write_file("f", "12345");
    show_stat("f");
    for (int mode = 0; mode <= 07777; mode += 01111) {
        SHOW(chmod("f", mode));
        show_stat("f");
    }
    SHOW(chmod("missing", 0644));
    SHOW(chmod("f/x", 0644));
    MUST(symlink("f", "s"));
    SHOW(chmod("s", 0600));
    show_stat("f");
    show_stat("s");
    SHOW(fchmodat(AT_FDCWD, "f", 0644, 0));
    int fd = MUST(open("f", O_RDONLY));
    SHOW(fchmod(fd, 0611));
    show_stat("f");
    SHOW(fchmod(-1, 0611));
    MUST(mkdir("d", 01777));
    show_stat("d");
    MUST(mkfifo("p", 0622));
    show_stat("p");
    show_stat("");
    show_stat("none");
    show_stat("f/none");
    show_stat("/dev/null");
    show_stat("/dev/zero");
    show_stat("/dev/full");
    show_stat("/dev/urandom");
    show_stat("/dev/tty");
}

static void times(void) {
    struct timespec set[2] = {{1000000000, 123456789}, {1500000000, 987654321}};
    SHOW(utimensat(AT_FDCWD, "f", set, 0));
    show_times("f");
    set[0].tv_nsec = UTIME_OMIT;
    set[1].tv_sec = 5;
    SHOW(utimensat(AT_FDCWD, "f", set, 0));
    show_times("f");
    set[1].tv_nsec = 1000000000;
    SHOW(utimensat(AT_FDCWD, "f", set, 0));
    set[0] = (struct timespec){7, 0}, set[1] = (struct timespec){8, 9};
    SHOW(utimensat(AT_FDCWD, "s", set, AT_SYMLINK_NOFOLLOW));
    show_times("s");
    show_times("f");
    SHOW(utimensat(AT_FDCWD, "none", set, 0));
    SHOW(utimensat(AT_FDCWD, "f", set, 0x8000));
    int fd = MUST(open("f", O_RDWR));
    SHOW(futimens(fd, set));
    show_times("f");
    struct stat before, after;
    MUST(fstat(fd, &before));
    time_t now = time(NULL);
    MUST(write(fd, "x", 1));
    MUST(fstat(fd, &after));
    IS(after.st_mtime >= now - 2 && after.st_mtime <= now + 2);
    IS(after.st_ctime >= now - 2 && after.st_ctime <= now + 2);
    SHOW(futimens(fd, NULL));
    MUST(fstat(fd, &after));
    IS(after.st_atime >= now - 2);
    /* A new entry changes its directory. */
    MUST(utimensat(AT_FDCWD, "d", set, 0));
    write_file("d/entry", "");
    MUST(stat("d", &after));
    IS(after.st_mtime >= now - 2);
}

static void extended(void) {
    struct statx info;
    SHOW(statx(AT_FDCWD, "f", 0, STATX_BASIC_STATS, &info));
    IS((info.stx_mask & STATX_BASIC_STATS) == STATX_BASIC_STATS);
    printf("mode %o size %ld\n", info.stx_mode, (long)info.stx_size);
    int fd = MUST(open("f", O_RDONLY));
    SHOW(statx(fd, "", AT_EMPTY_PATH, STATX_SIZE, &info));
    SHOW(statx(fd, "", 0, STATX_SIZE, &info));
    SHOW(statx(AT_FDCWD, "s", AT_SYMLINK_NOFOLLOW, STATX_TYPE, &info));
    IS(S_ISLNK(info.stx_mode));
    SHOW(statx(AT_FDCWD, "f", 0x10, STATX_SIZE, &info));
    SHOW(statx(AT_FDCWD, "f", 0, 0x80000000, &info));
    struct stat stat;
    SHOW(fstatat(fd, "", &stat, AT_EMPTY_PATH));
    SHOW(fstatat(AT_FDCWD, "f", (void *)8, 0));
    SHOW(fstat(50, &stat));
    MUST(fstat(fd, &stat));
    IS(stat.st_blksize >= 512 && stat.st_blocks > 0);
    struct statvfs fs;
    SHOW(statvfs(".", &fs));
    IS(fs.f_bsize >= 512 && fs.f_blocks > 0 && fs.f_bfree <= fs.f_blocks && fs.f_namemax == 255);
    SHOW(statvfs("none", &fs));
    SHOW(fstatvfs(fd, &fs));
}

int main(void) {
    modes();
    times();
    extended();
}
