/* The base of the probe: system calls without a C library, and output as lines of "key: value".
 *
 * Knows numbers and registers of the system call interface. Must not know any command.
 * No C library, so that the probe is one small static file that runs in an empty rootfs, under
 * memory.limit of 128 KiB, and shows the environment, limits and signals as execve(2) left them. */
#pragma once

#include <asm/unistd.h>
#include <linux/errno.h>
#include <linux/fcntl.h>
#include <linux/stat.h>
#include <linux/types.h>

typedef unsigned long word;
#define LEN(array) (sizeof(array) / sizeof((array)[0]))
#define AT_FDCWD_ ((long)AT_FDCWD)

#if defined(__x86_64__)
static inline long sys6(long n, long a, long b, long c, long d, long e, long f)
{
    long result;
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    register long r9 __asm__("r9") = f;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(n), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return result;
}
#elif defined(__aarch64__)
static inline long sys6(long n, long a, long b, long c, long d, long e, long f)
{
    register long x8 __asm__("x8") = n;
    register long x0 __asm__("x0") = a;
    register long x1 __asm__("x1") = b;
    register long x2 __asm__("x2") = c;
    register long x3 __asm__("x3") = d;
    register long x4 __asm__("x4") = e;
    register long x5 __asm__("x5") = f;
    __asm__ volatile("svc 0"
                     : "+r"(x0)
                     : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5)
                     : "memory");
    return x0;
}
#else
#error "the probe knows the system call registers of x86_64 and aarch64 only"
#endif

#define SYS_FILL(n, a, b, c, d, e, f, ...) \
    sys6((n), (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))
/* SYS(openat, dir, path, flags): missing arguments are 0; returns the result, or -errno. */
#define SYS(name, ...) SYS_FILL(__NR_##name, ##__VA_ARGS__, 0, 0, 0, 0, 0, 0, 0)

/* sys.c */
word length(const char *text);
int same(const char *a, const char *b);
int starts(const char *text, const char *prefix);
/* Parse a number as C writes it (0x, 0), with K, M or G (powers of 1024), or with a minus. */
long number(const char *text);
const char *errno_name(long result);
/* Write a formatted text by one write(2): %s string, %d signed, %u unsigned, %x hex, %X 16 hex
 * digits, %o octal; all numbers are 64 bits wide. */
void print(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Print "KEY: ok" or "KEY: ENAME", by the kernel's result. */
void verdict(const char *command, const char *what, long result);
/* Read the beginning of a file, and add a NUL; returns -errno on failure. */
long slurp(const char *path, char *buffer, word size);
/* Print one "KEY: line" for each line of the file. */
void lines_of(const char *key, const char *path);
word now_us(int clock);
long fork_(void);
_Noreturn void leave(int status);

extern char **probe_env;
extern char **probe_argv;

/* A command gets only its own words, like argv, ending in a null pointer. */
typedef void command_fn(char **words, int count);

/* see.c: the state of the process */
command_fn see_ids, see_pid, see_caps, see_no_new_privs, see_seccomp, see_namespaces, see_mounts,
    see_cgroup, see_cwd, see_env, see_args, see_fds, see_umask, see_signals, see_limits,
    see_hostname, see_keyring, see_personality, see_scheduler, see_ioprio, see_affinity, see_oom,
    see_mempolicy, see_clocks, see_tty, see_processes, see_dumpable, see_thp;
/* act.c: what the process may do */
command_fn act_cat, act_write, act_append, act_open, act_stat, act_list, act_readlink, act_mkdir,
    act_mknod, act_unlink, act_symlink, act_mount, act_umount, act_chdir, act_sethostname,
    act_setuid, act_syscall, act_tiocsti, act_queue, act_hog, act_burn, act_sleep, act_pause,
    act_await, act_ignore, act_echo, act_say, act_fork, act_kill, act_crash, act_exit, act_exec,
    act_notify, act_spin;
/* net.c: what the process reaches */
command_fn net_interfaces, net_ping, net_udp_echo, net_udp_send, net_send_frame;
/* trace.c: kill a program at one of its system calls */
command_fn trace_kill_at, trace_kill_after_getppid, trace_signal_at;
/* fault.c: inject a fault at one system call of a program or of its child */
command_fn fault;
/* set.c: change what the next program inherits */
command_fn set_groups, set_gid, set_limit, set_block, set_close, set_hold;
/* terminal.c: the master side of a terminal */
command_fn terminal_console, terminal_in;
/* attack.c: what an attacker reaches */
command_fn attack_exchange, attack_fds, attack_exe, attack_pid;
