/* Prints lines `name: microseconds`, each for one operation. */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1e6 + t.tv_nsec / 1e3;
}

#define MEASURE(name, count, body)                                   \
    do {                                                             \
        double from = now();                                         \
        for (int i = 0; i < (count); i++) { body; }                  \
        printf("%s: %.3f\n", name, (now() - from) / (count));        \
        fflush(stdout);                                              \
    } while (0)

enum { PAGES = 2048 };

static void reap(pid_t pid)
{
    if (pid < 0 || waitpid(pid, 0, 0) != pid) exit(1);
}

static void pipes(void)
{
    int there[2], back[2];
    char c = 0;
    if (pipe(there) || pipe(back)) exit(1);
    pid_t pid = fork();
    if (pid == 0) {
        close(there[1]);
        while (read(there[0], &c, 1) == 1) write(back[1], &c, 1);
        _exit(0);
    }
    close(there[0]);
    MEASURE("pipe ping-pong between two processes", 4000, write(there[1], &c, 1); if (read(back[0], &c, 1) != 1) exit(1));
    close(there[1]);
    reap(pid);
}

static void stream(void)
{
    static char buffer[65536];
    int ends[2];
    if (pipe(ends)) exit(1);
    double from = now();
    pid_t pid = fork();
    if (pid == 0) {
        close(ends[0]);
        for (int i = 0; i < 1600; i++)
            if (write(ends[1], buffer, sizeof buffer) != sizeof buffer) _exit(1);
        _exit(0);
    }
    close(ends[1]);
    while (read(ends[0], buffer, sizeof buffer) > 0) { }
    reap(pid);
    printf("100 MiB through a pipe: %.3f\n", now() - from);
}

int main(int argc, char **argv)
{
    if (argc > 1) return 0;
    MEASURE("getppid, a system call", 200000, syscall(SYS_getppid));
    MEASURE("clock_gettime", 200000, now());
    char *memory = mmap(0, PAGES * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    MEASURE("page fault, new memory", PAGES, memory[i * 4096l] = 1);
    munmap(memory, PAGES * 4096);
    memory = mmap(0, PAGES * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    MEASURE("page fault, memory used before", PAGES, memory[i * 4096l] = 1);
    munmap(memory, PAGES * 4096);
    pipes();
    MEASURE("fork, exit, wait", 200, pid_t pid = fork(); if (pid == 0) _exit(0); reap(pid));
    MEASURE("fork, exec, wait", 200, pid_t pid = fork(); if (pid == 0) { execl(argv[0], argv[0], "child", (char *)0); _exit(1); } reap(pid));
    MEASURE("vfork, exec, wait", 200, pid_t pid = vfork(); if (pid == 0) { execl(argv[0], argv[0], "child", (char *)0); _exit(1); } reap(pid));
    stream();
    return 0;
}
