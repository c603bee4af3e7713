/* Makes one file operation of a process fail, or ends the process at it.

   Preloaded (LD_PRELOAD), it counts what is opened to be written, written, brought to the disk,
   renamed, deleted and made below a folder, by whatever library, and names them in a log. `fault_arm`
   says which one fails, and how. */

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

#define KILL -1
#define FILES 4096

static char folder[PATH_MAX];
static long at;
/* An error number, or KILL. */
static int fault;
/* Shared with whoever waits for the process. */
static volatile long *count;
/* A file of a line for each operation, or -1. */
static int operations = -1;
static unsigned char ours[FILES];

void fault_arm(const char *below, long number, int kind, long *counter, int log) {
    snprintf(folder, sizeof folder, "%s/", below);
    at = number;
    fault = kind;
    operations = log;
    count = counter;
}

#define NEXT(type, name, ...)                                                                      \
    static type (*next)(__VA_ARGS__);                                                              \
    if (!next) next = (type(*)(__VA_ARGS__))dlsym(RTLD_NEXT, name)

/* The path of an open file; 0 if it has none. */
static int path_of(int file, char *path) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, PATH_MAX - 1);
    path[length < 0 ? 0 : length] = 0;
    return length > 0;
}

/* The path below the folder of a path in a directory; NULL if it is not below it. */
static const char *below(int directory, const char *path) {
    static __thread char whole[2 * PATH_MAX];
    if (!count || !path) return NULL;
    if (path[0] == '/' || directory == AT_FDCWD) {
        snprintf(whole, sizeof whole, "%s/", path);
    } else {
        char place[PATH_MAX];
        if (!path_of(directory, place)) return NULL;
        snprintf(whole, sizeof whole, "%s/%s/", place, path);
    }
    return strncmp(whole, folder, strlen(folder)) ? NULL : whole + strlen(folder);
}

static const char *below_of(int file) {
    static __thread char path[PATH_MAX];
    return count && path_of(file, path) ? below(AT_FDCWD, path) : NULL;
}

static void end(void) {
    kill(getpid(), SIGKILL);
    for (;;) pause();
}

/* Whether this operation is the one that fails. */
static int is_it(const char *operation, const char *path) {
    if (operations >= 0) dprintf(operations, "%s %s\n", operation, path);
    return __sync_add_and_fetch(count, 1) == at;
}

static int fails(const char *operation, const char *path) {
    if (!is_it(operation, path)) return 0;
    if (fault == KILL) end();
    errno = fault;
    return 1;
}

/* The same of a write: a process that is killed has written half of it. */
static int write_fails(int file, const void *data, size_t length) {
    if (!is_it("write", below_of(file))) return 0;
    if (fault == KILL) {
        NEXT(ssize_t, "write", int, const void *, size_t);
        if (data && next(file, data, length / 2) < 0) perror("half a write");
        end();
    }
    errno = fault;
    return 1;
}

static int is_ours(int file) { return count && file >= 0 && file < FILES && ours[file]; }

static int opened(int file, int is_below) {
    if (file >= 0 && file < FILES) ours[file] = is_below;
    return file;
}

#define WRITES(flags) ((flags) & (O_WRONLY | O_RDWR | O_CREAT))

#define OPEN(name)                                                                                 \
    int name(const char *path, int flags, ...) {                                                   \
        NEXT(int, #name, const char *, int, ...);                                                  \
        va_list more;                                                                              \
        va_start(more, flags);                                                                     \
        mode_t mode = va_arg(more, mode_t);                                                        \
        va_end(more);                                                                              \
        const char *place = WRITES(flags) ? below(AT_FDCWD, path) : NULL;                          \
        if (place && fails("open", place)) return -1;                                              \
        return opened(next(path, flags, mode), !!place);                                           \
    }
OPEN(open)
OPEN(open64)

#define OPENAT(name)                                                                               \
    int name(int directory, const char *path, int flags, ...) {                                    \
        NEXT(int, #name, int, const char *, int, ...);                                             \
        va_list more;                                                                              \
        va_start(more, flags);                                                                     \
        mode_t mode = va_arg(more, mode_t);                                                        \
        va_end(more);                                                                              \
        const char *place = WRITES(flags) ? below(directory, path) : NULL;                         \
        if (place && fails("open", place)) return -1;                                              \
        return opened(next(directory, path, flags, mode), !!place);                                \
    }
OPENAT(openat)
OPENAT(openat64)

#define FOPEN(name)                                                                                \
    FILE *name(const char *path, const char *mode) {                                               \
        NEXT(FILE *, #name, const char *, const char *);                                           \
        const char *place = strpbrk(mode, "wa+") ? below(AT_FDCWD, path) : NULL;                   \
        if (place && fails("open", place)) return NULL;                                            \
        FILE *file = next(path, mode);                                                             \
        if (file) opened(fileno(file), !!place);                                                   \
        return file;                                                                               \
    }
FOPEN(fopen)
FOPEN(fopen64)

ssize_t write(int file, const void *data, size_t length) {
    NEXT(ssize_t, "write", int, const void *, size_t);
    if (is_ours(file) && write_fails(file, data, length)) return -1;
    return next(file, data, length);
}

#define PWRITE(name, offset_type)                                                                  \
    ssize_t name(int file, const void *data, size_t length, offset_type offset) {                  \
        NEXT(ssize_t, #name, int, const void *, size_t, offset_type);                              \
        if (is_ours(file) && write_fails(file, NULL, 0)) return -1;                                \
        return next(file, data, length, offset);                                                   \
    }
PWRITE(pwrite, off_t)
PWRITE(pwrite64, off64_t)

ssize_t writev(int file, const struct iovec *parts, int number) {
    NEXT(ssize_t, "writev", int, const struct iovec *, int);
    if (is_ours(file) && write_fails(file, NULL, 0)) return -1;
    return next(file, parts, number);
}

size_t fwrite(const void *data, size_t size, size_t number, FILE *file) {
    NEXT(size_t, "fwrite", const void *, size_t, size_t, FILE *);
    if (is_ours(fileno(file))) {
        if (*count + 1 == at && fault == KILL) next(data, size, number / 2, file);
        if (fails("write", below_of(fileno(file)))) return 0;
    }
    return next(data, size, number, file);
}

int fflush(FILE *file) {
    NEXT(int, "fflush", FILE *);
    if (file && is_ours(fileno(file)) && fails("flush", below_of(fileno(file)))) return EOF;
    return next(file);
}

#define SYNC(name)                                                                                 \
    int name(int file) {                                                                           \
        NEXT(int, #name, int);                                                                     \
        const char *place = below_of(file);                                                        \
        if (place && fails("sync", place)) return -1;                                              \
        return next(file);                                                                         \
    }
SYNC(fsync)
SYNC(fdatasync)

int ftruncate(int file, off_t length) {
    NEXT(int, "ftruncate", int, off_t);
    if (is_ours(file) && fails("truncate", below_of(file))) return -1;
    return next(file, length);
}

int ftruncate64(int file, off64_t length) {
    NEXT(int, "ftruncate64", int, off64_t);
    if (is_ours(file) && fails("truncate", below_of(file))) return -1;
    return next(file, length);
}

int rename(const char *old, const char *new) {
    NEXT(int, "rename", const char *, const char *);
    const char *place = below(AT_FDCWD, new);
    if (place && fails("rename", place)) return -1;
    return next(old, new);
}

int renameat(int old_directory, const char *old, int directory, const char *new) {
    NEXT(int, "renameat", int, const char *, int, const char *);
    const char *place = below(directory, new);
    if (place && fails("rename", place)) return -1;
    return next(old_directory, old, directory, new);
}

int unlink(const char *path) {
    NEXT(int, "unlink", const char *);
    const char *place = below(AT_FDCWD, path);
    if (place && fails("unlink", place)) return -1;
    return next(path);
}

int unlinkat(int directory, const char *path, int flags) {
    NEXT(int, "unlinkat", int, const char *, int);
    const char *place = below(directory, path);
    if (place && fails("unlink", place)) return -1;
    return next(directory, path, flags);
}

int rmdir(const char *path) {
    NEXT(int, "rmdir", const char *);
    const char *place = below(AT_FDCWD, path);
    if (place && fails("rmdir", place)) return -1;
    return next(path);
}

int mkdir(const char *path, mode_t mode) {
    NEXT(int, "mkdir", const char *, mode_t);
    const char *place = below(AT_FDCWD, path);
    if (place && fails("mkdir", place)) return -1;
    return next(path, mode);
}

int mkdirat(int directory, const char *path, mode_t mode) {
    NEXT(int, "mkdirat", int, const char *, mode_t);
    const char *place = below(directory, path);
    if (place && fails("mkdir", place)) return -1;
    return next(directory, path, mode);
}
