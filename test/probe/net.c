/* Commands that show interfaces and reach other containers, over IPv4 or by raw frames. Must not
 * know who made the network. */
#include "sys.h"
#include <asm/ioctls.h>
#include <linux/time.h>
/* Linux's header for interfaces needs the C library's struct sockaddr, which the probe does not
 * have. */
#include <linux/in.h>

enum { INET = 2, DGRAM = 2, RAW = 3, SO_RCVTIMEO_ = 20, SOL = 1 };
enum { GIFNAME = 0x8910, GIFFLAGS = 0x8913, GIFADDR = 0x8915, GIFNETMASK = 0x891b };
enum { GIFMTU = 0x8921, GIFINDEX = 0x8933, PACKET = 17 };

struct request {
    char name[16];
    union {
        struct { unsigned short family, port; unsigned char address[4]; } inet;
        int number;
        short flags;
        char room[24];
    };
};

struct address { unsigned short family, port; unsigned char address[4]; char zero[8]; };

static unsigned short swap(unsigned short value)
{
    return (unsigned short)(value >> 8 | value << 8);
}

static struct address parse(const char *text, long port)
{
    struct address to = { INET, swap((unsigned short)port), { 0 }, { 0 } };
    for (int i = 0; i < 4; i++) {
        unsigned value = 0;
        while (*text >= '0' && *text <= '9') value = value * 10 + (unsigned)(*text++ - '0');
        to.address[i] = (unsigned char)value;
        if (*text == '.') text++;
    }
    return to;
}

static int prefix(const unsigned char *mask)
{
    int bits = 0;
    for (int i = 0; i < 32; i++) bits += mask[i / 8] >> (7 - i % 8) & 1;
    return bits;
}

/* Print "interface: NAME up|down MTU ADDRESS/PREFIX|-" by index, then the routing table. */
void net_interfaces(char **words, int count)
{
    (void)words, (void)count;
    long fd = SYS(socket, INET, DGRAM | O_CLOEXEC, 0);
    if (fd < 0) {
        print("interface: %s\n", errno_name(fd));
        return;
    }
    for (int index = 1; index < 256; index++) {
        struct request r = { .number = index };
        if (SYS(ioctl, fd, GIFNAME, &r) < 0) continue;
        SYS(ioctl, fd, GIFFLAGS, &r);
        const char *up = r.flags & 1 ? "up" : "down";
        SYS(ioctl, fd, GIFMTU, &r);
        long mtu = r.number;
        if (SYS(ioctl, fd, GIFADDR, &r) < 0) {
            print("interface: %s %s %ld -\n", r.name, up, mtu);
            continue;
        }
        unsigned char a[4];
        for (int i = 0; i < 4; i++) a[i] = r.inet.address[i];
        SYS(ioctl, fd, GIFNETMASK, &r);
        print("interface: %s %s %ld %lu.%lu.%lu.%lu/%ld\n", r.name, up, mtu, (word)a[0], (word)a[1],
              (word)a[2], (word)a[3], (long)prefix(r.inet.address));
    }
    SYS(close, fd);
    lines_of("route", "/proc/net/route");
}

static void receive_timeout(long fd, long us)
{
    long time[2] = { us / 1000000, us % 1000000 };
    SYS(setsockopt, fd, SOL, SO_RCVTIMEO_, time, sizeof time);
}

void net_ping(char **words, int count)
{
    (void)count;
    struct address to = parse(words[0], 0);
    long fd = SYS(socket, INET, RAW | O_CLOEXEC, IPPROTO_ICMP), wanted = number(words[1]);
    if (fd < 0) {
        print("ping: %s\n", errno_name(fd));
        return;
    }
    receive_timeout(fd, 10000);
    unsigned short id = (unsigned short)(SYS(getpid) ^ now_us(CLOCK_MONOTONIC));
    long sent = 0, received = 0;
    word end = 0;
    /* Requests are sent 10 ms apart; the last replies may take a second. */
    while (received < wanted && (!end || now_us(CLOCK_MONOTONIC) < end)) {
        if (sent < wanted) {
            unsigned short packet[4] = { swap(8 << 8), 0, id, swap((unsigned short)sent) };
            unsigned sum = (unsigned)packet[0] + packet[2] + packet[3];
            sum = (sum & 0xffff) + (sum >> 16);
            packet[1] = (unsigned short)~((sum & 0xffff) + (sum >> 16));
            long result = SYS(sendto, fd, packet, sizeof packet, 0, &to, sizeof to);
            if (result < 0 && sent == 0) print("ping.send: %s\n", errno_name(result));
            if (++sent == wanted) end = now_us(CLOCK_MONOTONIC) + 1000000;
        }
        word slot = now_us(CLOCK_MONOTONIC) + 10000;
        do {
            unsigned char got[128];
            long n = SYS(recvfrom, fd, got, sizeof got);
            /* 20 bytes of IP header; type 0 is an echo reply; the id is ours. */
            if (n >= 28 && got[20] == 0 && *(unsigned short *)(got + 24) == id) received++;
        } while (received < sent && now_us(CLOCK_MONOTONIC) < slot);
    }
    print("ping.sent: %ld\nping.received: %ld\n", sent, received);
    SYS(close, fd);
}

void net_udp_echo(char **words, int count)
{
    (void)count;
    struct address at = parse("0.0.0.0", number(words[0]));
    long fd = SYS(socket, INET, DGRAM | O_CLOEXEC, 0);
    long result = fd < 0 ? fd : SYS(bind, fd, &at, sizeof at);
    print("ready: %s\n", result < 0 ? errno_name(result) : "udp-echo");
    if (result < 0) return;
    for (;;) {
        char packet[2048];
        struct address from;
        unsigned size = sizeof from;
        long n = SYS(recvfrom, fd, packet, sizeof packet, 0, &from, &size);
        if (n >= 0) SYS(sendto, fd, packet, n, 0, &from, size);
    }
}

void net_udp_send(char **words, int count)
{
    (void)count;
    struct address to = parse(words[0], number(words[1]));
    long fd = SYS(socket, INET, DGRAM | O_CLOEXEC, 0), wanted = number(words[2]), answers = 0;
    long result = fd < 0 ? fd : SYS(connect, fd, &to, sizeof to);
    if (result < 0) {
        print("udp-send: %s\n", errno_name(result));
        return;
    }
    receive_timeout(fd, 1000000);
    for (long i = 0; i < wanted; i++) {
        char packet[64];
        SYS(sendto, fd, &i, sizeof i);
        if (SYS(recvfrom, fd, packet, sizeof packet) == sizeof i) answers++;
    }
    print("udp.sent: %ld\nudp.received: %ld\n", wanted, answers);
    SYS(close, fd);
}

static int digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Send by a packet socket, as CAP_NET_RAW allows: the kernel fills in nothing. */
void net_send_frame(char **words, int count)
{
    (void)count;
    static unsigned char frame[2048];
    word size = 0;
    for (const char *c = words[1]; digit(c[0]) >= 0 && digit(c[1]) >= 0 && size < 2048; c += 2)
        frame[size++] = (unsigned char)(digit(c[0]) << 4 | digit(c[1]));
    struct request r = { { 0 }, { .number = 0 } };
    for (int i = 0; words[0][i] && i < 15; i++) r.name[i] = words[0][i];
    long fd = SYS(socket, PACKET, RAW | O_CLOEXEC, 0);
    long result = fd < 0 ? fd : SYS(ioctl, fd, GIFINDEX, &r);
    struct { unsigned short family, protocol; int index; char rest[12]; } to = { 0 };
    to.family = PACKET;
    to.index = r.number;
    if (result >= 0) result = SYS(sendto, fd, frame, size, 0, &to, sizeof to);
    verdict("send-frame", words[0], result);
    SYS(close, fd);
}
