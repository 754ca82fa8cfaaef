/* The floor: what the kernel alone takes for a container of `runc spec`'s default config.json.
 *
 *     floor ROOTFS PROGRAM [ARGUMENT...]
 *
 * The same namespaces, mounts, nodes, masks and read-only paths, and the exec, by the fewest system
 * calls known to us. It reads no configuration, makes no cgroup, keeps no state, checks little: no
 * runtime can be faster than this, and it is of no other use. */
#include "../probe/sys.h"
#include <linux/mount.h>
#include <linux/sched.h>
#include <linux/signal.h>

#define DETACH 2

static char **environment, **program;
static const char *rootfs;

static void must(const char *what, long result)
{
    if (result >= 0) return;
    print("floor: %s: %s\n", what, errno_name(result));
    leave(1);
}

static void mount(const char *from, const char *to, const char *type, word flags, const char *data)
{
    must(to, SYS(mount, from, to, type, flags, data));
}

static void node(const char *path, word minor, word major)
{
    must(path, SYS(mknodat, AT_FDCWD_, path, S_IFCHR | 0666, major << 8 | minor));
}

/* The hierarchies of cgroup v1, each mounted as the host has it; or cgroup v2. */
static void cgroups(void)
{
    word quiet = MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_RELATIME;
    static char text[4096], path[256] = "sys/fs/cgroup/";
    must("/proc/self/cgroup", slurp("/proc/self/cgroup", text, sizeof text));
    if (starts(text, "0::")) {
        mount("cgroup", "sys/fs/cgroup", "cgroup2", quiet | MS_RDONLY, 0);
        return;
    }
    mount("tmpfs", "sys/fs/cgroup", "tmpfs", quiet & ~(word)MS_RELATIME, "mode=755");
    for (char *line = text; *line;) {
        char *name = line, *end;
        while (*name != ':') name++;
        for (end = ++name; *end != ':'; end++) {}
        *end = 0;
        for (line = end + 1; *line && *line++ != '\n';) {}
        if (name == end) continue;
        const char *last = starts(name, "name=") ? name + 5 : name;
        char *to = path + 14;
        while ((*to++ = *last++)) {}
        must(path, SYS(mkdirat, AT_FDCWD_, path, 0755));
        mount("cgroup", path, "cgroup", quiet | MS_RDONLY, name);
    }
    mount(0, "sys/fs/cgroup", 0, quiet | MS_RDONLY | MS_REMOUNT | MS_BIND, 0);
}

static void mounts(void)
{
    word quiet = MS_NOSUID | MS_NODEV | MS_NOEXEC;
    mount(0, "/", 0, MS_SLAVE | MS_REC, 0);
    mount(rootfs, rootfs, 0, MS_BIND | MS_REC, 0);
    must(rootfs, SYS(chdir, rootfs));
    mount("proc", "proc", "proc", 0, 0);
    mount("tmpfs", "dev", "tmpfs", MS_NOSUID | MS_STRICTATIME, "mode=755,size=65536k");
    must("dev/pts", SYS(mkdirat, AT_FDCWD_, "dev/pts", 0755));
    mount("devpts", "dev/pts", "devpts", MS_NOSUID | MS_NOEXEC,
          "newinstance,ptmxmode=0666,mode=0620,gid=5");
    must("dev/shm", SYS(mkdirat, AT_FDCWD_, "dev/shm", 0755));
    mount("shm", "dev/shm", "tmpfs", quiet, "mode=1777,size=65536k");
    must("dev/mqueue", SYS(mkdirat, AT_FDCWD_, "dev/mqueue", 0755));
    mount("mqueue", "dev/mqueue", "mqueue", quiet, 0);
    mount("sysfs", "sys", "sysfs", quiet | MS_RDONLY, 0);
    cgroups();
}

static void nodes(void)
{
    static const char *const links[][2] = {
        { "/proc/self/fd", "dev/fd" },         { "/proc/self/fd/0", "dev/stdin" },
        { "/proc/self/fd/1", "dev/stdout" },   { "/proc/self/fd/2", "dev/stderr" },
        { "pts/ptmx", "dev/ptmx" },
    };
    SYS(umask, 0);
    node("dev/null", 3, 1);
    node("dev/zero", 5, 1);
    node("dev/full", 7, 1);
    node("dev/random", 8, 1);
    node("dev/urandom", 9, 1);
    node("dev/tty", 0, 5);
    for (word i = 0; i < LEN(links); i++)
        must(links[i][1], SYS(symlinkat, links[i][0], AT_FDCWD_, links[i][1]));
}

static void masks(void)
{
    static const char *const masked[] = {
        "/proc/acpi",       "/proc/asound",      "/proc/kcore",       "/proc/keys",
        "/proc/latency_stats", "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug",
        "/sys/firmware",    "/proc/scsi",
    };
    static const char *const readonly[] = {
        "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger",
    };
    for (word i = 0; i < LEN(readonly); i++) {
        if (SYS(mount, readonly[i], readonly[i], 0, MS_BIND | MS_REC) == -ENOENT) continue;
        word flags = MS_REMOUNT | MS_BIND | MS_RDONLY;
        mount(0, readonly[i], 0, flags, 0);
    }
    for (word i = 0; i < LEN(masked); i++) {
        long result = SYS(mount, "/dev/null", masked[i], 0, MS_BIND);
        if (result == -ENOTDIR) mount("tmpfs", masked[i], "tmpfs", MS_RDONLY, 0);
        else if (result != -ENOENT) must(masked[i], result);
    }
}

__attribute__((used)) _Noreturn static void child(void)
{
    mounts();
    nodes();
    must("pivot_root", SYS(pivot_root, ".", "."));
    must("umount2", SYS(umount2, ".", DETACH));
    must("sethostname", SYS(sethostname, "runc", 4));
    mount(0, "/", 0, MS_REMOUNT | MS_BIND | MS_RDONLY, 0);
    masks();
    must("chdir", SYS(chdir, "/"));
    SYS(umask, 022);
    must(program[0], SYS(execve, program[0], program, environment));
    leave(1);
}

/* clone(2) as vfork: nothing is copied, the child has a stack of its own. */
static long vfork_(word flags)
{
    static char stack[32768] __attribute__((aligned(16)));
    long pid;
    register long r10 __asm__("r10") = 0;
    register long r8 __asm__("r8") = 0;
    __asm__ volatile("syscall\n\ttest %%rax, %%rax\n\tjnz 1f\n\tcall child\n1:"
                     : "=a"(pid)
                     : "a"(__NR_clone), "D"(flags | CLONE_VM | CLONE_VFORK | SIGCHLD),
                       "S"(stack + sizeof stack), "d"(0), "r"(r10), "r"(r8)
                     : "rcx", "r11", "memory");
    return pid;
}

__attribute__((used)) _Noreturn static void enter(word *stack)
{
    char **argv = (char **)(stack + 1);
    if (stack[0] < 3) leave(2);
    rootfs = argv[1];
    program = argv + 2;
    environment = argv + stack[0] + 1;
    long pid = vfork_(CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWNS |
                      CLONE_NEWCGROUP);
    must("clone", pid);
    int status = 0;
    must("wait4", SYS(wait4, pid, &status, 0));
    leave(status & 0x7f ? 128 + (status & 0x7f) : status >> 8 & 0xff);
}

__asm__(".globl _start\n_start:\n\txor %ebp, %ebp\n\tmov %rsp, %rdi\n"
        "\tand $-16, %rsp\n\tcall enter\n");
