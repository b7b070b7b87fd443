/* Further helpers of the programs about files, descriptors, polling and sockets. */
#pragma once
#pragma GCC diagnostic ignored "-Wnonnull"
#pragma GCC diagnostic ignored "-Wstringop-overflow"
#pragma GCC diagnostic ignored "-Wstringop-overread"
#pragma GCC diagnostic ignored "-Wunused-result"
#include "abi.h"
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/un.h>

/* A value by its name. */
#define V(value) printf("%s: %lld\n", #value, (long long)(value))

static inline void section(const char *name) {
    printf("-- %s\n", name);
}

static inline void print_bytes(const char *what, const void *bytes, long count) {
    const unsigned char *at = bytes;
    printf("%s: %ld \"", what, count);
    for (long i = 0; i < count; i++) printf(at[i] >= 32 && at[i] < 127 ? "%c" : "\\%o", at[i]);
    printf("\"\n");
}

static volatile sig_atomic_t signals[65];

static inline void count_signal(int signo) {
    signals[signo]++;
}

/* Counts a signal from now on. */
static inline void catch_signal(int signo, int flags) {
    struct sigaction action = {.sa_handler = count_signal, .sa_flags = flags};
    MUST(sigaction(signo, &action, NULL));
}

/* A child that runs the statements that follow its name, and exits. */
#define CHILD(pid, ...)       \
    pid_t pid = MUST(fork()); \
    if (pid == 0) {           \
        __VA_ARGS__;          \
        _exit(0);             \
    }
