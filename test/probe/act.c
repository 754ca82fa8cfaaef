/* Commands that try something and print how the kernel answered, use resources, or end the process.
 * Each prints "COMMAND PATH: ok" or the errno's name. Must not decide whether that is right. */
#include "sys.h"
#include <asm/ioctls.h>
#include <asm/signal.h>
#include <linux/ipc.h>
#include <linux/mman.h>
#include <linux/time.h>

void act_cat(char **words, int count)
{
    (void)count;
    static char bytes[65536];
    long fd = SYS(openat, AT_FDCWD_, words[0], O_RDONLY | O_CLOEXEC), got = fd;
    while (fd >= 0 && (got = SYS(read, fd, bytes, sizeof bytes)) > 0) SYS(write, 1, bytes, got);
    if (got < 0) verdict("cat", words[0], got);
    if (fd >= 0) SYS(close, fd);
}

static void put_text(const char *command, char **words, long flags)
{
    long fd = SYS(openat, AT_FDCWD_, words[0], flags | O_CLOEXEC, 0644), result = fd;
    if (fd >= 0) {
        result = SYS(write, fd, words[1], length(words[1]));
        long closed = SYS(close, fd);
        if (result >= 0) result = closed;
    }
    verdict(command, words[0], result);
}

void act_write(char **words, int count)
{
    (void)count;
    put_text("write", words, O_WRONLY | O_CREAT | O_TRUNC);
}

void act_append(char **words, int count)
{
    (void)count;
    put_text("append", words, O_WRONLY | O_APPEND);
}

void act_open(char **words, int count)
{
    (void)count;
    long flags = same(words[1], "rw") ? O_RDWR : same(words[1], "w") ? O_WRONLY : O_RDONLY;
    long fd = SYS(openat, AT_FDCWD_, words[0], flags | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    verdict("open", words[0], fd);
    if (fd >= 0) SYS(close, fd);
}

void act_stat(char **words, int count)
{
    (void)count;
    struct statx s;
    long result = SYS(statx, AT_FDCWD_, words[0], AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS, &s);
    if (result < 0) {
        verdict("stat", words[0], result);
        return;
    }
    static const char *const kinds[16] = { "?", "fifo", "char", "?", "directory", "?", "block", "?",
                                           "file", "?", "link", "?", "socket", "?", "?", "?" };
    print("stat %s: %s mode=0%lo uid=%lu gid=%lu size=%lu rdev=%lu:%lu\n", words[0],
          kinds[s.stx_mode >> 12 & 15], (word)s.stx_mode & 07777, (word)s.stx_uid, (word)s.stx_gid,
          (word)s.stx_size, (word)s.stx_rdev_major, (word)s.stx_rdev_minor);
}

void act_list(char **words, int count)
{
    (void)count;
    static char entries[32768];
    long fd = SYS(openat, AT_FDCWD_, words[0], O_RDONLY | O_DIRECTORY | O_CLOEXEC), got = fd;
    while (fd >= 0 && (got = SYS(getdents64, fd, entries, sizeof entries)) > 0) {
        for (long at = 0; at < got; at += *(unsigned short *)(entries + at + 16)) {
            const char *name = entries + at + 19;
            if (!same(name, ".") && !same(name, "..")) print("entry: %s\n", name);
        }
    }
    if (fd >= 0) SYS(close, fd);
    verdict("list", words[0], got);
}

void act_readlink(char **words, int count)
{
    (void)count;
    char target[4096];
    long n = SYS(readlinkat, AT_FDCWD_, words[0], target, sizeof target - 1);
    target[n < 0 ? 0 : n] = 0;
    print("readlink %s: %s\n", words[0], n < 0 ? errno_name(n) : target);
}

void act_mkdir(char **words, int count)
{
    (void)count;
    verdict("mkdir", words[0], SYS(mkdirat, AT_FDCWD_, words[0], 0755));
}

void act_mknod(char **words, int count)
{
    (void)count;
    long kind = *words[1] == 'c' ? S_IFCHR : *words[1] == 'b' ? S_IFBLK : S_IFIFO;
    word major = (word)number(words[2]), minor = (word)number(words[3]);
    word device = (minor & 0xff) | major << 8 | (minor & ~0xfful) << 12;
    verdict("mknod", words[0], SYS(mknodat, AT_FDCWD_, words[0], kind | 0666, device));
}

void act_unlink(char **words, int count)
{
    (void)count;
    verdict("unlink", words[0], SYS(unlinkat, AT_FDCWD_, words[0], 0));
}

void act_symlink(char **words, int count)
{
    (void)count;
    verdict("symlink", words[1], SYS(symlinkat, words[0], AT_FDCWD_, words[1]));
}

void act_mount(char **words, int count)
{
    const char *data = count > 4 ? words[4] : 0;
    long result = SYS(mount, words[0], words[1], words[2], number(words[3]), data);
    verdict("mount", words[1], result);
}

void act_umount(char **words, int count)
{
    (void)count;
    verdict("umount", words[0], SYS(umount2, words[0], 0));
}

void act_chdir(char **words, int count)
{
    (void)count;
    verdict("chdir", words[0], SYS(chdir, words[0]));
}

void act_sethostname(char **words, int count)
{
    (void)count;
    verdict("sethostname", words[0], SYS(sethostname, words[0], length(words[0])));
}

void act_setuid(char **words, int count)
{
    (void)count;
    verdict("setuid", words[0], SYS(setuid, number(words[0])));
}

void act_syscall(char **words, int count)
{
    long args[6] = { 0 };
    for (int i = 1; i < count && i <= 6; i++)
        args[i - 1] = *words[i] == '@' ? (long)(words[i] + 1) : number(words[i]);
    long result = sys6(number(words[0]), args[0], args[1], args[2], args[3], args[4], args[5]);
    if (result < 0 && result > -4096) verdict("syscall", words[0], result);
    else print("syscall %s: %ld\n", words[0], result);
}

void act_tiocsti(char **words, int count)
{
    (void)words, (void)count;
    print("tiocsti: %s\n", errno_name(SYS(ioctl, 0, TIOCSTI, "x")));
}

/* The queue lives as long as its IPC namespace; "message_queue:" lines show all of the queue. */
void act_queue(char **words, int count)
{
    (void)count;
    long id = SYS(msgget, number(words[0]), IPC_CREAT | 0600);
    verdict("queue", words[0], id);
    lines_of("message_queue", "/proc/sysvipc/msg");
}

void act_hog(char **words, int count)
{
    (void)count;
    long bytes = number(words[0]);
    long at = SYS(mmap, 0, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at < 0 && at > -4096) {
        verdict("hog", words[0], at);
        return;
    }
    for (long i = 0; i < bytes; i += 4096) ((volatile char *)at)[i] = 1;
    verdict("hog", words[0], 0);
}

/* `burn.cpu_us` divided by `burn.wall_us` is the share of a CPU that this process got. */
void act_burn(char **words, int count)
{
    (void)count;
    word wall_us = (word)number(words[0]) * 1000, begin = now_us(CLOCK_MONOTONIC), rounds = 0;
    word cpu = now_us(CLOCK_PROCESS_CPUTIME_ID), now;
    do {
        for (volatile int i = 0; i < 20000; i++) {}
        rounds++;
        now = now_us(CLOCK_MONOTONIC);
    } while (!wall_us || now - begin < wall_us);
    print("burn.rounds: %lu\nburn.wall_us: %lu\n", rounds, now - begin);
    print("burn.cpu_us: %lu\n", now_us(CLOCK_PROCESS_CPUTIME_ID) - cpu);
}

void act_sleep(char **words, int count)
{
    (void)count;
    long ms = number(words[0]), time[2] = { ms / 1000, ms % 1000 * 1000000 };
    while (SYS(nanosleep, time, time) == -EINTR) {}
}

void act_pause(char **words, int count)
{
    (void)words, (void)count;
    print("ready: pause\n");
    for (;;) SYS(ppoll, 0, 0, 0, 0, 8);
}

void act_await(char **words, int count)
{
    word all = ~0ul, got[16] = { 0 };
    long last = count ? number(words[0]) : 0;
    SYS(rt_sigprocmask, 0, &all, 0, 8);
    print("ready: await\n");
    for (;;) {
        long signal = SYS(rt_sigtimedwait, &all, got, 0, 8);
        if (signal == -EINTR) continue;
        print("signal: %ld\n", signal);
        if (signal < 0 || !last || signal == last) break;
    }
    word none = 0;
    SYS(rt_sigprocmask, 2, &none, 0, 8);
}

void act_ignore(char **words, int count)
{
    (void)count;
    word action[4] = { 1, 0, 0, 0 };
    verdict("ignore", words[0], SYS(rt_sigaction, number(words[0]), action, 0, 8));
}

void act_echo(char **words, int count)
{
    (void)words, (void)count;
    static char bytes[65536];
    for (long got; (got = SYS(read, 0, bytes, sizeof bytes)) > 0;)
        for (long at = 0, done; at < got; at += done)
            if ((done = SYS(write, 1, bytes + at, got - at)) <= 0) return;
}

void act_say(char **words, int count)
{
    for (int i = 0; i < count; i++) print("%s%s", words[i], i + 1 < count ? " " : "\n");
}

void act_fork(char **words, int count)
{
    (void)count;
    long wanted = number(words[0]), made = 0, pid = 0;
    while (made < wanted && (pid = fork_()) > 0) made++;
    if (made < wanted && pid == 0)
        for (;;) SYS(ppoll, 0, 0, 0, 0, 8);
    print("forked: %ld\n", made);
    if (pid < 0) print("fork: %s\n", errno_name(pid));
}

void act_kill(char **words, int count)
{
    (void)count;
    verdict("kill", words[0], SYS(kill, number(words[0]), number(words[1])));
}

void act_crash(char **words, int count)
{
    (void)words, (void)count;
    // That of aarch64 is a breakpoint, whose signal is SIGTRAP: this is its undefined instruction.
#if defined(__aarch64__)
    __asm__ volatile("udf #0");
#else
    __builtin_trap();
#endif
}

void act_spin(char **words, int count)
{
    (void)words, (void)count;
    for (;;) __asm__ volatile("");
}

void act_exit(char **words, int count)
{
    (void)count;
    leave((int)number(words[0]));
}

void act_exec(char **words, int count)
{
    (void)count;
    verdict("exec", words[0], SYS(execve, words[0], words, probe_env));
}

void act_notify(char **words, int count)
{
    (void)count;
    const char *path = 0;
    for (char **entry = probe_env; *entry; entry++)
        if (starts(*entry, "NOTIFY_SOCKET=")) path = *entry + 14;
    if (!path || length(path) >= 108) {
        print("notify: no NOTIFY_SOCKET\n");
        return;
    }
    struct { unsigned short family; char path[108]; } to = { 1, { 0 } };
    for (int i = 0; path[i]; i++) to.path[i] = path[i];
    if (to.path[0] == '@') to.path[0] = 0;
    long fd = SYS(socket, 1, 2 | O_CLOEXEC, 0), result = fd;
    if (fd >= 0)
        result = SYS(sendto, fd, words[0], length(words[0]), 0, &to, 2 + length(path));
    print("notify: %s\n", errno_name(result));
}
