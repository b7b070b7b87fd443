/* Signals: handlers and their flags, masks, pending signals, what senders tell, who may send. */
// abi: dynamic
#include "abi.h"
#include <pthread.h>

static volatile int order[64], count;
static volatile siginfo_t seen;

static void note(int signo) {
    order[count++] = signo;
}

static void note_info(int signo, siginfo_t *info, void *context) {
    (void)context;
    order[count++] = signo;
    *(siginfo_t *)&seen = *info;
}

static void handle(int signo, void *handler, int flags) {
    struct sigaction action = {.sa_handler = handler, .sa_flags = flags};
    MUST(sigaction(signo, &action, NULL));
}

static void show_order(const char *what) {
    printf("%s:", what);
    for (int i = 0; i < count; i++) printf(" %d", order[i]);
    printf("\n");
    count = 0;
}

static void show_seen(const char *what) {
    printf("%s: signo %d code %d value %d pid %s\n", what, seen.si_signo, seen.si_code, seen.si_value.sival_int,
           seen.si_pid == getpid() ? "mine" : "other");
}

static sigset_t set_of(int one, int two) {
    sigset_t set;
    sigemptyset(&set);
    if (one) sigaddset(&set, one);
    if (two) sigaddset(&set, two);
    return set;
}

static volatile int depth, deepest;

static void nest(int signo) {
    depth++;
    if (depth > deepest) deepest = depth;
    order[count++] = signo;
    if (count < 4) raise(signo == SIGUSR1 ? SIGUSR2 : SIGUSR1);
    depth--;
}

static void flags(void) {
    handle(SIGUSR1, note, 0);
    raise(SIGUSR1), raise(SIGUSR1);
    show_order("twice");
    handle(SIGUSR1, note, SA_RESETHAND);
    raise(SIGUSR1);
    struct sigaction action;
    MUST(sigaction(SIGUSR1, NULL, &action));
    IS(action.sa_handler == SIG_DFL);
    show_order("once");
    /* Another signal interrupts a handler, the same does not, unless SA_NODEFER says so. */
    handle(SIGUSR1, nest, 0);
    handle(SIGUSR2, nest, 0);
    raise(SIGUSR1);
    printf("deepest %d\n", deepest), deepest = 0;
    show_order("nested");
    handle(SIGUSR1, nest, SA_NODEFER);
    handle(SIGUSR2, nest, SA_NODEFER);
    raise(SIGUSR1);
    printf("deepest %d\n", deepest), deepest = 0;
    show_order("nodefer");
    action = (struct sigaction){.sa_handler = nest, .sa_mask = set_of(SIGUSR1, SIGUSR2)};
    sigaction(SIGUSR1, &action, NULL);
    raise(SIGUSR1);
    printf("deepest %d\n", deepest), deepest = 0;
    show_order("masked");
}

static void masks(void) {
    handle(SIGUSR1, note, 0);
    handle(SIGUSR2, note, 0);
    sigset_t both = set_of(SIGUSR1, SIGUSR2), one = set_of(SIGUSR1, 0), old, pending;
    SHOW(sigprocmask(SIG_BLOCK, &both, NULL));
    raise(SIGUSR2), raise(SIGUSR1), raise(SIGUSR1);
    show_order("blocked");
    sigpending(&pending);
    printf("pending %d %d %d\n", sigismember(&pending, SIGUSR1), sigismember(&pending, SIGUSR2),
           sigismember(&pending, SIGHUP));
    SHOW(sigprocmask(SIG_UNBLOCK, &one, &old));
    SHOW(sigismember(&old, SIGUSR1));
    show_order("one unblocked");
    /* Ignoring a pending signal drops it. */
    handle(SIGUSR2, SIG_IGN, 0);
    sigpending(&pending);
    SHOW(sigismember(&pending, SIGUSR2));
    sigset_t none = set_of(0, 0);
    SHOW(sigprocmask(SIG_SETMASK, &none, NULL));
    show_order("ignored");
    SHOW(sigprocmask(9, &none, NULL));
    sigset_t all;
    sigfillset(&all);
    MUST(sigprocmask(SIG_SETMASK, &all, NULL));
    MUST(sigprocmask(SIG_SETMASK, NULL, &old));
    printf("KILL and STOP blocked: %d %d\n", sigismember(&old, SIGKILL), sigismember(&old, SIGSTOP));
    MUST(sigprocmask(SIG_SETMASK, &none, NULL));
    /* sigsuspend takes a mask for as long as it waits. */
    handle(SIGUSR2, note, 0);
    MUST(sigprocmask(SIG_BLOCK, &both, NULL));
    raise(SIGUSR1);
    sigset_t but = set_of(SIGUSR2, 0);
    SHOW(sigsuspend(&but));
    show_order("suspended");
    MUST(sigprocmask(SIG_BLOCK, NULL, &old));
    SHOW(sigismember(&old, SIGUSR1));
    MUST(sigprocmask(SIG_SETMASK, &none, NULL));
}

static void senders(void) {
    handle(SIGUSR1, note_info, SA_SIGINFO);
    kill(getpid(), SIGUSR1);
    show_seen("kill");
    raise(SIGUSR1);
    show_seen("raise");
    sigqueue(getpid(), SIGUSR1, (union sigval){.sival_int = 77});
    show_seen("sigqueue");
    syscall(SYS_tgkill, getpid(), syscall(SYS_gettid), SIGUSR1);
    show_seen("tgkill");
    handle(SIGCHLD, note_info, SA_SIGINFO);
    pid_t pid = MUST(fork());
    if (pid == 0) _exit(12);
    MUST(waitpid(pid, NULL, 0));
    printf("SIGCHLD: code %d status %d pid %s\n", seen.si_code, seen.si_status, seen.si_pid == pid ? "child" : "other");
    signal(SIGCHLD, SIG_DFL);
    handle(SIGALRM, note_info, SA_SIGINFO);
    unsigned left = alarm(1);
    pause();
    show_seen("alarm");
    IS(left > 40);
    alarm(60);
    signal(SIGALRM, SIG_DFL);
    count = 0;
    SHOW(kill(getpid(), 0));
    SHOW(kill(getpid(), 65));
    SHOW(kill(getpid(), -1));
    SHOW(kill(1 << 30, 0));
    SHOW(kill(-(1 << 30), SIGTERM));
    SHOW(syscall(SYS_tgkill, 1, getpid(), SIGUSR1));
    SHOW(syscall(SYS_tkill, -1, SIGUSR1));
    siginfo_t forged = {.si_signo = SIGUSR1, .si_code = SI_USER};
    SHOW(syscall(SYS_rt_sigqueueinfo, getppid(), SIGUSR1, &forged));
}

static void refused(void) {
    struct sigaction action = {.sa_handler = note};
    SHOW(sigaction(SIGKILL, &action, NULL));
    SHOW(sigaction(SIGSTOP, &action, NULL));
    SHOW(sigaction(0, &action, NULL));
    SHOW(sigaction(65, &action, NULL));
    SHOW(sigaction(SIGKILL, NULL, &action));
    SHOW(syscall(SYS_rt_sigaction, SIGUSR1, &action, NULL, 4));
    SHOW(syscall(SYS_rt_sigaction, SIGUSR1, (void *)8, NULL, 8));
    SHOW(syscall(SYS_rt_sigprocmask, SIG_BLOCK, (void *)8, NULL, 8));
}

/* Handlers run in order of the signals' numbers, the last one begun first; real-time signals queue with their values. */
static void realtime(void) {
    for (int i = 0; i < 4; i++) handle(SIGRTMIN + i, note_info, SA_SIGINFO);
    sigset_t set, got;
    sigemptyset(&set);
    for (int i = 0; i < 4; i++) sigaddset(&set, SIGRTMIN + i);
    sigaddset(&set, SIGUSR1);
    MUST(sigprocmask(SIG_BLOCK, &set, NULL));
    for (int round = 0; round < 3; round++)
        for (int i = 3; i >= 0; i--) sigqueue(getpid(), SIGRTMIN + i, (union sigval){.sival_int = round * 10 + i});
    kill(getpid(), SIGUSR1);
    siginfo_t info;
    int signo;
    struct timespec now = {0, 0};
    while ((signo = sigtimedwait(&set, &info, &now)) > 0)
        printf("%d code %d value %d\n", signo > 31 ? signo - SIGRTMIN : -signo, info.si_code,
               signo > 31 ? info.si_value.sival_int : 0);
    SHOW(sigtimedwait(&set, &info, &now));
    struct timespec bad = {0, -1}, soon = {0, 20000000};
    SHOW(sigtimedwait(&set, &info, &bad));
    SHOW(sigtimedwait(&set, &info, &soon));
    sigemptyset(&got);
    for (int i = 0; i < 5; i++) sigqueue(getpid(), SIGRTMIN, (union sigval){.sival_int = i});
    count = 0;
    MUST(sigprocmask(SIG_UNBLOCK, &set, NULL));
    SHOW(count);
    SHOW(seen.si_value.sival_int);
    count = 0;
    /* Waiting for a signal that another handler interrupts. */
    handle(SIGALRM, note, 0);
    alarm(1);
    set = set_of(SIGUSR2, 0);
    MUST(sigprocmask(SIG_BLOCK, &set, NULL));
    SHOW(sigwaitinfo(&set, &info));
    alarm(60);
    signal(SIGALRM, SIG_DFL);
    pid_t parent = getpid();
    IN_CHILD("sender", sigqueue(parent, SIGUSR2, (union sigval){.sival_int = 5}));
    SHOW(sigwaitinfo(&set, &info));
    printf("code %d value %d\n", info.si_code, info.si_value.sival_int);
}

static void handler_environment(void) {
    /* errno and the flags of the processor are as before. */
    handle(SIGUSR1, note, 0);
    errno = EXDEV;
    raise(SIGUSR1);
    printf("%s\n", errno_name(errno));
    /* A handler's changes of the mask end with it. */
    sigset_t old;
    MUST(sigprocmask(SIG_BLOCK, NULL, &old));
    SHOW(sigismember(&old, SIGUSR1));
}

int main(void) {
    flags();
    masks();
    senders();
    refused();
    realtime();
    handler_environment();
}
