/* execve: what is passed on, what is refused, and interpreters of scripts. */
#include "abi.h"
#include <elf.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <sys/resource.h>

static char self[4096];

static void report(int argc, char **argv, char **envp) {
    for (int i = 0; i < argc; i++) printf("argv[%d] = \"%s\"\n", i, argv[i]);
    for (; *envp; envp++) printf("env \"%s\"\n", *envp);
    sigset_t set;
    sigprocmask(SIG_BLOCK, NULL, &set);
    for (int i = 1; i < 65; i++)
        if (sigismember(&set, i) == 1) printf("blocked %d\n", i);
    struct sigaction action;
    for (int i = 1; i < 32; i++)
        if (sigaction(i, NULL, &action) == 0 && action.sa_handler == SIG_IGN) printf("ignored %d\n", i);
    char name[16];
    prctl(PR_GET_NAME, name);
    if (argc < 2 || strcmp(argv[1], "by fd")) printf("name %s\n", name);
    for (int fd = 3; fd < 20; fd++)
        if (fcntl(fd, F_GETFD) != -1) printf("open %d\n", fd);
}

static void run(const char *what, const char *path, char *const argv[], char *const envp[]) {
    pid_t pid = MUST(fork());
    if (pid == 0) {
        execve(path, argv, envp);
        printf("%s: %s\n", what, errno_name(errno));
        _exit(errno == ENOENT ? 127 : 126);
    }
    reap(what, pid);
}

static void handler(int signo) {
    (void)signo;
}

static void passed_on(void) {
    signal(SIGUSR1, SIG_IGN);
    signal(SIGUSR2, handler);
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGHUP);
    sigprocmask(SIG_SETMASK, &set, NULL);
    int kept = MUST(open(".", O_RDONLY)), gone = MUST(open(".", O_RDONLY | O_CLOEXEC));
    char *argv[] = {"report", "", "two words", "\xff\xfe", NULL}, *envp[] = {"A=1", "EMPTY=", "odd", NULL};
    run("plain", self, argv, envp);
    char *none[] = {NULL};
    run("no environment", self, (char *[]){"report", NULL}, none);
    close(kept), close(gone);
    signal(SIGUSR1, SIG_DFL);
    sigemptyset(&set);
    sigprocmask(SIG_SETMASK, &set, NULL);
}

static void refused(void) {
    char *argv[] = {"x", NULL}, *envp[] = {NULL};
    write_file("plain", "not a program");
    run("missing", "./missing", argv, envp);
    run("not executable", "./plain", argv, envp);
    MUST(chmod("plain", 0755));
    run("no format", "./plain", argv, envp);
    run("directory", ".", argv, envp);
    run("below a file", "./plain/x", argv, envp);
    run("empty name", "", argv, envp);
    MUST(symlink("loop", "loop"));
    run("loop", "./loop", argv, envp);
    write_file("empty", "");
    MUST(chmod("empty", 0755));
    run("empty file", "./empty", argv, envp);
    write_file("short", "\177ELF");
    MUST(chmod("short", 0755));
    run("short elf", "./short", argv, envp);
    unsigned char header[4096] = {0};
    int fd = MUST(open(self, O_RDONLY));
    MUST(read(fd, header, sizeof header));
    close(fd);
    ((Elf64_Ehdr *)header)->e_machine = EM_AARCH64;
    fd = MUST(open("foreign", O_WRONLY | O_CREAT, 0755));
    MUST(write(fd, header, sizeof header));
    close(fd);
    run("foreign machine", "./foreign", argv, envp);
    run("bad path", (char *)8, argv, envp);
    run("bad argv", self, (char **)8, envp);
    fd = MUST(open("writing", O_WRONLY | O_CREAT, 0755));
    run("being written", "./writing", argv, envp);
    close(fd);
    /* And a program that runs cannot be written. */
    SHOW(open(self, O_WRONLY));
    SHOW(open(self, O_RDONLY | O_TRUNC));
    SHOW(truncate(self, 0));
}

static void too_big(void) {
    enum { LENGTH = 131072 };
    char *big = malloc(LENGTH + 1);
    memset(big, 'b', LENGTH);
    big[LENGTH] = 0;
    char *envp[] = {NULL};
    /* A single string has at most 128 KiB with its zero. */
    run("string too long", self, (char *[]){"count", big, NULL}, envp);
    big[LENGTH - 1] = 0;
    run("string just fits", self, (char *[]){"count", big, NULL}, envp);
    static char *many[40];
    for (int i = 0; i < 39; i++) many[i] = i ? big : "count";
    run("all too long", self, many, envp);
    many[10] = NULL;
    run("together fine", self, many, envp);
}

static void scripts(void) {
    char line[5000], *envp[] = {NULL};
    snprintf(line, sizeof line, "#!%s\nrest", self);
    write_file("script", line);
    snprintf(line, sizeof line, "#!  %s  one argument only \nrest", self);
    write_file("spaced", line);
    write_file("nested", "#!./script x\n");
    write_file("nowhere", "#!/no/such/interpreter\n");
    write_file("nothing", "#!\n");
    write_file("noline", "#!./script");
    write_file("self", "#!./self\n");
    char *names[] = {"script", "spaced", "nested", "nowhere", "nothing", "noline", "self"};
    for (int i = 0; i < 7; i++) {
        char path[32];
        MUST(chmod(names[i], 0755));
        snprintf(path, sizeof path, "./%s", names[i]);
        run(names[i], path, (char *[]){"report", "arg", NULL}, envp);
    }
    MUST(chmod("script", 0644));
    run("script not executable", "./script", (char *[]){"report", NULL}, envp);
}

static void by_descriptor(void) {
    char *argv[] = {"report", "by fd", NULL}, *envp[] = {NULL};
    int fd = MUST(open(self, O_RDONLY | O_CLOEXEC));
    pid_t pid = MUST(fork());
    if (pid == 0) {
        fexecve(fd, argv, envp);
        _exit(1);
    }
    reap("fexecve", pid);
    int dir = MUST(open(".", O_PATH | O_DIRECTORY | O_CLOEXEC));
    MUST(chmod("script", 0755));
    pid = MUST(fork());
    if (pid == 0) {
        SHOW(execveat(dir, "loop", argv, envp, AT_SYMLINK_NOFOLLOW));
        SHOW(execveat(dir, "missing", argv, envp, 0));
        SHOW(execveat(dir, self, argv, envp, 0));
        _exit(1);
    }
    reap("execveat", pid);
}

static void auxiliary(void) {
    IS(getauxval(AT_PAGESZ) == 4096);
    IS(getauxval(AT_UID) == getuid());
    IS(getauxval(AT_RANDOM) != 0);
    IS(getauxval(AT_ENTRY) != 0);
    IS(getauxval(AT_PHDR) != 0);
    SHOW(getauxval(AT_PHENT));
    SHOW(getauxval(AT_SECURE));
    SHOW(getauxval(AT_CLKTCK));
    IS(strcmp((char *)getauxval(AT_PLATFORM), "x86_64") == 0);
    IS(strlen((char *)getauxval(AT_EXECFN)) > 0);
}

int main(int argc, char **argv, char **envp) {
    if (argc > 0 && strcmp(argv[0], "count") == 0) {
        size_t total = 0;
        for (int i = 0; i < argc; i++) total += strlen(argv[i]);
        printf("%d arguments, %zu bytes\n", argc, total);
        return 0;
    }
    MUST(readlink("/proc/self/exe", self, sizeof self - 1));
    /* Scripts name this program by a path that is the same everywhere. */
    if (getenv("ABI_EXEC") == NULL && argc == 1 && strstr(argv[0], "report") == NULL) {
        MUST(symlink(self, "program"));
        strcpy(self, "./program");
        passed_on();
        refused();
        too_big();
        scripts();
        by_descriptor();
        auxiliary();
        return 0;
    }
    report(argc, argv, envp);
    return 7;
}
