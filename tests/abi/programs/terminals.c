/* Pseudo-terminals: opening, modes, line editing, job control, sizes, hang-up. */
#include "files.h"
#include <pty.h>
#include <stdlib.h>
#include <termios.h>

static char buffer[5000];

static int open_pair(int *slave) {
    int master = open("/dev/ptmx", O_RDWR | O_NOCTTY);
    unlockpt(master);
    *slave = open(ptsname(master), O_RDWR | O_NOCTTY);
    return master;
}

static void show_read(const char *what, int fd) {
    struct pollfd p = {fd, POLLIN, 0};
    if (poll(&p, 1, 200) == 0) printf("%s: nothing\n", what);
    else {
        /* A terminal passes on what is written in the background: all of it should be there. */
        sleep_ms(20);
        long n = read(fd, buffer, sizeof buffer);
        if (n < 0) printf("%s: %s\n", what, errno_name(errno));
        else print_bytes(what, buffer, n);
    }
}

static void opening(void) {
    section("opening");
    int master = SHOW(open("/dev/ptmx", O_RDWR | O_NOCTTY)), locked = -1, number = -1;
    char name[100], same[100];
    IS(master >= 0);
    SHOW(ioctl(master, TIOCGPTLCK, &locked));
    V(locked);
    SHOW(ioctl(master, TIOCGPTN, &number));
    snprintf(name, sizeof name, "/dev/pts/%d", number);
    SHOW(open(name, O_RDWR | O_NOCTTY));
    SHOW(unlockpt(master));
    int slave = SHOW(open(name, O_RDWR | O_NOCTTY));
    SHOW(isatty(slave)), SHOW(isatty(master));
    IS(strcmp(ttyname(slave), name) == 0);
    struct stat st, inode;
    SHOW(fstat(slave, &st));
    SHOW(stat(name, &inode));
    IS(st.st_ino == inode.st_ino && st.st_dev == inode.st_dev && S_ISCHR(st.st_mode));
    IS((int)(st.st_rdev >> 8) == 136 && (int)(st.st_rdev & 0xff) == number);
    SHOW(chmod(name, 0600));
    SHOW(fstat(slave, &st));
    printf("%o\n", st.st_mode & 0777);
    int peer = SHOW(ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY));
    SHOW(isatty(peer));
    SHOW(ioctl(slave, TIOCGPTN, &number));
    SHOW(lseek(slave, 0, SEEK_SET));
    SHOW(pread(slave, same, 1, 0));
    SHOW(fsync(slave));
    close(peer), close(master);
    SHOW(open(name, O_RDWR | O_NOCTTY));
    SHOW(stat(name, &inode));
    SHOW(read(slave, buffer, 10));
    SHOW(write(slave, "x", 1));
    struct pollfd p = {slave, POLLIN | POLLOUT, 0};
    SHOW(poll(&p, 1, 0));
    printf("%x\n", p.revents);
    close(slave);
}

static void lines(void) {
    section("lines");
    int slave, master = open_pair(&slave);
    struct termios t;
    SHOW(tcgetattr(slave, &t));
    printf("%x %x %x %x\n", t.c_iflag, t.c_oflag, t.c_cflag, t.c_lflag);
    for (int i = 0; i < 17; i++) printf("%d ", t.c_cc[i]);
    printf("\n");
    SHOW(write(master, "hello\n", 6));
    show_read("line", slave);
    show_read("echo", master);
    SHOW(write(slave, "out\n", 4));
    show_read("output", master);
    SHOW(write(master, "abX\177c\n", 6));
    show_read("erased", slave);
    show_read("echo", master);
    SHOW(write(master, "one two\027three\n", 14));
    show_read("word erased", slave);
    show_read("echo", master);
    SHOW(write(master, "gone\025kept\n", 10));
    show_read("killed", slave);
    show_read("echo", master);
    SHOW(write(master, "part\004", 5));
    show_read("end of file after text", slave);
    SHOW(write(master, "\004", 1));
    show_read("end of file", slave);
    SHOW(write(master, "\026\003\n", 3));
    show_read("quoted", slave);
    show_read("echo", master);
    SHOW(write(master, "two\nlines\n", 10));
    int n = -1;
    /* What was written arrives a little later on some kernels. */
    sleep_ms(20);
    SHOW(ioctl(slave, FIONREAD, &n));
    V(n);
    SHOW(read(slave, buffer, 2));
    show_read("rest of the line", slave);
    show_read("next line", slave);
    show_read("echo", master);
    SHOW(write(master, "unfinished", 10));
    show_read("unfinished", slave);
    SHOW(tcflush(slave, TCIFLUSH));
    SHOW(write(master, "\n", 1));
    show_read("flushed", slave);
    while (poll(&(struct pollfd){master, POLLIN, 0}, 1, 0)) read(master, buffer, sizeof buffer);
    t.c_lflag &= ~ECHO;
    SHOW(tcsetattr(slave, TCSANOW, &t));
    SHOW(write(master, "silent\r", 7));
    show_read("silent", slave);
    show_read("no echo", master);
    cfmakeraw(&t);
    SHOW(tcsetattr(slave, TCSAFLUSH, &t));
    SHOW(write(master, "r\003\004\177", 4));
    show_read("raw", slave);
    SHOW(write(slave, "a\nb", 3));
    show_read("raw output", master);
    t.c_cc[VMIN] = 3, t.c_cc[VTIME] = 0;
    SHOW(tcsetattr(slave, TCSANOW, &t));
    write(master, "12", 2);
    show_read("two of three", slave);
    write(master, "3", 1);
    show_read("three of three", slave);
    t.c_cc[VMIN] = 0, t.c_cc[VTIME] = 1;
    SHOW(tcsetattr(slave, TCSANOW, &t));
    SHOW(read(slave, buffer, 10));
    t.c_cc[VTIME] = 0;
    SHOW(tcsetattr(slave, TCSANOW, &t));
    SHOW(read(slave, buffer, 10));
    fcntl(slave, F_SETFL, O_NONBLOCK);
    SHOW(read(slave, buffer, 10));
    t.c_cc[VMIN] = 1;
    SHOW(tcsetattr(slave, TCSANOW, &t));
    SHOW(read(slave, buffer, 10));
    SHOW(tcgetattr(master, &t));
    SHOW(ioctl(slave, TCGETS, NULL));
    struct winsize w = {1, 2, 3, 4};
    SHOW(ioctl(slave, TIOCGWINSZ, &w));
    printf("%d %d %d %d\n", w.ws_row, w.ws_col, w.ws_xpixel, w.ws_ypixel);
    w = (struct winsize){24, 80, 5, 6};
    SHOW(ioctl(master, TIOCSWINSZ, &w));
    w = (struct winsize){0};
    SHOW(ioctl(slave, TIOCGWINSZ, &w));
    printf("%d %d %d %d\n", w.ws_row, w.ws_col, w.ws_xpixel, w.ws_ypixel);
    close(slave);
    show_read("slave closed", master);
    struct pollfd p = {master, POLLIN | POLLOUT, 0};
    SHOW(poll(&p, 1, 0));
    printf("%x\n", p.revents);
    close(master);
}

static void sessions(void) {
    section("sessions");
    int slave, master = open_pair(&slave);
    char name[100];
    strcpy(name, ptsname(master));
    CHILD(leader, {
        SHOW(setsid() == getpid());
        SHOW(open("/dev/tty", O_RDWR));
        SHOW(tcgetpgrp(slave));
        close(slave);
        int fd = SHOW(open(name, O_RDWR)), tty = SHOW(open("/dev/tty", O_RDWR));
        SHOW(isatty(tty));
        IS(tcgetpgrp(tty) == getpid());
        IS(tcgetsid(fd) == getpid());
        catch_signal(SIGINT, 0), catch_signal(SIGWINCH, 0), catch_signal(SIGQUIT, 0), catch_signal(SIGHUP, 0);
        write(fd, "ready", 5);
        while (!signals[SIGINT]) pause();
        printf("interrupted\n");
        while (!signals[SIGQUIT]) pause();
        printf("quit\n");
        while (!signals[SIGWINCH]) pause();
        printf("resized\n");
        pid_t background = fork();
        if (background == 0) {
            setpgid(0, 0);
            signal(SIGTTIN, SIG_IGN);
            SHOW(read(fd, buffer, 1));
            signal(SIGTTOU, SIG_IGN);
            SHOW(tcsetpgrp(fd, getpgrp()));
            IS(tcgetpgrp(fd) == getpgrp());
            signal(SIGTTIN, SIG_DFL);
            SHOW(tcsetpgrp(fd, getppid()));
            read(fd, buffer, 1);
            printf("went on\n");
            _exit(0);
        }
        int status;
        waitpid(background, &status, WUNTRACED);
        show_status("background", status);
        SHOW(tcsetpgrp(fd, background));
        kill(background, SIGCONT);
        write(1, "", 0);
        write(master, "z\n", 2);
        waitpid(background, &status, 0);
        show_status("background", status);
        signal(SIGTTOU, SIG_IGN);
        SHOW(tcsetpgrp(fd, getpid()));
        SHOW(tcsetpgrp(fd, 99999));
        close(master);
        while (!signals[SIGHUP]) pause();
        printf("hung up\n");
        SHOW(read(fd, buffer, 1));
        SHOW(write(fd, "x", 1));
        SHOW(ioctl(fd, TIOCGWINSZ, buffer));
        SHOW(open("/dev/tty", O_RDWR));
    });
    long n = read(master, buffer, sizeof buffer);
    close(slave);
    print_bytes("from the leader", buffer, n);
    write(master, "\003", 1);
    sleep_ms(30);
    write(master, "\034", 1);
    sleep_ms(30);
    struct winsize w = {10, 20, 0, 0};
    ioctl(master, TIOCSWINSZ, &w);
    sleep_ms(200);
    close(master);
    reap("leader", leader);
    int s2, m2 = open_pair(&s2);
    strcpy(name, ptsname(m2));
    close(s2);
    CHILD(other, {
        setsid();
        int fd = open(name, O_RDWR);
        catch_signal(SIGHUP, 0);
        SHOW(ioctl(fd, TIOCNOTTY));
        V(signals[SIGHUP]);
        SHOW(open("/dev/tty", O_RDWR));
        SHOW(ioctl(fd, TIOCSCTTY, 0));
        SHOW(close(SHOW(open("/dev/tty", O_RDWR))));
        SHOW(ioctl(fd, TIOCSCTTY, 0));
        pid_t grandchild = fork();
        if (grandchild == 0) {
            setsid();
            SHOW(ioctl(fd, TIOCSCTTY, 0));
            SHOW(tcgetpgrp(fd));
            _exit(0);
        }
        reap("grandchild", grandchild);
    });
    reap("other", other);
    close(m2);
}

int main(void) {
    opening();
    lines();
    sessions();
    return 0;
}
