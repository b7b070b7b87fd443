/* mount and umount2 as root: tmpfs, bind mounts, read-only, errors. */
#include "files.h"
#include <sched.h>
#include <sys/mount.h>

static void show_path(const char *path) {
    struct stat st;
    printf("%s: %s\n", path, lstat(path, &st) ? errno_name(errno) : "there");
}

int main(void) {
    /* On the host the mounts must not be seen by others. The guest has one name space for all. */
    if (unshare(CLONE_NEWNS) == 0) mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL);
    SHOW(mkdir("m", 0755));
    SHOW(mkdir("b", 0755));
    write_file("file", "below");
    SHOW(mount("none", "m", "tmpfs", 0, "size=1m,mode=700"));
    struct stat st, here;
    stat("m", &st), stat(".", &here);
    printf("%o\n", st.st_mode);
    IS(st.st_dev != here.st_dev);
    write_file("m/x", "inside");
    SHOW(rename("m/x", "x"));
    SHOW(link("m/x", "x"));
    SHOW(rmdir("m"));
    SHOW(rename("m", "n"));
    SHOW(mount("m", "b", NULL, MS_BIND, NULL));
    print_file("b/x");
    SHOW(mount(NULL, "b", NULL, MS_BIND | MS_REMOUNT | MS_RDONLY, NULL));
    SHOW(open("b/y", O_CREAT | O_RDWR, 0600));
    SHOW(open("b/x", O_RDWR));
    SHOW(unlink("b/x"));
    SHOW(mkdir("b/d", 0700));
    SHOW(chmod("b/x", 0600));
    SHOW(access("b/x", W_OK));
    SHOW(truncate("b/x", 0));
    SHOW(close(SHOW(open("m/y", O_CREAT | O_RDWR, 0600))));
    show_path("b/y");
    SHOW(umount2("b", 0));
    show_path("b/y");
    SHOW(umount2("b", 0));
    int fd = open("m/x", O_RDONLY);
    SHOW(umount2("m", 0));
    SHOW(umount2("m", MNT_DETACH));
    show_path("m/x");
    char b[10];
    SHOW(read(fd, b, 10));
    close(fd);
    SHOW(mount("none", "m", "tmpfs", MS_NOEXEC | MS_NODEV | MS_NOSYMFOLLOW, NULL));
    SHOW(symlink("target", "m/link"));
    write_file("m/target", "#!/bin/sh\n");
    SHOW(chmod("m/target", 0755));
    SHOW(access("m/target", X_OK));
    SHOW(open("m/link", O_RDONLY));
    SHOW(mknod("m/null", S_IFCHR | 0666, 0x103));
    SHOW(open("m/null", O_RDWR));
    SHOW(execl("m/target", "m/target", NULL));
    SHOW(umount2("m", 0));
    SHOW(mount("file", "file", NULL, MS_BIND, NULL));
    SHOW(umount2("file", 0));
    SHOW(mount("file", "m", NULL, MS_BIND, NULL));
    SHOW(mount("m", "file", NULL, MS_BIND, NULL));
    SHOW(mount("none", "missing", "tmpfs", 0, NULL));
    SHOW(mount("none", "m", "no such type", 0, NULL));
    SHOW(mount("none", "file", "tmpfs", 0, NULL));
    SHOW(mount("none", "m", "tmpfs", MS_REMOUNT, NULL));
    SHOW(umount2("m", 0x100));
    SHOW(umount2("missing", 0));
    SHOW(mount("none", NULL, "tmpfs", 0, NULL));
    SHOW(mount("none", "m", "tmpfs", 0, "size=rubbish"));
    SHOW(mount("none", "m", "tmpfs", 0, "size=64k"));
    fd = open("m/big", O_CREAT | O_RDWR, 0600);
    static char big[100000];
    SHOW(write(fd, big, sizeof big));
    SHOW(write(fd, big, sizeof big));
    close(fd);
    SHOW(umount2("m", 0));
    SHOW(mount("none", "m", "proc", 0, NULL));
    show_path("m/self");
    SHOW(umount2("m", 0));
    CHILD(nobody, {
        SHOW(setresuid(1000, 1000, 1000));
        SHOW(mount("none", "m", "tmpfs", 0, NULL));
        SHOW(umount2("m", 0));
    });
    reap("nobody", nobody);
    return 0;
}
