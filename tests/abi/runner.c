/* Runs one program after another in a guest that is slow to boot, each as the agent would start it as a job: the leader of a session
 * of its own, in an empty directory, with no input, two pipes, and a small environment. What it leaves running is killed.
 *
 * A request on standard input is a line `ARGUMENTS BYTES`, and that many bytes: the PATH, and the arguments, each ended by a
 * zero. The answer on standard output is a line `CODE OUT ERR`, and that many bytes of its output and error output. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <fcntl.h>

enum { MAX_ARGUMENTS = 64, MAX_REQUEST = 1 << 16, MAX_OUTPUT = 1 << 22 };
/* How long whoever outlives a program may go on writing its output, in milliseconds; as with the agent. */
enum { GRACE = 50 };

struct output {
    char *bytes;
    size_t len;
    int fd;
};

static void must(int held, const char *what) {
    if (held) return;
    fprintf(stderr, "runner: %s: %s\n", what, strerror(errno));
    exit(125);
}

/* Fails if the directory is there already, as it would then not be empty. */
static void enter_directory(int number) {
    char path[32];
    snprintf(path, sizeof path, "/work/%d", number);
    must(mkdir(path, 0755) == 0 && chdir(path) == 0, "a directory of its own");
}

static pid_t start(char **words, int number, struct output *out, struct output *err) {
    int a[2], b[2];
    must(pipe2(a, O_CLOEXEC) == 0 && pipe2(b, O_CLOEXEC) == 0, "pipes");
    pid_t pid = fork();
    must(pid >= 0, "fork");
    if (pid == 0) {
        enter_directory(number);
        int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
        must(setsid() > 0 && dup2(null, 0) == 0 && dup2(a[1], 1) == 1 && dup2(b[1], 2) == 2, "a job's surroundings");
        char *environment[] = {"HOME=/root", "USER=root", words[0], NULL};
        execve(words[1], words + 1, environment);
        must(0, words[1]);
    }
    close(a[1]);
    close(b[1]);
    *out = (struct output){malloc(MAX_OUTPUT), 0, a[0]};
    *err = (struct output){malloc(MAX_OUTPUT), 0, b[0]};
    must(out->bytes && err->bytes, "memory");
    return pid;
}

/* Reads what there is. A stream that has ended has no descriptor any more. */
static void take(struct output *output) {
    must(output->len < MAX_OUTPUT, "too much output");
    ssize_t len = read(output->fd, output->bytes + output->len, MAX_OUTPUT - output->len);
    if (len > 0) {
        output->len += len;
    } else {
        close(output->fd);
        output->fd = -1;
    }
}

/* Waits for output at most so long. Whether there was any, or an end of one. */
static int collect(struct output *out, struct output *err, int limit) {
    struct pollfd fds[2] = {{.fd = out->fd, .events = POLLIN}, {.fd = err->fd, .events = POLLIN}};
    if (poll(fds, 2, limit) <= 0) return 0;
    if (fds[0].revents) take(out);
    if (fds[1].revents) take(err);
    return 1;
}

/* A program's way from its start to its end; its exit code as shells have it. */
static int run(char **words, int number, struct output *out, struct output *err) {
    pid_t pid = start(words, number, out, err);
    int status;
    while (waitpid(pid, &status, WNOHANG) == 0) collect(out, err, 10);
    while ((out->fd >= 0 || err->fd >= 0) && collect(out, err, GRACE)) {}
    /* All but this process and the first one. */
    kill(-1, SIGKILL);
    if (out->fd >= 0) close(out->fd);
    if (err->fd >= 0) close(err->fd);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static char request[MAX_REQUEST];

/* Reads a request: the PATH, the arguments, and a null pointer. False at the end of input. */
static int next(char **words) {
    int count;
    size_t len;
    if (scanf("%d %zu", &count, &len) != 2) return 0;
    must(getchar() == '\n' && count > 1 && count < MAX_ARGUMENTS && len < MAX_REQUEST, "an odd request");
    must(fread(request, 1, len, stdin) == len && request[len - 1] == 0, "half a request");
    char *at = request;
    for (int i = 0; i < count; i++, at += strlen(at) + 1) {
        must(at < request + len, "too few arguments");
        words[i] = at;
    }
    words[count] = NULL;
    return 1;
}

int main(void) {
    char *words[MAX_ARGUMENTS + 1];
    for (int number = 0; next(words); number++) {
        struct output out, err;
        int code = run(words, number, &out, &err);
        printf("%d %zu %zu\n", code, out.len, err.len);
        fwrite(out.bytes, 1, out.len, stdout);
        fwrite(err.bytes, 1, err.len, stdout);
        must(fflush(stdout) == 0, "an answer");
        free(out.bytes);
        free(err.bytes);
    }
}
