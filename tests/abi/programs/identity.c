/* Users and what they may do. It starts as root and becomes others. */
// abi: root
#include "abi.h"
#include <grp.h>
#include <sys/fsuid.h>

enum { NOBODY = 65534, OTHER = 4711 };

static void show_ids(const char *what) {
    uid_t u[3];
    gid_t g[3], groups[32];
    MUST(getresuid(&u[0], &u[1], &u[2]));
    MUST(getresgid(&g[0], &g[1], &g[2]));
    printf("%s: %u %u %u, %u %u %u, groups", what, u[0], u[1], u[2], g[0], g[1], g[2]);
    int count = MUST(getgroups(32, groups));
    for (int i = 0; i < count; i++) printf(" %u", groups[i]);
    printf("\n");
}

static void become(uid_t user, gid_t group) {
    MUST(setgroups(0, NULL));
    MUST(setresgid(group, group, group));
    MUST(setresuid(user, user, user));
}

static void changing(void) {
    MUST(setgroups(0, NULL));
    show_ids("root");
    IN_CHILD("setuid", {
        SHOW(setuid(OTHER));
        show_ids("all three");
        SHOW(setuid(0));
        SHOW(setuid(OTHER));
        SHOW(setgid(OTHER));
        SHOW(setgroups(0, NULL));
    });
    IN_CHILD("seteuid", {
        SHOW(seteuid(OTHER));
        show_ids("effective");
        SHOW(setuid(NOBODY));
        SHOW(seteuid(0));
        SHOW(setreuid(OTHER, NOBODY));
        show_ids("setreuid");
        SHOW(seteuid(OTHER));
        SHOW(seteuid(NOBODY));
        SHOW(seteuid(0));
    });
    IN_CHILD("groups", {
        gid_t groups[] = {7, 8, 9};
        SHOW(setgroups(3, groups));
        SHOW(setegid(OTHER));
        show_ids("groups");
        SHOW(getgroups(1, groups));
        SHOW(getgroups(0, NULL));
        SHOW(setgroups(1 << 20, groups));
        SHOW(setresgid(1, 2, 3));
        SHOW(setresuid(1, 2, 3));
        show_ids("all different");
        SHOW(setresuid(2, 3, 1));
        SHOW(setresuid(5, -1, -1));
        show_ids("swapped");
        SHOW(setfsuid(1));
        SHOW(setfsuid(-1));
    });
}

static void files(void) {
    umask(022);
    MUST(mkdir("open", 0755)), MUST(mkdir("closed", 0700)), MUST(mkdir("search", 0711)), MUST(mkdir("sticky", 01777));
    MUST(mkdir("world", 0777)), MUST(chmod("world", 0777)), MUST(chmod("sticky", 01777)), MUST(chmod(".", 0755));
    write_file("open/all", "all"), write_file("open/mine", "mine"), write_file("closed/file", "closed");
    write_file("search/file", "found"), write_file("sticky/root", "root"), write_file("world/root", "root");
    MUST(chmod("open/mine", 0600));
    write_file("open/group", "group");
    MUST(chown("open/group", 0, 77)), MUST(chmod("open/group", 0640));
    write_file("open/denied", "owner has less");
    MUST(chown("open/denied", NOBODY, NOBODY)), MUST(chmod("open/denied", 0077));
    IN_CHILD("nobody", {
        become(NOBODY, NOBODY);
        print_file("open/all"), print_file("open/mine"), print_file("closed/file"), print_file("search/file");
        print_file("open/group"), print_file("open/denied");
        SHOW(open("open/all", O_WRONLY));
        SHOW(open("open/new", O_WRONLY | O_CREAT, 0644));
        SHOW(open("search", O_RDONLY));
        SHOW(unlink("open/all"));
        SHOW(rename("open/all", "world/all"));
        SHOW(unlink("world/root"));
        SHOW(unlink("sticky/root"));
        SHOW(rename("sticky/root", "sticky/other"));
        SHOW(open("sticky/mine", O_WRONLY | O_CREAT, 0644) >= 0 ? 0 : -1);
        SHOW(unlink("sticky/mine"));
        SHOW(chmod("open/all", 0666));
        SHOW(chmod("open/denied", 0644));
        print_file("open/denied");
        SHOW(chown("open/denied", 0, -1));
        SHOW(chown("open/denied", -1, 0));
        SHOW(chown("open/denied", NOBODY, NOBODY));
        SHOW(truncate("open/all", 0));
        SHOW(access("open/all", R_OK));
        SHOW(access("open/all", W_OK));
        SHOW(access("open/mine", F_OK));
        SHOW(access("closed/file", F_OK));
        SHOW(chdir("closed"));
        SHOW(mknod("world/device", S_IFCHR | 0666, 0x103));
        SHOW(mkfifo("world/fifo", 0644));
        struct timespec times[2] = {{1, 0}, {2, 0}};
        SHOW(utimensat(AT_FDCWD, "open/all", times, 0));
        SHOW(utimensat(AT_FDCWD, "open/all", NULL, 0));
        SHOW(chroot("/"));
        SHOW(execl("open/all", "all", NULL));
        SHOW(kill(1, 0));
        SHOW(kill(getppid(), SIGTERM));
    });
    IN_CHILD("member of the group", {
        gid_t group = 77;
        MUST(setgroups(1, &group));
        MUST(setresgid(OTHER, OTHER, OTHER)), MUST(setresuid(OTHER, OTHER, OTHER));
        print_file("open/group");
        SHOW(open("open/group", O_WRONLY));
    });
    /* access asks for the real user, open for the effective one. */
    IN_CHILD("real and effective", {
        MUST(setreuid(NOBODY, 0));
        SHOW(access("open/mine", R_OK));
        SHOW(faccessat(AT_FDCWD, "open/mine", R_OK, AT_EACCESS));
        print_file("open/mine");
        MUST(setfsuid(NOBODY));
        print_file("open/mine");
    });
}

static mode_t mode_of(const char *path) {
    struct stat stat;
    MUST(lstat(path, &stat));
    return stat.st_mode & 07777;
}

static void owners(void) {
    write_file("set", "x");
    MUST(chmod("set", 06755));
    SHOW(chown("set", OTHER, OTHER));
    printf("%o\n", mode_of("set"));
    MUST(chmod("set", 06755));
    IN_CHILD("writer", {
        become(OTHER, OTHER);
        MUST(chmod("set", 06755));
        int fd = MUST(open("set", O_WRONLY));
        MUST(write(fd, "y", 1));
        printf("%o\n", mode_of("set"));
        MUST(chmod("set", 06711));
        SHOW(chown("set", -1, -1));
        printf("%o\n", mode_of("set"));
    });
    MUST(mkdir("inherit", 0755)), MUST(chown("inherit", 0, 88)), MUST(chmod("inherit", 02777));
    IN_CHILD("creator", {
        become(OTHER, OTHER);
        write_file("inherit/file", "");
        MUST(mkdir("inherit/dir", 0755));
        struct stat stat;
        MUST(lstat("inherit/file", &stat));
        printf("%u:%u %o\n", stat.st_uid, stat.st_gid, stat.st_mode);
        MUST(lstat("inherit/dir", &stat));
        printf("%u:%u %o\n", stat.st_uid, stat.st_gid, stat.st_mode);
    });
    MUST(symlink("set", "link"));
    SHOW(lchown("link", NOBODY, NOBODY));
    struct stat stat;
    MUST(lstat("link", &stat));
    SHOW(stat.st_uid);
    MUST(lstat("set", &stat));
    SHOW(stat.st_uid);
}

/* A program with the set-user-id bit takes its owner's rights; a script does not. */
static void set_user_id(void) {
    char self[4096] = {0}, *argv[] = {"identity", "who", NULL}, *envp[] = {NULL};
    int from = MUST(open("/proc/self/exe", O_RDONLY)), to = MUST(open("program", O_WRONLY | O_CREAT, 0755));
    ssize_t length;
    while ((length = read(from, self, sizeof self)) > 0) MUST(write(to, self, length));
    close(from), close(to);
    MUST(chown("program", OTHER, 99)), MUST(chmod("program", 06755));
    IN_CHILD("set-id", {
        become(NOBODY, NOBODY);
        execve("program", argv, envp);
    });
    IN_CHILD("no new privileges", {
        become(NOBODY, NOBODY);
        MUST(syscall(SYS_prctl, 38, 1, 0, 0, 0));
        execve("program", argv, envp);
    });
}

int main(int argc, char **argv) {
    (void)argv;
    if (argc > 1) {
        show_ids("program");
        return 0;
    }
    MUST(seteuid(0));
    changing();
    files();
    owners();
    set_user_id();
}
