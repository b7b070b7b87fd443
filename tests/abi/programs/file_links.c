/* Hard and symbolic links: counts, targets, loops, and files that are deleted while open. */
#include "abi.h"

static nlink_t count(const char *path) {
    struct stat stat;
    return lstat(path, &stat) == 0 ? stat.st_nlink : 0;
}

static void hard(void) {
    write_file("a", "data");
    SHOW(count("a"));
    SHOW(link("a", "b"));
    SHOW(count("a"));
    SHOW(link("a", "b"));
    SHOW(link("missing", "c"));
    SHOW(link("a", "none/c"));
    SHOW(link(".", "c"));
    struct stat one, two;
    MUST(stat("a", &one));
    MUST(stat("b", &two));
    IS(one.st_ino == two.st_ino && one.st_dev == two.st_dev);
    SHOW(unlink("a"));
    SHOW(count("b"));
    print_file("b");
    int fd = MUST(open("b", O_RDWR));
    SHOW(unlink("b"));
    SHOW(unlink("b"));
    MUST(fstat(fd, &one));
    SHOW(one.st_nlink);
    SHOW(write(fd, "still", 5));
    char buffer[8] = {0};
    SHOW(pread(fd, buffer, 7, 0));
    puts(buffer);
    char path[32];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    int again = SHOW(open(path, O_RDONLY));
    SHOW(read(again, buffer, 5));
    SHOW(linkat(fd, "", AT_FDCWD, "back", AT_EMPTY_PATH));
    close(fd), close(again);
}

static void directories(void) {
    SHOW(mkdir("d", 0755));
    SHOW(count("d"));
    SHOW(mkdir("d/e", 0755));
    SHOW(count("d"));
    SHOW(mkdir("d", 0755));
    SHOW(mkdir("x/y", 0755));
    SHOW(mkdir("", 0755));
    SHOW(mkdir("d/.", 0755));
    SHOW(mkdir("d/trailing/", 0755));
    SHOW(rmdir("d"));
    SHOW(rmdir("d/e/."));
    SHOW(rmdir("d/e/.."));
    SHOW(rmdir("d/e"));
    SHOW(rmdir("d/trailing/"));
    SHOW(count("d"));
    SHOW(unlink("d"));
    SHOW(rmdir("missing"));
    write_file("f", "");
    SHOW(rmdir("f"));
    SHOW(unlink("f/"));
    SHOW(unlinkat(AT_FDCWD, "d", 0));
    SHOW(unlinkat(AT_FDCWD, "f", AT_REMOVEDIR));
    SHOW(unlinkat(AT_FDCWD, "d", AT_REMOVEDIR));
    SHOW(unlinkat(AT_FDCWD, "f", 0x4000));
    SHOW(unlink("."));
    SHOW(rmdir("."));
    SHOW(rmdir("/"));
}

static void symbolic(void) {
    char buffer[64];
    SHOW(symlink("f", "s"));
    SHOW(symlink("f", "s"));
    SHOW(symlink("", "t"));
    SHOW(symlink("f", "none/t"));
    memset(buffer, '#', sizeof buffer);
    SHOW(readlink("s", buffer, sizeof buffer));
    printf("%.3s\n", buffer);
    MUST(symlink("0123456789", "long"));
    SHOW(readlink("long", buffer, 4));
    printf("%.5s\n", buffer);
    SHOW(readlink("long", buffer, 0));
    SHOW(readlink("f", buffer, sizeof buffer));
    SHOW(readlink("missing", buffer, sizeof buffer));
    struct stat stat;
    MUST(lstat("long", &stat));
    SHOW(stat.st_size);
    IS(S_ISLNK(stat.st_mode));
    SHOW(stat.st_mode & 0777);
    SHOW(link("s", "s2"));
    MUST(lstat("s2", &stat));
    IS(S_ISLNK(stat.st_mode));
    SHOW(linkat(AT_FDCWD, "s", AT_FDCWD, "s3", AT_SYMLINK_FOLLOW));
    MUST(lstat("s3", &stat));
    IS(S_ISREG(stat.st_mode));
    SHOW(unlink("s"));
    SHOW(access("f", F_OK));
    static char target[4200];
    memset(target, 't', sizeof target - 1);
    SHOW(symlink(target, "toolong"));
    target[4095] = 0;
    SHOW(symlink(target, "justfits"));
}

static void loops(void) {
    MUST(symlink("loop", "loop"));
    MUST(symlink("pong", "ping"));
    MUST(symlink("ping", "pong"));
    SHOW(open("loop", O_RDONLY));
    SHOW(open("ping/x", O_RDONLY));
    SHOW(open("loop", O_RDONLY | O_NOFOLLOW));
    SHOW(open("loop", O_WRONLY | O_CREAT, 0644));
    SHOW(chdir("loop"));
    /* Forty links may be followed, not more. */
    write_file("chain0", "end");
    for (int i = 1; i <= 41; i++) {
        char name[16], before[16];
        snprintf(name, sizeof name, "chain%d", i);
        snprintf(before, sizeof before, "chain%d", i - 1);
        MUST(symlink(before, name));
    }
    print_file("chain40");
    print_file("chain41");
    MUST(mkdir("dir", 0755));
    MUST(symlink("../dir", "dir/up"));
    write_file("dir/file", "here");
    print_file("dir/up/up/up/file");
    MUST(symlink("/", "root"));
    IS(access("root/proc/self", F_OK) == 0);
}

int main(void) {
    hard();
    directories();
    symbolic();
    loops();
}
