/* Preloaded into a process: one operation on files below a folder fails, or is the last one.
 *
 * Nothing happens before inject_arm; processes that are forked afterwards share its state. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { NOTHING = 0, SHORT = -1, KILL = -2 }; /* what happens; a positive number is an errno */

static struct {
    char root[PATH_MAX], operation[16], pattern[PATH_MAX];
    int at, what, log;
    int seen; /* matching operations so far, of all processes */
} *state;

/* Fail, from now on, the operation `at` (from 1) of those of a kind whose path below `root` matches
 * the pattern; 0: none. Operations are written to the descriptor `log` unless it is -1. */
int inject_arm(const char *root, const char *operation, const char *pattern, int at, int what, int log) {
    state = mmap(NULL, sizeof *state, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (state == MAP_FAILED) return -1;
    snprintf(state->root, sizeof state->root, "%s", root);
    snprintf(state->operation, sizeof state->operation, "%s", operation);
    snprintf(state->pattern, sizeof state->pattern, "%s", pattern);
    state->at = at;
    state->what = what;
    state->log = log;
    return 0;
}

int inject_done(void) { return state && state->at && state->seen >= state->at; }

static int decide(const char *operation, const char *path) {
    char place[2 * PATH_MAX];
    if (path[0] != '/') {
        char here[PATH_MAX];
        if (syscall(SYS_getcwd, here, sizeof here) < 0) return NOTHING;
        snprintf(place, sizeof place, "%s/%s", here, path);
        path = place;
    }
    size_t length = strlen(state->root);
    if (strncmp(path, state->root, length) || path[length] != '/') return NOTHING;
    path += length + 1;
    if (state->log >= 0) {
        char line[2 * PATH_MAX];
        int size = snprintf(line, sizeof line, "%s\t%s\n", operation, path);
        syscall(SYS_write, state->log, line, (size_t)size);
    }
    if (!state->at || strcmp(operation, state->operation)) return NOTHING;
    if (fnmatch(state->pattern, path, FNM_PATHNAME)) return NOTHING;
    return __sync_add_and_fetch(&state->seen, 1) == state->at ? state->what : NOTHING;
}

static int decide_open(const char *operation, int descriptor) {
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t size = syscall(SYS_readlink, link, path, sizeof path - 1);
    if (size <= 0) return NOTHING;
    path[size] = 0;
    char *gone = strstr(path, " (deleted)");
    if (gone) *gone = 0;
    return decide(operation, path);
}

static void end_all(void) { syscall(SYS_kill, 0, SIGKILL); }

#define NEXT(result, name, ...) \
    static result (*next)(__VA_ARGS__); \
    if (!next) next = (result (*)(__VA_ARGS__))dlsym(RTLD_NEXT, name)

/* The call itself, or its error; `what` is decided already. */
#define ANSWER(call) \
    do { \
        if (what > 0) { errno = what; return -1; } \
        int answer = (int)(call); \
        if (what == KILL) end_all(); \
        return answer; \
    } while (0)

#define ON_PATH(name, operation, path, parameters, arguments) \
    int name parameters { \
        static int (*next) parameters; \
        if (!next) next = (int (*) parameters)dlsym(RTLD_NEXT, #name); \
        int what = state ? decide(operation, path) : NOTHING; \
        ANSWER(next arguments); \
    }

#define ON_DESCRIPTOR(name, operation, parameters, arguments) \
    int name parameters { \
        static int (*next) parameters; \
        if (!next) next = (int (*) parameters)dlsym(RTLD_NEXT, #name); \
        int what = state ? decide_open(operation, fd) : NOTHING; \
        ANSWER(next arguments); \
    }

ON_PATH(rename, "rename", to, (const char *from, const char *to), (from, to))
ON_PATH(renameat, "rename", to, (int a, const char *from, int b, const char *to), (a, from, b, to))
ON_PATH(link, "link", to, (const char *from, const char *to), (from, to))
ON_PATH(linkat, "link", to, (int a, const char *from, int b, const char *to, int flags),
        (a, from, b, to, flags))
ON_PATH(symlink, "link", to, (const char *from, const char *to), (from, to))
ON_PATH(unlink, "unlink", path, (const char *path), (path))

int mkdir(const char *path, mode_t mode) { /* one that is there already needs no room */
    NEXT(int, "mkdir", const char *, mode_t);
    int what = state && access(path, F_OK) ? decide("mkdir", path) : NOTHING;
    ANSWER(next(path, mode));
}

ON_DESCRIPTOR(fsync, "fsync", (int fd), (fd))
ON_DESCRIPTOR(fdatasync, "fsync", (int fd), (fd))
ON_DESCRIPTOR(ftruncate, "truncate", (int fd, off_t size), (fd, size))
ON_DESCRIPTOR(ftruncate64, "truncate", (int fd, off64_t size), (fd, size))

int close(int fd) { /* of files that are written; it is closed in any case, as Linux does */
    NEXT(int, "close", int);
    int written = state && (fcntl(fd, F_GETFL) & O_ACCMODE) != O_RDONLY;
    int what = written ? decide_open("close", fd) : NOTHING;
    int answer = next(fd);
    if (what == KILL) end_all();
    if (what > 0) { errno = what; return -1; }
    return answer;
}

#define OPENS(name, first, parameters, ...) \
    int name parameters { \
        static int (*next)(first const char *, int, ...); \
        if (!next) next = (int (*)(first const char *, int, ...))dlsym(RTLD_NEXT, #name); \
        va_list rest; \
        va_start(rest, flags); \
        mode_t mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(rest, mode_t) : 0; \
        va_end(rest); \
        int what = state && flags & O_CREAT ? decide("open", path) : NOTHING; \
        ANSWER(next(__VA_ARGS__)); \
    }
#define COMMA int,
OPENS(open, , (const char *path, int flags, ...), path, flags, mode)
OPENS(open64, , (const char *path, int flags, ...), path, flags, mode)
OPENS(openat, COMMA, (int at, const char *path, int flags, ...), at, path, flags, mode)
OPENS(openat64, COMMA, (int at, const char *path, int flags, ...), at, path, flags, mode)

#define WRITES(name, parameters, arguments) \
    ssize_t name parameters { \
        static ssize_t (*next) parameters; \
        if (!next) next = (ssize_t (*) parameters)dlsym(RTLD_NEXT, #name); \
        int what = state ? decide_open("write", fd) : NOTHING; \
        if (what > 0) { errno = what; return -1; } \
        if (what == SHORT && size > 1) size /= 2; \
        ssize_t answer = next arguments; \
        if (what == KILL) end_all(); \
        return answer; \
    }
WRITES(write, (int fd, const void *data, size_t size), (fd, data, size))
WRITES(pwrite, (int fd, const void *data, size_t size, off_t at), (fd, data, size, at))
WRITES(pwrite64, (int fd, const void *data, size_t size, off64_t at), (fd, data, size, at))

size_t fwrite(const void *data, size_t each, size_t count, FILE *file) {
    NEXT(size_t, "fwrite", const void *, size_t, size_t, FILE *);
    int what = state ? decide_open("write", fileno(file)) : NOTHING;
    if (what > 0) { errno = what; return 0; }
    if (what == SHORT && count > 1) count /= 2;
    size_t answer = next(data, each, count, file);
    if (what == KILL) { fflush(file); end_all(); }
    return answer;
}
