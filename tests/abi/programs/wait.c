/* Every way to wait for children: wait4, waitid, their options and what they report. */
#include "abi.h"
#include <sys/resource.h>

static void show_info(const char *what, pid_t child, const siginfo_t *info) {
    printf("%s: signo %d code %d status %d pid %s uid %s\n", what, info->si_signo, info->si_code, info->si_status,
           info->si_pid == child ? "child" : info->si_pid == 0 ? "none" : "other",
           info->si_uid == getuid() ? "mine" : "other");
}

static pid_t spawn_exit(int code) {
    pid_t pid = MUST(fork());
    if (pid == 0) _exit(code);
    return pid;
}

static void exits(void) {
    for (int code = 0; code < 256; code += 51) reap("exit", spawn_exit(code));
    reap("exit 256", spawn_exit(256));
    reap("exit -1", spawn_exit(-1));
    for (int signo = 1; signo < 32; signo++) {
        pid_t pid = MUST(fork());
        if (pid == 0) {
            /* Stops and what is ignored by default do not end it. */
            raise(signo);
            _exit(77);
        }
        int status;
        MUST(waitpid(pid, &status, WUNTRACED));
        show_status(sigabbrev_np(signo), status);
        if (WIFSTOPPED(status)) {
            kill(pid, SIGCONT);
            reap("then", pid);
        }
    }
}

static void nobody_there(void) {
    SHOW(wait(NULL));
    SHOW(waitpid(-1, NULL, WNOHANG));
    SHOW(waitpid(1 << 30, NULL, 0));
    SHOW(waitpid(getppid(), NULL, 0));
    SHOW(waitpid(-1, NULL, 0x1000));
    SHOW(waitid(P_ALL, 0, NULL, WEXITED));
    SHOW(waitid(P_ALL, 0, NULL, 0));
    SHOW(waitid(99, 0, NULL, WEXITED));
    SHOW(waitpid(INT_MIN, NULL, 0));
}

static void not_yet(void) {
    int gate[2];
    MUST(pipe(gate));
    pid_t pid = MUST(fork());
    if (pid == 0) {
        char c;
        close(gate[1]);
        read(gate[0], &c, 1);
        _exit(3);
    }
    SHOW(waitpid(pid, NULL, WNOHANG));
    siginfo_t info = {.si_pid = 5};
    SHOW(waitid(P_PID, pid, &info, WEXITED | WNOHANG));
    SHOW(info.si_pid);
    close(gate[1]);
    SHOW(waitid(P_PID, pid, &info, WEXITED | WNOWAIT));
    show_info("nowait", pid, &info);
    /* It has ended, so it will not stop any more. */
    SHOW(waitid(P_PID, pid, &info, WSTOPPED));
    SHOW(waitid(P_PID, pid, &info, WEXITED));
    show_info("waitid", pid, &info);
    SHOW(waitid(P_PID, pid, &info, WEXITED));
    close(gate[0]);
}

static void stops(void) {
    int gate[2];
    MUST(pipe(gate));
    pid_t pid = MUST(fork());
    if (pid == 0) {
        close(gate[1]);
        /* That it continued is not told any more once it has stopped again or ended. */
        char byte;
        raise(SIGSTOP);
        read(gate[0], &byte, 1);
        raise(SIGSTOP);
        read(gate[0], &byte, 1);
        _exit(9);
    }
    close(gate[0]);
    int status;
    siginfo_t info;
    IS(waitpid(pid, &status, WUNTRACED) == pid);
    show_status("first", status);
    /* A stop is reported once. */
    SHOW(waitpid(pid, &status, WUNTRACED | WNOHANG));
    MUST(kill(pid, SIGCONT));
    SHOW(waitid(P_PID, pid, &info, WCONTINUED));
    show_info("continued", pid, &info);
    MUST(write(gate[1], "x", 1));
    SHOW(waitid(P_PID, pid, &info, WSTOPPED));
    show_info("stopped", pid, &info);
    MUST(kill(pid, SIGCONT));
    IS(waitpid(pid, &status, WCONTINUED) == pid);
    show_status("second", status);
    close(gate[1]);
    IS(waitpid(pid, &status, 0) == pid);
    show_status("end", status);
    /* A stopped process can be killed. */
    pid = MUST(fork());
    if (pid == 0) raise(SIGSTOP);
    MUST(waitpid(pid, &status, WUNTRACED));
    MUST(kill(pid, SIGKILL));
    MUST(waitid(P_PID, pid, &info, WEXITED));
    show_info("killed", pid, &info);
}

static void groups(void) {
    pid_t mine = spawn_exit(1);
    pid_t other = MUST(fork());
    if (other == 0) {
        setpgid(0, 0);
        _exit(2);
    }
    siginfo_t info;
    MUST(waitid(P_PID, other, &info, WEXITED | WNOWAIT));
    int status;
    IS(waitpid(-other, &status, 0) == other);
    show_status("by group", status);
    IS(waitpid(0, &status, 0) == mine);
    show_status("own group", status);
    SHOW(waitpid(-other, &status, 0));
    pid_t all[4];
    for (int i = 0; i < 4; i++) all[i] = spawn_exit(i);
    int seen = 0;
    for (int i = 0; i < 4; i++) {
        pid_t pid = MUST(wait(&status));
        for (int j = 0; j < 4; j++)
            if (all[j] == pid && WEXITSTATUS(status) == j) seen |= 1 << j;
    }
    SHOW(seen);
    SHOW(wait(&status));
}

static void resources(void) {
    pid_t pid = MUST(fork());
    if (pid == 0) {
        for (volatile long i = 0; i < 30000000; i++) {}
        _exit(0);
    }
    struct rusage usage = {0}, children;
    IS(wait4(pid, NULL, 0, &usage) == pid);
    IS(usage.ru_utime.tv_sec > 0 || usage.ru_utime.tv_usec > 0);
    IS(usage.ru_utime.tv_sec < 20);
    MUST(getrusage(RUSAGE_CHILDREN, &children));
    IS(children.ru_utime.tv_sec > 0 || children.ru_utime.tv_usec >= usage.ru_utime.tv_usec);
}

/* With SIGCHLD ignored nothing is left to wait for, and wait returns when the last child has gone. */
static void ignored(void) {
    signal(SIGCHLD, SIG_IGN);
    spawn_exit(1), spawn_exit(2);
    SHOW(wait(NULL));
    signal(SIGCHLD, SIG_DFL);
    struct sigaction action = {.sa_handler = SIG_DFL, .sa_flags = SA_NOCLDWAIT};
    sigaction(SIGCHLD, &action, NULL);
    spawn_exit(1);
    SHOW(wait(NULL));
}

int main(void) {
    exits();
    nobody_there();
    not_yet();
    stops();
    groups();
    resources();
    ignored();
}
