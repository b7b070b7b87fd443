/* Reading directories: every entry comes once, also of a large directory, also while it changes. */
#include "abi.h"
#include <dirent.h>

static int compare(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void list(const char *path) {
    char *names[64];
    int count = 0;
    DIR *dir = opendir(path);
    for (struct dirent *entry; (entry = readdir(dir)) && count < 64;) {
        asprintf(&names[count++], "%s %d", entry->d_name, entry->d_type);
    }
    closedir(dir);
    qsort(names, count, sizeof *names, compare);
    for (int i = 0; i < count; i++) puts(names[i]), free(names[i]);
}

static int entries(DIR *dir) {
    int count = 0;
    while (readdir(dir)) count++;
    return count;
}

static void large(void) {
    MUST(mkdir("large", 0755));
    MUST(chdir("large"));
    char name[64];
    for (int i = 0; i < 1500; i++) {
        snprintf(name, sizeof name, "entry-with-a-name-of-some-length-%d", i);
        MUST(close(MUST(open(name, O_WRONLY | O_CREAT, 0644))));
    }
    static bool seen[1500];
    DIR *dir = opendir(".");
    int twice = 0, count = 0;
    for (struct dirent *entry; (entry = readdir(dir));) {
        int i;
        if (sscanf(entry->d_name, "entry-with-a-name-of-some-length-%d", &i) != 1) continue;
        twice += seen[i];
        seen[i] = true;
        count++;
        /* What was read may go, and nothing else is missed. */
        if (i % 2) MUST(unlink(entry->d_name));
    }
    SHOW(twice);
    SHOW(count);
    rewinddir(dir);
    SHOW(entries(dir));
    rewinddir(dir);
    readdir(dir), readdir(dir), readdir(dir);
    long here = telldir(dir);
    struct dirent *entry = readdir(dir);
    char next[256];
    strcpy(next, entry->d_name);
    readdir(dir), readdir(dir);
    seekdir(dir, here);
    IS(strcmp(readdir(dir)->d_name, next) == 0);
    closedir(dir);
    MUST(chdir(".."));
}

static void raw(void) {
    char buffer[1024];
    int fd = MUST(open("mixed", O_RDONLY | O_DIRECTORY));
    SHOW(syscall(SYS_getdents64, fd, buffer, 8));
    SHOW(syscall(SYS_getdents64, fd, (void *)8, 1024));
    IS(syscall(SYS_getdents64, fd, buffer, sizeof buffer) > 0);
    SHOW(syscall(SYS_getdents64, fd, buffer, sizeof buffer));
    SHOW(lseek(fd, 0, SEEK_SET));
    IS(syscall(SYS_getdents64, fd, buffer, sizeof buffer) > 0);
    close(fd);
    fd = MUST(open("mixed/file", O_RDONLY));
    SHOW(syscall(SYS_getdents64, fd, buffer, sizeof buffer));
    SHOW(syscall(SYS_getdents64, 99, buffer, sizeof buffer));
    close(fd);
    /* A directory that is gone is empty. */
    MUST(mkdir("gone", 0755));
    fd = MUST(open("gone", O_RDONLY));
    MUST(rmdir("gone"));
    SHOW(syscall(SYS_getdents64, fd, buffer, sizeof buffer));
    SHOW(openat(fd, "x", O_WRONLY | O_CREAT, 0644));
    SHOW(mkdirat(fd, "x", 0755));
}

int main(void) {
    MUST(mkdir("mixed", 0755));
    write_file("mixed/file", "x");
    MUST(mkdir("mixed/directory", 0755));
    MUST(symlink("nowhere", "mixed/symlink"));
    MUST(mkfifo("mixed/fifo", 0644));
    write_file("mixed/.hidden", "");
    write_file("mixed/with space\nand line", "");
    list("mixed");
    list(".");
    IS(opendir("mixed/file") == NULL && errno == ENOTDIR);
    IS(opendir("missing") == NULL && errno == ENOENT);
    large();
    raw();
}
