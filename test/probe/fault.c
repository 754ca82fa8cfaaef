/* A command that runs another program with a fault at one system call of the program, or of its
 * child. Knows ptrace(2) and which process is whose child. Must not know what the program does.
 *
 * Which calls are counted: those of the program itself ("launcher"); those of its first child and
 * of all that this child forks ("init"), from its first instruction up to the second program that
 * it executes; those of another child ("child:1" is the second); those of init without the ones
 * that read its plan ("plan"); or those of a running process (given by its pid), from its accept4
 * up to the next program that it executes. */
#include "sys.h"
#include <asm/ptrace.h>
#include <asm/signal.h>
#include <linux/elf.h>
#include <linux/prctl.h>
#include <linux/ptrace.h>
#include <linux/uio.h>
#include <linux/wait.h>

enum { SYSCALL_STOP = SIGTRAP | 0x80, MOST_CALLS = 1 << 14, MOST_THREADS = 64 };
enum role { UNKNOWN, LAUNCHER, INIT, OTHER };

struct thread {
    long id;
    enum role role;
    int programs; /* it has become */
    int waits;    /* stopped, and nobody knows yet whose child it is */
    long call;    /* index of the one it is in */
};

static struct {
    struct thread threads[MOST_THREADS];
    long launcher, status;
    enum role whom;
    long point, error, calls;
    int list, orphan, children, failing, until_accept, until_plan;
    long nth;    /* child of the launcher's is meant */
    long signal; /* that the caller is sent */
    char *swap;  /* A:B, which change places */
    struct { long number, result; } made[MOST_CALLS];
} state;

static struct thread *find(long id)
{
    struct thread *free = 0;
    for (word i = 0; i < MOST_THREADS; i++) {
        if (state.threads[i].id == id) return &state.threads[i];
        if (!state.threads[i].id && !free) free = &state.threads[i];
    }
    if (!free) {
        print("fault: too many threads\n");
        leave(97);
    }
    *free = (struct thread){ .id = id, .call = -1 };
    return free;
}

/* Whether further calls of this thread are to be counted. */
static int counted(const struct thread *thread)
{
    int most = thread->role == LAUNCHER || thread->role == INIT ? 1 : 0;
    int least = thread->role == LAUNCHER ? 1 : 0;
    int done = state.point && state.calls >= state.point && !state.failing;
    return thread->role == state.whom && !done && thread->programs >= least
           && thread->programs <= most;
}

static void resume(const struct thread *thread, long signal)
{
    long how = counted(thread) ? PTRACE_SYSCALL : PTRACE_CONT;
    SYS(ptrace, how, thread->id, 0, signal);
}

#if defined(__x86_64__)
static void skip_call(long id)
{
    SYS(ptrace, PTRACE_POKEUSR, id, 15 * 8, -1); /* orig_rax */
}

static void set_result(long id, long result)
{
    SYS(ptrace, PTRACE_POKEUSR, id, 10 * 8, result); /* rax */
}
#else
static void skip_call(long id)
{
    int none = -1;
    struct iovec place = { &none, sizeof none };
    SYS(ptrace, PTRACE_SETREGSET, id, NT_ARM_SYSTEM_CALL, &place);
}

static void set_result(long id, long result)
{
    struct user_pt_regs registers;
    struct iovec place = { &registers, sizeof registers };
    SYS(ptrace, PTRACE_GETREGSET, id, NT_PRSTATUS, &place);
    registers.regs[0] = (word)result;
    SYS(ptrace, PTRACE_SETREGSET, id, NT_PRSTATUS, &place);
}
#endif

enum { EXCHANGE = 2 };

/* Errnos inside the kernel, which only a tracer sees: include/linux/errno.h. */
enum { ERESTARTSYS = 512, ERESTART_RESTARTBLOCK = 516 };

/* Exchange two names, separated by a colon; the files themselves are not touched. */
static void exchange(char *names)
{
    char *second = names;
    while (*second && *second != ':') second++;
    if (!*second) return;
    *second = 0;
    SYS(renameat2, AT_FDCWD_, names, AT_FDCWD_, second + 1, EXCHANGE);
    *second = ':';
}

/* Inject the fault: the thread is about to make its call. */
static void strike(struct thread *thread)
{
    if (state.signal)
        SYS(kill, thread->role == LAUNCHER ? state.launcher : thread->id, state.signal);
    if (state.swap) exchange(state.swap);
    if (state.orphan) SYS(kill, state.launcher, SIGKILL);
    long number = state.calls <= MOST_CALLS ? state.made[state.calls - 1].number : -1;
    /* As the kernel behaves: brk(2) returns no errno, and close(2) closes the descriptor whatever
     * it returns. On a directory close(2) never fails, which Rust's standard library asserts, so
     * only a close by init fails. */
    if (!state.error || number == __NR_brk) return;
    if (number == __NR_close && thread->role == LAUNCHER) return;
    if (number != __NR_close) skip_call(thread->id);
    state.failing = 1;
}

/* Check whether the counted calls begin with this one. */
static void begins(const struct thread *thread, long number)
{
    int reads = number == __NR_read || number == __NR_mmap;
    if (number == __NR_accept4) state.until_accept = 0;
    if (thread->programs == 1 && !reads) state.until_plan = 0;
}

static void at_call(struct thread *thread)
{
    struct ptrace_syscall_info info = { 0 };
    SYS(ptrace, PTRACE_GET_SYSCALL_INFO, thread->id, sizeof info, &info);
    int enters = info.op == PTRACE_SYSCALL_INFO_ENTRY && counted(thread);
    if (enters) begins(thread, (long)info.entry.nr);
    if (enters && !state.until_accept && !state.until_plan) {
        thread->call = state.calls++;
        if (thread->call < MOST_CALLS) state.made[thread->call].number = (long)info.entry.nr;
        if (state.calls == state.point) strike(thread);
    } else if (info.op == PTRACE_SYSCALL_INFO_EXIT && thread->call >= 0) {
        long result = (long)info.exit.rval;
        int struck = state.failing && thread->call + 1 == state.point;
        if (struck) set_result(thread->id, result = -state.error), state.failing = 0;
        /* A repeated call counts once. init repeats openat2(2) after EAGAIN, which any rename on
         * the machine can cause; the kernel restarts a call itself if, for example, it found a lock
         * taken (restart_syscall() in net/ipv4/devinet.c). */
        int raced = result == -EAGAIN
                    && state.made[thread->call % MOST_CALLS].number == __NR_openat2;
        int restarted = result <= -ERESTARTSYS && result >= -ERESTART_RESTARTBLOCK;
        int again = thread->call + 1 == state.calls && !struck && (raced || restarted);
        if (again) state.calls--;
        if (thread->call < MOST_CALLS) state.made[thread->call].result = result;
        thread->call = -1;
    }
}

/* A new thread or process, of the launcher or of init. */
static void born(const struct thread *parent, int event)
{
    long id = 0;
    SYS(ptrace, PTRACE_GETEVENTMSG, parent->id, 0, &id);
    struct thread *child = find(id);
    int is_thread = event == PTRACE_EVENT_CLONE;
    if (parent->role != LAUNCHER || is_thread) child->role = parent->role;
    else child->role = state.children++ == state.nth ? INIT : OTHER;
    child->programs = parent->role == LAUNCHER && !is_thread ? 0 : parent->programs;
    if (child->waits) resume(child, 0);
    child->waits = 0;
}

static void stopped(struct thread *thread, int status)
{
    long signal = status >> 8 & 0xff;
    int event = status >> 16;
    if (signal == SYSCALL_STOP) {
        at_call(thread);
        signal = 0;
    } else if (event == PTRACE_EVENT_EXEC) {
        thread->programs++;
        signal = 0;
    } else if (event) {
        if (event != PTRACE_EVENT_STOP) born(thread, event);
        signal = 0;
    }
    /* The child's first stop may come before its parent's fork event. */
    if (thread->role == UNKNOWN) thread->waits = 1;
    else resume(thread, signal);
}

/* The child that executes the program; it waits until its parent has closed the pipe. */
static void start(const int *gate, char **words)
{
    char nothing;
    SYS(close, gate[1]);
    SYS(read, gate[0], &nothing, 1);
    /* If a test kills a tracer that hangs, the program dies with it. */
    SYS(prctl, PR_SET_PDEATHSIG, SIGKILL);
    long result = SYS(execve, words[0], words, probe_env);
    print("fault: %s\n", errno_name(result));
    leave(127);
}

/* Begin: the program waits before its first instruction; the init that is given by its pid is
 * stopped in its current call.
 *
 * PTRACE_SEIZE, not PTRACE_ATTACH: children then stop by an event and not by a signal, which would
 * stop them for ever if this process ended before it had seen them. */
static void begin(const char *whom, char **words)
{
    long options = PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEEXEC | PTRACE_O_TRACECLONE;
    options |= PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK;
    int status = 0;
    if (whom[0] >= '0' && whom[0] <= '9') {
        struct thread *init = find(number(whom));
        init->role = INIT;
        init->programs = 1;
        state.until_accept = 1;
        state.nth = -1;
        long result = SYS(ptrace, PTRACE_SEIZE, init->id, 0, options);
        if (result < 0) print("fault: %s\n", errno_name(result));
        SYS(ptrace, PTRACE_INTERRUPT, init->id);
        /* The process stops before the launcher asks anything of it: the call that it is in
         * restarts. */
        if (SYS(wait4, init->id, &status, __WALL, 0) > 0) stopped(init, status);
    }
    int gate[2];
    SYS(pipe2, gate, O_CLOEXEC);
    state.launcher = fork_();
    if (state.launcher == 0) start(gate, words);
    find(state.launcher)->role = LAUNCHER;
    long result = SYS(ptrace, PTRACE_SEIZE, state.launcher, 0, options);
    if (result < 0) print("fault: %s\n", errno_name(result));
    SYS(close, gate[0]);
    SYS(close, gate[1]);
}

static void report(const char *path)
{
    long file = SYS(openat, AT_FDCWD_, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    SYS(dup3, file, 1, 0);
    print("ended: %ld\n", state.status);
    long made = state.calls < MOST_CALLS ? state.calls : MOST_CALLS;
    if (state.point && made >= state.point)
        print("hit: %ld\n", state.made[state.point - 1].number);
    for (long i = 0; state.list && i < made; i++)
        print("call: %ld %ld\n", state.made[i].number, state.made[i].result);
}

/* fault REPORT launcher|init|child:N|plan|PID list|kill|signal:N|orphan|rename:A:B|ERRNO POINT
 *       PROGRAM [ARGUMENT]...
 * At the POINT-th call, before the kernel executes it, its caller is killed, or gets a signal; or
 * the launcher is killed (orphan); or two names are exchanged; or the call is skipped and fails
 * with this errno. Ends when the program has ended: other processes may live on. */
void fault(char **words, int count)
{
    (void)count;
    state.whom = same(words[1], "launcher") ? LAUNCHER : INIT;
    state.until_plan = same(words[1], "plan");
    if (words[1][0] == 'c') state.nth = number(words[1] + 6);
    state.list = same(words[2], "list");
    state.signal = same(words[2], "kill") ? SIGKILL : 0;
    if (words[2][0] == 's') state.signal = number(words[2] + 7);
    state.orphan = same(words[2], "orphan");
    if (words[2][0] == 'r') state.swap = words[2] + 7;
    if (!state.list && !state.signal && !state.orphan && !state.swap)
        state.error = number(words[2]);
    state.point = number(words[3]);
    begin(words[1], words + 4);
    for (;;) {
        int status = 0;
        long id = SYS(wait4, -1, &status, __WALL, 0);
        if (id < 0) break;
        if ((status & 0xff) == 0x7f) {
            stopped(find(id), status);
            continue;
        }
        if (id == state.launcher) {
            state.status = status;
            break;
        }
        find(id)->id = 0;
    }
    report(words[0]);
}
