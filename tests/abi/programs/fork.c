/* fork, vfork and clone: what parent and child share, and what they do not. */
#include "abi.h"
#include <sched.h>
#include <spawn.h>

static int global = 1;

static void memory(void) {
    int *shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int *heap = malloc(sizeof *heap), local = 1;
    *shared = *heap = 1;
    IN_CHILD("child", {
        global = local = *heap = *shared = 2;
        printf("child: %d %d %d %d\n", global, local, *heap, *shared);
    });
    printf("parent: %d %d %d %d\n", global, local, *heap, *shared);
}

/* Copy-on-write over generations: each writes every page and sees its own. */
static void generations(void) {
    enum { PAGES = 64 };
    unsigned char *pages = mmap(NULL, PAGES * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (int i = 0; i < PAGES; i++) pages[i * 4096] = i;
    IN_CHILD("first", {
        for (int i = 0; i < PAGES; i += 2) pages[i * 4096] += 100;
        IN_CHILD("second", {
            for (int i = 0; i < PAGES; i += 4) pages[i * 4096] += 50;
            int sum = 0;
            for (int i = 0; i < PAGES; i++) sum += pages[i * 4096];
            printf("grandchild: %d\n", sum);
        });
        int sum = 0;
        for (int i = 0; i < PAGES; i++) sum += pages[i * 4096];
        printf("child: %d\n", sum);
    });
    int sum = 0;
    for (int i = 0; i < PAGES; i++) sum += pages[i * 4096];
    printf("parent: %d\n", sum);
}

static void descriptors(void) {
    write_file("f", "0123456789");
    int fd = MUST(open("f", O_RDONLY));
    char c;
    IN_CHILD("reader", {
        read(fd, &c, 1);
        read(fd, &c, 1);
        close(fd);
    });
    /* The offset is shared, the table is not. */
    SHOW(read(fd, &c, 1));
    printf("%c\n", c);
    IN_CHILD("opener", SHOW(open("f", O_RDONLY)));
    SHOW(fcntl(fd + 1, F_GETFD));
    close(fd);
}

static void inherited(void) {
    MUST(mkdir("d", 0755));
    umask(0027);
    signal(SIGUSR1, SIG_IGN);
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    sigprocmask(SIG_BLOCK, &set, NULL);
    raise(SIGUSR2);
    MUST(alarm(50) >= 0 ? 0 : -1);
    IN_CHILD("inherits", {
        printf("umask %o\n", umask(0));
        IS(signal(SIGUSR1, SIG_DFL) == SIG_IGN);
        sigset_t now;
        sigprocmask(SIG_BLOCK, NULL, &now);
        SHOW(sigismember(&now, SIGUSR2));
        sigpending(&now);
        SHOW(sigismember(&now, SIGUSR2));
        SHOW(alarm(0));
        MUST(chdir("d"));
        IS(getpgid(0) == getpgid(getppid()));
        IS(getsid(0) == getsid(getppid()));
    });
    char path[4096];
    IS(strcmp(strrchr(getcwd(path, sizeof path), '/'), "/d") != 0);
    signal(SIGUSR2, SIG_IGN);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
    umask(022);
}

static void sharing_vfork(void) {
    volatile int seen = 0;
    pid_t pid = vfork();
    if (pid == 0) {
        seen = 42;
        _exit(4);
    }
    SHOW(seen);
    reap("vfork", pid);
    pid = vfork();
    if (pid == 0) {
        execl("/proc/self/exe", "fork", "vforked", NULL);
        _exit(127);
    }
    reap("vfork and exec", pid);
}

static int in_clone(void *argument) {
    *(int *)argument += 1;
    global += 10;
    chdir("d");
    close(*(int *)argument);
    return 5;
}

static void clones(void) {
    static char stack[65536] __attribute__((aligned(16)));
    char *top = stack + sizeof stack;
    int value = 100, status;
    pid_t pid = MUST(clone(in_clone, top, SIGCHLD, &value));
    MUST(waitpid(pid, &status, 0));
    show_status("copied", status);
    printf("%d %d\n", value, global);
    int fd = MUST(open("f", O_RDONLY));
    value = fd - 1;
    pid = MUST(clone(in_clone, top, CLONE_VM | CLONE_FILES | CLONE_FS | SIGCHLD, &value));
    MUST(waitpid(pid, &status, 0));
    show_status("shared", status);
    printf("%s %d\n", value == fd ? "same" : "other", global);
    SHOW(fcntl(fd, F_GETFD));
    char path[4096];
    IS(strcmp(strrchr(getcwd(path, sizeof path), '/'), "/d") == 0);
    MUST(chdir(".."));
    /* No exit signal: only __WALL or __WCLONE waits for it. */
    pid = MUST(clone(in_clone, top, CLONE_VM, &value));
    SHOW(waitpid(pid, &status, 0));
    IS(waitpid(pid, &status, __WALL) == pid);
    show_status("silent", status);
    MUST(chdir("/tmp"));
    SHOW(clone(in_clone, top, CLONE_SIGHAND | SIGCHLD, &value));
    SHOW(clone(in_clone, top, CLONE_THREAD | SIGCHLD, &value));
    pid_t noted = 0;
    pid = MUST(syscall(SYS_clone, CLONE_PARENT_SETTID | SIGCHLD, NULL, &noted, NULL, 0));
    if (pid == 0) _exit(0);
    IS(noted == pid);
    reap("noted", pid);
}

static void spawned(void) {
    char *argv[] = {"fork", "vforked", NULL}, *envp[] = {NULL};
    pid_t pid;
    int error = posix_spawn(&pid, "/proc/self/exe", NULL, NULL, argv, envp);
    reap("spawned", pid);
    SHOW(error);
    IS(posix_spawn(&pid, "./missing", NULL, NULL, argv, envp) == ENOENT);
}

/* Many children at once, and all of them come back. */
static void many(void) {
    enum { COUNT = 100 };
    int sum = 0, status;
    for (int i = 0; i < COUNT; i++)
        if (MUST(fork()) == 0) _exit(i);
    for (int i = 0; i < COUNT; i++) {
        MUST(wait(&status));
        sum += WEXITSTATUS(status);
    }
    SHOW(sum);
}

int main(int argc, char **argv) {
    if (argc > 1) {
        printf("I am %s\n", argv[1]);
        return 6;
    }
    memory();
    generations();
    descriptors();
    inherited();
    sharing_vfork();
    clones();
    spawned();
    many();
}
