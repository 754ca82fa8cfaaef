/* Commands that show the state of the process: what execve(2) and the runtime left it with. They
 * use a system call where there is one, so that they work without /proc. They change nothing. */
#include "sys.h"
#include <asm/ioctls.h>
#include <asm/signal.h>
#include <asm/termios.h>
#include <linux/capability.h>
#include <linux/keyctl.h>
#include <linux/prctl.h>
#include <linux/resource.h>
#include <linux/time.h>
#include <linux/utsname.h>

void see_ids(char **words, int count)
{
    (void)words, (void)count;
    unsigned u[3] = { 0 }, g[3] = { 0 };
    static unsigned groups[65536];
    SYS(getresuid, &u[0], &u[1], &u[2]);
    SYS(getresgid, &g[0], &g[1], &g[2]);
    print("uid: %lu %lu %lu\n", (word)u[0], (word)u[1], (word)u[2]);
    print("gid: %lu %lu %lu\n", (word)g[0], (word)g[1], (word)g[2]);
    long n = SYS(getgroups, LEN(groups), groups);
    print("groups:");
    for (long i = 0; i < n; i++) print(" %lu", (word)groups[i]);
    print("\n");
}

void see_pid(char **words, int count)
{
    (void)words, (void)count;
    print("pid: %ld\nppid: %ld\n", SYS(getpid), SYS(getppid));
    print("sid: %ld\npgid: %ld\n", SYS(getsid, 0), SYS(getpgid, 0));
}

void see_caps(char **words, int count)
{
    (void)words, (void)count;
    struct __user_cap_header_struct head = { _LINUX_CAPABILITY_VERSION_3, 0 };
    struct __user_cap_data_struct data[2] = { { 0, 0, 0 } };
    SYS(capget, &head, data);
    word bounding = 0, ambient = 0;
    for (int cap = 0; cap < 64; cap++) {
        if (SYS(prctl, PR_CAPBSET_READ, cap) == 1) bounding |= 1ul << cap;
        if (SYS(prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, cap) == 1) ambient |= 1ul << cap;
    }
#define WIDE(set) ((word)data[1].set << 32 | data[0].set)
    print("cap.effective: %lX\n", WIDE(effective));
    print("cap.permitted: %lX\n", WIDE(permitted));
    print("cap.inheritable: %lX\n", WIDE(inheritable));
    print("cap.bounding: %lX\ncap.ambient: %lX\n", bounding, ambient);
    print("securebits: %lx\n", SYS(prctl, PR_GET_SECUREBITS));
}

void see_no_new_privs(char **words, int count)
{
    (void)words, (void)count;
    print("no_new_privs: %ld\n", SYS(prctl, PR_GET_NO_NEW_PRIVS));
}

void see_seccomp(char **words, int count)
{
    (void)words, (void)count;
    long mode = SYS(prctl, PR_GET_SECCOMP);
    if (mode < 0) print("seccomp: %s\n", errno_name(mode));
    else print("seccomp: %ld\n", mode);
}

static void show_link(const char *key, const char *path)
{
    char target[4096];
    long n = SYS(readlinkat, AT_FDCWD_, path, target, sizeof target - 1);
    target[n < 0 ? 0 : n] = 0;
    print("%s: %s\n", key, n < 0 ? errno_name(n) : target);
}

void see_namespaces(char **words, int count)
{
    (void)words, (void)count;
    show_link("ns.cgroup", "/proc/self/ns/cgroup");
    show_link("ns.ipc", "/proc/self/ns/ipc");
    show_link("ns.mnt", "/proc/self/ns/mnt");
    show_link("ns.net", "/proc/self/ns/net");
    show_link("ns.pid", "/proc/self/ns/pid");
    show_link("ns.time", "/proc/self/ns/time");
    show_link("ns.user", "/proc/self/ns/user");
    show_link("ns.uts", "/proc/self/ns/uts");
    lines_of("uid_map", "/proc/self/uid_map");
    lines_of("gid_map", "/proc/self/gid_map");
    lines_of("setgroups", "/proc/self/setgroups");
}

void see_mounts(char **words, int count)
{
    (void)words, (void)count;
    lines_of("mount", "/proc/self/mountinfo");
}

void see_cgroup(char **words, int count)
{
    (void)words, (void)count;
    lines_of("cgroup", "/proc/self/cgroup");
}

void see_cwd(char **words, int count)
{
    (void)words, (void)count;
    char path[4096];
    long n = SYS(getcwd, path, sizeof path);
    print("cwd: %s\n", n < 0 ? errno_name(n) : path);
}

void see_env(char **words, int count)
{
    (void)words, (void)count;
    for (char **entry = probe_env; *entry; entry++) print("env: %s\n", *entry);
}

void see_args(char **words, int count)
{
    (void)words, (void)count;
    for (char **entry = probe_argv; *entry; entry++) print("arg: %s\n", *entry);
}

/* Print each open descriptor below 65536: "fd: NUMBER [cloexec] TARGET". */
void see_fds(char **words, int count)
{
    (void)words, (void)count;
    for (long fd = 0; fd < 65536; fd++) {
        long flags = SYS(fcntl, fd, F_GETFD);
        if (flags < 0) continue;
        char path[40] = "/proc/self/fd/", target[4096], digits[8];
        int n = 0, at = 14;
        long rest = fd;
        do digits[n++] = (char)('0' + rest % 10);
        while (rest /= 10);
        while (n) path[at++] = digits[--n];
        path[at] = 0;
        long got = SYS(readlinkat, AT_FDCWD_, path, target, sizeof target - 1);
        target[got < 0 ? 0 : got] = 0;
        print("fd: %ld %s%s\n", fd, flags & FD_CLOEXEC ? "cloexec " : "",
              got < 0 ? errno_name(got) : target);
    }
}

void see_umask(char **words, int count)
{
    (void)words, (void)count;
    long mask = SYS(umask, 0);
    SYS(umask, mask);
    print("umask: 0%lo\n", (word)mask);
}

/* Bit n-1 stands for signal n, as in /proc/PID/status. */
void see_signals(char **words, int count)
{
    (void)words, (void)count;
    word blocked = 0, ignored = 0, caught = 0;
    SYS(rt_sigprocmask, 0, 0, &blocked, 8);
    for (int signal = 1; signal <= 64; signal++) {
        word action[4] = { 0 };
        if (SYS(rt_sigaction, signal, 0, action, 8) < 0) continue;
        if (action[0] == 1) ignored |= 1ul << (signal - 1);
        else if (action[0]) caught |= 1ul << (signal - 1);
    }
    print("signal.blocked: %lX\nsignal.ignored: %lX\n", blocked, ignored);
    print("signal.caught: %lX\n", caught);
    long parent_death = 0;
    SYS(prctl, PR_GET_PDEATHSIG, &parent_death);
    print("signal.parent_death: %ld\n", parent_death & 0xffffffff);
}

void see_limits(char **words, int count)
{
    (void)words, (void)count;
    static const char *const names[] = {
        "CPU", "FSIZE", "DATA", "STACK", "CORE", "RSS", "NPROC", "NOFILE",
        "MEMLOCK", "AS", "LOCKS", "SIGPENDING", "MSGQUEUE", "NICE", "RTPRIO", "RTTIME",
    };
    for (word i = 0; i < LEN(names); i++) {
        word limit[2] = { 0, 0 };
        SYS(prlimit64, 0, i, 0, limit);
        print("limit.RLIMIT_%s: ", names[i]);
        for (int k = 0; k < 2; k++)
            if (limit[k] == ~0ul) print("unlimited%s", k ? "\n" : " ");
            else print("%lu%s", limit[k], k ? "\n" : " ");
    }
}

void see_hostname(char **words, int count)
{
    (void)words, (void)count;
    struct new_utsname uts;
    SYS(uname, &uts);
    print("hostname: %s\ndomainname: %s\n", uts.nodename, uts.domainname);
    print("machine: %s\nrelease: %s\n", uts.machine, uts.release);
}

void see_keyring(char **words, int count)
{
    (void)words, (void)count;
    long id = SYS(keyctl, KEYCTL_GET_KEYRING_ID, KEY_SPEC_SESSION_KEYRING, 0);
    if (id < 0) {
        print("keyring: %s\n", errno_name(id));
        return;
    }
    char text[512] = { 0 };
    SYS(keyctl, KEYCTL_DESCRIBE, id, text, sizeof text - 1);
    print("keyring: %lx\nkeyring.description: %s\n", id, text);
    char label[512] = { 0 };
    if (SYS(keyctl, KEYCTL_GET_SECURITY, id, label, sizeof label - 1) > 1)
        print("keyring.label: %s\n", label);
}

void see_personality(char **words, int count)
{
    (void)words, (void)count;
    print("personality: %lx\n", SYS(personality, 0xffffffff));
}

void see_scheduler(char **words, int count)
{
    (void)words, (void)count;
    struct {
        __u32 size, policy;
        __u64 flags;
        __s32 nice;
        __u32 priority;
        __u64 runtime, deadline, period;
        __u32 util_min, util_max;
    } a = { 0 };
    long result = SYS(sched_getattr, 0, &a, sizeof a, 0);
    if (result < 0) {
        print("scheduler: %s\n", errno_name(result));
        return;
    }
    print("scheduler.policy: %lu\nscheduler.nice: %ld\n", (word)a.policy, (long)a.nice);
    print("scheduler.priority: %lu\nscheduler.flags: %lx\n", (word)a.priority, (word)a.flags);
    print("scheduler.runtime: %lu\n", (word)a.runtime);
    print("scheduler.deadline: %lu\n", (word)a.deadline);
    print("scheduler.period: %lu\n", (word)a.period);
}

void see_ioprio(char **words, int count)
{
    (void)words, (void)count;
    long value = SYS(ioprio_get, 1, 0);
    if (value < 0) print("ioprio: %s\n", errno_name(value));
    else print("ioprio.class: %ld\nioprio.level: %ld\n", value >> 13, value & 7);
}

/* Print the numbers of the CPUs that the process may run on. */
void see_affinity(char **words, int count)
{
    (void)words, (void)count;
    word mask[128] = { 0 };
    long bytes = SYS(sched_getaffinity, 0, sizeof mask, mask);
    print("affinity:");
    for (long cpu = 0; cpu < bytes * 8; cpu++)
        if (mask[cpu / 64] >> (cpu % 64) & 1) print(" %ld", cpu);
    print("\n");
}

void see_oom(char **words, int count)
{
    (void)words, (void)count;
    lines_of("oom_score_adj", "/proc/self/oom_score_adj");
}

void see_mempolicy(char **words, int count)
{
    (void)words, (void)count;
    int mode = 0;
    word nodes[16] = { 0 };
    long result = SYS(get_mempolicy, &mode, nodes, sizeof nodes * 8, 0, 0);
    if (result < 0) print("mempolicy: %s\n", errno_name(result));
    else print("mempolicy.mode: %lx\nmempolicy.nodes: %lx\n", (word)(unsigned)mode, nodes[0]);
}

void see_clocks(char **words, int count)
{
    (void)words, (void)count;
    print("clock.monotonic: %lu\n", now_us(CLOCK_MONOTONIC) / 1000000);
    print("clock.boottime: %lu\n", now_us(CLOCK_BOOTTIME) / 1000000);
}

void see_tty(char **words, int count)
{
    (void)words, (void)count;
    for (long fd = 0; fd < 3; fd++) {
        struct winsize size = { 0 };
        long result = SYS(ioctl, fd, TIOCGWINSZ, &size);
        if (result < 0) print("tty.%ld: %s\n", fd, errno_name(result));
        else print("tty.%ld: %lu %lu\n", fd, (word)size.ws_row, (word)size.ws_col);
    }
    int foreground = 0;
    long result = SYS(ioctl, 0, TIOCGPGRP, &foreground);
    if (result < 0) print("tty.foreground: %s\n", errno_name(result));
    else print("tty.foreground: %ld\n", (long)foreground);
    result = SYS(openat, AT_FDCWD_, "/dev/tty", O_RDWR | O_CLOEXEC);
    print("tty.controlling: %s\n", errno_name(result));
}

/* Print "process: PID COMM" for each process in /proc. */
void see_processes(char **words, int count)
{
    (void)words, (void)count;
    long fd = SYS(openat, AT_FDCWD_, "/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    static char entries[32768];
    long got = fd;
    while (fd >= 0 && (got = SYS(getdents64, fd, entries, sizeof entries)) > 0) {
        for (long at = 0; at < got; at += *(unsigned short *)(entries + at + 16)) {
            const char *name = entries + at + 19;
            if (*name < '1' || *name > '9') continue;
            char path[64] = "/proc/", comm[64] = "";
            int n = 6;
            for (const char *p = name; *p && n < 40; p++) path[n++] = *p;
            for (const char *p = "/comm"; *p; p++) path[n++] = *p;
            path[n] = 0;
            slurp(path, comm, sizeof comm);
            print("process: %s %s", name, *comm ? comm : "?\n");
        }
    }
    if (got < 0) print("process: %s\n", errno_name(got));
}

void see_dumpable(char **words, int count)
{
    (void)words, (void)count;
    print("dumpable: %ld\n", SYS(prctl, PR_GET_DUMPABLE));
}

void see_thp(char **words, int count)
{
    (void)words, (void)count;
    print("thp_disable: %ld\n", SYS(prctl, PR_GET_THP_DISABLE));
}
