/* Texts with marked places that differ from request to request, so that a request is made once
 * and only some bytes of it change:
 *   %n  a counter of 16 digits
 *   %d  a digit from 1 to 5, each in turn
 *   %k  a key: a random line of a file whose lines are equally long
 *   %r  48 random characters
 * All texts of one request hold the same %n, %d and %k. */
#ifndef BENCH_TEMPLATE_H
#define BENCH_TEMPLATE_H

#include "http1.h"

#define MAX_PLACES 8
#define COUNTER 16
#define RANDOM 48

struct text {
    struct buf bytes;
    size_t places[MAX_PLACES], n_places;
    char kinds[MAX_PLACES];
};

struct keys {
    struct buf bytes;
    size_t width, n; /* without and with its line end: width, width + 1 */
};

static struct keys keys;
static uint64_t random_state;

static inline uint64_t random_bits(void) { /* xorshift64 */
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    return random_state ^= random_state << 17;
}

static inline void keys_read(const char *path) {
    FILE *file = fopen(path, "r");
    if (!file) die(path);
    for (size_t got = 1; got;) {
        buf_room(&keys.bytes, 64 * 1024);
        got = fread(keys.bytes.at + keys.bytes.len, 1, 64 * 1024, file);
        keys.bytes.len += got;
    }
    fclose(file);
    const char *end = memchr(keys.bytes.at, '\n', keys.bytes.len);
    keys.width = end ? (size_t)(end - keys.bytes.at) : 0;
    keys.n = keys.bytes.len / (keys.width + 1);
    for (size_t i = 0; i < keys.n; i++)
        if (!keys.width || keys.bytes.at[(i + 1) * (keys.width + 1) - 1] != '\n') {
            fprintf(stderr, "%s: the lines are not equally long\n", path);
            exit(2);
        }
}

static inline size_t place_width(char kind) {
    return kind == 'n' ? COUNTER : kind == 'r' ? RANDOM : kind == 'd' ? 1 : keys.width;
}

/* Appends what `from` makes to the text; a key needs keys_read before. */
static inline void text_add(struct text *t, const char *from) {
    for (const char *p = from; *p; p++) {
        int marked = p[0] == '%' && p[1] && (strchr("nrd", p[1]) || (p[1] == 'k' && keys.n));
        if (!marked || t->n_places == MAX_PLACES) {
            buf_add(&t->bytes, p, 1);
            continue;
        }
        size_t n = place_width(*++p);
        t->kinds[t->n_places] = *p;
        t->places[t->n_places++] = t->bytes.len;
        buf_room(&t->bytes, n);
        memset(t->bytes.at + t->bytes.len, ' ', n);
        t->bytes.len += n;
    }
}

/* Appends a text that was made by itself. */
static inline void text_join(struct text *t, const struct text *more) {
    for (size_t i = 0; i < more->n_places && t->n_places < MAX_PLACES; i++) {
        t->kinds[t->n_places] = more->kinds[i];
        t->places[t->n_places++] = t->bytes.len + more->places[i];
    }
    buf_add(&t->bytes, more->bytes.at, more->bytes.len);
}

static inline char *text_copy(const struct text *t) {
    char *copy = malloc(t->bytes.len + 1);
    if (!copy) die("malloc");
    if (t->bytes.len) memcpy(copy, t->bytes.at, t->bytes.len);
    copy[t->bytes.len] = 0;
    return copy;
}

/* Writes the places of `t` in a copy of it. */
static inline void text_fill(const struct text *t, char *copy, unsigned long long counter,
                             size_t key) {
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz etaoin";
    for (size_t i = 0; i < t->n_places; i++) {
        char *at = copy + t->places[i];
        if (t->kinds[i] == 'n') {
            unsigned long long n = counter;
            for (int k = COUNTER; k--; n /= 10) at[k] = (char)('0' + n % 10);
        } else if (t->kinds[i] == 'd') {
            *at = (char)('1' + counter % 5);
        } else if (t->kinds[i] == 'k') {
            memcpy(at, keys.bytes.at + key * (keys.width + 1), keys.width);
        } else {
            for (int k = 0; k < RANDOM; k += 12) {
                uint64_t bits = random_bits();
                for (int l = 0; l < 12; l++, bits >>= 5) at[k + l] = letters[bits & 31];
            }
        }
    }
}

#endif
