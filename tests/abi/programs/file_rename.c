/* rename(2) and its flags: what may take whose place, and what may not. */
#include "abi.h"

static void setup(void) {
    write_file("a", "a");
    write_file("b", "b");
    MUST(mkdir("empty", 0755));
    MUST(mkdir("full", 0755));
    write_file("full/x", "x");
    MUST(mkdir("full/sub", 0755));
    MUST(symlink("a", "link"));
}

static void plain(void) {
    SHOW(rename("a", "c"));
    print_file("a");
    print_file("c");
    SHOW(rename("c", "b"));
    print_file("b");
    SHOW(rename("missing", "x"));
    SHOW(rename("b", "none/x"));
    SHOW(rename("b", "b/x"));
    SHOW(rename("b", "empty"));
    SHOW(rename("empty", "b"));
    SHOW(rename("empty", "full"));
    SHOW(rename("full", "empty"));
    print_file("empty/x");
    SHOW(rename("empty", "empty/sub/deep"));
    SHOW(rename("empty", "empty/deep"));
    SHOW(rename("empty/sub", "empty"));
    SHOW(rename("b", ""));
    SHOW(rename("", "b"));
    SHOW(rename("b", "."));
    SHOW(rename("empty/..", "x"));
    SHOW(rename("b", "d/"));
    SHOW(rename("empty/sub", "moved/"));
    SHOW(access("moved", F_OK));
    SHOW(rename("b", "b"));
    SHOW(rename(".", "x"));
}

static void links(void) {
    SHOW(link("b", "same"));
    SHOW(rename("b", "same"));
    print_file("b");
    print_file("same");
    SHOW(rename("link", "link2"));
    char target[8] = {0};
    SHOW(readlink("link2", target, sizeof target));
    SHOW(rename("b", "link2"));
    struct stat stat;
    MUST(lstat("link2", &stat));
    IS(S_ISREG(stat.st_mode));
    SHOW(stat.st_nlink);
}

static void flags(void) {
    write_file("one", "1");
    write_file("two", "2");
    SHOW(renameat2(AT_FDCWD, "one", AT_FDCWD, "two", RENAME_NOREPLACE));
    SHOW(renameat2(AT_FDCWD, "one", AT_FDCWD, "three", RENAME_NOREPLACE));
    SHOW(renameat2(AT_FDCWD, "three", AT_FDCWD, "two", RENAME_EXCHANGE));
    print_file("two");
    print_file("three");
    SHOW(renameat2(AT_FDCWD, "three", AT_FDCWD, "none", RENAME_EXCHANGE));
    SHOW(renameat2(AT_FDCWD, "two", AT_FDCWD, "empty", RENAME_EXCHANGE));
    print_file("empty");
    print_file("two/x");
    SHOW(renameat2(AT_FDCWD, "two", AT_FDCWD, "two/in", RENAME_EXCHANGE));
    SHOW(renameat2(AT_FDCWD, "one", AT_FDCWD, "two", RENAME_EXCHANGE | RENAME_NOREPLACE));
    SHOW(renameat2(AT_FDCWD, "one", AT_FDCWD, "two", 1 << 20));
}

/* What is open stays what it is, whatever its name does. */
static void open_files(void) {
    write_file("open", "old");
    write_file("new", "new");
    int fd = MUST(open("open", O_RDONLY));
    SHOW(rename("new", "open"));
    char buffer[4] = {0};
    SHOW(read(fd, buffer, 3));
    puts(buffer);
    print_file("open");
    struct stat stat;
    MUST(fstat(fd, &stat));
    SHOW(stat.st_nlink);
    MUST(mkdir("d1", 0755));
    MUST(chdir("d1"));
    MUST(rename("../d1", "../d2"));
    char path[256];
    MUST(getcwd(path, sizeof path) != NULL ? 0 : -1);
    puts(strrchr(path, '/'));
    MUST(chdir(".."));
    SHOW(rename("/proc/self/status", "x"));
    SHOW(rename("open", "/proc/x"));
}

int main(void) {
    setup();
    plain();
    links();
    flags();
    open_files();
}
