/* What stat, statx, access and statfs tell, and how attributes change; with and without rights. */
#include "files.h"
#include <grp.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <utime.h>

#ifndef SYS_fchmodat2
#define SYS_fchmodat2 452
#endif

static void show_stat(const char *path) {
    struct stat st;
    if (lstat(path, &st)) {
        printf("%s: %s\n", path, errno_name(errno));
        return;
    }
    printf("%s: mode %o nlink %d uid %d gid %d size %lld rdev %lx\n", path, st.st_mode,
           S_ISDIR(st.st_mode) ? 0 : (int)st.st_nlink, st.st_uid, st.st_gid,
           S_ISREG(st.st_mode) || S_ISLNK(st.st_mode) ? (long long)st.st_size : 0, (long)st.st_rdev);
}

static void statuses(void) {
    section("stat");
    write_file("f", "hello");
    mkdir("d", 0751), symlink("f", "l"), mkfifo("p", 0600);
    show_stat("f"), show_stat("d"), show_stat("l"), show_stat("p"), show_stat("missing"), show_stat("f/x");
    show_stat("/dev/null"), show_stat("/dev/zero"), show_stat("l/");
    struct stat st, other;
    SHOW(stat("l", &st));
    SHOW(stat("f", &other));
    IS(st.st_ino == other.st_ino && st.st_dev == other.st_dev);
    V(st.st_blksize), V(st.st_blocks);
    int fd = open("f", O_RDONLY);
    SHOW(fstat(fd, &st));
    IS(st.st_ino == other.st_ino);
    SHOW(fstat(99, &st));
    SHOW(stat("f", NULL));
    SHOW(stat(NULL, &st));
    SHOW(fstatat(fd, "", &st, AT_EMPTY_PATH));
    IS(st.st_ino == other.st_ino);
    SHOW(fstatat(fd, "", &st, 0));
    SHOW(fstatat(AT_FDCWD, "", &st, AT_EMPTY_PATH));
    printf("%o\n", st.st_mode & S_IFMT);
    SHOW(fstatat(AT_FDCWD, "l", &st, AT_SYMLINK_NOFOLLOW));
    printf("%o\n", st.st_mode & S_IFMT);
    SHOW(fstatat(AT_FDCWD, "l", &st, 0x40));
    SHOW(fstatat(fd, "x", &st, 0));
    int p[2];
    pipe(p);
    SHOW(fstatat(p[0], "", &st, AT_EMPTY_PATH));
    printf("%o\n", st.st_mode);
    struct statx x;
    SHOW(statx(AT_FDCWD, "f", 0, STATX_BASIC_STATS, &x));
    printf("%x %o %d %lld %d\n", x.stx_mask & STATX_BASIC_STATS, x.stx_mode, x.stx_nlink, (long long)x.stx_size,
           x.stx_blksize);
    IS(x.stx_ino == other.st_ino && makedev(x.stx_dev_major, x.stx_dev_minor) == other.st_dev);
    IS(x.stx_mtime.tv_sec == other.st_mtim.tv_sec && x.stx_mtime.tv_nsec == other.st_mtim.tv_nsec);
    SHOW(statx(AT_FDCWD, "l", AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS, &x));
    printf("%o\n", x.stx_mode & S_IFMT);
    SHOW(statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &x));
    SHOW(statx(AT_FDCWD, "/dev/null", 0, STATX_BASIC_STATS, &x));
    printf("%d:%d\n", x.stx_rdev_major, x.stx_rdev_minor);
    SHOW(statx(AT_FDCWD, "f", 0, STATX__RESERVED, &x));
    SHOW(statx(AT_FDCWD, "f", AT_STATX_SYNC_TYPE, 0, &x));
    SHOW(statx(AT_FDCWD, "f", 0x10, 0, &x));
    SHOW(statx(AT_FDCWD, "f", AT_STATX_FORCE_SYNC, 0, &x));
    SHOW(statx(AT_FDCWD, "missing", 0, 0, &x));
    struct statfs fs;
    SHOW(statfs(".", &fs));
    SHOW(statfs("missing", &fs));
    SHOW(fstatfs(fd, &fs));
    V(fs.f_namelen);
    SHOW(fstatfs(p[0], &fs));
    printf("%lx\n", (long)fs.f_type);
    SHOW(statfs("/proc", &fs));
    printf("%lx\n", (long)fs.f_type);
    SHOW(fstatfs(99, &fs));
    close(fd), close(p[0]), close(p[1]);
}

static void rights(void) {
    section("as nobody");
    write_file("secret", "s");
    chmod("secret", 0600);
    write_file("public", "p");
    chmod("public", 0644);
    mkdir("closed", 0700);
    write_file("closed/in", "x");
    mkdir("sticky", 01777);
    chmod("sticky", 01777);
    write_file("sticky/roots", "x");
    chmod("sticky/roots", 0666);
    write_file("group", "g");
    SHOW(chown("group", 0, 500));
    SHOW(chmod("group", 0640));
    SHOW(chmod(".", 0755));
    CHILD(nobody, {
        gid_t groups[] = {500};
        SHOW(setgroups(1, groups));
        SHOW(setresgid(1000, 1000, 1000));
        SHOW(setresuid(1000, 1000, 1000));
        SHOW(open("secret", O_RDONLY));
        SHOW(open("secret", O_RDONLY | O_PATH));
        SHOW(open("public", O_WRONLY));
        SHOW(close(SHOW(open("public", O_RDONLY))));
        SHOW(open("public", O_RDONLY | O_TRUNC));
        SHOW(open("public", O_RDONLY | O_NOATIME));
        SHOW(open("closed/in", O_RDONLY));
        SHOW(open("closed", O_RDONLY));
        SHOW(chdir("closed"));
        SHOW(open("mine", O_CREAT | O_RDWR, 0600));
        SHOW(mkdir("mine", 0700));
        SHOW(unlink("public"));
        SHOW(rename("public", "mine"));
        SHOW(unlink("sticky/roots"));
        SHOW(rename("sticky/roots", "sticky/x"));
        SHOW(close(SHOW(open("sticky/own", O_CREAT | O_RDWR, 0600))));
        SHOW(rename("sticky/own", "sticky/roots"));
        SHOW(chmod("sticky/own", 06755));
        show_stat("sticky/own");
        SHOW(chmod("sticky/roots", 0600));
        SHOW(chown("sticky/own", 0, -1));
        SHOW(chown("sticky/own", 1000, 500));
        show_stat("sticky/own");
        SHOW(chown("sticky/own", -1, 501));
        SHOW(chown("sticky/own", -1, -1));
        SHOW(close(SHOW(open("group", O_RDONLY))));
        SHOW(open("group", O_WRONLY));
        SHOW(access("group", R_OK));
        SHOW(access("group", W_OK));
        SHOW(access("secret", F_OK));
        SHOW(access("secret", R_OK));
        SHOW(access("public", X_OK));
        SHOW(access("closed/in", F_OK));
        SHOW(mknod("sticky/dev", S_IFCHR | 0600, 0x103));
        SHOW(mknod("sticky/fifo", S_IFIFO | 0600, 0));
        SHOW(utimensat(AT_FDCWD, "sticky/roots", NULL, 0));
        struct timespec times[2] = {{1, 0}, {2, 0}};
        SHOW(utimensat(AT_FDCWD, "sticky/roots", times, 0));
        SHOW(utimensat(AT_FDCWD, "public", NULL, 0));
        SHOW(link("sticky/own", "sticky/second"));
        SHOW(chroot("sticky"));
        SHOW(truncate("public", 0));
        SHOW(truncate("sticky/roots", 0));
    });
    reap("nobody", nobody);
    section("as root");
    SHOW(access("secret", R_OK | W_OK));
    SHOW(access("secret", X_OK));
    SHOW(access("closed", X_OK));
    SHOW(access("missing", F_OK));
    SHOW(access("f", 8));
    SHOW(faccessat(AT_FDCWD, "l", R_OK, AT_SYMLINK_NOFOLLOW));
    SHOW(faccessat(AT_FDCWD, "l", R_OK, AT_EACCESS));
    SHOW(syscall(SYS_faccessat2, AT_FDCWD, "l", R_OK, 0x40));
    CHILD(real_user, {
        SHOW(setresuid(1000, 0, 0));
        SHOW(access("secret", R_OK));
        SHOW(faccessat(AT_FDCWD, "secret", R_OK, AT_EACCESS));
        SHOW(close(SHOW(open("secret", O_RDONLY))));
    });
    reap("real user", real_user);
}

static void changes(void) {
    section("chmod");
    SHOW(chmod("f", 07777));
    show_stat("f");
    SHOW(chown("f", 10, 20));
    show_stat("f");
    SHOW(chmod("l", 0600));
    show_stat("l"), show_stat("f");
    SHOW(lchown("l", 7, 8));
    show_stat("l"), show_stat("f");
    SHOW(chown("f", -1, -1));
    SHOW(chmod("missing", 0600));
    int fd = open("f", O_RDONLY), path = open("f", O_PATH);
    SHOW(fchmod(fd, 0123));
    SHOW(fchown(fd, 1, -1));
    SHOW(fchmod(path, 0123));
    SHOW(fchownat(path, "", 2, 3, AT_EMPTY_PATH));
    SHOW(fchownat(AT_FDCWD, "l", 4, 4, AT_SYMLINK_NOFOLLOW));
    SHOW(fchownat(AT_FDCWD, "l", 4, 4, 0x40));
    SHOW(syscall(SYS_fchmodat2, AT_FDCWD, "l", 0600, AT_SYMLINK_NOFOLLOW));
    SHOW(syscall(SYS_fchmodat2, path, "", 0600, AT_EMPTY_PATH));
    SHOW(syscall(SYS_fchmodat2, AT_FDCWD, "f", 0600, 0x40));
    show_stat("f"), show_stat("l");
    SHOW(chmod("d", 02755));
    SHOW(chown("d", 0, 33));
    write_file("d/inherits", "");
    mkdir("d/sub", 0755);
    show_stat("d/inherits"), show_stat("d/sub");
    SHOW(chmod("f", 06755));
    int w = open("f", O_WRONLY);
    SHOW(write(w, "x", 1));
    show_stat("f");
    close(w), close(fd), close(path);
}

static void show_times(const char *path) {
    struct stat st;
    lstat(path, &st);
    printf("%s: %lld.%09ld %lld.%09ld\n", path, (long long)st.st_atim.tv_sec, st.st_atim.tv_nsec,
           (long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
}

static void times(void) {
    section("times");
    struct timespec t[2] = {{100, 5}, {200, 999999999}};
    SHOW(utimensat(AT_FDCWD, "f", t, 0));
    show_times("f");
    t[0].tv_nsec = UTIME_OMIT, t[1] = (struct timespec){-5, 7};
    SHOW(utimensat(AT_FDCWD, "f", t, 0));
    show_times("f");
    t[1].tv_nsec = UTIME_OMIT;
    SHOW(utimensat(AT_FDCWD, "f", t, 0));
    SHOW(utimensat(AT_FDCWD, "missing", t, 0));
    t[1].tv_nsec = 1000000000;
    SHOW(utimensat(AT_FDCWD, "f", t, 0));
    t[1].tv_nsec = UTIME_NOW;
    time_t before = time(NULL);
    SHOW(utimensat(AT_FDCWD, "f", t, 0));
    struct stat st;
    stat("f", &st);
    IS(st.st_mtime >= before - 1 && st.st_mtime <= before + 5);
    V(st.st_atime);
    t[0] = (struct timespec){3, 0}, t[1] = (struct timespec){4, 0};
    SHOW(utimensat(AT_FDCWD, "l", t, AT_SYMLINK_NOFOLLOW));
    show_times("l");
    int fd = open("f", O_RDONLY);
    SHOW(futimens(fd, t));
    show_times("f");
    SHOW(syscall(SYS_utimensat, fd, NULL, t, AT_SYMLINK_NOFOLLOW));
    SHOW(syscall(SYS_utimensat, AT_FDCWD, NULL, t, 0));
    SHOW(syscall(SYS_utimensat, 99, NULL, t, 0));
    SHOW(syscall(SYS_utimensat, AT_FDCWD, "f", t, 0x40));
    struct timeval v[2] = {{11, 12}, {13, 14}};
    SHOW(utimes("f", v));
    show_times("f");
    SHOW(syscall(SYS_futimesat, AT_FDCWD, "f", v));
    v[1].tv_usec = 1000000;
    SHOW(syscall(SYS_utimes, "f", v));
    struct utimbuf u = {21, 22};
    SHOW(syscall(SYS_utime, "f", &u));
    show_times("f");
    SHOW(syscall(SYS_utime, "f", NULL));
    SHOW(syscall(SYS_utime, "f", (void *)8));
    utimensat(AT_FDCWD, "f", (struct timespec[]){{1, 0}, {1, 0}}, 0);
    stat("f", &st);
    struct timespec ctime = st.st_ctim;
    sleep_ms(20);
    int w = open("f", O_WRONLY);
    write(w, "y", 1);
    close(w);
    stat("f", &st);
    IS(st.st_mtime > 1);
    IS(st.st_ctim.tv_sec > ctime.tv_sec || st.st_ctim.tv_nsec > ctime.tv_nsec);
    close(fd);
}

static void attributes(void) {
    section("xattr");
    char value[10];
    SHOW(listxattr("f", value, sizeof value));
    SHOW(listxattr("missing", value, sizeof value));
    SHOW(getxattr("missing", "user.x", value, sizeof value));
    SHOW(flistxattr(99, value, sizeof value));
    SHOW(getxattr("f", "strange", value, sizeof value));
}

int main(void) {
    statuses();
    rights();
    changes();
    times();
    attributes();
    return 0;
}
