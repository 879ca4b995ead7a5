/* A closed-loop HTTP load generator for benchmarks: one thread, epoll, keep-alive.
 *
 *   load -p PORT -u PATH -b BODY [-H 'Name: value']... [-c CONNECTIONS]
 *        [-d SECONDS | -n REQUESTS] [-w WARMUP_SECONDS] [-e EXPECTED] [-s CHUNKS] [-t TIMEOUT]
 *
 * In BODY, %n becomes a counter and %r 48 random characters, so no two bodies are alike.
 * -e  text that each answer must hold
 * -s  answers are streams of so many timed events ("@<ns>", see upstream.c), ended by [DONE]
 * Prints one JSON object. Times are in microseconds. Exit status 1: no request was answered.
 */
#define _GNU_SOURCE
#include "http1.h"

#include <arpa/inet.h>
#include <getopt.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>

#define BINS 4000000 /* one each microsecond; what is longer counts in the last */
#define MAX_PLACES 8
#define MAX_ERRORS 100 /* then nothing more is asked */
#define COUNTER 16
#define RANDOM 48
#define STAGGER_NS 30312000u /* between the starts of streams: spreads them over the pace */

struct histogram {
    uint32_t *bins;
    unsigned long long n, sum, max;
};

struct conn {
    int fd, busy, in_body, used;
    struct head head;
    struct body body;
    struct buf in, content;
    char *request;
    size_t sent;
    uint64_t start_at, began;
    size_t line; /* -s: content read so far, as lines */
    int events, done;
};

static int port, connections = 1, chunks, timeout_s = 60, poller;
static const char *path = "/", *template, *expected;
static double run_s, warmup_s;
static unsigned long long limit;
static struct buf head;
static size_t request_len, places[MAX_PLACES], n_places;
static char place_kind[MAX_PLACES];
static struct conn *conns;

static struct histogram latency, first, added;
static unsigned long long issued, answered, measured, errors, reconnects, events, dones;
static uint64_t random_state, measure_from, stop_at, last_answer;

static void record(struct histogram *h, uint64_t ns) {
    uint64_t us = (ns + 500) / 1000;
    h->bins[us < BINS ? us : BINS - 1]++;
    h->n++;
    h->sum += us;
    if (us > h->max) h->max = us;
}

static unsigned long long quantile(const struct histogram *h, double q) {
    unsigned long long seen = 0, wanted = (unsigned long long)(q * (double)h->n + 0.5);
    if (wanted < 1) wanted = 1;
    for (size_t i = 0; i < BINS; i++)
        if ((seen += h->bins[i]) >= wanted) return i;
    return h->max;
}

static uint64_t random_bits(void) { /* xorshift64 */
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    return random_state ^= random_state << 17;
}

static void place(char *at, char kind) {
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz etaoin";
    static unsigned long long counter;
    if (kind == 'n') {
        unsigned long long n = counter++;
        for (int i = COUNTER; i--; n /= 10) at[i] = (char)('0' + n % 10);
        return;
    }
    for (int i = 0; i < RANDOM; i += 12) {
        uint64_t bits = random_bits();
        for (int k = 0; k < 12; k++, bits >>= 5) at[i + k] = letters[bits & 31];
    }
}

/* Makes the request once; only the marked places change from one to the next. */
static void prepare(int argc, char **argv) {
    struct buf body = {0};
    for (const char *p = template; *p; p++) {
        if (p[0] != '%' || (p[1] != 'n' && p[1] != 'r') || n_places == MAX_PLACES) {
            buf_add(&body, p, 1);
            continue;
        }
        place_kind[n_places] = *++p;
        places[n_places++] = body.len;
        size_t n = *p == 'n' ? COUNTER : RANDOM;
        buf_room(&body, n);
        memset(body.at + body.len, ' ', n);
        body.len += n;
    }
    char line[1024];
    int n = snprintf(line, sizeof line, "POST %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n", path, port);
    buf_add(&head, line, (size_t)n);
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], "-H") == 0 && i + 1 < argc) {
            buf_add(&head, argv[i + 1], strlen(argv[i + 1]));
            buf_add(&head, "\r\n", 2);
            i++;
        }
    n = snprintf(line, sizeof line, "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n",
                 body.len);
    buf_add(&head, line, (size_t)n);
    for (size_t i = 0; i < n_places; i++) places[i] += head.len;
    buf_add(&head, body.at, body.len);
    request_len = head.len;
    free(body.at);
}

static void complain(const struct conn *c, const char *what) {
    if (errors++) return;
    size_t n = c->content.len < 400 ? c->content.len : 400;
    fprintf(stderr, "load: %s; status %d: %.*s\n", what, c->in_body ? c->head.status : 0, (int)n,
            c->content.at ? c->content.at : "");
}

static void open_conn(struct conn *c) {
    int one = 1;
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(c->fd, (struct sockaddr *)&a, sizeof a) < 0) {
        close(c->fd);
        c->fd = -1;
        return;
    }
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    struct timeval t = {.tv_sec = timeout_s};
    setsockopt(c->fd, SOL_SOCKET, SO_SNDTIMEO, &t, sizeof t);
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};
    epoll_ctl(poller, EPOLL_CTL_ADD, c->fd, &e);
    c->used = 0;
    c->in.len = 0;
}

static void close_conn(struct conn *c) {
    if (c->fd >= 0) close(c->fd);
    c->fd = -1;
    c->in.len = 0;
}

static int may_issue(uint64_t now) {
    if (errors > MAX_ERRORS) return 0;
    if (limit) return issued < limit;
    return now < stop_at;
}

/* The request is small: a blocking write of it ends at once, or the server is stuck. */
static void issue(struct conn *c, uint64_t now) {
    if (c->fd < 0) open_conn(c);
    if (c->fd < 0) {
        complain(c, "cannot connect");
        c->start_at = now + 100 * 1000 * 1000; /* try again later */
        return;
    }
    for (size_t i = 0; i < n_places; i++) place(c->request + places[i], place_kind[i]);
    issued++;
    c->busy = 1;
    c->in_body = c->events = c->done = 0;
    c->content.len = c->line = 0;
    c->began = now_ns();
    if (send(c->fd, c->request, request_len, MSG_NOSIGNAL) == (ssize_t)request_len) return;
    complain(c, "cannot send");
    close_conn(c);
    c->busy = 0;
    c->start_at = now;
}

static void event_line(struct conn *c, const char *line, size_t n, uint64_t now) {
    if (n < 5 || memcmp(line, "data:", 5) != 0) return;
    if (memmem(line, n, "[DONE]", 6)) {
        c->done = 1;
        return;
    }
    const char *at = memmem(line, n, " @", 2);
    if (!at) return;
    uint64_t sent = strtoull(at + 2, NULL, 10);
    if (c->began >= measure_from) {
        if (!c->events) record(&first, now - c->began);
        record(&added, now > sent ? now - sent : 0);
    }
    c->events++;
}

static void event_lines(struct conn *c) {
    uint64_t now = now_ns();
    for (;;) {
        const char *from = c->content.at + c->line;
        const char *end = memchr(from, '\n', c->content.len - c->line);
        if (!end) return;
        event_line(c, from, (size_t)(end - from), now);
        c->line += (size_t)(end - from) + 1;
    }
}

static const char *wrong(const struct conn *c) {
    if (c->head.status != 200) return "not 200";
    if (expected && !memmem(c->content.at, c->content.len, expected, strlen(expected)))
        return "the answer lacks the expected text";
    if (chunks && c->events != chunks) return "not the expected number of events";
    if (chunks && !c->done) return "no [DONE]";
    return NULL;
}

static void finish(struct conn *c) {
    const char *why = wrong(c);
    uint64_t now = now_ns();
    if (why) {
        complain(c, why);
    } else {
        answered++;
        if (c->began >= measure_from && (limit || now <= stop_at)) {
            measured++;
            events += (unsigned long long)c->events;
            dones += (unsigned long long)c->done;
            record(&latency, now - c->began);
            last_answer = now;
        }
    }
    c->busy = 0;
    c->used++;
    c->start_at = why ? now + 10 * 1000 * 1000 : 0; /* a server that refuses is not hammered */
    if (c->head.close || c->head.framing == BY_CLOSE) {
        close_conn(c);
        reconnects++;
    }
    if (!c->start_at && may_issue(now)) issue(c, now);
}

static void lost(struct conn *c) {
    close_conn(c);
    if (!c->busy) return;
    c->busy = 0;
    c->start_at = now_ns();
    if (c->used && !c->in_body) {
        issued--; /* an idle connection that the server closed: not an answer, not an error */
        reconnects++;
        return;
    }
    complain(c, "the connection closed in the middle of an answer");
}

static void readable(struct conn *c) {
    buf_room(&c->in, 16 * 1024);
    ssize_t n = recv(c->fd, c->in.at + c->in.len, c->in.cap - c->in.len, MSG_DONTWAIT);
    if (n < 0 && errno == EAGAIN) return;
    if (n == 0 && c->busy && c->in_body && c->body.framing == BY_CLOSE) return finish(c);
    if (n <= 0 || !c->busy) return lost(c);
    c->in.len += (size_t)n;
    if (!c->in_body) {
        int got = head_parse(c->in.at, c->in.len, &c->head);
        if (got < 0) lost(c);
        if (got <= 0) return;
        body_start(&c->body, &c->head);
        buf_drop(&c->in, c->head.size);
        c->in_body = 1;
    }
    long took = body_feed(&c->body, c->in.at, c->in.len, &c->content);
    if (took < 0) return lost(c);
    buf_drop(&c->in, (size_t)took);
    if (chunks && c->content.len) event_lines(c);
    if (c->body.done) finish(c);
}

static void expire(struct conn *c, uint64_t now) {
    complain(c, "no answer in time");
    close_conn(c);
    c->busy = 0;
    c->start_at = now;
}

/* Starts what is due; returns milliseconds until the next start, or -1 when nothing runs. */
static int start_due(uint64_t now) {
    int busy = 0, waiting = 0;
    for (int i = 0; i < connections; i++) {
        struct conn *c = &conns[i];
        if (!c->busy && c->start_at && may_issue(now)) {
            waiting = 1;
            if (c->start_at <= now) {
                c->start_at = 0;
                issue(c, now);
            }
        }
        if (c->busy && now > c->began && now - c->began > (uint64_t)timeout_s * 1000000000u)
            expire(c, now);
        busy |= c->busy;
    }
    return waiting ? 1 : busy ? 100 : -1;
}

static void loop(void) {
    struct epoll_event ready[256];
    uint64_t swept = 0;
    int wait = 0;
    while (wait >= 0) {
        int n = epoll_wait(poller, ready, 256, wait);
        for (int i = 0; i < n; i++) readable(ready[i].data.ptr);
        uint64_t now = now_ns();
        if (n > 0 && now - swept < 1000 * 1000) continue;
        swept = now;
        wait = start_due(now);
    }
}

static void print_histogram(const char *name, const struct histogram *h) {
    printf(",\"%s\":{\"p50\":%llu,\"p90\":%llu,\"p99\":%llu,\"max\":%llu,\"mean\":%.1f}", name,
           quantile(h, 0.5), quantile(h, 0.9), quantile(h, 0.99), h->max,
           h->n ? (double)h->sum / (double)h->n : 0.0);
}

static void report(uint64_t began) {
    struct rusage r;
    getrusage(RUSAGE_SELF, &r);
    uint64_t from = measure_from > began ? measure_from : began;
    uint64_t to = limit || last_answer > stop_at ? last_answer : stop_at;
    double seconds = to > from ? (double)(to - from) / 1e9 : 0;
    printf("{\"requests\":%llu,\"answered\":%llu,\"issued\":%llu,\"errors\":%llu,"
           "\"reconnects\":%llu,\"seconds\":%.4f,\"rps\":%.2f,\"cpu_seconds\":%.3f",
           measured, answered, issued, errors, reconnects, seconds,
           seconds > 0 ? (double)measured / seconds : 0.0,
           (double)(r.ru_utime.tv_sec + r.ru_stime.tv_sec) +
               (double)(r.ru_utime.tv_usec + r.ru_stime.tv_usec) / 1e6);
    print_histogram("latency", &latency);
    if (chunks) {
        printf(",\"events\":%llu,\"done\":%llu", events, dones);
        print_histogram("first_chunk", &first);
        print_histogram("added_per_chunk", &added);
    }
    printf("}\n");
}

static void options(int argc, char **argv) {
    for (int o; (o = getopt(argc, argv, "p:u:b:H:c:d:n:w:e:s:t:")) != -1;) {
        if (o == 'p') port = atoi(optarg);
        else if (o == 'u') path = optarg;
        else if (o == 'b') template = optarg;
        else if (o == 'c') connections = atoi(optarg);
        else if (o == 'd') run_s = atof(optarg);
        else if (o == 'n') limit = strtoull(optarg, NULL, 10);
        else if (o == 'w') warmup_s = atof(optarg);
        else if (o == 'e') expected = optarg;
        else if (o == 's') chunks = atoi(optarg);
        else if (o == 't') timeout_s = atoi(optarg);
        else if (o != 'H') exit(2);
    }
    if (!port || !template || connections < 1 || (run_s <= 0) == !limit) {
        fprintf(stderr, "usage: load -p PORT -u PATH -b BODY [-H HEADER]... [-c CONNECTIONS] "
                        "[-d SECONDS | -n REQUESTS] [-w WARMUP] [-e TEXT] [-s CHUNKS] [-t S]\n");
        exit(2);
    }
}

int main(int argc, char **argv) {
    options(argc, argv);
    signal(SIGPIPE, SIG_IGN);
    prepare(argc, argv);
    struct histogram *all[] = {&latency, &first, &added};
    for (int i = 0; i < 3; i++)
        if (!(all[i]->bins = calloc(BINS, sizeof(uint32_t)))) die("calloc");
    if (getentropy(&random_state, sizeof random_state) < 0) die("getentropy");
    random_state |= 1;
    poller = epoll_create1(0);
    conns = calloc((size_t)connections, sizeof *conns);
    if (!conns) die("calloc");
    uint64_t began = now_ns();
    measure_from = began + (uint64_t)(warmup_s * 1e9);
    stop_at = measure_from + (uint64_t)(run_s * 1e9);
    for (int i = 0; i < connections; i++) {
        struct conn *c = &conns[i];
        c->fd = -1;
        c->request = malloc(request_len);
        if (!c->request) die("malloc");
        memcpy(c->request, head.at, request_len);
        c->start_at = began + (chunks ? (uint64_t)i * STAGGER_NS : 0);
    }
    loop();
    report(began);
    return answered ? 0 : 1;
}
