/* Shared by the ABI programs. Each prints a transcript that must be the same on the host's Linux and in the guest, so it
 * prints results, errnos and what was read, and nothing that may differ: no ids, no addresses, no times. */
#pragma once
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* The text of a call and what it gave: a number, or -1 and the errno's name. */
#define SHOW(call) (errno = 0, show(#call, (long)(call)))
/* As SHOW, but of a call whose number may differ: only whether it worked. */
#define WORKS(call) (errno = 0, works(#call, (long)(call)))
/* Whether something is so. */
#define IS(condition) is(#condition, (condition))
/* Ends the program where going on makes no sense. */
#define MUST(call) must(#call, (long)(call))

static inline const char *errno_name(int number) {
    const char *name = strerrorname_np(number);
    return name ? name : "?";
}

static inline long show(const char *text, long value) {
    if (value == -1 && errno) printf("%s = -1 %s\n", text, errno_name(errno));
    else printf("%s = %ld\n", text, value);
    return value;
}

static inline long works(const char *text, long value) {
    if (value == -1) printf("%s: %s\n", text, errno_name(errno));
    else printf("%s: works\n", text);
    return value;
}

static inline bool is(const char *text, bool value) {
    printf("%s: %s\n", text, value ? "yes" : "no");
    return value;
}

static inline long must(const char *text, long value) {
    if (value == -1) {
        printf("%s failed: %s\n", text, errno_name(errno));
        fflush(stdout);
        _exit(99);
    }
    return value;
}

/* What a wait status says. Whether a core was dumped depends on the host's settings and is left out. */
static inline void show_status(const char *what, int status) {
    if (WIFEXITED(status)) printf("%s: exited %d\n", what, WEXITSTATUS(status));
    else if (WIFSIGNALED(status)) printf("%s: killed by SIG%s\n", what, sigabbrev_np(WTERMSIG(status)));
    else if (WIFSTOPPED(status)) printf("%s: stopped by SIG%s\n", what, sigabbrev_np(WSTOPSIG(status)));
    else if (WIFCONTINUED(status)) printf("%s: continued\n", what);
    else printf("%s: status %#x\n", what, status);
}

/* Waits for a child and tells how it ended. */
static inline void reap(const char *what, pid_t pid) {
    int status = 0;
    MUST(waitpid(pid, &status, 0));
    show_status(what, status);
}

/* Runs a block in a child process and waits for it; the block ends with an exit status. */
#define IN_CHILD(what, ...)        \
    do {                           \
        pid_t pid_ = MUST(fork()); \
        if (pid_ == 0) {           \
            __VA_ARGS__;           \
            _exit(0);              \
        }                          \
        reap(what, pid_);          \
    } while (0)

static inline void write_file(const char *path, const char *text) {
    int fd = MUST(open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644));
    MUST(write(fd, text, strlen(text)));
    MUST(close(fd));
}

/* Prints a file, or why it cannot be read. */
static inline void print_file(const char *path) {
    char buffer[512];
    int fd = open(path, O_RDONLY);
    ssize_t len = fd < 0 ? -1 : read(fd, buffer, sizeof buffer);
    if (len < 0) printf("%s: %s\n", path, errno_name(errno));
    else printf("%s: \"%.*s\"\n", path, (int)len, buffer);
    if (fd >= 0) close(fd);
}

static inline void sleep_ms(long ms) {
    struct timespec time = {ms / 1000, ms % 1000 * 1000000};
    while (nanosleep(&time, &time) == -1 && errno == EINTR) {}
}

static inline long long now_ms(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000LL + time.tv_nsec / 1000000;
}

/* Every line is written at once, so that lines of several processes neither mix nor come twice. A hang ends. */
__attribute__((constructor)) static void abi_start(void) {
    setvbuf(stdout, NULL, _IOLBF, 8192);
    alarm(60);
    umask(022);
}
