/* Commands that change this process for the program that `exec` then executes: its user and groups,
 * limits, descriptors, signals. Must not know what that program is. */
#include "sys.h"
#include <asm/signal.h>

void set_groups(char **words, int count)
{
    unsigned groups[64];
    for (int i = 0; i < count && i < 64; i++) groups[i] = (unsigned)number(words[i]);
    verdict("groups", count ? words[0] : "", SYS(setgroups, count, groups));
}

void set_gid(char **words, int count)
{
    (void)count;
    verdict("setgid", words[0], SYS(setgid, number(words[0])));
}

void set_limit(char **words, int count)
{
    (void)count;
    word limit[2] = { (word)number(words[1]), (word)number(words[1]) };
    verdict("limit", words[0], SYS(prlimit64, 0, number(words[0]), limit, 0));
}

void set_block(char **words, int count)
{
    (void)count;
    word mask = 1ul << (number(words[0]) - 1);
    verdict("block", words[0], SYS(rt_sigprocmask, SIG_BLOCK, &mask, 0, 8));
}

void set_close(char **words, int count)
{
    for (int i = 0; i < count; i++) SYS(close, number(words[i]));
}

/* Open words[1] as descriptor words[0], which stays open across execve(2). */
void set_hold(char **words, int count)
{
    (void)count;
    long wanted = number(words[0]);
    long flags = same(words[2], "w") ? O_WRONLY : same(words[2], "path") ? O_PATH : O_RDONLY;
    long fd = SYS(openat, AT_FDCWD_, words[1], flags);
    long result = fd < 0 || fd == wanted ? fd : SYS(dup3, fd, wanted, 0);
    if (fd >= 0 && fd != wanted) SYS(close, fd);
    if (result < 0) verdict("hold", words[1], result);
}
