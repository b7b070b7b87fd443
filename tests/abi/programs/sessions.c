/* Process groups, sessions, orphans, and who adopts the children of the dead. */
#include "abi.h"
#include <sys/prctl.h>

static volatile int hups, conts;

static void count_up(int signo) {
    if (signo == SIGHUP) hups++;
    else conts++;
}

static void groups(void) {
    IS(getsid(0) == getpid());
    IS(getpgid(0) == getpid());
    IS(getpgrp() == getpid());
    SHOW(setpgid(0, 0));
    SHOW(setsid());
    SHOW(getpgid(1 << 30));
    SHOW(getsid(1 << 30));
    SHOW(getpgid(-1));
    SHOW(setpgid(-1, 0));
    SHOW(setpgid(1 << 30, 0));
    SHOW(setpgid(0, -5));
    SHOW(setpgid(getppid(), 0));
    int gate[2], hold[2];
    MUST(pipe(gate)), MUST(pipe(hold));
    char c;
    pid_t one = MUST(fork());
    if (one == 0) {
        close(hold[1]);
        read(hold[0], &c, 1);
        _exit(0);
    }
    pid_t two = MUST(fork());
    if (two == 0) {
        close(hold[1]);
        read(hold[0], &c, 1);
        _exit(0);
    }
    IS(getpgid(one) == getpid());
    SHOW(setpgid(one, one));
    IS(getpgid(one) == one);
    SHOW(setpgid(two, one));
    IS(getpgid(two) == one);
    SHOW(setpgid(two, 1 << 30));
    SHOW(setpgid(two, getpid()));
    IS(getpgid(two) == getpid());
    SHOW(setpgid(two, one));
    /* A signal to a group reaches all of it and nobody else. */
    SHOW(kill(-one, SIGTERM));
    reap("one", one);
    reap("two", two);
    SHOW(kill(-one, 0));
    close(hold[0]), close(hold[1]), close(gate[0]), close(gate[1]);
    IN_CHILD("after exec", {
        pid_t child = MUST(fork());
        if (child == 0) {
            execl("/proc/self/exe", "sessions", "wait", NULL);
            _exit(1);
        }
        sleep_ms(200);
        SHOW(setpgid(child, child));
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
    });
    IN_CHILD("new session", {
        SHOW(setsid() == getpid());
        IS(getsid(0) == getpid() && getpgrp() == getpid());
        SHOW(setsid());
        SHOW(setpgid(0, getppid()));
        int fd = open("/dev/tty", O_RDWR);
        printf("tty: %s\n", fd < 0 ? errno_name(errno) : "open");
    });
    pid_t other = MUST(fork());
    if (other == 0) {
        setsid();
        sleep_ms(10000);
        _exit(0);
    }
    sleep_ms(100);
    SHOW(setpgid(other, other));
    IS(getsid(other) == other);
    kill(other, SIGKILL);
    reap("other", other);
}

/* When the last link of a group to its session goes, stopped members get SIGHUP and SIGCONT. */
static void orphans(void) {
    int report[2];
    MUST(pipe(report));
    pid_t parent = MUST(fork());
    if (parent == 0) {
        setpgid(0, 0);
        pid_t child = MUST(fork());
        if (child == 0) {
            setpgid(0, 0);
            signal(SIGHUP, count_up), signal(SIGCONT, count_up);
            raise(SIGSTOP);
            sleep_ms(50);
            int values[2] = {hups, conts};
            write(report[1], values, sizeof values);
            _exit(0);
        }
        waitpid(child, NULL, WUNTRACED);
        _exit(0);
    }
    close(report[1]);
    reap("parent", parent);
    int values[2] = {-1, -1};
    SHOW(read(report[0], values, sizeof values));
    printf("hangups %d continues %d\n", values[0], values[1]);
    close(report[0]);
    /* In an orphaned group nobody could continue it: SIGTSTP, SIGTTIN and SIGTTOU do not stop. */
    IN_CHILD("orphaned", {
        setsid();
        raise(SIGTSTP), raise(SIGTTIN), raise(SIGTTOU);
        _exit(3);
    });
    /* A group without a link loses none by the end of a member. */
    IN_CHILD("no link before", {
        setsid();
        pid_t stopped = MUST(fork());
        if (stopped == 0) {
            raise(SIGSTOP);
            _exit(5);
        }
        int status;
        waitpid(stopped, &status, WUNTRACED);
        show_status("stopped", status);
        IN_CHILD("member", _exit(4));
        sleep_ms(50);
        SHOW(waitpid(stopped, &status, WNOHANG | WCONTINUED));
        kill(stopped, SIGCONT);
        reap("continued", stopped);
    });
}

static void adoption(void) {
    IS(getppid() != 0);
    SHOW(prctl(PR_SET_CHILD_SUBREAPER, 1));
    int set = 0;
    SHOW(prctl(PR_GET_CHILD_SUBREAPER, &set));
    SHOW(set);
    int report[2];
    MUST(pipe(report));
    pid_t parent = MUST(fork());
    if (parent == 0) {
        if (MUST(fork()) == 0) {
            pid_t before = getppid();
            while (getppid() == before) sleep_ms(1);
            pid_t now = getppid();
            write(report[1], &now, sizeof now);
            _exit(44);
        }
        sleep_ms(20);
        _exit(0);
    }
    reap("parent", parent);
    pid_t adopted = 0;
    SHOW(read(report[0], &adopted, sizeof adopted));
    IS(adopted == getpid());
    int status;
    IS(wait(&status) > 0);
    show_status("adopted", status);
    SHOW(wait(&status));
    SHOW(prctl(PR_SET_CHILD_SUBREAPER, 0));
    /* A signal at the parent's death. */
    parent = MUST(fork());
    if (parent == 0) {
        if (MUST(fork()) == 0) {
            signal(SIGUSR1, count_up);
            prctl(PR_SET_PDEATHSIG, SIGUSR1);
            pid_t me = 1;
            write(report[1], &me, sizeof me);
            for (int i = 0; i < 500 && !conts; i++) sleep_ms(10);
            write(report[1], (int *)&conts, sizeof conts);
            _exit(0);
        }
        sleep_ms(100);
        _exit(0);
    }
    reap("parent", parent);
    SHOW(read(report[0], &adopted, sizeof adopted));
    SHOW(read(report[0], &adopted, sizeof adopted));
    SHOW(adopted);
}

/* Kills everything that belongs to it and nothing else. */
static void zombies(void) {
    pid_t zombie = MUST(fork());
    if (zombie == 0) _exit(8);
    siginfo_t info;
    MUST(waitid(P_PID, zombie, &info, WEXITED | WNOWAIT));
    SHOW(kill(zombie, 0));
    SHOW(kill(zombie, SIGKILL));
    IS(getpgid(zombie) == getpid());
    IS(getsid(zombie) == getpid());
    reap("zombie", zombie);
    SHOW(kill(zombie, 0));
}

int main(int argc, char **argv) {
    (void)argv;
    if (argc > 1) return sleep_ms(5000), 0;
    groups();
    orphans();
    adoption();
    zombies();
}
