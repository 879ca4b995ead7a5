/* A closed-loop HTTP load generator for benchmarks: one thread, epoll, keep-alive.
 *
 *   load -p PORT -u PATH [-m METHOD] [-b BODY] [-H 'Name: value']... [-c CONNECTIONS]
 *        [-d SECONDS | -n REQUESTS] [-w WARMUP_SECONDS] [-k KEYS] [-o STATUS]
 *        [-e EXPECTED [-x TIMES]] [-s CHUNKS] [-t TIMEOUT]
 *
 * PATH, BODY and EXPECTED may have marked places (template.h): a counter, a key, random text.
 * -m  POST with a body, else GET, unless this says otherwise
 * -k  a file of keys, one a line, equally long
 * -o  the status that each answer must have; 200 unless given
 * -e  text that each answer must hold; with -x exactly so many times
 * -s  answers are streams of so many timed events ("@<ns>", see upstream.c), ended by [DONE]
 * Answers within the time count, and how long each request took that began in it. Prints one JSON
 * object. Times are in microseconds. Exit status 1: no request was answered.
 */
#define _GNU_SOURCE
#include "template.h"

#include <arpa/inet.h>
#include <getopt.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>

#define BINS 4000000 /* one each microsecond; what is longer counts in the last */
#define MAX_ERRORS 100 /* then nothing more is asked */
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
    char *request, *expected;
    uint64_t start_at, began;
    size_t line; /* -s: content read so far, as lines */
    int events, done;
};

static int port, connections = 1, chunks, timeout_s = 60, status = 200, times, poller;
static const char *path = "/", *method, *template, *key_file, *wanted;
static double run_s, warmup_s;
static unsigned long long limit;
static struct text request, expected;
static struct conn *conns;

static struct histogram latency, first, added;
static unsigned long long counter, issued, answered, measured, errors, reconnects, events, dones;
static uint64_t measure_from, stop_at, last_answer;

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

/* Makes the request once; only the marked places change from one to the next. */
static void prepare(int argc, char **argv) {
    struct text body = {0};
    char line[128];
    if (key_file) keys_read(key_file);
    if (template) text_add(&body, template);
    text_add(&request, method ? method : template ? "POST" : "GET");
    text_add(&request, " ");
    text_add(&request, path);
    snprintf(line, sizeof line, " HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n", port);
    text_add(&request, line);
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], "-H") == 0 && i + 1 < argc) {
            buf_add(&request.bytes, argv[i + 1], strlen(argv[i + 1]));
            buf_add(&request.bytes, "\r\n", 2);
            i++;
        }
    if (template) {
        snprintf(line, sizeof line,
                 "Content-Type: application/json\r\nContent-Length: %zu\r\n", body.bytes.len);
        text_add(&request, line);
    }
    text_add(&request, "\r\n");
    text_join(&request, &body);
    if (wanted) text_add(&expected, wanted);
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
    size_t key = keys.n ? random_bits() % keys.n : 0;
    text_fill(&request, c->request, counter, key);
    text_fill(&expected, c->expected, counter++, key);
    issued++;
    c->busy = 1;
    c->in_body = c->events = c->done = 0;
    c->content.len = c->line = 0;
    c->began = now_ns();
    size_t n = request.bytes.len;
    if (send(c->fd, c->request, n, MSG_NOSIGNAL) == (ssize_t)n) return;
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

static int found(const struct conn *c) {
    int n = 0;
    const char *at = c->content.at, *end = at + c->content.len;
    while ((at = memmem(at, (size_t)(end - at), c->expected, expected.bytes.len))) {
        at += expected.bytes.len;
        if (n++ >= times) break;
    }
    return n;
}

static const char *wrong(const struct conn *c) {
    if (c->head.status != status) return "not the expected status";
    if (wanted && (times ? found(c) != times : !found(c))) return "not the expected text";
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
        if (now >= measure_from && (limit || now <= stop_at)) {
            measured++;
            events += (unsigned long long)c->events;
            dones += (unsigned long long)c->done;
            last_answer = now;
        }
        if (c->began >= measure_from) record(&latency, now - c->began);
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
    for (int o; (o = getopt(argc, argv, "p:u:m:b:H:c:d:n:w:k:o:e:x:s:t:")) != -1;) {
        if (o == 'p') port = atoi(optarg);
        else if (o == 'u') path = optarg;
        else if (o == 'm') method = optarg;
        else if (o == 'b') template = optarg;
        else if (o == 'c') connections = atoi(optarg);
        else if (o == 'd') run_s = atof(optarg);
        else if (o == 'n') limit = strtoull(optarg, NULL, 10);
        else if (o == 'w') warmup_s = atof(optarg);
        else if (o == 'k') key_file = optarg;
        else if (o == 'o') status = atoi(optarg);
        else if (o == 'e') wanted = optarg;
        else if (o == 'x') times = atoi(optarg);
        else if (o == 's') chunks = atoi(optarg);
        else if (o == 't') timeout_s = atoi(optarg);
        else if (o != 'H') exit(2);
    }
    if (!port || connections < 1 || (run_s <= 0) == !limit) {
        fprintf(stderr, "usage: load -p PORT -u PATH [-m METHOD] [-b BODY] [-H HEADER]... "
                        "[-c CONNECTIONS] [-d SECONDS | -n REQUESTS] [-w WARMUP] [-k KEYS] "
                        "[-o STATUS] [-e TEXT [-x TIMES]] [-s CHUNKS] [-t S]\n");
        exit(2);
    }
}

int main(int argc, char **argv) {
    options(argc, argv);
    signal(SIGPIPE, SIG_IGN);
    if (getentropy(&random_state, sizeof random_state) < 0) die("getentropy");
    random_state |= 1;
    prepare(argc, argv);
    struct histogram *all[] = {&latency, &first, &added};
    for (int i = 0; i < 3; i++)
        if (!(all[i]->bins = calloc(BINS, sizeof(uint32_t)))) die("calloc");
    poller = epoll_create1(0);
    conns = calloc((size_t)connections, sizeof *conns);
    if (!conns) die("calloc");
    uint64_t began = now_ns();
    measure_from = began + (uint64_t)(warmup_s * 1e9);
    stop_at = measure_from + (uint64_t)(run_s * 1e9);
    for (int i = 0; i < connections; i++) {
        struct conn *c = &conns[i];
        c->fd = -1;
        c->request = text_copy(&request);
        c->expected = text_copy(&expected);
        c->start_at = began + (chunks ? (uint64_t)i * STAGGER_NS : 0);
    }
    loop();
    report(began);
    return answered ? 0 : 1;
}
