/* Sockets of the Internet families over loopback addresses: names, connections, how they end, datagrams, options, errors. */
#include "abi.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#define section(name) puts("-- " name)

static struct sockaddr_in v4(const char *ip, int port) {
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
    inet_pton(AF_INET, ip, &a.sin_addr);
    return a;
}

static struct sockaddr_in6 v6(const char *ip, int port) {
    struct sockaddr_in6 a = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    inet_pton(AF_INET6, ip, &a.sin6_addr);
    return a;
}

#define AT(address) (struct sockaddr *)&(address), sizeof(address)
#define AT4(ip, port) (struct sockaddr *)(struct sockaddr_in[]){v4(ip, port)}, sizeof(struct sockaddr_in)
#define AT6(ip, port) (struct sockaddr *)(struct sockaddr_in6[]){v6(ip, port)}, sizeof(struct sockaddr_in6)

/* The port of a name, or 0. */
static int port_of(int fd) {
    struct sockaddr_in6 a;
    socklen_t length = sizeof a;
    return getsockname(fd, (void *)&a, &length) ? 0 : ntohs(a.sin6_port);
}

/* A name, with `ports` that are known shown by their places and others as being there or not. */
static int known[4];

static void show_address(const char *what, const struct sockaddr_storage *address, socklen_t length) {
    char text[64] = "?";
    const struct sockaddr_in6 *six = (void *)address;
    const struct sockaddr_in *four = (void *)address;
    if (address->ss_family == AF_INET) inet_ntop(AF_INET, &four->sin_addr, text, sizeof text);
    if (address->ss_family == AF_INET6) inet_ntop(AF_INET6, &six->sin6_addr, text, sizeof text);
    int port = ntohs(four->sin_port);
    const char *place = port == 0 ? "none" : "some";
    for (int i = 0; i < 4; i++)
        if (port && known[i] == port) place = (const char *[]){"first", "second", "third", "fourth"}[i];
    printf("%s: family %d, %d bytes, %s, port %s\n", what, address->ss_family, (int)length, text, place);
}

static void show_name(const char *what, int (*get)(int, struct sockaddr *, socklen_t *), int fd) {
    struct sockaddr_storage address;
    memset(&address, 0, sizeof address);
    socklen_t length = sizeof address;
    if (get(fd, (void *)&address, &length)) printf("%s: %s\n", what, errno_name(errno));
    else show_address(what, &address, length);
}

/* Linux hands on what is sent to this machine a little later when it is busy. */
static void settle(void) {
    sleep_ms(10);
}
#define LATER(call) (settle(), SHOW(call))

static void show_poll(const char *what, int fd) {
    settle();
    struct pollfd p = {fd, POLLIN | POLLOUT | POLLRDHUP | POLLPRI | POLLRDNORM | POLLWRNORM, 0};
    MUST(poll(&p, 1, 0));
    printf("%s polls %#x\n", what, p.revents);
}

static int get_int(int fd, int level, int option) {
    int value = -1;
    socklen_t length = sizeof value;
    if (getsockopt(fd, level, option, &value, &length)) return -errno;
    return value;
}

static int set_int(int fd, int level, int option, int value) {
    return setsockopt(fd, level, option, &value, sizeof value) ? -errno : 0;
}

static int listener(int family, const char *ip, int backlog) {
    int fd = MUST(socket(family, SOCK_STREAM, 0));
    if (family == AF_INET) MUST(bind(fd, AT4(ip, 0)));
    else MUST(bind(fd, AT6(ip, 0)));
    MUST(listen(fd, backlog));
    return fd;
}

/* A connection: p[0] has connected, p[1] was accepted. */
static void connection(int p[2]) {
    int l = listener(AF_INET, "127.0.0.1", 1);
    p[0] = MUST(socket(AF_INET, SOCK_STREAM, 0));
    MUST(connect(p[0], AT4("127.0.0.1", port_of(l))));
    p[1] = MUST(accept(l, NULL, NULL));
    close(l);
}

static void creating(void) {
    section("socket");
    int domains[] = {AF_INET, AF_INET6};
    for (int i = 0; i < 2; i++) {
        int d = domains[i];
        SHOW(close(socket(d, SOCK_STREAM, 0)));
        SHOW(close(socket(d, SOCK_STREAM, IPPROTO_TCP)));
        SHOW(close(socket(d, SOCK_DGRAM, IPPROTO_UDP)));
        SHOW(socket(d, SOCK_STREAM, IPPROTO_UDP));
        SHOW(socket(d, SOCK_DGRAM, IPPROTO_TCP));
        SHOW(socket(d, SOCK_SEQPACKET, 0));
        SHOW(socket(d, 77, 0));
        int p[2];
        SHOW(socketpair(d, SOCK_STREAM, 0, p));
        int fd = socket(d, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        SHOW(fcntl(fd, F_GETFL));
        show_name("new", getsockname, fd);
        show_name("peer", getpeername, fd);
        show_poll("new", fd);
        char b[1];
        LATER(recv(fd, b, 1, 0));
        LATER(recv(fd, b, 0, 0));
        LATER(send(fd, "x", 1, MSG_NOSIGNAL));
        SHOW(shutdown(fd, SHUT_RDWR));
        SHOW(accept(fd, NULL, NULL));
        close(fd);
        fd = socket(d, SOCK_DGRAM | SOCK_NONBLOCK, 0);
        show_poll("datagrams", fd);
        LATER(recv(fd, b, 1, 0));
        LATER(send(fd, "x", 1, 0));
        SHOW(listen(fd, 1));
        SHOW(accept(fd, NULL, NULL));
        SHOW(shutdown(fd, SHUT_RDWR));
        show_name("peer", getpeername, fd);
        close(fd);
    }
}

static void binding(void) {
    section("bind");
    int fd = socket(AF_INET, SOCK_STREAM, 0), other = socket(AF_INET, SOCK_STREAM, 0);
    SHOW(bind(fd, AT4("192.0.2.1", 0)));
    SHOW(bind(fd, AT6("::1", 0)));
    struct sockaddr_in a = v4("127.0.0.1", 0);
    SHOW(bind(fd, (void *)&a, 8));
    SHOW(bind(fd, AT(a)));
    SHOW(bind(fd, AT(a)));
    known[0] = port_of(fd);
    show_name("bound", getsockname, fd);
    a = v4("127.0.0.1", known[0]);
    SHOW(bind(other, AT(a)));
    a = v4("0.0.0.0", known[0]);
    SHOW(bind(other, AT(a)));
    a = v4("127.0.0.2", known[0]);
    SHOW(bind(other, AT(a)));
    show_name("beside", getsockname, other);
    close(other);
    other = socket(AF_INET6, SOCK_STREAM, 0);
    struct sockaddr_in6 s = v6("::", known[0]);
    SHOW(bind(other, AT(s)));
    SHOW(set_int(other, IPPROTO_IPV6, IPV6_V6ONLY, 1));
    SHOW(bind(other, AT(s)));
    SHOW(set_int(other, IPPROTO_IPV6, IPV6_V6ONLY, 0));
    SHOW(get_int(other, IPPROTO_IPV6, IPV6_V6ONLY));
    close(other);
    /* Who shares an address may not listen there, unless all share the port. */
    other = socket(AF_INET, SOCK_STREAM, 0);
    a = v4("127.0.0.1", known[0]);
    SHOW(set_int(other, SOL_SOCKET, SO_REUSEADDR, 1));
    SHOW(bind(other, AT(a)));
    SHOW(set_int(fd, SOL_SOCKET, SO_REUSEADDR, 1));
    SHOW(bind(other, AT(a)));
    SHOW(listen(fd, 1));
    SHOW(listen(other, 1));
    close(fd);
    SHOW(listen(other, 1));
    close(other);
    fd = socket(AF_INET, SOCK_STREAM, 0), other = socket(AF_INET, SOCK_STREAM, 0);
    SHOW(set_int(fd, SOL_SOCKET, SO_REUSEPORT, 1));
    SHOW(set_int(other, SOL_SOCKET, SO_REUSEPORT, 1));
    SHOW(bind(fd, AT(a)));
    SHOW(bind(other, AT(a)));
    SHOW(listen(fd, 1));
    SHOW(listen(other, 1));
    close(fd), close(other);
    fd = socket(AF_INET, SOCK_DGRAM, 0), other = socket(AF_INET, SOCK_DGRAM, 0);
    SHOW(bind(fd, AT(a)));
    SHOW(bind(other, AT(a)));
    close(fd), close(other);
    IN_CHILD("not root", {
        if (setuid(12345)) _exit(9);
        int low = socket(AF_INET, SOCK_STREAM, 0);
        a = v4("127.0.0.1", 81);
        SHOW(bind(low, AT(a)));
    });
}

static void connecting(void) {
    section("connect");
    int l = listener(AF_INET, "127.0.0.1", 8), c = socket(AF_INET, SOCK_STREAM, 0);
    known[0] = port_of(l);
    show_poll("listener", l);
    show_name("listener's peer", getpeername, l);
    struct sockaddr_in to = v4("127.0.0.1", known[0]);
    SHOW(connect(c, (void *)&to, 8));
    SHOW(connect(c, AT(to)));
    SHOW(connect(c, AT(to)));
    known[1] = port_of(c);
    show_name("client", getsockname, c);
    show_name("client's peer", getpeername, c);
    show_poll("client", c);
    show_poll("listener", l);
    struct sockaddr_storage from;
    socklen_t length = sizeof from;
    int s = accept4(l, (void *)&from, &length, SOCK_NONBLOCK);
    show_address("accepted", &from, length);
    show_name("server", getsockname, s);
    show_name("server's peer", getpeername, s);
    show_poll("server", s);
    show_poll("listener", l);
    char b[8];
    LATER(recv(s, b, 8, 0));
    LATER(send(c, "hello", 5, 0));
    show_poll("server", s);
    int count = 0;
    settle();
    SHOW(ioctl(s, FIONREAD, &count));
    SHOW(count);
    LATER(recv(s, b, 2, MSG_PEEK));
    LATER(recv(s, b, 8, 0));
    SHOW(connect(l, AT(to)));
    LATER(send(l, "x", 1, MSG_NOSIGNAL));
    LATER(recv(l, b, 1, 0));
    SHOW(listen(c, 1));
    close(c), close(s);
    /* Without waiting. */
    c = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    SHOW(connect(c, AT(to)));
    show_poll("client", c);
    SHOW(get_int(c, SOL_SOCKET, SO_ERROR));
    close(c);
    c = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    SHOW(connect(c, AT(to)));
    LATER(connect(c, AT(to)));
    SHOW(connect(c, AT(to)));
    close(c), close(l);
    /* Nobody there. */
    c = socket(AF_INET, SOCK_STREAM, 0);
    SHOW(connect(c, AT(to)));
    SHOW(get_int(c, SOL_SOCKET, SO_ERROR));
    show_name("refused", getpeername, c);
    close(c);
    c = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    SHOW(connect(c, AT(to)));
    show_poll("refused", c);
    SHOW(get_int(c, SOL_SOCKET, SO_ERROR));
    close(c);
    /* Another name of the same machine, and all of them. */
    l = listener(AF_INET, "0.0.0.0", 8);
    known[0] = port_of(l);
    const char *names[] = {"127.0.0.9", "0.0.0.0"};
    for (int i = 0; i < 2; i++) {
        c = socket(AF_INET, SOCK_STREAM, 0);
        to = v4(names[i], known[0]);
        SHOW(connect(c, AT(to)));
        known[1] = port_of(c);
        show_name("client", getsockname, c);
        show_name("client's peer", getpeername, c);
        s = accept(l, NULL, NULL);
        show_name("server", getsockname, s);
        close(c), close(s);
    }
    c = socket(AF_INET, SOCK_STREAM, 0);
    MUST(bind(c, AT4("127.0.0.3", 0)));
    known[1] = port_of(c);
    SHOW(connect(c, AT(to)));
    show_name("bound client", getsockname, c);
    close(c), close(l);
    /* Both families. */
    l = listener(AF_INET6, "::", 8);
    known[0] = port_of(l);
    c = socket(AF_INET, SOCK_STREAM, 0);
    to = v4("127.0.0.1", known[0]);
    SHOW(connect(c, AT(to)));
    known[1] = port_of(c);
    length = sizeof from;
    s = accept(l, (void *)&from, &length);
    show_address("of the other family", &from, length);
    show_name("server", getsockname, s);
    close(c), close(s);
    const char *sixes[] = {"::1", "::ffff:127.0.0.1", "::"};
    for (int i = 0; i < 3; i++) {
        c = socket(AF_INET6, SOCK_STREAM, 0);
        struct sockaddr_in6 six = v6(sixes[i], known[0]);
        SHOW(connect(c, AT(six)));
        known[1] = port_of(c);
        show_name("client", getsockname, c);
        show_name("client's peer", getpeername, c);
        s = accept(l, NULL, NULL);
        show_name("server's peer", getpeername, s);
        close(c), close(s);
    }
    close(l);
}

static void signalled(int number) {
    printf("SIG%s\n", sigabbrev_np(number));
}

static void ending(void) {
    section("ends");
    signal(SIGPIPE, signalled);
    int p[2];
    char b[8];
    connection(p);
    MUST(send(p[0], "last", 4, 0));
    close(p[0]);
    show_poll("left", p[1]);
    LATER(recv(p[1], b, 8, 0));
    LATER(recv(p[1], b, 8, 0));
    show_name("peer", getpeername, p[1]);
    LATER(send(p[1], "x", 1, 0));
    show_poll("reset", p[1]);
    LATER(send(p[1], "x", 1, 0));
    LATER(recv(p[1], b, 8, 0));
    SHOW(get_int(p[1], SOL_SOCKET, SO_ERROR));
    close(p[1]);
    /* With something that was not received. */
    connection(p);
    MUST(send(p[1], "unread", 6, 0));
    close(p[0]);
    show_poll("broken", p[1]);
    LATER(recv(p[1], b, 8, 0));
    LATER(recv(p[1], b, 8, 0));
    LATER(send(p[1], "x", 1, 0));
    show_name("peer", getpeername, p[1]);
    close(p[1]);
    /* The same, and there is something to receive. */
    connection(p);
    MUST(send(p[1], "unread", 6, 0));
    MUST(send(p[0], "sent", 4, 0));
    close(p[0]);
    LATER(recv(p[1], b, 8, 0));
    LATER(recv(p[1], b, 8, 0));
    LATER(recv(p[1], b, 8, 0));
    close(p[1]);
    /* Broken off on purpose. */
    connection(p);
    struct linger hard = {1, 0};
    SHOW(setsockopt(p[0], SOL_SOCKET, SO_LINGER, &hard, sizeof hard));
    close(p[0]);
    LATER(recv(p[1], b, 8, 0));
    close(p[1]);
    /* One direction after the other. */
    connection(p);
    SHOW(shutdown(p[0], SHUT_WR));
    show_poll("half", p[0]);
    show_poll("other half", p[1]);
    LATER(send(p[0], "x", 1, MSG_NOSIGNAL));
    LATER(recv(p[1], b, 8, 0));
    LATER(send(p[1], "back", 4, 0));
    LATER(recv(p[0], b, 8, 0));
    SHOW(shutdown(p[1], SHUT_WR));
    show_poll("over", p[0]);
    show_poll("other over", p[1]);
    LATER(recv(p[0], b, 8, 0));
    SHOW(shutdown(p[0], SHUT_WR));
    show_name("peer", getpeername, p[0]);
    close(p[0]), close(p[1]);
    connection(p);
    SHOW(shutdown(p[0], SHUT_RD));
    show_poll("deaf", p[0]);
    LATER(recv(p[0], b, 8, 0));
    LATER(send(p[1], "still", 5, 0));
    LATER(recv(p[0], b, 8, 0));
    SHOW(shutdown(p[0], 7));
    close(p[0]), close(p[1]);
    /* A listener that goes takes with it who was not accepted. */
    int l = listener(AF_INET, "127.0.0.1", 4);
    struct sockaddr_in to = v4("127.0.0.1", port_of(l));
    int c = socket(AF_INET, SOCK_STREAM, 0);
    MUST(connect(c, AT(to)));
    close(l);
    show_poll("forgotten", c);
    LATER(recv(c, b, 8, 0));
    close(c);
    l = listener(AF_INET, "127.0.0.1", 4);
    SHOW(shutdown(l, SHUT_RD));
    SHOW(accept(l, NULL, NULL));
    close(l);
    /* A child's end of a connection is its parent's, too. */
    connection(p);
    IN_CHILD("child", {
        close(p[1]);
        SHOW(write(p[0], "child", 5));
    });
    SHOW(read(p[1], b, 8));
    close(p[0]);
    SHOW(read(p[1], b, 8));
    close(p[1]);
    signal(SIGPIPE, SIG_DFL);
    connection(p);
    close(p[1]);
    IN_CHILD("who writes on", {
        while (write(p[0], "x", 1) == 1) {}
    });
    close(p[0]);
}

static void flowing(void) {
    section("much");
    int p[2];
    connection(p);
    IN_CHILD("sender and receiver", {
        pid_t sender = fork();
        if (sender == 0) {
            close(p[1]);
            unsigned char block[10000];
            for (int i = 0; i < 800; i++) {
                memset(block, i, sizeof block);
                if (send(p[0], block, sizeof block, 0) != sizeof block) _exit(1);
            }
            _exit(0);
        }
        close(p[0]);
        unsigned char block[10000];
        for (int i = 0; i < 800; i++) {
            if (recv(p[1], block, sizeof block, MSG_WAITALL) != sizeof block) _exit(2);
            if (block[0] != (i & 255) || memcmp(block, block + 1, sizeof block - 1)) _exit(3);
        }
        reap("sender", sender);
    });
    /* There is an end to what waits, and room again when it was taken. */
    fcntl(p[0], F_SETFL, O_NONBLOCK);
    fcntl(p[1], F_SETFL, O_NONBLOCK);
    static char block[65536];
    long total = 0, taken = 0;
    for (long n; (n = write(p[0], block, sizeof block)) > 0;) total += n;
    IS(errno == EAGAIN && total > 100000);
    struct pollfd full = {p[0], POLLOUT, 0};
    SHOW(poll(&full, 1, 0));
    for (long n; taken < total && (n = read(p[1], block, sizeof block)) > 0;) taken += n;
    IS(poll(&full, 1, 1000) == 1 && taken > 0);
    close(p[0]), close(p[1]);
    connection(p);
    struct timeval little = {0, 20000};
    SHOW(setsockopt(p[0], SOL_SOCKET, SO_RCVTIMEO, &little, sizeof little));
    LATER(recv(p[0], block, 1, 0));
    close(p[0]), close(p[1]);
}

static void datagrams(void) {
    section("datagrams");
    int a = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0), b = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    MUST(bind(a, AT4("127.0.0.1", 0)));
    known[0] = port_of(a);
    struct sockaddr_in to = v4("127.0.0.1", known[0]);
    SHOW(sendto(b, "one", 3, 0, AT(to)));
    known[1] = port_of(b);
    show_name("sender", getsockname, b);
    SHOW(sendto(b, "", 0, 0, AT(to)));
    SHOW(sendto(b, "three", 5, 0, AT(to)));
    show_poll("receiver", a);
    int count = 0;
    settle();
    SHOW(ioctl(a, FIONREAD, &count));
    SHOW(count);
    char text[16];
    struct sockaddr_storage from;
    socklen_t length = sizeof from;
    LATER(recvfrom(a, text, sizeof text, MSG_PEEK, (void *)&from, &length));
    show_address("from", &from, length);
    LATER(recv(a, text, sizeof text, 0));
    LATER(recv(a, text, sizeof text, 0));
    LATER(recv(a, text, 2, MSG_TRUNC));
    LATER(recv(a, text, sizeof text, 0));
    /* Whom one is connected to, one hears alone. */
    SHOW(connect(b, AT(to)));
    show_name("connected", getsockname, b);
    show_name("its peer", getpeername, b);
    LATER(send(b, "x", 1, 0));
    int c = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    struct sockaddr_in back = v4("127.0.0.1", known[1]);
    SHOW(sendto(c, "stranger", 8, 0, AT(back)));
    LATER(recv(b, text, sizeof text, 0));
    SHOW(sendto(a, "friend", 6, 0, AT(back)));
    LATER(recv(b, text, sizeof text, 0));
    SHOW(shutdown(b, SHUT_WR));
    LATER(send(b, "x", 1, MSG_NOSIGNAL));
    /* Nobody there is told to who has one peer. */
    close(a);
    SHOW(sendto(c, "x", 1, 0, AT(to)));
    SHOW(get_int(c, SOL_SOCKET, SO_ERROR));
    SHOW(connect(c, AT(to)));
    LATER(send(c, "x", 1, 0));
    show_poll("refused", c);
    LATER(recv(c, text, 1, 0));
    LATER(send(c, "x", 1, 0));
    LATER(send(c, "x", 1, 0));
    LATER(recv(c, text, 1, 0));
    struct sockaddr nobody = {.sa_family = AF_UNSPEC};
    SHOW(connect(c, &nobody, sizeof nobody));
    show_name("nobody's", getpeername, c);
    LATER(send(c, "x", 1, 0));
    to.sin_port = 0;
    SHOW(sendto(c, "x", 1, 0, AT(to)));
    SHOW(sendto(c, "x", 1, 0, (void *)&to, 8));
    static char giant[70000];
    SHOW(sendto(c, giant, sizeof giant, 0, AT(back)));
    close(b), close(c);
    /* What does not fit is lost. */
    a = socket(AF_INET6, SOCK_DGRAM | SOCK_NONBLOCK, 0), b = socket(AF_INET, SOCK_DGRAM, 0);
    MUST(bind(a, AT6("::", 0)));
    to = v4("127.0.0.1", port_of(a));
    long sent = 0, received = 0;
    for (int i = 0; i < 1000; i++) sent += sendto(b, giant, 1000, 0, AT(to));
    settle();
    while (recv(a, giant, sizeof giant, 0) == 1000) received++;
    IS(sent == 1000000 && received > 50 && received < 900);
    length = sizeof from;
    MUST(sendto(b, giant, 60000, 0, AT(to)));
    LATER(recvfrom(a, giant, sizeof giant, 0, (void *)&from, &length));
    known[1] = port_of(b);
    show_address("of the other family", &from, length);
    close(a), close(b);
}

static void settings(void) {
    section("options");
    int fd = socket(AF_INET, SOCK_STREAM, 0), six = socket(AF_INET6, SOCK_STREAM, 0), d = socket(AF_INET, SOCK_DGRAM, 0);
    SHOW(get_int(fd, SOL_SOCKET, SO_DOMAIN));
    SHOW(get_int(six, SOL_SOCKET, SO_DOMAIN));
    SHOW(get_int(fd, SOL_SOCKET, SO_PROTOCOL));
    SHOW(get_int(d, SOL_SOCKET, SO_PROTOCOL));
    SHOW(get_int(d, SOL_SOCKET, SO_TYPE));
    int generic[] = {SO_REUSEADDR, SO_REUSEPORT, SO_KEEPALIVE, SO_BROADCAST, SO_OOBINLINE};
    for (int i = 0; i < 5; i++) {
        SHOW(get_int(fd, SOL_SOCKET, generic[i]));
        SHOW(set_int(fd, SOL_SOCKET, generic[i], 5));
        SHOW(get_int(fd, SOL_SOCKET, generic[i]));
    }
    int tcp[] = {TCP_NODELAY, TCP_CORK, TCP_KEEPIDLE, TCP_KEEPINTVL, TCP_KEEPCNT, TCP_USER_TIMEOUT, TCP_SYNCNT};
    for (int i = 0; i < 7; i++) {
        SHOW(get_int(fd, IPPROTO_TCP, tcp[i]));
        SHOW(set_int(fd, IPPROTO_TCP, tcp[i], 5));
        SHOW(get_int(fd, IPPROTO_TCP, tcp[i]));
        SHOW(get_int(d, IPPROTO_TCP, tcp[i]));
    }
    SHOW(set_int(fd, IPPROTO_TCP, TCP_KEEPCNT, 1000));
    SHOW(get_int(fd, IPPROTO_IP, IP_TTL));
    SHOW(set_int(fd, IPPROTO_IP, IP_TTL, 0));
    SHOW(set_int(fd, IPPROTO_IP, IP_TTL, 300));
    SHOW(set_int(fd, IPPROTO_IP, IP_TTL, 9));
    SHOW(get_int(fd, IPPROTO_IP, IP_TTL));
    SHOW(set_int(fd, IPPROTO_IP, IP_TOS, 0x10));
    SHOW(get_int(fd, IPPROTO_IP, IP_TOS));
    SHOW(get_int(fd, IPPROTO_IPV6, IPV6_V6ONLY));
    SHOW(get_int(six, IPPROTO_IPV6, IPV6_UNICAST_HOPS));
    SHOW(get_int(fd, IPPROTO_TCP, 9999));
    SHOW(get_int(fd, 9999, 1));
    SHOW(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, "x", 1));
    IS(get_int(d, SOL_SOCKET, SO_RCVBUF) > 0);
    SHOW(set_int(d, SOL_SOCKET, SO_RCVBUF, 10000));
    SHOW(get_int(d, SOL_SOCKET, SO_RCVBUF));
    /* Who is accepted has the listener's. */
    int l = listener(AF_INET, "127.0.0.1", 1);
    MUST(set_int(l, SOL_SOCKET, SO_KEEPALIVE, 1));
    MUST(set_int(l, IPPROTO_TCP, TCP_NODELAY, 1));
    MUST(connect(fd, AT4("127.0.0.1", port_of(l))));
    int s = accept(l, NULL, NULL);
    SHOW(get_int(s, SOL_SOCKET, SO_KEEPALIVE));
    SHOW(get_int(s, IPPROTO_TCP, TCP_NODELAY));
    close(fd), close(six), close(d), close(l), close(s);
}

int main(void) {
    creating();
    binding();
    connecting();
    ending();
    flowing();
    datagrams();
    settings();
}
