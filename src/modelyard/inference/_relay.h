/* What the relay of a stream (_relay.c) and the poller that reads for it (_poller.c) share. */
#ifndef MODELYARD_RELAY_H
#define MODELYARD_RELAY_H

#include <Python.h>

typedef struct Seat Seat; /* of a relay that the poller serves */

typedef struct {
    PyObject_HEAD
    vectorcallfunc vectorcall;
    PyObject *events, *texts, *readers; /* lists, shared with the stream's log */
    PyObject *rest;                     /* called with what the socket did not take */
    PyObject *told;                     /* called with events, bytes and characters, once it ends */
    PyObject *head, *tail;              /* bytes of the mould; NULL while nothing is taken */
    Py_ssize_t room;                    /* bytes of events that may still be taken */
    Py_ssize_t count, size, chars;
    Seat *seat; /* NULL while the event loop reads */
    int moved;  /* the poller read something */
    int fd;
} Relay;

extern PyTypeObject relay_type;

/* The size of the whole chunk that begins here, and where its body does; 0 for anything else. */
Py_ssize_t relay_chunk(const char *at, Py_ssize_t n, Py_ssize_t *body);
/* Append the events of whole chunks to the log. */
int relay_keep(Relay *self, const char *at, Py_ssize_t n);
/* Take nothing more, and tell what went through. */
int relay_halt(Relay *self);

#ifdef __linux__
extern PyTypeObject poller_type;
/* Chunks that were passed on since this was last asked, as bytes. */
PyObject *poller_kept(Relay *relay);
/* The same, and the poller reads no more; the socket took all but the last `unsent` bytes. */
PyObject *poller_leave(Relay *relay, Py_ssize_t *unsent);
/* Note at the relay whether something was read. */
void poller_moved(Relay *relay);
#else
#define poller_kept(relay) PyBytes_FromString("")
#define poller_leave(relay, unsent) PyBytes_FromString("")
#define poller_moved(relay)
#endif

#endif
