/* What /proc and /dev tell, as far as it is the same on every Linux. */
// abi: dynamic
#include "abi.h"
#include <dirent.h>
#include <pthread.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>

static char *slurp(const char *path) {
    static char buffer[65536];
    int fd = open(path, O_RDONLY);
    size_t length = 0;
    ssize_t got = -1;
    while (fd >= 0 && (got = read(fd, buffer + length, sizeof buffer - 1 - length)) > 0) length += got;
    if (got < 0) printf("%s: %s\n", path, errno_name(errno));
    if (fd >= 0) close(fd);
    buffer[length] = 0;
    return buffer;
}

static bool has(const char *path, const char *text) {
    return strstr(slurp(path), text) != NULL;
}

/* The value of a field such as `Threads:`. */
static const char *field(const char *path, const char *name) {
    static char value[256];
    char *line = strstr(slurp(path), name);
    if (!line) return "missing";
    sscanf(line + strlen(name), " %255[^\n]", value);
    return value;
}

static void links(void) {
    char path[4096], cwd[4096];
    ssize_t length = MUST(readlink("/proc/self/exe", path, sizeof path));
    printf("%.*s\n", (int)(length > 9 ? 9 : length), path + length - 9);
    length = MUST(readlink("/proc/self/cwd", path, sizeof path - 1));
    path[length] = 0;
    IS(strcmp(path, getcwd(cwd, sizeof cwd)) == 0);
    SHOW(readlink("/proc/self/root", path, sizeof path));
    IS(atoi((readlink("/proc/self", path, sizeof path), path)) == getpid());
    int fd = MUST(open("file", O_RDWR | O_CREAT, 0644));
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    length = MUST(readlink(path, cwd, sizeof cwd - 1));
    cwd[length] = 0;
    puts(strrchr(cwd, '/'));
    MUST(unlink("file"));
    length = MUST(readlink(path, cwd, sizeof cwd - 1));
    cwd[length] = 0;
    puts(strrchr(cwd, '/'));
    int ends[2];
    MUST(pipe(ends));
    snprintf(path, sizeof path, "/proc/self/fd/%d", ends[0]);
    MUST(readlink(path, cwd, sizeof cwd));
    printf("%.6s\n", cwd);
    int descriptors = 0;
    DIR *dir = opendir("/proc/self/fd");
    for (struct dirent *entry; (entry = readdir(dir));) descriptors += entry->d_name[0] != '.' && entry->d_type == DT_LNK;
    closedir(dir);
    SHOW(descriptors);
    close(fd), close(ends[0]), close(ends[1]);
    SHOW(readlink("/proc/self/fd/77", path, sizeof path));
    SHOW(open("/proc/self/nothing", O_RDONLY));
    SHOW(open("/proc/999999999", O_RDONLY));
    IS(mkdir("/proc/x", 0755) == 0);
    IS(open("/proc/x", O_WRONLY | O_CREAT, 0644) >= 0);
}

static void *wait_here(void *argument) {
    char c;
    read(*(int *)argument, &c, 1);
    return NULL;
}

static void status(void) {
    puts(field("/proc/self/status", "Name:"));
    puts(field("/proc/self/status", "State:"));
    IS(atoi(field("/proc/self/status", "Pid:")) == getpid());
    IS(atoi(field("/proc/self/status", "PPid:")) == getppid());
    IS(atoi(field("/proc/self/status", "Uid:")) == (int)getuid());
    puts(field("/proc/self/status", "Threads:"));
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_BLOCK, &set, NULL);
    raise(SIGUSR1);
    signal(SIGUSR2, SIG_IGN);
    puts(field("/proc/self/status", "SigBlk:"));
    puts(field("/proc/self/status", "SigIgn:"));
    int ends[2];
    MUST(pipe(ends));
    pthread_t thread;
    pthread_create(&thread, NULL, wait_here, &ends[0]);
    sleep_ms(20);
    puts(field("/proc/self/status", "Threads:"));
    int tasks = 0;
    DIR *dir = opendir("/proc/self/task");
    for (struct dirent *entry; dir && (entry = readdir(dir));) tasks += entry->d_name[0] != '.';
    SHOW(tasks);
    close(ends[1]);
    pthread_join(thread, NULL);
    char name[64], state;
    int pid, parent, group, session;
    sscanf(slurp("/proc/self/stat"), "%d (%63[^)]) %c %d %d %d", &pid, name, &state, &parent, &group, &session);
    printf("%s %c\n", name, state);
    IS(pid == getpid() && parent == getppid() && group == getpgrp() && session == getsid(0));
    SHOW(strlen(slurp("/proc/self/cmdline")));
    printf("%.9s\n", strrchr(slurp("/proc/self/cmdline"), '/') + 1);
    printf("%.9s\n", slurp("/proc/self/comm"));
    IN_CHILD("others", {
        char path[64];
        snprintf(path, sizeof path, "/proc/%d/status", getppid());
        IS(atoi(field(path, "Pid:")) == getppid());
        snprintf(path, sizeof path, "/proc/%d/stat", getppid());
        /* The parent may not have come to wait yet. */
        for (int i = 0; i < 2000 && !has(path, "(proc_self) S"); i++) sleep_ms(1);
        IS(has(path, "(proc_self) S"));
    });
    pid_t zombie = MUST(fork());
    if (zombie == 0) _exit(0);
    siginfo_t info;
    MUST(waitid(P_PID, zombie, &info, WEXITED | WNOWAIT));
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/stat", zombie);
    IS(has(path, "(proc_self) Z"));
    MUST(waitpid(zombie, NULL, 0));
    SHOW(access(path, F_OK));
}

static void maps(void) {
    char *page = mmap(NULL, 3 * 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    MUST(mprotect(page + 4096, 4096, PROT_READ | PROT_WRITE));
    char line[128];
    snprintf(line, sizeof line, "%lx-%lx rw-p 00000000 00:00 0", (long)page + 4096, (long)page + 8192);
    IS(has("/proc/self/maps", line));
    IS(has("/proc/self/maps", "[stack]"));
    IS(has("/proc/self/maps", "[vdso]"));
    IS(has("/proc/self/maps", "/proc_self"));
    sbrk(4096);
    IS(has("/proc/self/maps", "[heap]"));
    IS(atol(slurp("/proc/self/statm")) > 10);
}

static void machine(void) {
    IS(atol(field("/proc/meminfo", "MemTotal:")) > 10000);
    IS(atol(field("/proc/meminfo", "MemFree:")) > 1000);
    IS(atol(field("/proc/meminfo", "MemAvailable:")) > 1000);
    IS(has("/proc/cpuinfo", "processor\t: 0"));
    IS(has("/proc/cpuinfo", "flags\t\t: fpu"));
    IS(has("/proc/mounts", " / "));
    IS(has("/proc/mounts", "proc /proc proc rw"));
    IS(has("/proc/self/mountinfo", " / /proc "));
    IS(atof(slurp("/proc/uptime")) > 0);
    IS(has("/proc/stat", "cpu  "));
    IS(has("/proc/stat", "btime "));
    IS(has("/proc/filesystems", "nodev\tproc"));
    IS(has("/proc/version", "Linux version"));
    IS(strlen(slurp("/proc/loadavg")) > 10);
    IS(atoi(slurp("/proc/sys/kernel/pid_max")) > 1000);
    IS(has("/proc/sys/kernel/ostype", "Linux"));
    IS(strlen(slurp("/proc/sys/kernel/random/boot_id")) == 37);
    struct sysinfo info;
    MUST(sysinfo(&info));
    IS(info.totalram * info.mem_unit > 10 << 20 && info.procs > 0 && info.uptime >= 0);
    struct utsname name;
    MUST(uname(&name));
    printf("%s %s\n", name.sysname, name.machine);
    IS(strlen(name.release) > 0 && strlen(name.nodename) > 0);
    IS(sysconf(_SC_NPROCESSORS_ONLN) >= 1);
    IS(sysconf(_SC_PHYS_PAGES) > 1000);
}

static void devices(void) {
    char buffer[64] = "xxxx";
    int fd = MUST(open("/dev/null", O_RDWR));
    SHOW(read(fd, buffer, 4));
    SHOW(write(fd, buffer, 4));
    SHOW(lseek(fd, 100, SEEK_SET));
    close(fd);
    fd = MUST(open("/dev/zero", O_RDWR));
    SHOW(read(fd, buffer, 4));
    SHOW(buffer[0] + buffer[3]);
    SHOW(write(fd, buffer, 4));
    char *zero = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    SHOW(zero == MAP_FAILED ? -1 : zero[17]);
    close(fd);
    fd = MUST(open("/dev/full", O_RDWR));
    SHOW(read(fd, buffer, 4));
    SHOW(write(fd, buffer, 4));
    close(fd);
    unsigned char one[32], two[32];
    fd = MUST(open("/dev/urandom", O_RDONLY));
    SHOW(read(fd, one, 32));
    SHOW(read(fd, two, 32));
    IS(memcmp(one, two, 32) != 0);
    close(fd);
    SHOW(close(MUST(open("/dev/random", O_RDONLY))));
    SHOW(open("/dev/nothing", O_RDONLY));
    print_file("/dev/stdin");
    fd = MUST(open("named", O_RDWR | O_CREAT, 0644));
    MUST(write(fd, "content", 7));
    snprintf(buffer, sizeof buffer, "/dev/fd/%d", fd);
    print_file(buffer);
}

int main(void) {
    links();
    status();
    maps();
    machine();
    devices();
}
