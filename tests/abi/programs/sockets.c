/* Unix sockets: names, connections, messages, descriptors that travel, options, errors. */
#include "files.h"
#include <stddef.h>
#include <sys/un.h>

static socklen_t name(struct sockaddr_un *address, const char *path) {
    memset(address, 0, sizeof *address);
    address->sun_family = AF_UNIX;
    strcpy(address->sun_path, path);
    return offsetof(struct sockaddr_un, sun_path) + strlen(path) + 1;
}

static socklen_t hidden_name(struct sockaddr_un *address, const char *text) {
    memset(address, 0, sizeof *address);
    address->sun_family = AF_UNIX;
    strcpy(address->sun_path + 1, text);
    return offsetof(struct sockaddr_un, sun_path) + 1 + strlen(text);
}

static void show_name(const char *what, int (*get)(int, struct sockaddr *, socklen_t *), int fd) {
    struct sockaddr_un address;
    memset(&address, 0xee, sizeof address);
    socklen_t length = sizeof address;
    if (get(fd, (void *)&address, &length)) printf("%s: %s\n", what, errno_name(errno));
    else {
        printf("%s: family %d ", what, address.sun_family);
        print_bytes("path", address.sun_path, (long)length - (long)offsetof(struct sockaddr_un, sun_path));
    }
}

static int get_int(int fd, int option) {
    int value = -1;
    socklen_t length = sizeof value;
    if (getsockopt(fd, SOL_SOCKET, option, &value, &length)) return -errno;
    return value;
}

static void creating(void) {
    section("socket");
    int fd = SHOW(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    SHOW(fcntl(fd, F_GETFD));
    SHOW(fcntl(fd, F_GETFL));
    close(fd);
    SHOW(socket(AF_UNIX, 77, 0));
    SHOW(socket(AF_UNIX, SOCK_STREAM | 0x100000, 0));
    SHOW(socket(AF_UNIX, SOCK_STREAM, 99));
    SHOW(close(SHOW(socket(AF_UNIX, SOCK_STREAM, PF_UNIX))));
    SHOW(socket(77, SOCK_STREAM, 0));
    SHOW(socketpair(AF_UNIX, SOCK_STREAM, 0, NULL));
    int p[2];
    SHOW(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, p));
    SHOW(fcntl(p[0], F_GETFL));
    struct stat st;
    SHOW(fstat(p[0], &st));
    printf("%o\n", st.st_mode);
    SHOW(lseek(p[0], 0, SEEK_SET));
    char b[4];
    SHOW(pread(p[0], b, 1, 0));
    SHOW(read(p[0], b, 1));
    SHOW(read(p[0], b, 0));
    show_name("name", getsockname, p[0]);
    show_name("peer", getpeername, p[0]);
    struct sockaddr_un a;
    SHOW(bind(0, (void *)&a, name(&a, "x")));
    SHOW(listen(99, 1));
    SHOW(listen(p[0], 1));
    SHOW(accept(p[0], NULL, NULL));
    SHOW(shutdown(p[0], 7));
    SHOW(ftruncate(p[0], 0));
    close(p[0]), close(p[1]);
}

static void naming(void) {
    section("bind");
    int fd = socket(AF_UNIX, SOCK_STREAM, 0), other = socket(AF_UNIX, SOCK_STREAM, 0);
    struct sockaddr_un a;
    show_name("unbound", getsockname, fd);
    show_name("unconnected", getpeername, fd);
    SHOW(bind(fd, (void *)&a, name(&a, "s")));
    SHOW(bind(fd, (void *)&a, name(&a, "t")));
    SHOW(bind(other, (void *)&a, name(&a, "s")));
    SHOW(bind(other, (void *)&a, name(&a, "missing/s")));
    SHOW(bind(other, (void *)&a, 1));
    SHOW(bind(other, (void *)&a, 200));
    a.sun_family = AF_INET;
    SHOW(bind(other, (void *)&a, sizeof a));
    show_name("bound", getsockname, fd);
    struct stat st;
    SHOW(stat("s", &st));
    printf("%o\n", st.st_mode);
    SHOW(open("s", O_RDWR));
    SHOW(connect(other, (void *)&a, name(&a, "s")));
    SHOW(connect(other, (void *)&a, name(&a, "missing")));
    write_file("plain", "");
    SHOW(connect(other, (void *)&a, name(&a, "plain")));
    SHOW(listen(fd, 2));
    SHOW(connect(other, (void *)&a, name(&a, "s")));
    show_name("connected", getpeername, other);
    show_name("connected", getsockname, other);
    SHOW(connect(other, (void *)&a, name(&a, "s")));
    struct sockaddr_un from;
    socklen_t length = sizeof from;
    int in = SHOW(accept4(fd, (void *)&from, &length, SOCK_CLOEXEC));
    V(length);
    SHOW(fcntl(in, F_GETFD));
    show_name("accepted", getsockname, in);
    show_name("accepted", getpeername, in);
    V(get_int(fd, SO_ACCEPTCONN)), V(get_int(in, SO_ACCEPTCONN));
    SHOW(accept4(fd, NULL, NULL, 77));
    fcntl(fd, F_SETFL, O_NONBLOCK);
    SHOW(accept(fd, NULL, NULL));
    struct pollfd p = {fd, POLLIN, 0};
    SHOW(poll(&p, 1, 0));
    SHOW(unlink("s"));
    int late = socket(AF_UNIX, SOCK_STREAM, 0);
    SHOW(connect(late, (void *)&a, name(&a, "s")));
    close(fd), close(other), close(in), close(late);
    fd = socket(AF_UNIX, SOCK_STREAM, 0), other = socket(AF_UNIX, SOCK_STREAM, 0);
    SHOW(bind(fd, (void *)&a, hidden_name(&a, "ampoule abi")));
    SHOW(bind(other, (void *)&a, hidden_name(&a, "ampoule abi")));
    show_name("hidden", getsockname, fd);
    SHOW(listen(fd, 0));
    SHOW(connect(other, (void *)&a, hidden_name(&a, "ampoule abi")));
    show_name("hidden", getpeername, other);
    close(fd);
    char c;
    SHOW(read(other, &c, 1));
    close(other);
    other = socket(AF_UNIX, SOCK_STREAM, 0);
    SHOW(connect(other, (void *)&a, hidden_name(&a, "ampoule abi")));
    SHOW(bind(other, (void *)&a, 2));
    struct sockaddr_un self;
    length = sizeof self;
    SHOW(getsockname(other, (void *)&self, &length));
    V(length);
    length = 1;
    SHOW(getsockname(other, (void *)&self, &length));
    V(length);
    length = -1;
    SHOW(getsockname(other, (void *)&self, &length));
    close(other);
}

static void streams(void) {
    section("stream");
    int p[2], n;
    socketpair(AF_UNIX, SOCK_STREAM, 0, p);
    char b[100];
    SHOW(write(p[0], "hello", 5));
    SHOW(send(p[0], " world", 6, 0));
    SHOW(ioctl(p[1], FIONREAD, &n));
    V(n);
    SHOW(recv(p[1], b, 4, MSG_PEEK));
    SHOW(recv(p[1], b, 3, 0));
    SHOW(recv(p[1], b, 100, MSG_DONTWAIT));
    print_bytes("rest", b, 8);
    SHOW(recv(p[1], b, 100, MSG_DONTWAIT));
    CHILD(sender, {
        write(p[0], "abc", 3);
        sleep_ms(20);
        write(p[0], "def", 3);
    });
    SHOW(recv(p[1], b, 6, MSG_WAITALL));
    reap("sender", sender);
    struct sockaddr_un a;
    SHOW(sendto(p[0], "x", 1, 0, (void *)&a, name(&a, "nobody")));
    while (recv(p[1], b, 100, MSG_DONTWAIT) > 0) {}
    SHOW(shutdown(p[0], SHUT_WR));
    SHOW(read(p[1], b, 1));
    catch_signal(SIGPIPE, 0);
    SHOW(write(p[0], "x", 1));
    V(signals[SIGPIPE]);
    SHOW(send(p[0], "x", 1, MSG_NOSIGNAL));
    V(signals[SIGPIPE]);
    SHOW(write(p[1], "back", 4));
    SHOW(read(p[0], b, 10));
    struct pollfd fds[] = {{p[0], POLLIN | POLLOUT | POLLRDHUP, 0}, {p[1], POLLIN | POLLOUT | POLLRDHUP, 0}};
    SHOW(poll(fds, 2, 0));
    printf("%x %x\n", fds[0].revents, fds[1].revents);
    close(p[0]);
    SHOW(poll(fds + 1, 1, 0));
    printf("%x\n", fds[1].revents);
    SHOW(write(p[1], "x", 1));
    V(signals[SIGPIPE]);
    SHOW(read(p[1], b, 1));
    close(p[1]);
    socketpair(AF_UNIX, SOCK_STREAM, 0, p);
    SHOW(write(p[0], "unread", 6));
    SHOW(write(p[1], "unread", 6));
    close(p[1]);
    SHOW(read(p[0], b, 10));
    SHOW(read(p[0], b, 10));
    SHOW(read(p[0], b, 10));
    close(p[0]);
    socketpair(AF_UNIX, SOCK_STREAM, 0, p);
    static char big[400000];
    CHILD(reader, {
        close(p[0]);
        long total = 0, count;
        while ((count = read(p[1], big, 5000)) > 0) total += count;
        printf("reader: %ld\n", total);
    });
    close(p[1]);
    SHOW(write(p[0], big, sizeof big));
    struct iovec v[] = {{big, 100000}, {big, 200000}};
    SHOW(writev(p[0], v, 2));
    close(p[0]);
    reap("reader", reader);
    int s = socket(AF_UNIX, SOCK_STREAM, 0);
    SHOW(read(s, b, 1));
    SHOW(write(s, b, 1));
    SHOW(send(s, b, 1, MSG_NOSIGNAL));
    struct pollfd idle = {s, POLLIN | POLLOUT, 0};
    SHOW(poll(&idle, 1, 0));
    printf("%x\n", idle.revents);
    SHOW(shutdown(s, SHUT_RD));
    close(s);
}

static void messages(int kind, const char *title) {
    section(title);
    int p[2], n;
    SHOW(socketpair(AF_UNIX, kind, 0, p));
    char b[100];
    SHOW(send(p[0], "one", 3, 0));
    SHOW(send(p[0], "second", 6, 0));
    SHOW(send(p[0], "", 0, 0));
    SHOW(ioctl(p[1], FIONREAD, &n));
    V(n);
    SHOW(recv(p[1], b, 2, MSG_PEEK | MSG_TRUNC));
    SHOW(recv(p[1], b, 2, 0));
    struct iovec v = {b, 4};
    struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1};
    SHOW(recvmsg(p[1], &m, 0));
    printf("%x\n", m.msg_flags);
    SHOW(recv(p[1], b, 100, 0));
    SHOW(recv(p[1], b, 100, MSG_DONTWAIT));
    struct iovec parts[] = {{"ab", 2}, {"cd", 2}};
    SHOW(writev(p[0], parts, 2));
    SHOW(read(p[1], b, 1));
    SHOW(recv(p[1], b, 100, MSG_DONTWAIT));
    static char big[300000];
    SHOW(send(p[0], big, sizeof big, 0));
    V(get_int(p[0], SO_TYPE)), V(get_int(p[0], SO_DOMAIN)), V(get_int(p[0], SO_PROTOCOL));
    close(p[1]);
    SHOW(send(p[0], "x", 1, MSG_NOSIGNAL));
    SHOW(recv(p[0], b, 1, MSG_DONTWAIT));
    close(p[0]);
}

static void datagrams(void) {
    section("datagram");
    int server = socket(AF_UNIX, SOCK_DGRAM, 0), client = socket(AF_UNIX, SOCK_DGRAM, 0);
    struct sockaddr_un a, from;
    SHOW(bind(server, (void *)&a, name(&a, "server")));
    SHOW(send(client, "x", 1, 0));
    SHOW(sendto(client, "anonymous", 9, 0, (void *)&a, name(&a, "server")));
    char b[20];
    socklen_t length = sizeof from;
    SHOW(recvfrom(server, b, 20, 0, (void *)&from, &length));
    V(length);
    SHOW(bind(client, (void *)&a, name(&a, "client")));
    SHOW(connect(client, (void *)&a, name(&a, "server")));
    SHOW(send(client, "named", 5, 0));
    length = sizeof from;
    SHOW(recvfrom(server, b, 20, 0, (void *)&from, &length));
    printf("%d %s\n", length, from.sun_path);
    SHOW(sendto(server, "back", 4, 0, (void *)&from, length));
    SHOW(read(client, b, 20));
    SHOW(sendto(server, "x", 1, 0, (void *)&a, name(&a, "missing")));
    SHOW(listen(server, 1));
    SHOW(accept(server, NULL, NULL));
    int stranger = socket(AF_UNIX, SOCK_DGRAM, 0);
    SHOW(sendto(stranger, "x", 1, 0, (void *)&a, name(&a, "client")));
    int stream = socket(AF_UNIX, SOCK_STREAM, 0);
    SHOW(connect(stream, (void *)&a, name(&a, "server")));
    close(server);
    SHOW(send(client, "x", 1, 0));
    close(client), close(stranger), close(stream);
}

static int send_files(int s, int *fds, int count, int flags) {
    union {
        char room[CMSG_SPACE(8 * sizeof(int))];
        struct cmsghdr align;
    } control;
    memset(&control, 0, sizeof control);
    struct iovec v = {"m", 1};
    struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = CMSG_SPACE(count * 4)};
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    *c = (struct cmsghdr){CMSG_LEN(count * 4), SOL_SOCKET, SCM_RIGHTS};
    memcpy(CMSG_DATA(c), fds, count * 4);
    return sendmsg(s, &m, flags);
}

static void show_control(int s, long room, int flags) {
    union {
        char room[256];
        struct cmsghdr align;
    } control;
    memset(&control, 0, sizeof control);
    char b[20];
    struct iovec v = {b, sizeof b};
    struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = room ? &control : NULL, .msg_controllen = room};
    long n = recvmsg(s, &m, flags);
    printf("recvmsg: %ld%s%s flags %x control %ld", n, n < 0 ? " " : "", n < 0 ? errno_name(errno) : "", m.msg_flags,
           (long)m.msg_controllen);
    for (struct cmsghdr *c = n < 0 ? NULL : CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c)) {
        printf(" [%ld %d %d", (long)c->cmsg_len, c->cmsg_level, c->cmsg_type);
        int *data = (int *)CMSG_DATA(c), count = (c->cmsg_len - CMSG_LEN(0)) / 4;
        if (c->cmsg_type == SCM_RIGHTS)
            for (int i = 0; i < count; i++) printf(" %d/%d", data[i], fcntl(data[i], F_GETFD)), close(data[i]);
        else printf(" %s %d %d", data[0] == getpid() ? "self" : data[0] ? "other" : "0", data[1], data[2]);
        printf("]");
    }
    printf("\n");
}

static void passing(void) {
    section("descriptors");
    int p[2], q[2];
    socketpair(AF_UNIX, SOCK_STREAM, 0, p);
    pipe(q);
    SHOW(send_files(p[0], q, 2, 0));
    show_control(p[1], 256, 0);
    SHOW(send_files(p[0], q, 2, 0));
    show_control(p[1], 256, MSG_CMSG_CLOEXEC);
    SHOW(send_files(p[0], q, 2, 0));
    show_control(p[1], CMSG_LEN(4), 0);
    SHOW(send_files(p[0], q, 2, 0));
    show_control(p[1], 10, 0);
    SHOW(send_files(p[0], q, 2, 0));
    show_control(p[1], 0, 0);
    int bad[] = {q[0], 99};
    SHOW(send_files(p[0], bad, 2, 0));
    SHOW(write(p[0], "abc", 3));
    SHOW(send_files(p[0], q, 1, 0));
    SHOW(write(p[0], "def", 3));
    show_control(p[1], 256, 0);
    show_control(p[1], 256, 0);
    show_control(p[1], 256, MSG_DONTWAIT);
    SHOW(send_files(p[0], q, 2, 0));
    show_control(p[1], 256, MSG_PEEK);
    show_control(p[1], 256, 0);
    SHOW(send_files(p[0], q, 1, 0));
    char b[10];
    SHOW(read(p[1], b, 10));
    SHOW(send_files(p[0], q + 1, 1, 0));
    close(q[1]);
    fcntl(q[0], F_SETFL, O_NONBLOCK);
    SHOW(read(q[0], b, 1));
    close(p[0]), close(p[1]);
    SHOW(read(q[0], b, 1));
    close(q[0]);
    section("credentials");
    socketpair(AF_UNIX, SOCK_STREAM, 0, p);
    struct ucred {
        int pid, uid, gid;
    } peer;
    socklen_t length = sizeof peer;
    SHOW(getsockopt(p[0], SOL_SOCKET, SO_PEERCRED, &peer, &length));
    printf("%d %d %d %d\n", length, peer.pid == getpid(), peer.uid, peer.gid);
    SHOW(setsockopt(p[1], SOL_SOCKET, SO_PASSCRED, &(int){1}, 4));
    V(get_int(p[1], SO_PASSCRED)), V(get_int(p[0], SO_PASSCRED));
    SHOW(write(p[0], "x", 1));
    show_control(p[1], 256, 0);
    SHOW(send_files(p[0], p, 1, 0));
    show_control(p[1], 256, 0);
    SHOW(setsockopt(p[1], SOL_SOCKET, SO_PASSCRED, &(int){0}, 4));
    SHOW(write(p[0], "x", 1));
    show_control(p[1], 256, 0);
    close(p[0]), close(p[1]);
}

static void options(void) {
    section("options");
    int p[2];
    socketpair(AF_UNIX, SOCK_STREAM, 0, p);
    struct timeval t = {0, 30000}, got;
    char b[4];
    socklen_t length = sizeof got;
    SHOW(setsockopt(p[0], SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t));
    SHOW(getsockopt(p[0], SOL_SOCKET, SO_RCVTIMEO, &got, &length));
    IS(got.tv_sec == 0 && got.tv_usec >= 29000 && got.tv_usec <= 40000);
    long long before = now_ms();
    SHOW(read(p[0], b, 1));
    SHOW(recv(p[0], b, 1, 0));
    IS(now_ms() - before >= 55);
    t = (struct timeval){5, 0};
    SHOW(setsockopt(p[0], SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t));
    catch_signal(SIGALRM, SA_RESTART);
    struct itimerval timer = {.it_value = {0, 20000}};
    setitimer(ITIMER_REAL, &timer, NULL);
    SHOW(read(p[0], b, 1));
    alarm(60);
    t.tv_usec = 1000000;
    SHOW(setsockopt(p[0], SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t));
    SHOW(setsockopt(p[0], SOL_SOCKET, SO_RCVTIMEO, &t, 4));
    t = (struct timeval){0, 30000};
    SHOW(setsockopt(p[0], SOL_SOCKET, SO_SNDTIMEO, &t, sizeof t));
    static char big[1 << 20];
    long n = write(p[0], big, sizeof big);
    IS(n > 0 && n < (long)sizeof big);
    SHOW(write(p[0], big, 1000));
    V(get_int(p[0], SO_ERROR));
    IS(get_int(p[0], SO_SNDBUF) > 0);
    IS(get_int(p[0], SO_RCVBUF) > 0);
    V(get_int(p[0], 9999));
    SHOW(setsockopt(p[0], SOL_SOCKET, 9999, &t, 4));
    SHOW(setsockopt(p[0], SOL_SOCKET, SO_REUSEADDR, &(int){1}, 4));
    SHOW(setsockopt(p[0], SOL_SOCKET, SO_REUSEADDR, &(int){1}, 2));
    SHOW(setsockopt(p[0], SOL_SOCKET, SO_REUSEADDR, NULL, 4));
    SHOW(setsockopt(p[0], SOL_SOCKET, SO_TYPE, &(int){1}, 4));
    SHOW(setsockopt(p[0], 6, 1, &(int){1}, 4));
    SHOW(getsockopt(p[0], 6, 1, &t, &length));
    length = -1;
    SHOW(getsockopt(p[0], SOL_SOCKET, SO_TYPE, &t, &length));
    length = 2;
    SHOW(getsockopt(p[0], SOL_SOCKET, SO_TYPE, &t, &length));
    V(length);
    SHOW(getsockopt(0, SOL_SOCKET, SO_TYPE, &t, &length));
    close(p[0]), close(p[1]);
}

static void batches(void) {
    section("sendmmsg");
    int p[2];
    socketpair(AF_UNIX, SOCK_DGRAM, 0, p);
    struct iovec v[] = {{"a", 1}, {"bb", 2}, {"ccc", 3}};
    struct mmsghdr out[3];
    memset(out, 0, sizeof out);
    for (int i = 0; i < 3; i++) out[i].msg_hdr.msg_iov = &v[i], out[i].msg_hdr.msg_iovlen = 1;
    SHOW(sendmmsg(p[0], out, 3, 0));
    printf("%d %d %d\n", out[0].msg_len, out[1].msg_len, out[2].msg_len);
    char b[5][10];
    struct iovec w[5];
    struct mmsghdr in[5];
    memset(in, 0, sizeof in);
    for (int i = 0; i < 5; i++)
        w[i] = (struct iovec){b[i], 10}, in[i].msg_hdr.msg_iov = &w[i], in[i].msg_hdr.msg_iovlen = 1;
    SHOW(recvmmsg(p[1], in, 2, 0, NULL));
    printf("%d %d\n", in[0].msg_len, in[1].msg_len);
    SHOW(recvmmsg(p[1], in, 5, MSG_WAITFORONE, NULL));
    SHOW(recvmmsg(p[1], in, 5, MSG_DONTWAIT, NULL));
    out[1].msg_hdr.msg_iov = (void *)8;
    SHOW(sendmmsg(p[0], out, 3, 0));
    out[0].msg_hdr.msg_iov = (void *)8;
    SHOW(sendmmsg(p[0], out, 3, 0));
    SHOW(sendmmsg(p[0], out, 0, 0));
    struct msghdr m = {.msg_iov = v, .msg_iovlen = 2000};
    SHOW(sendmsg(p[0], &m, 0));
    SHOW(sendmsg(p[0], NULL, 0));
    SHOW(recvmsg(p[0], NULL, 0));
    SHOW(sendmsg(0, &m, 0));
    close(p[0]), close(p[1]);
}

static void serving(void) {
    section("server");
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    struct sockaddr_un a;
    SHOW(bind(fd, (void *)&a, name(&a, "daemon")));
    SHOW(listen(fd, 1));
    CHILD(client, {
        for (int i = 0; i < 5; i++) {
            int c = socket(AF_UNIX, SOCK_STREAM, 0);
            if (connect(c, (void *)&a, sizeof a)) printf("connect: %s\n", errno_name(errno));
            char b[10] = {0};
            write(c, &i, sizeof i);
            read(c, b, 10);
            close(c);
        }
    });
    for (int i = 0; i < 5; i++) {
        int c = accept(fd, NULL, NULL), got;
        if (i == 0) sleep_ms(20);
        read(c, &got, sizeof got);
        V(got);
        write(c, "ok", 3);
        close(c);
    }
    reap("client", client);
    int many[8];
    int connected = 0;
    for (int i = 0; i < 8; i++) {
        many[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
        if (connect(many[i], (void *)&a, sizeof a) == 0) connected++;
        else if (connected == i) printf("full after %d: %s\n", i, errno_name(errno));
    }
    V(connected);
    close(fd);
    char b;
    SHOW(read(many[0], &b, 1));
    for (int i = 0; i < 8; i++) close(many[i]);
}

int main(void) {
    creating();
    naming();
    streams();
    messages(SOCK_DGRAM, "datagram pair");
    messages(SOCK_SEQPACKET, "packet pair");
    datagrams();
    passing();
    options();
    batches();
    serving();
    return 0;
}
