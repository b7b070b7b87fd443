/* Programs that take all they can get of one thing, each by its name, and then say that they are still there. What they
 * are refused is no matter here: the guest's kernel has to survive it, and so has whoever comes after. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static void many_descriptors(void) {
    setrlimit(RLIMIT_NOFILE, &(struct rlimit){65536, 65536});
}

/* Descriptors in as many processes as there can be. */
static void descriptors(void) {
    many_descriptors();
    for (int child = 0; child < 64; child++)
        if (fork() == 0) {
            while (open("/dev/null", O_RDONLY) >= 0) {}
            while (eventfd(0, 0) >= 0) {}
            sleep(2);
            _exit(0);
        }
}

static void pipes(void) {
    many_descriptors();
    static char data[1 << 16];
    int ends[2];
    while (pipe2(ends, O_NONBLOCK) == 0) {
        fcntl(ends[1], F_SETPIPE_SZ, 1 << 20);
        while (write(ends[1], data, sizeof data) > 0) {}
    }
}

static void sockets(int kind) {
    many_descriptors();
    static char data[1 << 14];
    int ends[2];
    while (socketpair(AF_UNIX, kind | SOCK_NONBLOCK, 0, ends) == 0)
        while (send(ends[1], data, sizeof data, 0) > 0) {}
}
static void streams(void) { sockets(SOCK_STREAM); }
static void datagrams(void) { sockets(SOCK_DGRAM); }

/* Empty messages: nothing but the kernel's own bookkeeping. */
static void empty_messages(void) {
    many_descriptors();
    int ends[2];
    while (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, ends) == 0)
        for (int i = 0; i < 100000 && send(ends[1], "", 1, 0) == 1; i++) {}
}

/* A socket in a socket in a socket: descriptors that only lie in queues. */
static void nested_sockets(void) {
    int inner = eventfd(0, 0);
    for (int depth = 0; depth < 20000; depth++) {
        int ends[2];
        if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends)) return;
        char control[CMSG_SPACE(sizeof(int))] = {0};
        struct iovec byte = {"x", 1};
        struct msghdr message = {
            .msg_iov = &byte, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(header), &inner, sizeof inner);
        if (sendmsg(ends[1], &message, MSG_DONTWAIT) < 0) return;
        close(inner);
        close(ends[1]);
        inner = ends[0];
    }
}

static void nested_epolls(void) {
    many_descriptors();
    int inner = eventfd(1, 0);
    for (;;) {
        int outer = epoll_create1(0);
        if (outer < 0) return;
        struct epoll_event event = {.events = EPOLLIN};
        if (epoll_ctl(outer, EPOLL_CTL_ADD, inner, &event)) inner = eventfd(1, 0);
        else inner = outer;
    }
}

static void watched(void) {
    many_descriptors();
    int sets[512], count = 0;
    while (count < 512 && (sets[count] = epoll_create1(0)) >= 0) count++;
    for (int fd; (fd = eventfd(0, 0)) >= 0;)
        for (int i = 0; i < count; i++) {
            struct epoll_event event = {.events = EPOLLIN};
            epoll_ctl(sets[i], EPOLL_CTL_ADD, fd, &event);
        }
}

/* Areas that cannot be joined, and page tables of their own. */
static void areas(void) {
    for (long i = 0; i < 12000; i++)
        if (mmap(NULL, 4096, i % 2 ? PROT_READ : PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED) break;
    for (int child = 0; child < 8; child++)
        if (fork() == 0) {
            int maps = open("/proc/self/maps", O_RDONLY);
            static char buffer[65536];
            while (read(maps, buffer, sizeof buffer) > 0) {}
            _exit(0);
        }
}

static void page_tables(void) {
    char *at = mmap(NULL, 64L << 30, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    for (long i = 0; at != MAP_FAILED && i < 64L << 30; i += 2 << 20) at[i] = 1;
}

static void memory(void) {
    for (;;) {
        char *at = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (at == MAP_FAILED) return;
        memset(at, 1, 1 << 20);
    }
}

static void *wait_for_ever(void *unused) {
    pause();
    return unused;
}

static void threads(void) {
    pthread_attr_t small;
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, 16384);
    pthread_t thread;
    while (pthread_create(&thread, &small, wait_for_ever, NULL) == 0) {}
}

static void zombies(void) {
    for (int i = 0; i < 60000; i++) {
        pid_t child = fork();
        if (child == 0) _exit(0);
        if (child < 0) return;
    }
}

static void signals_to_all(void) {
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, NULL);
    pid_t children[300];
    int count = 0;
    while (count < 300 && (children[count] = fork()) > 0) count++;
    if (count < 300 && children[count] == 0)
        for (;;) pause();
    for (int i = 0; i < count; i++)
        for (int n = 0; n < 20000 && sigqueue(children[i], SIGRTMIN + n % 30, (union sigval){0}) == 0; n++) {}
    for (int i = 0; i < count; i++) kill(children[i], SIGKILL);
}

static void deep_directories(void) {
    for (int depth = 0; depth < 20000; depth++)
        if (mkdir("d", 0755) || chdir("d")) break;
    static char path[1 << 20];
    getcwd(path, sizeof path);
    if (fork() == 0) _exit(0);
    chdir("/");
}

static void files(void) {
    char name[300];
    memset(name, 'n', 250);
    for (int i = 0; i < 200000; i++) {
        sprintf(name + 240, "%d", i);
        int fd = open(name, O_CREAT | O_WRONLY, 0644);
        if (fd < 0 || write(fd, "x", 1) < 0) return;
        close(fd);
    }
}

static void arguments(void) {
    static char *list[200000];
    static char text[120000];
    memset(text, 'a', sizeof text - 1);
    for (int i = 0; i < 199999; i++) list[i] = "x";
    for (int round = 0; round < 20; round++) {
        if (fork() == 0) {
            execv("/bin/true", list);
            for (int i = 0; i < 17; i++) list[i] = text;
            list[17] = NULL;
            execv("/bin/true", list);
            _exit(0);
        }
    }
    while (wait(NULL) > 0) {}
}

static const struct { const char *name; void (*go)(void); } BOMBS[] = {
    {"descriptors", descriptors}, {"pipes", pipes}, {"streams", streams}, {"datagrams", datagrams},
    {"empty messages", empty_messages}, {"nested sockets", nested_sockets}, {"nested epolls", nested_epolls},
    {"watched", watched}, {"areas", areas}, {"page tables", page_tables}, {"memory", memory},
    {"threads", threads}, {"zombies", zombies}, {"signals", signals_to_all},
    {"deep directories", deep_directories}, {"files", files}, {"arguments", arguments},
};

int main(int argc, char **argv) {
    if (argc < 2) return 2;
    alarm(40);
    for (size_t i = 0; i < sizeof BOMBS / sizeof BOMBS[0]; i++)
        if (strcmp(argv[1], BOMBS[i].name) == 0) {
            BOMBS[i].go();
            puts("survived");
            return 0;
        }
    return 2;
}
