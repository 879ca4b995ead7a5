/* A thread that reads for relays, so that a chunk of a stream wakes no Python.
 *
 * Poller.take(relay, fd, back) lets the thread read the socket `fd` in the event loop's place. As
 * long as what comes are whole chunks of the relay's mould they are sent on and kept. With the
 * first bytes that are not, or that the client's socket does not take, at the end and at an error,
 * the thread is done with it: fileno() becomes readable, and collect() gives pairs of `back` and
 * the bytes that were read and not taken. Relay.halt() ends it at once. By then the relay's log
 * holds all that went through.
 *
 * The thread never takes the interpreter's lock and touches no object of Python's. A seat's first
 * part is guarded by the poller's lock while its `from` is open; the rest is the event loop's.
 */
#ifdef __linux__
#define PY_SSIZE_T_CLEAN
#include "_relay.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define READ ((size_t)8192) /* bytes read at once; a longer chunk goes the longer way */
#define SPACE (2 * READ)    /* bytes kept of a stream, at first */
#define SPARE 64            /* free seats that keep their memory */
#define STACK ((size_t)256 << 10)
#define AT_ONCE 64

typedef struct Poller Poller;

struct Seat {
    int from, to; /* sockets; `from` is -1 once nobody reads here */
    int moved;
    const char *head, *tail;
    size_t before, after; /* bytes of head and tail */
    size_t room;          /* bytes of events that may still be taken */
    char *kept;           /* chunks, then what was read and not taken */
    size_t size, space;
    size_t unsent, over; /* bytes: of the chunks, and after them */
    Seat *next;          /* of those that are done, or free */
    Poller *poller;
    Relay *relay; /* NULL once it left; a reference */
    PyObject *back;
};

struct Poller {
    PyObject_HEAD
    int poll, bell, end; /* epoll; readable when some are done; readable when it is to end */
    int running;
    pthread_t thread;
    pthread_mutex_t lock;
    Seat *done, *free;
    int spare; /* free seats that have memory */
};

/* Whether this is text that JSON need not escape, in UTF-8 (Unicode, table 3-7). */
static int plain(const unsigned char *at, size_t n) {
    while (n) {
        unsigned char c = *at, low = 0x80, high = 0xbf;
        size_t more = c < 0x80 ? 0 : c < 0xc2 ? n : c < 0xe0 ? 1 : c < 0xf0 ? 2 : c < 0xf5 ? 3 : n;
        if (more >= n || c < 32 || c == '"' || c == '\\') return 0;
        if (c == 0xe0) low = 0xa0;
        if (c == 0xed) high = 0x9f;
        if (c == 0xf0) low = 0x90;
        if (c == 0xf4) high = 0x8f;
        for (size_t i = 1; i <= more; i++, low = 0x80, high = 0xbf)
            if (at[i] < low || at[i] > high) return 0;
        at += more + 1;
        n -= more + 1;
    }
    return 1;
}

static int fits(const Seat *seat, const char *at, size_t n) {
    if (n > seat->room || n <= seat->before + seat->after) return 0;
    if (memcmp(at, seat->head, seat->before)) return 0;
    if (memcmp(at + n - seat->after, seat->tail, seat->after)) return 0;
    return plain((const unsigned char *)at + seat->before, n - seat->before - seat->after);
}

static int make_room(Seat *seat) {
    if (seat->space - seat->size >= READ) return 1;
    char *kept = realloc(seat->kept, 2 * seat->space);
    if (!kept) return 0;
    seat->kept = kept;
    seat->space *= 2;
    return 1;
}

/* Send on what fits of the bytes just read; whether that was all. */
static int pass_on(Seat *seat, char *at, size_t n) {
    size_t taken = 0;
    for (Py_ssize_t body, end; taken < n; taken += (size_t)end) {
        end = relay_chunk(at + taken, (Py_ssize_t)(n - taken), &body);
        size_t size = end ? (size_t)(end - body - 2) : 0;
        if (!end || !fits(seat, at + taken + body, size)) break;
        seat->room -= size;
    }
    seat->size += taken;
    seat->over = n - taken;
    if (!taken) return 0;
    ssize_t sent = send(seat->to, at, taken, MSG_DONTWAIT | MSG_NOSIGNAL);
    seat->unsent = taken - (sent < 0 ? 0 : (size_t)sent); /* at an error the transport meets it */
    return !seat->over && !seat->unsent;
}

/* Read all there is and send it on; whether to go on reading. */
static int carry(Seat *seat, uint32_t events) {
    if (events & EPOLLERR) return 0; /* the event loop is to meet it */
    for (;;) {
        if (!make_room(seat)) return 0;
        char *at = seat->kept + seat->size;
        ssize_t n = recv(seat->from, at, READ, MSG_DONTWAIT);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return errno == EAGAIN;
        if (n == 0) return 0;
        seat->moved = 1;
        if (!pass_on(seat, at, (size_t)n)) return 0;
        if ((size_t)n < READ) return !(events & (EPOLLRDHUP | EPOLLHUP)); /* nor is its end */
    }
}

/* Read no more here, and let the event loop know. With the lock. */
static void over(Poller *self, Seat *seat) {
    uint64_t one = 1;
    epoll_ctl(self->poll, EPOLL_CTL_DEL, seat->from, NULL);
    seat->from = -1;
    seat->next = self->done;
    self->done = seat;
    if (!seat->next && write(self->bell, &one, sizeof one) < 0) return; /* it rings already */
}

static void *serve(void *of) {
    Poller *self = of;
    struct epoll_event ready[AT_ONCE];
    for (;;) {
        int n = epoll_wait(self->poll, ready, AT_ONCE, -1);
        for (int i = 0; i < n; i++) {
            Seat *seat = ready[i].data.ptr; /* never freed; perhaps another's by now */
            if (!seat) return NULL;
            pthread_mutex_lock(&self->lock);
            if (seat->from >= 0 && !carry(seat, ready[i].events)) over(self, seat);
            pthread_mutex_unlock(&self->lock);
        }
    }
}

PyObject *poller_kept(Relay *relay) {
    Seat *seat = relay->seat;
    char *fresh = malloc(SPACE), *kept = NULL;
    size_t size = 0;
    pthread_mutex_lock(&seat->poller->lock);
    if (seat->from >= 0 && fresh) { /* else it is about to be collected */
        kept = seat->kept;
        size = seat->size;
        seat->kept = fresh;
        seat->space = SPACE;
        seat->size = 0;
        fresh = NULL;
    }
    pthread_mutex_unlock(&seat->poller->lock);
    free(fresh);
    PyObject *found = PyBytes_FromStringAndSize(kept, (Py_ssize_t)size);
    free(kept);
    return found;
}

PyObject *poller_leave(Relay *relay, Py_ssize_t *unsent) {
    Seat *seat = relay->seat;
    pthread_mutex_lock(&seat->poller->lock);
    if (seat->from >= 0) over(seat->poller, seat);
    pthread_mutex_unlock(&seat->poller->lock);
    relay->moved |= seat->moved;
    relay->seat = NULL;
    seat->relay = NULL;
    *unsent = (Py_ssize_t)seat->unsent;
    PyObject *kept = PyBytes_FromStringAndSize(seat->kept, (Py_ssize_t)seat->size);
    Py_DECREF(relay);
    return kept;
}

void poller_moved(Relay *relay) {
    pthread_mutex_lock(&relay->seat->poller->lock);
    relay->moved |= relay->seat->moved;
    relay->seat->moved = 0;
    pthread_mutex_unlock(&relay->seat->poller->lock);
}

static void vacate(Poller *self, Seat *seat) {
    if (seat->kept && (seat->space > 2 * SPACE || self->spare == SPARE)) {
        free(seat->kept);
        seat->kept = NULL;
    }
    if (seat->kept) self->spare++;
    Py_CLEAR(seat->back);
    seat->next = self->free;
    self->free = seat;
    Py_DECREF(self); /* the event loop has another reference, or could not be here */
}

static Seat *seat_for(Poller *self) {
    Seat *seat = self->free;
    if (!seat && !(seat = calloc(1, sizeof *seat))) return NULL;
    if (seat == self->free) self->free = seat->next;
    if (seat->kept) self->spare--;
    size_t space = seat->kept ? seat->space : SPACE;
    Seat blank = {.from = -1, .poller = self, .kept = seat->kept, .space = space};
    pthread_mutex_lock(&self->lock); /* the thread may hold an event of the one who sat here */
    *seat = blank;
    pthread_mutex_unlock(&self->lock);
    Py_INCREF(self);
    if (seat->kept || (seat->kept = malloc(SPACE))) return seat;
    vacate(self, seat);
    return NULL;
}

static PyObject *poller_take(Poller *self, PyObject *args) {
    PyObject *one, *back;
    int from;
    if (!PyArg_ParseTuple(args, "OiO", &one, &from, &back)) return NULL;
    Relay *relay = (Relay *)one;
    if (!Py_IS_TYPE(one, &relay_type) || !relay->head || relay->seat || !self->running)
        Py_RETURN_FALSE;
    Seat *seat = seat_for(self);
    if (!seat) return PyErr_NoMemory();
    seat->to = relay->fd;
    seat->head = PyBytes_AS_STRING(relay->head); /* the relay keeps them as long as it sits here */
    seat->before = (size_t)PyBytes_GET_SIZE(relay->head);
    seat->tail = PyBytes_AS_STRING(relay->tail);
    seat->after = (size_t)PyBytes_GET_SIZE(relay->tail);
    seat->room = relay->room > 0 ? (size_t)relay->room : 0;
    struct epoll_event what = {.events = EPOLLIN | EPOLLRDHUP | EPOLLET, .data.ptr = seat};
    pthread_mutex_lock(&self->lock);
    int failed = epoll_ctl(self->poll, EPOLL_CTL_ADD, from, &what);
    if (!failed) seat->from = from;
    pthread_mutex_unlock(&self->lock);
    if (failed) {
        vacate(self, seat);
        Py_RETURN_FALSE;
    }
    seat->back = Py_NewRef(back);
    seat->relay = (Relay *)Py_NewRef(one);
    relay->seat = seat;
    relay->moved = 0;
    Py_RETURN_TRUE;
}

static PyObject *poller_collect(Poller *self, PyObject *Py_UNUSED(ignored)) {
    uint64_t rung;
    PyObject *found = PyList_New(0);
    if (!found) return NULL;
    pthread_mutex_lock(&self->lock);
    Seat *seat = self->done, *next;
    self->done = NULL;
    ssize_t n = read(self->bell, &rung, sizeof rung); /* it does not block */
    pthread_mutex_unlock(&self->lock);
    (void)n;
    for (; seat; seat = next) {
        next = seat->next;
        if (seat->relay && relay_halt(seat->relay) < 0) PyErr_WriteUnraisable(seat->back);
        PyObject *pair = Py_BuildValue("Oy#", seat->back, seat->kept + seat->size,
                                       (Py_ssize_t)seat->over);
        if (!pair || PyList_Append(found, pair) < 0) PyErr_WriteUnraisable(seat->back);
        Py_XDECREF(pair);
        vacate(self, seat);
    }
    return found;
}

static PyObject *poller_fileno(Poller *self, PyObject *Py_UNUSED(ignored)) {
    return PyLong_FromLong(self->bell);
}

static void stop(Poller *self) {
    uint64_t one = 1;
    if (!self->running) return;
    self->running = 0;
    Py_BEGIN_ALLOW_THREADS
    if (write(self->end, &one, sizeof one) > 0) pthread_join(self->thread, NULL);
    Py_END_ALLOW_THREADS
}

static PyObject *poller_close(Poller *self, PyObject *Py_UNUSED(ignored)) {
    stop(self);
    Py_RETURN_NONE;
}

static void poller_dealloc(Poller *self) {
    stop(self);
    for (Seat *seat = self->free, *next; seat; seat = next) {
        next = seat->next;
        free(seat->kept);
        free(seat);
    }
    if (self->poll >= 0) close(self->poll);
    if (self->bell >= 0) close(self->bell);
    if (self->end >= 0) close(self->end);
    pthread_mutex_destroy(&self->lock);
    Py_TYPE(self)->tp_free((PyObject *)self);
}

/* All signals are for the other threads. */
static int begin(Poller *self) {
    pthread_attr_t how;
    sigset_t all, before;
    if (pthread_attr_init(&how)) return -1;
    pthread_attr_setstacksize(&how, STACK);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    self->running = !pthread_create(&self->thread, &how, serve, self);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&how);
    return self->running ? 0 : -1;
}

static PyObject *poller_new(PyTypeObject *type, PyObject *args, PyObject *Py_UNUSED(kw)) {
    if (!PyArg_ParseTuple(args, "")) return NULL;
    Poller *self = (Poller *)type->tp_alloc(type, 0);
    if (!self) return NULL;
    pthread_mutex_init(&self->lock, NULL);
    self->poll = epoll_create1(EPOLL_CLOEXEC);
    self->bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    self->end = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    struct epoll_event what = {.events = EPOLLIN, .data.ptr = NULL};
    if (self->poll < 0 || self->bell < 0 || self->end < 0 ||
        epoll_ctl(self->poll, EPOLL_CTL_ADD, self->end, &what) < 0 || begin(self) < 0) {
        PyErr_SetFromErrno(PyExc_OSError);
        Py_DECREF(self);
        return NULL;
    }
    return (PyObject *)self;
}

static PyMethodDef methods[] = {
    {"take", (PyCFunction)poller_take, METH_VARARGS, "Read a socket for a relay."},
    {"collect", (PyCFunction)poller_collect, METH_NOARGS, "Those that are done, and what is left."},
    {"fileno", (PyCFunction)poller_fileno, METH_NOARGS, "Readable when some are done."},
    {"close", (PyCFunction)poller_close, METH_NOARGS, "End the thread."},
    {NULL, NULL, 0, NULL},
};

PyTypeObject poller_type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "modelyard.inference._relay.Poller",
    .tp_basicsize = sizeof(Poller),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_doc = "A thread that reads for relays; see the source.",
    .tp_new = poller_new,
    .tp_dealloc = (destructor)poller_dealloc,
    .tp_methods = methods,
};
#endif
