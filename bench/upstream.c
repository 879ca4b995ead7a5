/* A model server for benchmarks: OpenAI-compatible, deterministic, one thread, epoll.
 *
 *   upstream PORT [CHUNKS [INTERVAL_US]]
 *
 * POST …/chat/completions   a fixed answer; with "stream":true, CHUNKS server-sent events, one
 *                           each INTERVAL_US, whose text carries the time it was sent ("@<ns>",
 *                           CLOCK_MONOTONIC), then the finish, the usage (when asked for with
 *                           include_usage) and [DONE]
 * GET /v1/models            one model
 * GET /count, GET /reset    completions asked for since the start or the last reset
 * GET /last                 the last completion request as it came: head and content
 */
#define _GNU_SOURCE
#include "http1.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>

#define MAX_PENDING (4 << 20) /* unsent bytes of a stream whose reader stalls */
#define MAX_KEPT (64 * 1024)  /* of the last request */

struct conn {
    int fd, in_body, closing, wants_out;
    struct head head;
    struct body body;
    struct buf in, content, out, kept;
    int streaming, usage, sent;
    uint64_t due;
    struct conn *before, *after; /* in the order of `due` */
};

static int poller, timer, chunks = 100;
static uint64_t interval_ns = 10 * 1000 * 1000, armed;
static unsigned long long completions, streams, cut;
static struct conn *first_due, *last_due;
static struct buf last;

static const char ANSWER[] =
    "{\"id\":\"chatcmpl-bench0000000000000000000001\",\"object\":\"chat.completion\","
    "\"created\":1750000000,\"model\":\"gpt-4o-2024-08-06\",\"choices\":[{\"index\":0,"
    "\"message\":{\"role\":\"assistant\",\"content\":\"Paris is the capital of France. It lies on "
    "the Seine.\",\"refusal\":null},\"logprobs\":null,\"finish_reason\":\"stop\"}],\"usage\":{"
    "\"prompt_tokens\":32,\"completion_tokens\":14,\"total_tokens\":46,\"prompt_tokens_details\":{"
    "\"cached_tokens\":0,\"audio_tokens\":0}},\"system_fingerprint\":\"fp_bench00001\"}";
static const char MODELS[] =
    "{\"object\":\"list\",\"data\":[{\"id\":\"gpt-4o\",\"object\":\"model\","
    "\"created\":1750000000,\"owned_by\":\"bench\"}]}";
static const char STREAM_HEAD[] =
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n"
    "Cache-Control: no-cache\r\nX-Accel-Buffering: no\r\nTransfer-Encoding: chunked\r\n\r\n";
#define EVENT \
    "data: {\"id\":\"chatcmpl-bench0000000000000000000002\",\"object\":\"chat.completion.chunk\"," \
    "\"created\":1750000000,\"model\":\"gpt-4o-2024-08-06\"," \
    "\"system_fingerprint\":\"fp_bench00001\",\"choices\":["
#define USAGE \
    "],\"usage\":{\"prompt_tokens\":32,\"completion_tokens\":100,\"total_tokens\":132}}\n\n"
static char plain[2048];
static size_t plain_len;

static void unlink_due(struct conn *c) {
    if (c->before) c->before->after = c->after;
    else first_due = c->after;
    if (c->after) c->after->before = c->before;
    else last_due = c->before;
    c->before = c->after = NULL;
}

/* Streams have one interval, so a new time is nearly always the latest. */
static void link_due(struct conn *c, uint64_t due) {
    struct conn *p = last_due;
    c->due = due;
    while (p && p->due > due) p = p->before;
    c->before = p;
    c->after = p ? p->after : first_due;
    if (c->after) c->after->before = c;
    else last_due = c;
    if (p) p->after = c;
    else first_due = c;
}

static void drop(struct conn *c) {
    if (c->streaming) {
        unlink_due(c);
        cut++;
    }
    close(c->fd);
    free(c->in.at);
    free(c->content.at);
    free(c->out.at);
    free(c->kept.at);
    free(c);
}

static void watch(struct conn *c, int out) {
    if (c->wants_out == out) return;
    struct epoll_event e = {.events = EPOLLIN | (out ? EPOLLOUT : 0), .data.ptr = c};
    epoll_ctl(poller, EPOLL_CTL_MOD, c->fd, &e);
    c->wants_out = out;
}

/* -1: the connection is lost. */
static int flush_out(struct conn *c) {
    size_t done = 0;
    while (done < c->out.len) {
        ssize_t n = write(c->fd, c->out.at + done, c->out.len - done);
        if (n < 0 && errno != EAGAIN) return -1;
        if (n < 0) break;
        done += (size_t)n;
    }
    buf_drop(&c->out, done);
    watch(c, c->out.len > 0);
    return 0;
}

static int send_bytes(struct conn *c, const char *at, size_t n) {
    if (!c->out.len) {
        ssize_t sent = write(c->fd, at, n);
        if (sent == (ssize_t)n) return 0;
        if (sent < 0 && errno != EAGAIN) return -1;
        if (sent > 0) at += sent, n -= (size_t)sent;
    }
    if (c->out.len + n > MAX_PENDING) return -1;
    buf_add(&c->out, at, n);
    watch(c, 1);
    return 0;
}

static int reply(struct conn *c, int status, const char *json, size_t n) {
    char head[256];
    int k = snprintf(head, sizeof head,
                     "HTTP/1.1 %d %s\r\nContent-Type: application/json\r\n"
                     "Content-Length: %zu\r\n\r\n",
                     status, status == 200 ? "OK" : "Not Found", n);
    if (send_bytes(c, head, (size_t)k) < 0) return -1;
    return send_bytes(c, json, n);
}

/* One HTTP chunk that holds one event. */
static size_t frame(char *to, size_t cap, const char *event, size_t n) {
    int k = snprintf(to, cap, "%zx\r\n", n);
    memcpy(to + k, event, n);
    memcpy(to + k + n, "\r\n", 2);
    return (size_t)k + n + 2;
}

static int send_token(struct conn *c) {
    char event[512], framed[600];
    const char *role = c->sent ? "" : "\"role\":\"assistant\",";
    int n = snprintf(event, sizeof event,
                     EVENT "{\"index\":0,\"delta\":{%s\"content\":\" Seine @%llu.\"},"
                           "\"logprobs\":null,\"finish_reason\":null}]}\n\n",
                     role, (unsigned long long)now_ns());
    c->sent++;
    return send_bytes(c, framed, frame(framed, sizeof framed, event, (size_t)n));
}

static int send_end(struct conn *c) {
    static const char finish[] =
        EVENT "{\"index\":0,\"delta\":{},\"logprobs\":null,\"finish_reason\":\"stop\"}]}\n\n";
    static const char usage[] = EVENT USAGE;
    char all[2048];
    size_t n = frame(all, sizeof all, finish, sizeof finish - 1);
    if (c->usage) n += frame(all + n, sizeof all - n, usage, sizeof usage - 1);
    n += frame(all + n, sizeof all - n, "data: [DONE]\n\n", 14);
    memcpy(all + n, "0\r\n\r\n", 5);
    c->streaming = 0;
    return send_bytes(c, all, n + 5);
}

static int tick(struct conn *c) {
    unlink_due(c);
    if (c->sent >= chunks) return send_end(c);
    link_due(c, c->due + interval_ns);
    return send_token(c);
}

static int says_true(const struct buf *b, const char *name) {
    const char *at = memmem(b->at, b->len, name, strlen(name)), *end = b->at + b->len;
    if (!at) return 0;
    for (at += strlen(name); at < end && (*at == ' ' || *at == ':'); at++) {}
    return end - at >= 4 && memcmp(at, "true", 4) == 0;
}

static int complete(struct conn *c) {
    completions++;
    last.len = 0;
    buf_add(&last, c->kept.at, c->kept.len);
    buf_add(&last, c->content.at, c->content.len < MAX_KEPT ? c->content.len : MAX_KEPT);
    if (!says_true(&c->content, "\"stream\"")) return send_bytes(c, plain, plain_len);
    streams++;
    c->streaming = 1;
    c->usage = says_true(&c->content, "\"include_usage\"");
    c->sent = 0;
    link_due(c, now_ns() + interval_ns);
    if (send_bytes(c, STREAM_HEAD, sizeof STREAM_HEAD - 1) < 0) return -1;
    return send_token(c);
}

static int is(const struct conn *c, const char *start) {
    size_t n = strlen(start);
    return c->kept.len > n && memcmp(c->kept.at, start, n) == 0;
}

static int answer(struct conn *c) {
    char json[160];
    const char *space = memchr(c->kept.at + 5, ' ', c->kept.len - 5);
    if (is(c, "POST /") && space && space - c->kept.at > 17 &&
        memcmp(space - 17, "/chat/completions", 17) == 0)
        return complete(c);
    if (is(c, "GET /v1/models ")) return reply(c, 200, MODELS, sizeof MODELS - 1);
    if (is(c, "GET /last ")) return reply(c, 200, last.at, last.len);
    if (is(c, "GET /reset ")) completions = streams = cut = 0;
    else if (!is(c, "GET /count ")) return reply(c, 404, "{\"error\":\"no such path\"}", 24);
    int n = snprintf(json, sizeof json, "{\"completions\":%llu,\"streams\":%llu,\"cut\":%llu}",
                     completions, streams, cut);
    return reply(c, 200, json, (size_t)n);
}

/* Takes whole requests off the input; -1 drops the connection. */
static int requests(struct conn *c) {
    while (c->in.len && !c->streaming) {
        if (!c->in_body) {
            int got = head_parse(c->in.at, c->in.len, &c->head);
            if (got <= 0) return got;
            c->kept.len = c->content.len = 0;
            buf_add(&c->kept, c->in.at, c->head.size);
            body_start(&c->body, &c->head);
            buf_drop(&c->in, c->head.size);
            c->in_body = 1;
        }
        long took = body_feed(&c->body, c->in.at, c->in.len, &c->content);
        if (took < 0) return -1;
        buf_drop(&c->in, (size_t)took);
        if (!c->body.done) return 0;
        c->in_body = 0;
        c->closing = c->head.close;
        if (answer(c) < 0) return -1;
    }
    return 0;
}

static int readable(struct conn *c) {
    buf_room(&c->in, 16 * 1024);
    ssize_t n = read(c->fd, c->in.at + c->in.len, c->in.cap - c->in.len);
    if (n == 0 || (n < 0 && errno != EAGAIN)) return -1;
    if (n < 0) return 0;
    c->in.len += (size_t)n;
    return requests(c);
}

static int finished(const struct conn *c) {
    return c->closing && !c->streaming && !c->out.len;
}

static void run_due(void) {
    uint64_t now = now_ns(), ticks;
    if (read(timer, &ticks, sizeof ticks) < 0 && errno != EAGAIN) die("timer");
    armed = 0;
    while (first_due && first_due->due <= now) {
        struct conn *c = first_due;
        if (tick(c) < 0 || (!c->streaming && requests(c) < 0) || finished(c)) drop(c);
    }
}

static void arm(void) {
    if (!first_due || armed == first_due->due) return;
    armed = first_due->due;
    struct itimerspec at = {
        .it_value = {(time_t)(armed / 1000000000u), (long)(armed % 1000000000u)}};
    timerfd_settime(timer, TFD_TIMER_ABSTIME, &at, NULL);
}

static void accept_one(int listener) {
    int one = 1, fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) return;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    struct conn *c = calloc(1, sizeof *c);
    if (!c) die("calloc");
    c->fd = fd;
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};
    epoll_ctl(poller, EPOLL_CTL_ADD, fd, &e);
}

static int listen_on(int port) {
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(fd, (struct sockaddr *)&a, sizeof a) < 0) die("bind");
    if (listen(fd, 4096) < 0) die("listen");
    return fd;
}

int main(int argc, char **argv) {
    if (argc < 2) return fprintf(stderr, "usage: upstream PORT [CHUNKS [INTERVAL_US]]\n"), 2;
    if (argc > 2) chunks = atoi(argv[2]);
    if (argc > 3) interval_ns = strtoull(argv[3], NULL, 10) * 1000;
    signal(SIGPIPE, SIG_IGN);
    plain_len = (size_t)snprintf(plain, sizeof plain,
                                 "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                                 "X-Request-ID: req_bench00001\r\nOpenAI-Processing-MS: 1\r\n"
                                 "Content-Length: %zu\r\n\r\n%s", sizeof ANSWER - 1, ANSWER);
    int listener = listen_on(atoi(argv[1]));
    poller = epoll_create1(0);
    timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    struct epoll_event ready[256], e = {.events = EPOLLIN, .data.ptr = &poller};
    epoll_ctl(poller, EPOLL_CTL_ADD, listener, &e);
    e.data.ptr = &timer;
    epoll_ctl(poller, EPOLL_CTL_ADD, timer, &e);
    for (;;) {
        int n = epoll_wait(poller, ready, 256, -1), due = 0;
        for (int i = 0; i < n; i++) {
            struct conn *c = ready[i].data.ptr;
            if ((void *)c == &poller) { accept_one(listener); continue; }
            if ((void *)c == &timer) { due = 1; continue; }
            int lost = (ready[i].events & EPOLLOUT) && flush_out(c) < 0;
            if (!lost && ready[i].events & ~(uint32_t)EPOLLOUT) lost = readable(c) < 0;
            if (lost || finished(c)) drop(c);
        }
        if (due) run_due(); /* after the batch: it may drop connections that are still in it */
        arm();
    }
}
