/* Commands for the master side of a container's terminal: an engine that gets the master through a
 * socket, or a user on whose terminal the launcher runs. Both copy standard input to the master,
 * and its output to standard output. */
#include "sys.h"
#include <asm/ioctls.h>
#include <asm/signal.h>
#include <asm/termios.h>
#include <linux/wait.h>

enum { UNIX = 1, STREAM = 1, SOCKET_LEVEL = 1, RIGHTS = 1, IN = 1, GONE = 0x18 };

struct polled { int fd; short events, revents; };

/* Copy until no process has the slave side open any more. */
static void relay(long master)
{
    static char bytes[4096];
    struct polled fds[2] = { { (int)master, IN, 0 }, { 0, IN, 0 } };
    for (;;) {
        if (SYS(ppoll, fds, 2, 0, 0, 8) < 0) return;
        if (fds[0].revents & IN) {
            long got = SYS(read, master, bytes, sizeof bytes);
            if (got <= 0) return;
            SYS(write, 1, bytes, got);
        } else if (fds[0].revents & GONE) {
            return;
        }
        if (fds[1].revents) {
            long got = SYS(read, 0, bytes, sizeof bytes);
            if (got > 0) SYS(write, master, bytes, got);
            else fds[1].fd = -1;
        }
    }
}

/* Print "ready:" when it listens; then "received: TEXT" with the text that came with the
 * descriptor. */
void terminal_console(char **words, int count)
{
    (void)count;
    struct { unsigned short family; char path[108]; } at = { UNIX, { 0 } };
    for (int i = 0; words[0][i] && i < 107; i++) at.path[i] = words[0][i];
    long listener = SYS(socket, UNIX, STREAM | O_CLOEXEC, 0);
    long result = SYS(bind, listener, &at, sizeof at);
    if (result >= 0) result = SYS(listen, listener, 1);
    print("ready: %s\n", result < 0 ? errno_name(result) : "console");
    long connection = SYS(accept4, listener, 0, 0, O_CLOEXEC);
    char text[4096] = { 0 };
    struct { char *base; word size; } part = { text, sizeof text - 1 };
    struct { word size; int level, type; int fd; int room; } control = { 0 };
    struct {
        void *name; unsigned name_size; void *parts; word part_count;
        void *control; word control_size; int flags;
    } message = { 0, 0, &part, 1, &control, sizeof control, 0 };
    result = SYS(recvmsg, connection, &message, 0);
    if (result < 0 || control.level != SOCKET_LEVEL || control.type != RIGHTS) {
        print("received: %s\n", result < 0 ? errno_name(result) : "no descriptor");
        return;
    }
    struct winsize size = { 40, 100, 0, 0 };
    print("received: %s\n", text);
    char target[256] = { 0 };
    SYS(dup3, control.fd, 99, O_CLOEXEC);
    result = SYS(readlinkat, AT_FDCWD_, "/proc/self/fd/99", target, sizeof target - 1);
    print("target: %s\n", result < 0 ? errno_name(result) : target);
    SYS(close, 99);
    result = SYS(ioctl, control.fd, TIOCGWINSZ, &size);
    if (result < 0) {
        print("window: %s\n", errno_name(result));
        return;
    }
    print("window: %lu %lu\n", (word)size.ws_row, (word)size.ws_col);
    relay(control.fd);
}

/* Run a program on a terminal of 24 rows and 80 columns; print "ended: STATUS", as of wait(2). */
void terminal_in(char **words, int count)
{
    (void)count;
    long master = SYS(openat, AT_FDCWD_, "/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
    int unlocked = 0, status = 0;
    struct winsize size = { 24, 80, 0, 0 };
    long slave = SYS(ioctl, master, TIOCSPTLCK, &unlocked);
    if (slave >= 0) slave = SYS(ioctl, master, TIOCGPTPEER, O_RDWR | O_NOCTTY);
    if (slave >= 0) SYS(ioctl, slave, TIOCSWINSZ, &size);
    long child = slave < 0 ? slave : fork_();
    if (child == 0) {
        SYS(setsid);
        SYS(ioctl, slave, TIOCSCTTY, 0);
        for (long fd = 0; fd < 3; fd++) SYS(dup3, slave, fd, 0);
        if (slave > 2) SYS(close, slave);
        long result = SYS(execve, words[0], words, probe_env);
        print("in-terminal: %s\n", errno_name(result));
        leave(127);
    }
    if (child < 0) {
        print("in-terminal: %s\n", errno_name(child));
        return;
    }
    SYS(close, slave);
    relay(master);
    SYS(wait4, child, &status, __WALL, 0);
    print("ended: %ld\n", (long)status);
}
