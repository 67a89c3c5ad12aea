/* A disk that fills up, cannot be written, or goes with its process, at a chosen moment: loaded with
 * LD_PRELOAD before libc, armed by fault_arm.
 *
 * Counted are the calls that change what is below a folder. Kind 1: from call number `at` on there is
 * no room (ENOSPC) for new files, bytes and flushes. Kind 2: from there on nothing can be changed
 * (EROFS). Kind 3: the process is killed before the call. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static char folder[PATH_MAX];
static int kind;
static long at, count;

void fault_arm(const char *below, int what, long when)
{
    snprintf(folder, sizeof folder, "%s", below);
    kind = what;
    at = when;
    count = 0;
}

long fault_count(void)
{
    return count;
}

static int below(const char *path)
{
    char whole[PATH_MAX];
    if (folder[0] == '\0' || path == NULL)
        return 0;
    if (path[0] != '/' && getcwd(whole, sizeof whole) != NULL)
        return strncmp(whole, folder, strlen(folder)) == 0;
    return strncmp(path, folder, strlen(folder)) == 0;
}

static int below_number(int number)
{
    char link[64], path[PATH_MAX];
    if (folder[0] == '\0')
        return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", number);
    const ssize_t n = readlink(link, path, sizeof path - 1);
    if (n < 0)
        return 0;
    path[n] = '\0';
    return below(path);
}

/* A call that changes something: whether it fails. takes_room: it needs some of the disk. */
static int fails(int takes_room)
{
    const long now = __atomic_add_fetch(&count, 1, __ATOMIC_SEQ_CST);
    if (now < at || kind == 0 || at == 0)
        return 0;
    if (kind == 3 && now == at)
        kill(getpid(), SIGKILL);
    if (kind == 2 || (kind == 1 && takes_room)) {
        errno = kind == 2 ? EROFS : ENOSPC;
        return 1;
    }
    return 0;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
#define CHANGES (O_CREAT | O_TRUNC | O_WRONLY | O_RDWR)

static mode_t mode_of(int flags, va_list more)
{
    return flags & (O_CREAT | O_TMPFILE) ? va_arg(more, mode_t) : 0;
}

#define OPEN(name)                                            \
    int name(const char *path, int flags, ...)                \
    {                                                         \
        va_list more;                                         \
        va_start(more, flags);                                \
        const mode_t mode = mode_of(flags, more);             \
        va_end(more);                                         \
        if (flags & CHANGES && below(path) && fails(1))       \
            return -1;                                        \
        return REAL(name)(path, flags, mode);                 \
    }
#define OPENAT(name)                                          \
    int name(int dir, const char *path, int flags, ...)       \
    {                                                         \
        va_list more;                                         \
        va_start(more, flags);                                \
        const mode_t mode = mode_of(flags, more);             \
        va_end(more);                                         \
        if (flags & CHANGES && below(path) && fails(1))       \
            return -1;                                        \
        return REAL(name)(dir, path, flags, mode);            \
    }
#define CALL(type, name, takes, gives, where, room)           \
    type name takes                                           \
    {                                                         \
        if (where && fails(room))                             \
            return -1;                                        \
        return REAL(name) gives;                              \
    }

OPEN(open)
OPEN(open64)
OPENAT(openat)
OPENAT(openat64)
CALL(ssize_t, write, (int n, const void *b, size_t s), (n, b, s), below_number(n), 1)
CALL(ssize_t, pwrite64, (int n, const void *b, size_t s, off64_t o), (n, b, s, o), below_number(n), 1)
CALL(ssize_t, writev, (int n, const struct iovec *v, int c), (n, v, c), below_number(n), 1)
CALL(int, fsync, (int n), (n), below_number(n), 1)
CALL(int, ftruncate64, (int n, off64_t s), (n, s), below_number(n), 1)
CALL(int, mkdir, (const char *p, mode_t m), (p, m), below(p), 1)
CALL(int, rename, (const char *a, const char *b), (a, b), below(a), 0)
CALL(int, renameat2, (int x, const char *a, int y, const char *b, unsigned f), (x, a, y, b, f), below(a), 0)
CALL(int, unlink, (const char *p), (p), below(p), 0)
CALL(int, unlinkat, (int d, const char *p, int f), (d, p, f), below_number(d), 0)
CALL(int, rmdir, (const char *p), (p), below(p), 0)
