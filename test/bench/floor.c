/* The floor: the time that the kernel alone needs for a container of `runc spec`'s default
 * config.json.
 *
 *     floor ROOTFS PROGRAM [ARGUMENT...]
 *     floor --whole STATE ROOTFS PROGRAM [ARGUMENT...]
 *
 * The same namespaces, mounts, nodes, masks and read-only paths, and the execve, by the fewest
 * system calls that we know. It reads no configuration and checks little: no runtime can be faster,
 * and it has no other use.
 *
 * With --whole it also does what every runtime must do: it makes a cgroup in each hierarchy, sets
 * the device rules of cgroup v1, moves the program into the cgroups, writes the file STATE, and
 * removes all of this at the end. The cgroups are named after STATE. cgroup v2's device program is
 * left out. */
#include "../probe/sys.h"
#include <linux/mount.h>
#include <linux/sched.h>
#include <linux/signal.h>

#define DETACH 2

static char **environment, **program;
static const char *rootfs, *state;

/* What --whole makes: a directory in each hierarchy, and the file by which the child joins it. */
static struct { char path[256]; long join; } made[16];
static word hierarchies;
static long v2 = -1;

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

/* Mount the hierarchies of cgroup v1 as the host does; or cgroup v2. */
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

static char *append(char *to, const char *text)
{
    while ((*to = *text++)) to++;
    return to;
}

static long open_below(const char *directory, const char *name, word flags)
{
    char path[320];
    append(append(append(path, directory), "/"), name);
    return SYS(openat, AT_FDCWD_, path, flags | O_CLOEXEC);
}

static void set(const char *directory, const char *name, const char *value)
{
    long file = open_below(directory, name, O_WRONLY);
    must(name, file);
    must(name, SYS(write, file, value, length(value)));
    SYS(close, file);
}

/* A new cpuset has no CPUs and no memory nodes until it is given those of its parent. */
static void inherit(const char *parent, const char *directory, const char *name)
{
    char value[256], path[320];
    append(append(append(path, parent), "/"), name);
    must(path, slurp(path, value, sizeof value));
    set(directory, name, value);
}

static void devices(const char *directory)
{
    static const char *const allowed[] = {
        "c *:* m", "b *:* m", "c 1:3 rwm", "c 1:8 rwm", "c 1:7 rwm",
        "c 5:0 rwm", "c 1:5 rwm", "c 1:9 rwm", "c 136:* rwm", "c 5:2 rwm",
    };
    set(directory, "devices.deny", "a");
    for (word i = 0; i < LEN(allowed); i++) set(directory, "devices.allow", allowed[i]);
}

/* Make a cgroup below that of this process, in the hierarchy that is mounted at `mount`. */
static void make_cgroup(const char *mount, const char *controller, const char *own)
{
    const char *name = state;
    for (const char *c = state; *c; c++) if (*c == '/') name = c + 1;
    char parent[256];
    append(append(parent, mount), own[1] ? own : "");
    char *path = made[hierarchies].path;
    append(append(append(path, parent), "/"), name);
    must(path, SYS(mkdirat, AT_FDCWD_, path, 0755));
    if (same(controller, "cpuset")) {
        inherit(parent, path, "cpuset.cpus");
        inherit(parent, path, "cpuset.mems");
    }
    if (same(controller, "devices")) devices(path);
    made[hierarchies].join = *controller ? open_below(path, "tasks", O_WRONLY) : -1;
    if (!*controller) must(path, v2 = open_below(path, ".", O_PATH | O_DIRECTORY));
    hierarchies++;
}

/* Parse lines such as "4:memory:/own": each hierarchy is mounted at the path with its name. */
static void make_cgroups(void)
{
    static char text[4096];
    must("/proc/self/cgroup", slurp("/proc/self/cgroup", text, sizeof text));
    int pure = starts(text, "0::");
    for (char *line = text; *line;) {
        char *name = line, *own, mount[256];
        while (*name != ':') name++;
        for (own = ++name; *own != ':'; own++) {}
        *own++ = 0;
        for (line = own; *line && *line != '\n'; line++) {}
        if (*line) *line++ = 0;
        const char *last = starts(name, "name=") ? name + 5 : name;
        if (*last || pure) {
            append(append(append(mount, "/sys/fs/cgroup"), *last ? "/" : ""), last);
            make_cgroup(mount, last, own);
        }
    }
}

static void write_state(void)
{
    static const char text[] = "{\"id\":\"floor\",\"status\":\"running\"}\n";
    long file = SYS(openat, AT_FDCWD_, state, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    must(state, file);
    must(state, SYS(write, file, text, sizeof text - 1));
    SYS(close, file);
}

static void remove_all(void)
{
    must(state, SYS(unlinkat, AT_FDCWD_, state, 0));
    for (word i = 0; i < hierarchies; i++)
        must(made[i].path, SYS(unlinkat, AT_FDCWD_, made[i].path, AT_REMOVEDIR));
}

__attribute__((used)) _Noreturn static void child(void)
{
    for (word i = 0; i < hierarchies; i++)
        if (made[i].join >= 0) must(made[i].path, SYS(write, made[i].join, "0", 1));
    if (hierarchies) must("unshare", SYS(unshare, CLONE_NEWCGROUP));
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

/* clone3(2) like vfork: nothing is copied, and the child has a stack of its own. */
static long vfork_(word flags)
{
    static char stack[32768] __attribute__((aligned(16)));
    static struct clone_args args;
    args = (struct clone_args){
        .flags = flags | CLONE_VM | CLONE_VFORK | (v2 < 0 ? 0 : CLONE_INTO_CGROUP),
        .exit_signal = SIGCHLD, .stack = (word)stack, .stack_size = sizeof stack, .cgroup = v2,
    };
    long pid;
#if defined(__x86_64__)
    __asm__ volatile("syscall\n\ttest %%rax, %%rax\n\tjnz 1f\n\tcall child\n1:"
                     : "=a"(pid) : "a"(__NR_clone3), "D"(&args), "S"(sizeof args)
                     : "rcx", "r11", "memory");
#else
#error "the floor knows the system call registers of x86_64 only"
#endif
    return pid;
}

__attribute__((used)) _Noreturn static void enter(word *stack)
{
    char **argv = (char **)(stack + 1);
    environment = argv + stack[0] + 1;
    if (stack[0] >= 3 && same(argv[1], "--whole")) {
        state = argv[2];
        argv += 2;
        stack[0] -= 2;
    }
    if (stack[0] < 3) leave(2);
    rootfs = argv[1];
    program = argv + 2;
    word flags = CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWNS;
    if (state) make_cgroups();
    /* The root of a cgroup namespace is its maker's cgroup, so with cgroups the child makes the
     * namespace. */
    long pid = vfork_(state ? flags : flags | CLONE_NEWCGROUP);
    must("clone3", pid);
    if (state) write_state();
    int status = 0;
    must("wait4", SYS(wait4, pid, &status, 0));
    if (state) remove_all();
    leave(status & 0x7f ? 128 + (status & 0x7f) : status >> 8 & 0xff);
}

__asm__(".globl _start\n_start:\n\txor %ebp, %ebp\n\tmov %rsp, %rdi\n"
        "\tand $-16, %rsp\n\tcall enter\n");
