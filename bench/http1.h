/* The little HTTP/1.1 that the upstream and the load generator share: growing buffers, heads,
 * and bodies framed by Content-Length, by chunks or by the end of the connection (RFC 9112). */
#ifndef BENCH_HTTP1_H
#define BENCH_HTTP1_H

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#define MAX_HEAD (64 * 1024)

struct buf {
    char *at;
    size_t len, cap;
};

enum framing { BY_LENGTH, BY_CHUNKS, BY_CLOSE };

struct head {
    const char *line; /* the first line, not terminated */
    size_t line_len;
    size_t size; /* bytes up to and with the blank line */
    int status;  /* of a response; 0 for a request */
    int close;   /* Connection: close */
    enum framing framing;
    uint64_t length;
};

struct body {
    enum framing framing;
    uint64_t left; /* of the content, or of the present chunk */
    int state;     /* BY_CHUNKS: see body_chunks */
    int done;
};

static inline uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static inline void die(const char *what) {
    perror(what);
    exit(2);
}

static inline void buf_room(struct buf *b, size_t more) {
    if (b->cap - b->len >= more) return;
    size_t cap = b->cap ? b->cap : 4096;
    while (cap - b->len < more) cap *= 2;
    b->at = realloc(b->at, cap);
    if (!b->at) die("realloc");
    b->cap = cap;
}

static inline void buf_add(struct buf *b, const char *from, size_t n) {
    buf_room(b, n);
    memcpy(b->at + b->len, from, n);
    b->len += n;
}

/* Takes n bytes off the front. */
static inline void buf_drop(struct buf *b, size_t n) {
    b->len -= n;
    if (b->len) memmove(b->at, b->at + n, b->len);
}

static inline int header_is(const char *line, size_t n, const char *name, const char **value) {
    size_t k = strlen(name);
    if (n <= k || line[k] != ':' || strncasecmp(line, name, k) != 0) return 0;
    *value = line + k + 1;
    while (**value == ' ' || **value == '\t') (*value)++;
    return 1;
}

static inline void head_line(struct head *h, const char *line, size_t n) {
    const char *value;
    int c = n ? line[0] | 0x20 : 0;
    if (c == 'c') {
        if (header_is(line, n, "content-length", &value)) {
            h->framing = BY_LENGTH;
            h->length = strtoull(value, NULL, 10);
        } else if (header_is(line, n, "connection", &value)) {
            h->close = strncasecmp(value, "close", 5) == 0;
        }
    } else if (c == 't' && header_is(line, n, "transfer-encoding", &value)) {
        if (strncasecmp(value, "chunked", 7) == 0) h->framing = BY_CHUNKS;
    }
}

/* 1: read, 0: more bytes are needed, -1: not HTTP. A request without framing has no content. */
static inline int head_parse(const char *at, size_t len, struct head *h) {
    const char *end = memmem(at, len, "\r\n\r\n", 4);
    if (!end) return len > MAX_HEAD ? -1 : 0;
    memset(h, 0, sizeof *h);
    h->size = (size_t)(end - at) + 4;
    h->line = at;
    const char *eol = memchr(at, '\r', h->size);
    h->line_len = (size_t)(eol - at);
    if (h->line_len > 12 && memcmp(at, "HTTP/1.", 7) == 0) {
        h->status = atoi(at + 9);
        h->framing = h->status == 204 || h->status == 304 ? BY_LENGTH : BY_CLOSE;
    } else {
        h->framing = BY_LENGTH;
    }
    for (const char *p = eol + 2; p < end;) {
        const char *e = memchr(p, '\r', (size_t)(end + 1 - p));
        if (!e) return -1;
        head_line(h, p, (size_t)(e - p));
        p = e + 2;
    }
    return 1;
}

static inline void body_start(struct body *b, const struct head *h) {
    b->framing = h->framing;
    b->left = h->framing == BY_LENGTH ? h->length : 0;
    b->state = 0;
    b->done = h->framing == BY_LENGTH && h->length == 0;
}

static inline int hex_of(int c) {
    if (c >= '0' && c <= '9') return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* States: 0 size, 1 rest of the size line, 2 data, 3 line end after data, 4 trailer at the start
 * of a line, 5 within a trailer line. Returns the bytes taken, or -1. */
static inline long body_chunks(struct body *b, const char *in, size_t n, struct buf *out) {
    size_t i = 0;
    while (i < n && !b->done) {
        int c = (unsigned char)in[i], digit;
        switch (b->state) {
        case 0:
            if ((digit = hex_of(c)) >= 0) b->left = b->left * 16 + (uint64_t)digit;
            else if (c == '\n') b->state = b->left ? 2 : 4;
            else b->state = 1;
            i++;
            break;
        case 1:
            if (c == '\n') b->state = b->left ? 2 : 4;
            i++;
            break;
        case 2: {
            size_t take = n - i < b->left ? n - i : (size_t)b->left;
            buf_add(out, in + i, take);
            i += take;
            b->left -= take;
            if (!b->left) b->state = 3;
            break;
        }
        case 3:
            if (c == '\n') b->state = 0;
            else if (c != '\r') return -1;
            i++;
            break;
        case 4:
            if (c == '\n') b->done = 1;
            else if (c != '\r') b->state = 5;
            i++;
            break;
        default:
            if (c == '\n') b->state = 4;
            i++;
        }
    }
    return (long)i;
}

/* Appends content to `out`; returns the bytes taken from `in`, or -1 when the framing is broken. */
static inline long body_feed(struct body *b, const char *in, size_t n, struct buf *out) {
    if (b->done) return 0;
    if (b->framing == BY_CHUNKS) return body_chunks(b, in, n, out);
    size_t take = b->framing == BY_LENGTH && b->left < n ? (size_t)b->left : n;
    buf_add(out, in, take);
    if (b->framing == BY_LENGTH) {
        b->left -= take;
        b->done = b->left == 0;
    }
    return (long)take;
}

#endif
