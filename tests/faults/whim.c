// An agent that dies at some moment: the real one, behind a filter that kills it at a call whose number and arguments
// happen to have a certain sum. What is summed how is chosen anew at each start. Its children are left alone as soon as they
// run another program: the agent is linked below 4 MiB, others are not.
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LOAD(field, more) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field) + (more))
// A = (A + X) * by, and into X.
#define MIX(by) \
    BPF_STMT(BPF_ALU | BPF_ADD | BPF_X, 0), BPF_STMT(BPF_ALU | BPF_MUL | BPF_K, (by)), BPF_STMT(BPF_MISC | BPF_TAX, 0)
#define ABOVE_AGENT 0x400000
#define ALLOW BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)

int main(int argc, char **argv, char **envp) {
    uint32_t by[3];
    if (getrandom(by, sizeof by, 0) != sizeof by) return 1;
    for (int i = 0; i < 3; i++) by[i] |= 1;
    struct sock_filter program[] = {
        LOAD(instruction_pointer, 4), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 1, 0), ALLOW,
        LOAD(instruction_pointer, 0), BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, ABOVE_AGENT, 0, 1), ALLOW,
        LOAD(nr, 0), MIX(by[0]),
        LOAD(args[0], 0), MIX(by[1]),
        LOAD(args[2], 0), MIX(by[2]),
        BPF_STMT(BPF_ALU | BPF_RSH | BPF_K, 32 - BITS), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS), ALLOW,
    };
    struct sock_fprog filter = {sizeof program / sizeof *program, program};
    if (argc < 1 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)) return 2;
    if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &filter)) return 3;
    execve("/agent.real", argv, envp);
    return 4;
}
