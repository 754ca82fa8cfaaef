/* Commands that run another program and kill it at one of its system calls. Must not know what that
 * program does. */
#include "sys.h"
#include <asm/signal.h>
#include <linux/ptrace.h>
#include <linux/wait.h>

enum { SYSCALL_STOP = SIGTRAP | 0x80 };

static long resume(long thread, long signal)
{
    return SYS(ptrace, PTRACE_SYSCALL, thread, 0, signal);
}

/* Return the call that the thread is about to make; -1 if it is leaving one. */
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

/* Send `fatal` just before the Nth system call of the program, counted over all threads: print
 * "killed: N" if the signal ended the program, else "ended: STATUS", as of wait(2). */
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
        /* ptrace events, and the stop with which a new thread begins, are for the tracer only. */
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

/* The program may survive this signal: "killed: N" says that it did not. */
void trace_signal_at(char **words, int count)
{
    (void)count;
    watch(number(words[0]), number(words[1]), words + 2, 1);
}

/* Count only the calls after getppid, by which the program marks where counting begins. */
void trace_kill_after_getppid(char **words, int count)
{
    (void)count;
    watch(number(words[0]), SIGKILL, words + 1, 0);
}
