/*
 * Starts a program under a filter of system calls (seccomp), as sandboxes have them.
 * usage: filter kill|ERRNO CALL... -- PROGRAM [ARGUMENT...]
 * Each CALL ends the process, or is answered with that error number. Every other one is allowed.
 */
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Newer than some systems' headers; the numbers are the same on all architectures. */
#ifndef SYS_openat2
#define SYS_openat2 437
#endif
#ifndef SYS_cachestat
#define SYS_cachestat 451
#endif

static const struct {
    const char *name;
    int number;
} calls[] = {
#define CALL(name) { #name, SYS_##name }
    CALL(cachestat), CALL(copy_file_range), CALL(fadvise64), CALL(fallocate), CALL(fchown), CALL(fgetxattr),
    CALL(flistxattr), CALL(fremovexattr), CALL(fsetxattr), CALL(fstatfs), CALL(linkat), CALL(mincore), CALL(openat2),
    CALL(preadv2), CALL(renameat2), CALL(sched_setscheduler), CALL(setpriority), CALL(sync_file_range),
};

static int number_of(const char *name)
{
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++)
        if (strcmp(calls[i].name, name) == 0)
            return calls[i].number;
    fprintf(stderr, "filter: no such call: %s\n", name);
    exit(2);
}

int main(int argc, char **argv)
{
    struct sock_filter program[2 * 64 + 2];
    unsigned short len = 0;
    if (argc < 4) {
        fprintf(stderr, "usage: filter kill|ERRNO CALL... -- PROGRAM [ARGUMENT...]\n");
        return 2;
    }
    unsigned action = strcmp(argv[1], "kill") == 0 ? SECCOMP_RET_KILL_PROCESS
                                                   : SECCOMP_RET_ERRNO | (unsigned)atoi(argv[1]);
    program[len++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
    int i = 2;
    for (; i < argc && strcmp(argv[i], "--") != 0; i++) {
        program[len++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number_of(argv[i]), 0, 1);
        program[len++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, action);
    }
    program[len++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    if (i + 1 >= argc) {
        fprintf(stderr, "filter: no program\n");
        return 2;
    }
    struct sock_fprog filter = { len, program };
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) != 0) {
        perror("filter: prctl");
        return 2;
    }
    execvp(argv[i + 1], argv + i + 1);
    perror(argv[i + 1]);
    return 127;
}
