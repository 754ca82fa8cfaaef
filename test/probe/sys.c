/* Text, numbers and errnos for the probe, in place of a C library. Must not know any command. */
#include "sys.h"
#include <linux/sched.h>
#include <linux/signal.h>
#include <linux/time.h>

word length(const char *text)
{
    word n = 0;
    while (text[n]) n++;
    return n;
}

int same(const char *a, const char *b)
{
    while (*a && *a == *b) a++, b++;
    return *a == *b;
}

int starts(const char *text, const char *prefix)
{
    while (*prefix)
        if (*text++ != *prefix++) return 0;
    return 1;
}

/* gcc may call these for the assignment of a structure. */
void *memset(void *to, int byte, word count)
{
    for (char *p = to; count--; p++) *(volatile char *)p = (char)byte;
    return to;
}

void *memcpy(void *to, const void *from, word count)
{
    for (word i = 0; i < count; i++) ((volatile char *)to)[i] = ((const char *)from)[i];
    return to;
}

long number(const char *text)
{
    long sign = 1, value = 0, base = 10;
    if (*text == '-') sign = -1, text++;
    if (text[0] == '0' && (text[1] == 'x' || text[1] == 'X')) base = 16, text += 2;
    else if (text[0] == '0' && text[1]) base = 8, text++;
    for (;; text++) {
        int digit = *text >= '0' && *text <= '9'   ? *text - '0'
                    : *text >= 'a' && *text <= 'f' ? *text - 'a' + 10
                    : *text >= 'A' && *text <= 'F' ? *text - 'A' + 10
                                                   : 99;
        if (digit >= base) break;
        value = value * base + digit;
    }
    if (*text == 'K') value <<= 10, text++;
    else if (*text == 'M') value <<= 20, text++;
    else if (*text == 'G') value <<= 30, text++;
    if (*text) {
        print("error: not a number: %s\n", text);
        leave(97);
    }
    return sign * value;
}

static const struct { int number; const char *name; } names[] = {
#define N(name) { name, #name }
    N(EPERM), N(ENOENT), N(ESRCH), N(EINTR), N(EIO), N(ENXIO), N(E2BIG), N(ENOEXEC), N(EBADF),
    N(ECHILD), N(EAGAIN), N(ENOMEM), N(EACCES), N(EFAULT), N(ENOTBLK), N(EBUSY), N(EEXIST),
    N(EXDEV), N(ENODEV), N(ENOTDIR), N(EISDIR), N(EINVAL), N(ENFILE), N(EMFILE), N(ENOTTY),
    N(ETXTBSY), N(EFBIG), N(ENOSPC), N(ESPIPE), N(EROFS), N(EMLINK), N(EPIPE), N(EDOM), N(ERANGE),
    N(EDEADLK), N(ENAMETOOLONG), N(ENOLCK), N(ENOSYS), N(ENOTEMPTY), N(ELOOP), N(ENODATA),
    N(EOVERFLOW), N(EUSERS), N(ENOTSOCK), N(EPROTONOSUPPORT), N(EOPNOTSUPP), N(EAFNOSUPPORT),
    N(EADDRINUSE), N(EADDRNOTAVAIL), N(ENETDOWN), N(ENETUNREACH), N(ECONNRESET), N(EISCONN),
    N(ENOTCONN), N(ETIMEDOUT), N(ECONNREFUSED), N(EHOSTUNREACH), N(EALREADY), N(EINPROGRESS),
    N(ESTALE), N(EDQUOT), N(ECANCELED), N(ENOKEY), N(EKEYEXPIRED), N(EKEYREVOKED),
#undef N
};

const char *errno_name(long result)
{
    if (result >= 0) return "ok";
    for (word i = 0; i < LEN(names); i++)
        if (names[i].number == -result) return names[i].name;
    static char digits[16] = "errno ";
    char *p = digits + 6;
    long n = -result;
    if (n >= 100) *p++ = (char)('0' + n / 100);
    if (n >= 10) *p++ = (char)('0' + n / 10 % 10);
    *p++ = (char)('0' + n % 10);
    *p = 0;
    return digits;
}

static void put(char *line, word *used, word size, char byte)
{
    if (*used < size) line[(*used)++] = byte;
}

static void put_number(char *line, word *used, word size, word value, word base, int width)
{
    char digits[24];
    int count = 0;
    do digits[count++] = "0123456789abcdef"[value % base];
    while ((value /= base) || count < width);
    while (count) put(line, used, size, digits[--count]);
}

void print(const char *format, ...)
{
    static char line[70000];
    word used = 0;
    __builtin_va_list args;
    __builtin_va_start(args, format);
    for (; *format; format++) {
        if (*format != '%') {
            put(line, &used, sizeof line, *format);
            continue;
        }
        while (*++format == 'l') {}
        if (*format == 's') {
            const char *text = __builtin_va_arg(args, const char *);
            while (text && *text) put(line, &used, sizeof line, *text++);
            continue;
        }
        long value = __builtin_va_arg(args, long);
        if (*format == 'd' && value < 0) put(line, &used, sizeof line, '-'), value = -value;
        word base = *format == 'x' || *format == 'X' ? 16 : *format == 'o' ? 8 : 10;
        put_number(line, &used, sizeof line, (word)value, base, *format == 'X' ? 16 : 1);
    }
    __builtin_va_end(args);
    for (word at = 0; at < used;) {
        long done = SYS(write, 1, line + at, used - at);
        if (done <= 0) break;
        at += (word)done;
    }
}

void verdict(const char *command, const char *what, long result)
{
    print("%s %s: %s\n", command, what, errno_name(result));
}

long slurp(const char *path, char *buffer, word size)
{
    long fd = SYS(openat, AT_FDCWD_, path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return fd;
    word used = 0;
    long got = 0;
    while (used < size - 1 && (got = SYS(read, fd, buffer + used, size - 1 - used)) > 0)
        used += (word)got;
    buffer[used] = 0;
    SYS(close, fd);
    return got < 0 ? got : (long)used;
}

void lines_of(const char *key, const char *path)
{
    static char text[1 << 18];
    long got = slurp(path, text, sizeof text);
    if (got < 0) {
        print("%s: %s\n", key, errno_name(got));
        return;
    }
    for (char *line = text; *line;) {
        char *end = line;
        while (*end && *end != '\n') end++;
        int last = !*end;
        *end = 0;
        print("%s: %s\n", key, line);
        line = last ? end : end + 1;
    }
}

word now_us(int clock)
{
    long at[2] = { 0, 0 };
    SYS(clock_gettime, clock, at);
    return (word)at[0] * 1000000 + (word)at[1] / 1000;
}

long fork_(void)
{
    return SYS(clone, SIGCHLD);
}

_Noreturn void leave(int status)
{
    for (;;) SYS(exit_group, status);
}
