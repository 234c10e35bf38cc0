/*
 * Makes system calls on chosen files fail, when preloaded into a server (LD_PRELOAD).
 *
 * MMAP_FAULT_FILES  how the paths of the chosen files begin
 * MMAP_FAULT_PLAN   a file that holds a `struct plan`; the test writes it while the server runs
 *
 * Everything goes straight to the kernel: the server's allocator calls mmap before a library can look up anything.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

/* In the order of `Call` in interposer.rs; 0 is none. */
enum call { NONE, MSYNC, FDATASYNC, FSYNC, FTRUNCATE, FALLOCATE, MMAP, FSTAT, PWRITE, PREAD, FSETXATTR, FGETXATTR,
    SYNC_FILE_RANGE };

struct plan {
    /* Which call fails, and with which errno; 0 is for a write of half the bytes. */
    _Atomic int64_t call, error;
    /* How many calls succeed before, and how many fail then. */
    _Atomic int64_t skip, times;
    /* How many have failed. */
    _Atomic int64_t hits;
};

static struct plan *plan;
static const char *files;

__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv("MMAP_FAULT_PLAN");
    int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (fd < 0)
        return;
    /* A copy: the server writes its title over the environment. */
    files = strdup(getenv("MMAP_FAULT_FILES"));
    void *at = mmap(NULL, sizeof *plan, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (at != MAP_FAILED)
        plan = at;
}

static int is_chosen(const char *path)
{
    return strncmp(path, files, strlen(files)) == 0;
}

static int is_chosen_fd(int fd)
{
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t len = readlink(link, path, sizeof path - 1);
    if (len < 0)
        return 0;
    path[len] = 0;
    return is_chosen(path);
}

static int is_chosen_address(const void *address)
{
    char line[4096 + 128];
    FILE *maps = fopen("/proc/self/maps", "re");
    int chosen = 0;
    while (maps && fgets(line, sizeof line, maps)) {
        unsigned long from, to;
        char *path = strchr(line, '/');
        if (path && sscanf(line, "%lx-%lx", &from, &to) == 2 && from <= (unsigned long)address
            && (unsigned long)address < to)
            chosen = is_chosen(path);
    }
    if (maps)
        fclose(maps);
    return chosen;
}

/* Whether it is this call's turn to fail; errno says how. */
static int fails(void)
{
    if (atomic_fetch_sub(&plan->skip, 1) > 0 || atomic_fetch_sub(&plan->times, 1) <= 0)
        return 0;
    atomic_fetch_add(&plan->hits, 1);
    errno = (int)plan->error;
    return 1;
}

static int fails_on(enum call call, int fd)
{
    int before = errno;
    if (plan && plan->call == call && is_chosen_fd(fd) && fails())
        return 1;
    errno = before;
    return 0;
}

int msync(void *address, size_t len, int flags)
{
    if (plan && plan->call == MSYNC && is_chosen_address(address) && fails())
        return -1;
    return (int)syscall(SYS_msync, address, len, flags);
}

int fdatasync(int fd)
{
    return fails_on(FDATASYNC, fd) ? -1 : (int)syscall(SYS_fdatasync, fd);
}

int fsync(int fd)
{
    return fails_on(FSYNC, fd) ? -1 : (int)syscall(SYS_fsync, fd);
}

int ftruncate64(int fd, off64_t len)
{
    return fails_on(FTRUNCATE, fd) ? -1 : (int)syscall(SYS_ftruncate, fd, len);
}

int fallocate64(int fd, int mode, off64_t from, off64_t len)
{
    return fails_on(FALLOCATE, fd) ? -1 : (int)syscall(SYS_fallocate, fd, mode, from, len);
}

void *mmap64(void *address, size_t len, int protection, int flags, int fd, off64_t from)
{
    if (fd >= 0 && fails_on(MMAP, fd))
        return MAP_FAILED;
    return (void *)syscall(SYS_mmap, address, len, protection, flags, fd, from);
}

void *mmap(void *address, size_t len, int protection, int flags, int fd, off_t from)
{
    return mmap64(address, len, protection, flags, fd, from);
}

int fstat64(int fd, struct stat64 *out)
{
    return fails_on(FSTAT, fd) ? -1 : (int)syscall(SYS_fstat, fd, out);
}

ssize_t pwrite64(int fd, const void *bytes, size_t len, off64_t at)
{
    if (fails_on(PWRITE, fd)) {
        if (errno != 0)
            return -1;
        len /= 2;
    }
    return syscall(SYS_pwrite64, fd, bytes, len, at);
}

ssize_t pread64(int fd, void *bytes, size_t len, off64_t at)
{
    return fails_on(PREAD, fd) ? -1 : syscall(SYS_pread64, fd, bytes, len, at);
}

int fsetxattr(int fd, const char *name, const void *value, size_t len, int flags)
{
    return fails_on(FSETXATTR, fd) ? -1 : (int)syscall(SYS_fsetxattr, fd, name, value, len, flags);
}

ssize_t fgetxattr(int fd, const char *name, void *value, size_t len)
{
    return fails_on(FGETXATTR, fd) ? -1 : syscall(SYS_fgetxattr, fd, name, value, len);
}

int sync_file_range(int fd, off64_t from, off64_t len, unsigned int flags)
{
    return fails_on(SYNC_FILE_RANGE, fd) ? -1 : (int)syscall(SYS_sync_file_range, fd, from, len, flags);
}

/* Which of two calls the module syncs with depends on the file system. */
int fstatfs64(int fd, struct statfs64 *out)
{
    int status = (int)syscall(SYS_fstatfs, fd, out);
    if (plan && plan->call == MSYNC)
        out->f_type = TMPFS_MAGIC;
    if (plan && plan->call == SYNC_FILE_RANGE)
        out->f_type = EXT4_SUPER_MAGIC;
    return status;
}

/* Valkey has a module look for calls in its own libraries first (RTLD_DEEPBIND), where it would not find these. */
void *dlopen(const char *file, int flags)
{
    void *(*next)(const char *, int) = (void *(*)(const char *, int))dlsym(RTLD_NEXT, "dlopen");
    return next(file, flags & ~RTLD_DEEPBIND);
}
