/* What the data plane does in C: the shortest way of a stream's chunk, from what was read to the
 * client's socket, and memory for Python's small objects in huge pages (at the end).
 *
 * Relay(fd, events, texts, readers, rest, told) stands for one stream with one reader. While it is
 * set it takes each piece of bytes that is exactly one HTTP chunk with exactly one event of a known
 * mould (modelyard/inference/mould.py), keeps the event and its text, and sends the chunk as it
 * came. Anything else ends that: it returns False, and Python does the whole work, as it does where
 * this is not compiled. Whenever it ends, `told` hears once how much went through. Everything here
 * runs under the interpreter's lock, in the event loop's thread; the socket does not block.
 */
#define PY_SSIZE_T_CLEAN
#include "_relay.h"

#include <structmember.h>

#include <stdint.h>
#include <sys/mman.h>
#include <sys/socket.h>

#ifndef MSG_NOSIGNAL
#define MSG_NOSIGNAL 0
#endif

static int relay_traverse(Relay *self, visitproc visit, void *arg) {
    Py_VISIT(self->events);
    Py_VISIT(self->texts);
    Py_VISIT(self->readers);
    Py_VISIT(self->rest);
    Py_VISIT(self->told);
    return 0;
}

static int relay_free_all(Relay *self) {
    Py_CLEAR(self->events);
    Py_CLEAR(self->texts);
    Py_CLEAR(self->readers);
    Py_CLEAR(self->rest);
    Py_CLEAR(self->told);
    Py_CLEAR(self->head);
    Py_CLEAR(self->tail);
    return 0;
}

static void relay_dealloc(Relay *self) {
    PyObject_GC_UnTrack(self);
    relay_free_all(self);
    Py_TYPE(self)->tp_free((PyObject *)self);
}

/* Tell what went through since it was last told. */
static int tell(Relay *self) {
    Py_ssize_t count = self->count, size = self->size, chars = self->chars;
    self->count = self->size = self->chars = 0;
    if (!count) return 0;
    PyObject *done = PyObject_CallFunction(self->told, "nnn", count, size, chars);
    Py_XDECREF(done);
    return done ? 0 : -1;
}

/* Give the transport what the socket did not take. */
static int give_rest(Relay *self, const char *at, Py_ssize_t n) {
    PyObject *left = PyBytes_FromStringAndSize(at, n);
    PyObject *done = left ? PyObject_CallOneArg(self->rest, left) : NULL;
    Py_XDECREF(left);
    Py_XDECREF(done);
    return done ? 0 : -1;
}

int relay_halt(Relay *self) {
    PyObject *kept = NULL; /* what the poller passed on last, of it the unsent at the end */
    Py_ssize_t unsent = 0;
    int failed = 0;
    Py_INCREF(self); /* the poller's reference may be the last */
    if (self->seat) {
        kept = poller_leave(self, &unsent);
        failed = !kept || relay_keep(self, PyBytes_AS_STRING(kept), PyBytes_GET_SIZE(kept)) < 0;
    }
    Py_CLEAR(self->head);
    Py_CLEAR(self->tail);
    failed = failed || tell(self) < 0;
    if (!failed && unsent)
        failed = give_rest(self, PyBytes_AS_STRING(kept) + PyBytes_GET_SIZE(kept) - unsent, unsent);
    Py_XDECREF(kept);
    Py_DECREF(self);
    return failed ? -1 : 0;
}

Py_ssize_t relay_chunk(const char *at, Py_ssize_t n, Py_ssize_t *body) {
    Py_ssize_t size = 0, i = 0;
    for (; i < 5 && i < n; i++) {
        char c = at[i];
        int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10
                  : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
        if (digit < 0) break;
        size = size * 16 + digit;
    }
    Py_ssize_t end = i + size + 4;
    if (!i || i > 4 || at[0] == '0' || n < end) return 0;
    if (at[i] != '\r' || at[i + 1] != '\n' || at[end - 2] != '\r' || at[end - 1] != '\n') return 0;
    *body = i + 2;
    return end;
}

/* The text of an event of the mould, as Mould.text has it; NULL for any other. */
static PyObject *text_of(const Relay *self, const char *at, Py_ssize_t n) {
    Py_ssize_t before = PyBytes_GET_SIZE(self->head), after = PyBytes_GET_SIZE(self->tail);
    if (n <= before + after) return NULL;
    if (memcmp(at, PyBytes_AS_STRING(self->head), (size_t)before)) return NULL;
    if (memcmp(at + n - after, PyBytes_AS_STRING(self->tail), (size_t)after)) return NULL;
    at += before;
    n -= before + after;
    for (Py_ssize_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)at[i];
        if (c < 32 || c == '"' || c == '\\') return NULL;
    }
    PyObject *text = PyUnicode_DecodeUTF8(at, n, NULL);
    if (!text) PyErr_Clear();
    return text;
}

static int send_on(Relay *self, PyObject *chunk) {
    Py_ssize_t n = PyBytes_GET_SIZE(chunk), sent = 0;
    sent = send(self->fd, PyBytes_AS_STRING(chunk), (size_t)n, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent == n) return 0;
    if (sent < 0) sent = 0; /* whatever it was: the transport will meet it, too */
    if (relay_halt(self) < 0) return -1;
    return give_rest(self, PyBytes_AS_STRING(chunk) + sent, n - sent);
}

/* Append an event and its text to the log. */
static int keep(Relay *self, const char *at, Py_ssize_t size, PyObject *text) {
    PyObject *event = PyBytes_FromStringAndSize(at, size);
    int failed = !event || PyList_Append(self->events, event) < 0 ||
                 PyList_Append(self->texts, text) < 0;
    self->count++;
    self->size += size;
    self->chars += PyUnicode_GET_LENGTH(text);
    self->room -= size;
    Py_XDECREF(event);
    return failed ? -1 : 0;
}

int relay_keep(Relay *self, const char *at, Py_ssize_t n) {
    for (Py_ssize_t body = 0, end; n; at += end, n -= end) {
        end = relay_chunk(at, n, &body);
        PyObject *text = end ? text_of(self, at + body, end - body - 2) : NULL;
        if (!text) {
            PyErr_SetString(PyExc_SystemError, "the poller took what the relay does not");
            return -1;
        }
        int failed = keep(self, at + body, end - body - 2, text);
        Py_DECREF(text);
        if (failed) return -1;
    }
    return 0;
}

static PyObject *relay_call(PyObject *callable, PyObject *const *args, size_t nargs, PyObject *kw) {
    Relay *self = (Relay *)callable;
    if (PyVectorcall_NARGS(nargs) != 1 || kw || !PyBytes_CheckExact(args[0])) {
        PyErr_SetString(PyExc_TypeError, "one bytes object is needed");
        return NULL;
    }
    if (!self->head) Py_RETURN_FALSE;
    PyObject *chunk = args[0], *text = NULL;
    const char *at = PyBytes_AS_STRING(chunk);
    Py_ssize_t n = PyBytes_GET_SIZE(chunk), start = 0, end = relay_chunk(at, n, &start);
    Py_ssize_t size = n - start - 2;
    if (end && end == n && !self->seat && size <= self->room &&
        PyList_GET_SIZE(self->readers) == 1)
        text = text_of(self, at + start, size);
    if (!text) {
        if (relay_halt(self) < 0) return NULL;
        Py_RETURN_FALSE;
    }
    int failed = keep(self, at + start, size, text);
    Py_DECREF(text);
    if (failed || send_on(self, chunk) < 0) return NULL;
    Py_RETURN_TRUE;
}

static PyObject *relay_set(Relay *self, PyObject *args) {
    PyObject *head, *tail;
    Py_ssize_t room;
    if (!PyArg_ParseTuple(args, "SSn", &head, &tail, &room)) return NULL;
    if (relay_halt(self) < 0) return NULL;
    self->head = Py_NewRef(head);
    self->tail = Py_NewRef(tail);
    self->room = room;
    Py_RETURN_NONE;
}

static PyObject *relay_stop(Relay *self, PyObject *Py_UNUSED(ignored)) {
    if (relay_halt(self) < 0) return NULL;
    Py_RETURN_NONE;
}

static PyObject *relay_catch_up(Relay *self, PyObject *Py_UNUSED(ignored)) {
    if (self->seat) {
        PyObject *kept = poller_kept(self);
        int failed = !kept || relay_keep(self, PyBytes_AS_STRING(kept), PyBytes_GET_SIZE(kept)) < 0;
        Py_XDECREF(kept);
        if (failed) return NULL;
    }
    if (tell(self) < 0) return NULL;
    Py_RETURN_NONE;
}

static PyObject *relay_moved(Relay *self, PyObject *Py_UNUSED(ignored)) {
    if (self->seat) poller_moved(self);
    int moved = self->moved;
    self->moved = 0;
    return PyBool_FromLong(moved);
}

static PyObject *relay_new(PyTypeObject *type, PyObject *args, PyObject *kw) {
    PyObject *events, *texts, *readers, *rest, *told;
    int fd;
    if (kw && PyDict_GET_SIZE(kw)) {
        PyErr_SetString(PyExc_TypeError, "Relay takes no keyword arguments");
        return NULL;
    }
    if (!PyArg_ParseTuple(args, "iO!O!O!OO", &fd, &PyList_Type, &events, &PyList_Type, &texts,
                          &PyList_Type, &readers, &rest, &told))
        return NULL;
    Relay *self = (Relay *)type->tp_alloc(type, 0);
    if (!self) return NULL;
    self->vectorcall = relay_call;
    self->fd = fd;
    self->events = Py_NewRef(events);
    self->texts = Py_NewRef(texts);
    self->readers = Py_NewRef(readers);
    self->rest = Py_NewRef(rest);
    self->told = Py_NewRef(told);
    return (PyObject *)self;
}

static PyMethodDef relay_methods[] = {
    {"set", (PyCFunction)relay_set, METH_VARARGS, "Take events of this mould: head, tail, room."},
    {"halt", (PyCFunction)relay_stop, METH_NOARGS, "Take nothing more; tell what went through."},
    {"catch_up", (PyCFunction)relay_catch_up, METH_NOARGS, "Tell what went through, and go on."},
    {"moved", (PyCFunction)relay_moved, METH_NOARGS, "Whether the poller read since asked last."},
    {NULL, NULL, 0, NULL},
};

PyTypeObject relay_type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "modelyard.inference._relay.Relay",
    .tp_basicsize = sizeof(Relay),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL,
    .tp_doc = "Passes a stream's chunks on to a socket; see the source.",
    .tp_new = relay_new,
    .tp_dealloc = (destructor)relay_dealloc,
    .tp_traverse = (traverseproc)relay_traverse,
    .tp_clear = (inquiry)relay_free_all,
    .tp_call = PyVectorcall_Call,
    .tp_vectorcall_offset = offsetof(Relay, vectorcall),
    .tp_methods = relay_methods,
};

/* Arenas of Python's allocator in pages of 2 MiB, two arenas (of 1 MiB) in each: at a few requests
 * a second most of what a request touches has left the processor's tables of pages, and 512 times
 * fewer pages are found again faster, and first touched at once. Only where the system gives huge
 * pages to who asks for them; where it has none free, small ones are in their place.
 */
#ifdef MADV_HUGEPAGE
#define HUGE ((size_t)2 << 20)

static PyObjectArenaAllocator before;
static char *spare; /* the second half of the last page */

static void *arena_alloc(void *Py_UNUSED(context), size_t size) {
    if (size != HUGE / 2) return before.alloc(before.ctx, size);
    if (spare) {
        char *half = spare;
        spare = NULL;
        return half;
    }
    char *at = mmap(NULL, 2 * HUGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED) return before.alloc(before.ctx, size);
    char *page = (char *)(((uintptr_t)at + HUGE - 1) & ~(uintptr_t)(HUGE - 1));
    if (page > at) munmap(at, (size_t)(page - at));
    munmap(page + HUGE, (size_t)(at + HUGE - page));
    madvise(page, HUGE, MADV_HUGEPAGE);
    spare = page + HUGE / 2;
    return page;
}

/* Also for what the allocator before this one gave, which unmaps in the same way. */
static void arena_free(void *Py_UNUSED(context), void *at, size_t size) {
    munmap(at, size);
}
#endif

static PyObject *use_huge_pages(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored)) {
#ifdef MADV_HUGEPAGE
    if (!before.alloc) {
        PyObjectArenaAllocator ours = {NULL, arena_alloc, arena_free};
        PyObject_GetArenaAllocator(&before);
        PyObject_SetArenaAllocator(&ours);
    }
    Py_RETURN_TRUE;
#else
    Py_RETURN_FALSE;
#endif
}

static PyMethodDef functions[] = {
    {"use_huge_pages", use_huge_pages, METH_NOARGS, "Ask for huge pages from now on."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT, .m_name = "_relay", .m_doc = "See the source.", .m_size = -1,
    .m_methods = functions,
};

PyMODINIT_FUNC PyInit__relay(void) {
    PyObject *made = PyModule_Create(&module);
    if (made && PyModule_AddType(made, &relay_type) < 0) Py_CLEAR(made);
#ifdef __linux__
    if (made && PyModule_AddType(made, &poller_type) < 0) Py_CLEAR(made);
#endif
    return made;
}
