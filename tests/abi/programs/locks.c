/* flock, record locks of processes and of open file descriptions. */
#include "files.h"
#include <sys/file.h>

static struct flock range(int type, long start, long length) {
    return (struct flock){.l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = length};
}

static void show_lock(const char *what, struct flock lock, pid_t holder) {
    if (lock.l_type == F_UNLCK) printf("%s: free\n", what);
    else
        printf("%s: type %d whence %d start %lld length %lld pid %s\n", what, lock.l_type, lock.l_whence,
               (long long)lock.l_start, (long long)lock.l_len,
               lock.l_pid == holder ? "holder" : lock.l_pid == -1 ? "-1" : "other");
}

static int sets(int fd, int command, int type, long start, long length) {
    struct flock lock = range(type, start, length);
    return fcntl(fd, command, &lock);
}

static void whole_files(void) {
    section("flock");
    int a = SHOW(open("f", O_RDWR | O_CREAT, 0600)), b = SHOW(open("f", O_RDWR)), c = SHOW(dup(a));
    SHOW(flock(a, LOCK_EX));
    SHOW(flock(b, LOCK_EX | LOCK_NB));
    SHOW(flock(b, LOCK_SH | LOCK_NB));
    SHOW(flock(c, LOCK_EX | LOCK_NB));
    SHOW(flock(a, LOCK_SH));
    SHOW(flock(b, LOCK_SH | LOCK_NB));
    SHOW(flock(a, LOCK_EX | LOCK_NB));
    SHOW(flock(b, LOCK_UN));
    SHOW(flock(a, LOCK_EX | LOCK_NB));
    SHOW(flock(a, 0));
    SHOW(flock(99, LOCK_EX));
    SHOW(flock(a, LOCK_EX | 64));
    close(a);
    SHOW(flock(b, LOCK_EX | LOCK_NB));
    close(c);
    SHOW(flock(b, LOCK_EX | LOCK_NB));
    CHILD(waiter, {
        int d = open("f", O_RDONLY);
        SHOW(flock(d, LOCK_SH));
        printf("waiter has it\n");
    });
    sleep_ms(50);
    printf("owner lets go\n");
    MUST(flock(b, LOCK_UN)); /* Says nothing: the waiter may be the first to speak. */
    reap("waiter", waiter);
    SHOW(flock(b, LOCK_EX));
    catch_signal(SIGALRM, 0);
    int d = open("f", O_RDONLY);
    struct itimerval timer = {.it_value = {0, 50000}};
    setitimer(ITIMER_REAL, &timer, NULL);
    SHOW(flock(d, LOCK_EX));
    alarm(60);
    close(b), close(d);
}

static void records(void) {
    section("records");
    int fd = SHOW(open("f", O_RDWR));
    SHOW(sets(fd, F_SETLK, F_WRLCK, 10, 10));
    SHOW(sets(fd, F_SETLK, F_RDLCK, 30, 0));
    pid_t holder = getpid();
    CHILD(other, {
        struct flock lock = range(F_WRLCK, 0, 0);
        SHOW(fcntl(fd, F_GETLK, &lock));
        show_lock("all", lock, holder);
        lock = range(F_RDLCK, 20, 5);
        SHOW(fcntl(fd, F_GETLK, &lock));
        show_lock("between", lock, holder);
        lock = range(F_RDLCK, 35, 5);
        SHOW(fcntl(fd, F_GETLK, &lock));
        show_lock("read in read", lock, holder);
        lock = range(F_WRLCK, 35, 5);
        SHOW(fcntl(fd, F_GETLK, &lock));
        show_lock("write in read", lock, holder);
        SHOW(sets(fd, F_SETLK, F_WRLCK, 19, 1));
        SHOW(sets(fd, F_SETLK, F_WRLCK, 20, 1));
        SHOW(sets(fd, F_SETLK, F_RDLCK, 40, 1));
        SHOW(sets(fd, F_SETLK, F_WRLCK, 40, 1));
        int same = open("f", O_RDONLY);
        close(same);
    });
    reap("other", other);
    SHOW(sets(fd, F_SETLK, F_UNLCK, 14, 2));
    CHILD(prober, {
        struct flock lock = range(F_RDLCK, 0, 30);
        fcntl(fd, F_GETLK, &lock);
        show_lock("first half", lock, holder);
        lock = range(F_RDLCK, 14, 16);
        fcntl(fd, F_GETLK, &lock);
        show_lock("second half", lock, holder);
    });
    reap("prober", prober);
    int same = open("f", O_RDONLY);
    SHOW(sets(same, F_SETLK, F_WRLCK, 0, 1));
    close(same);
    CHILD(after, SHOW(sets(fd, F_SETLK, F_WRLCK, 0, 0)));
    reap("after", after);
    struct flock lock = range(F_UNLCK, 0, 0);
    SHOW(fcntl(fd, F_GETLK, &lock));
    lock = range(99, 0, 0);
    SHOW(fcntl(fd, F_SETLK, &lock));
    lock = (struct flock){.l_type = F_WRLCK, .l_whence = 9};
    SHOW(fcntl(fd, F_SETLK, &lock));
    lock = range(F_WRLCK, -1, 0);
    SHOW(fcntl(fd, F_SETLK, &lock));
    lock = range(F_WRLCK, 10, -5);
    SHOW(fcntl(fd, F_SETLK, &lock));
    lock = range(F_WRLCK, 10, -11);
    SHOW(fcntl(fd, F_SETLK, &lock));
    lock = range(F_WRLCK, LONG_MAX, 2);
    SHOW(fcntl(fd, F_SETLK, &lock));
    SHOW(ftruncate(fd, 100));
    lock = (struct flock){.l_type = F_WRLCK, .l_whence = SEEK_END, .l_start = -10};
    SHOW(fcntl(fd, F_SETLK, &lock));
    CHILD(asker, {
        struct flock all = range(F_RDLCK, 50, 0);
        fcntl(fd, F_GETLK, &all);
        show_lock("end", all, holder);
    });
    reap("asker", asker);
    SHOW(fcntl(fd, F_SETLK, NULL));
    close(fd);
}

static void waiting(void) {
    section("waiting");
    int fd = open("f", O_RDWR);
    SHOW(sets(fd, F_SETLK, F_WRLCK, 0, 10));
    CHILD(waiter, {
        SHOW(sets(fd, F_SETLK, F_WRLCK, 20, 10));
        SHOW(sets(fd, F_SETLKW, F_WRLCK, 5, 1));
        printf("waiter has it\n");
        sleep_ms(50);
    });
    sleep_ms(50);
    SHOW(sets(fd, F_SETLKW, F_WRLCK, 25, 1));
    printf("owner lets go\n");
    MUST(sets(fd, F_SETLK, F_UNLCK, 0, 10));
    sleep_ms(20);
    SHOW(sets(fd, F_SETLKW, F_WRLCK, 5, 1));
    printf("owner has it back\n");
    reap("waiter", waiter);
    int p[2];
    pipe(p);
    CHILD(ender, {
        SHOW(sets(fd, F_SETLK, F_WRLCK, 50, 1));
        write(p[1], "x", 1);
        sleep_ms(50);
    });
    char c;
    read(p[0], &c, 1);
    SHOW(sets(fd, F_SETLK, F_WRLCK, 50, 1));
    SHOW(sets(fd, F_SETLKW, F_WRLCK, 50, 1));
    reap("ender", ender);
    close(fd);
}

static void descriptions(void) {
    section("open file descriptions");
    int a = open("f", O_RDWR), b = open("f", O_RDWR), c = dup(a);
    SHOW(sets(a, F_OFD_SETLK, F_WRLCK, 0, 10));
    SHOW(sets(b, F_OFD_SETLK, F_WRLCK, 5, 10));
    SHOW(sets(c, F_OFD_SETLK, F_WRLCK, 5, 10));
    SHOW(sets(a, F_SETLK, F_WRLCK, 0, 1));
    struct flock lock = range(F_WRLCK, 0, 0);
    SHOW(fcntl(b, F_OFD_GETLK, &lock));
    show_lock("held", lock, getpid());
    lock = range(F_WRLCK, 0, 0);
    SHOW(fcntl(b, F_GETLK, &lock));
    show_lock("held", lock, getpid());
    lock = range(F_WRLCK, 0, 0);
    lock.l_pid = 5;
    SHOW(fcntl(b, F_OFD_SETLK, &lock));
    close(a);
    SHOW(sets(b, F_OFD_SETLK, F_WRLCK, 5, 10));
    close(c);
    SHOW(sets(b, F_OFD_SETLK, F_WRLCK, 5, 10));
    int r = open("f", O_RDONLY);
    SHOW(sets(r, F_OFD_SETLK, F_WRLCK, 500, 10));
    SHOW(sets(r, F_OFD_SETLK, F_RDLCK, 500, 10));
    close(b), close(r);
}

int main(void) {
    whole_files();
    records();
    waiting();
    descriptions();
    return 0;
}
