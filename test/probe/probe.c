/* The probe prints what a container's program sees and may do, as lines of "key: value".
 *
 *     probe COMMAND [WORD...] [then COMMAND [WORD...]]...
 *
 * Commands run in order; the exit status is 0, or what `exit` says; 98 for an unknown command.
 * A command that the kernel refuses prints the errno's name as its value, and the next one runs.
 * This file is the table of commands and the entry; it must not know how one works. */
#include "sys.h"

char **probe_env;
char **probe_argv;

static const struct {
    const char *name;
    int least;
    command_fn *run;
    const char *words;
} commands[] = {
    { "ids", 0, see_ids, "" },
    { "pid", 0, see_pid, "" },
    { "caps", 0, see_caps, "" },
    { "no_new_privs", 0, see_no_new_privs, "" },
    { "seccomp", 0, see_seccomp, "" },
    { "namespaces", 0, see_namespaces, "" },
    { "mounts", 0, see_mounts, "" },
    { "cgroup", 0, see_cgroup, "" },
    { "cwd", 0, see_cwd, "" },
    { "env", 0, see_env, "" },
    { "args", 0, see_args, "" },
    { "fds", 0, see_fds, "" },
    { "umask", 0, see_umask, "" },
    { "signals", 0, see_signals, "" },
    { "limits", 0, see_limits, "" },
    { "hostname", 0, see_hostname, "" },
    { "keyring", 0, see_keyring, "" },
    { "personality", 0, see_personality, "" },
    { "scheduler", 0, see_scheduler, "" },
    { "ioprio", 0, see_ioprio, "" },
    { "affinity", 0, see_affinity, "" },
    { "oom", 0, see_oom, "" },
    { "mempolicy", 0, see_mempolicy, "" },
    { "clocks", 0, see_clocks, "" },
    { "tty", 0, see_tty, "" },
    { "processes", 0, see_processes, "" },
    { "dumpable", 0, see_dumpable, "" },
    { "thp", 0, see_thp, "" },
    { "cat", 1, act_cat, "FILE: its bytes as they are" },
    { "write", 2, act_write, "FILE TEXT: create or truncate" },
    { "append", 2, act_append, "FILE TEXT: to a file that is there" },
    { "open", 2, act_open, "FILE r|w|rw" },
    { "stat", 1, act_stat, "PATH: of a link itself" },
    { "list", 1, act_list, "DIRECTORY" },
    { "readlink", 1, act_readlink, "LINK" },
    { "mkdir", 1, act_mkdir, "DIRECTORY" },
    { "mknod", 4, act_mknod, "PATH c|b|p MAJOR MINOR" },
    { "unlink", 1, act_unlink, "PATH" },
    { "symlink", 2, act_symlink, "TEXT LINK" },
    { "mount", 4, act_mount, "SOURCE TARGET TYPE FLAGS" },
    { "umount", 1, act_umount, "TARGET" },
    { "chdir", 1, act_chdir, "DIRECTORY" },
    { "sethostname", 1, act_sethostname, "NAME" },
    { "setuid", 1, act_setuid, "UID" },
    { "syscall", 1, act_syscall, "NUMBER [ARGUMENT|@TEXT]...: prints the result" },
    { "tiocsti", 0, act_tiocsti, ": push a byte into standard input's terminal" },
    { "queue", 1, act_queue, "KEY: make a System V message queue" },
    { "hog", 1, act_hog, "BYTES: touch so much memory, and keep it" },
    { "burn", 1, act_burn, "MS: use the CPU for so long, 0 for ever" },
    { "sleep", 1, act_sleep, "MS" },
    { "pause", 0, act_pause, ": until killed" },
    { "await", 0, act_await, "[SIGNAL]: print each signal that arrives, up to that one (any)" },
    { "ignore", 1, act_ignore, "SIGNAL" },
    { "echo", 0, act_echo, ": standard input to standard output until its end" },
    { "say", 1, act_say, "TEXT...: print it" },
    { "fork", 1, act_fork, "N: children that sleep until killed" },
    { "kill", 2, act_kill, "PID SIGNAL" },
    { "crash", 0, act_crash, ": an illegal instruction, which kills a PID 1 too" },
    { "spin", 0, act_spin, ": for ever, without a system call" },
    { "exit", 1, act_exit, "STATUS" },
    { "exec", 1, act_exec, "PATH [ARGUMENT]..." },
    { "notify", 1, act_notify, "TEXT: send it to $NOTIFY_SOCKET" },
    { "interfaces", 0, net_interfaces, "" },
    { "ping", 2, net_ping, "ADDRESS COUNT: ICMP, 10 ms apart" },
    { "udp-echo", 1, net_udp_echo, "PORT: answer until killed" },
    { "send-frame", 2, net_send_frame, "INTERFACE HEX: one Ethernet frame, as it is" },
    { "udp-send", 3, net_udp_send, "ADDRESS PORT COUNT" },
    { "kill-at", 2, trace_kill_at, "N PROGRAM [ARGUMENT]...: just before its Nth system call" },
    { "kill-after-getppid", 2, trace_kill_after_getppid, "N PROGRAM [ARGUMENT]...: from there on" },
    { "fault", 5, fault, "REPORT WHOSE FAULT N PROGRAM [ARGUMENT]...: at its Nth system call" },
    { "signal-at", 3, trace_signal_at, "N SIGNAL PROGRAM [ARGUMENT]...: before its Nth call" },
    { "groups", 0, set_groups, "[GID]...: the supplementary groups" },
    { "setgid", 1, set_gid, "GID" },
    { "limit", 2, set_limit, "NUMBER VALUE: of a resource, as in <asm/resource.h>" },
    { "block", 1, set_block, "SIGNAL" },
    { "close", 0, set_close, "[FD]..." },
    { "hold", 3, set_hold, "FD PATH r|w|path: open it there, across exec too" },
    { "console", 1, terminal_console, "SOCKET: take a terminal's master, and sit there" },
    { "in-terminal", 1, terminal_in, "PROGRAM [ARGUMENT]...: on a terminal of its own" },
    { "exchange", 2, attack_exchange, "A B: they change places until killed" },
    { "watch-fds", 1, attack_fds, "MS: look for files that others have open above 2" },
    { "reopen-exe", 1, attack_exe, "MS: try to write to the programs of others" },
    { "be-pid", 1, attack_pid, "PID: a child has it" },
};

static void run(char **words, int count)
{
    for (word i = 0; i < LEN(commands); i++) {
        if (!same(commands[i].name, words[0])) continue;
        if (count - 1 < commands[i].least) {
            print("error: %s %s\n", words[0], commands[i].words);
            leave(98);
        }
        commands[i].run(words + 1, count - 1);
        return;
    }
    print("error: unknown command: %s\n", words[0]);
    leave(98);
}

__attribute__((used)) _Noreturn static void enter(word *stack)
{
    int argc = (int)stack[0];
    probe_argv = (char **)(stack + 1);
    probe_env = probe_argv + argc + 1;
    if (argc < 2) {
        for (word i = 0; i < LEN(commands); i++)
            print("command: %s %s\n", commands[i].name, commands[i].words);
        leave(0);
    }
    for (int first = 1; first < argc;) {
        int next = first;
        while (next < argc && !same(probe_argv[next], "then")) next++;
        /* The words are copied, so that `args` still prints the original argv. */
        char *words[next - first + 1];
        for (int i = first; i < next; i++) words[i - first] = probe_argv[i];
        words[next - first] = 0;
        if (next > first) run(words, next - first);
        first = next + 1;
    }
    leave(0);
}

#if defined(__x86_64__)
__asm__(".globl _start\n_start:\n\txor %ebp, %ebp\n\tmov %rsp, %rdi\n"
        "\tand $-16, %rsp\n\tcall enter\n");
#else
__asm__(".globl _start\n_start:\n\tmov x29, #0\n\tmov x0, sp\n\tbl enter\n");
#endif
