/* Commands that run another program and kill it at a system call: faults, one by one.
 * Must not know what that program does. */
#include "sys.h"
#include <asm/signal.h>
#include <linux/ptrace.h>
#include <linux/wait.h>

enum { SYSCALL_STOP = SIGTRAP | 0x80 };

static long resume(long thread, long signal)
{
    return SYS(ptrace, PTRACE_SYSCALL, thread, 0, signal);
}

/* The call before which the thread stands; -1 if it stands after one. */
static long begun(long thread)
{
    struct ptrace_syscall_info info = { 0 };
    SYS(ptrace, PTRACE_GET_SYSCALL_INFO, thread, sizeof info, &info);
    return info.op == PTRACE_SYSCALL_INFO_ENTRY ? (long)info.entry.nr : -1;
}

static void start(char **words)
{
    SYS(ptrace, PTRACE_TRACEME, 0, 0, 0);
    long own = SYS(getpid);
    SYS(kill, own, SIGSTOP);
    long result = SYS(execve, words[0], words, probe_env);
    print("kill-at: %s\n", errno_name(result));
    leave(127);
}

/* Sent `fatal` just before its Nth system call, those of all threads counted: "killed: N" if that
 * ended it; else "ended: STATUS", as wait(2) has it. */
static void watch(long point, long fatal, char **words, int counting)
{
    long calls = 0, child = fork_();
    int status = 0;
    if (child == 0) start(words);
    long thread = SYS(wait4, child, &status, __WALL, 0);
    long options = PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXEC;
    SYS(ptrace, PTRACE_SETOPTIONS, child, 0, options | PTRACE_O_EXITKILL);
    for (long signal = 0; thread > 0; thread = SYS(wait4, -1, &status, __WALL, 0)) {
        if ((status & 0xff) != 0x7f) {
            if (thread != child) continue;
            if (calls >= point && (status & 0x7f) == fatal) print("killed: %ld\n", point);
            else print("ended: %ld\n", (long)status);
            return;
        }
        signal = status >> 8 & 0xff;
        if (signal == SYSCALL_STOP) {
            long call = begun(thread);
            if (call >= 0 && counting && ++calls == point) SYS(kill, child, fatal);
            counting |= call == __NR_getppid;
            signal = 0;
        }
        /* Events, and the stop that a new thread begins with, are the tracer's own. */
        if (status >> 16 || signal == SIGSTOP) signal = 0;
        resume(thread, signal);
    }
    print("kill-at: %s\n", errno_name(thread));
}

void trace_kill_at(char **words, int count)
{
    (void)count;
    watch(number(words[0]), SIGKILL, words + 1, 1);
}

/* A signal that it may survive: "killed: N" says that it did not. */
void trace_signal_at(char **words, int count)
{
    (void)count;
    watch(number(words[0]), number(words[1]), words + 2, 1);
}

/* Counts only what comes after getppid: so a program says where its interesting part begins. */
void trace_kill_after_getppid(char **words, int count)
{
    (void)count;
    watch(number(words[0]), SIGKILL, words + 1, 0);
}
