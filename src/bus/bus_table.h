/* bus_table.h: the table of messages as data, made from messages.def: what the codec and the links go by. Private to
 * the room. */
#ifndef BUS_BUS_TABLE_H
#define BUS_BUS_TABLE_H

#include "bus/bus.h"

/* Descriptors that one message may carry. */
#define BUS_FDS_MAX 4u
/* Entries of one LIST. */
#define BUS_LIST_MAX 65536u

enum bus_field { FIELD_END, FIELD_INT, FIELD_FD, FIELD_TEXT, FIELD_BYTES, FIELD_LIST };

struct bus_form {
	const uint8_t *fields; /* enum bus_field each, ends with FIELD_END */
	size_t size;           /* of the C struct */
};

struct bus_message {
	const char *name;
	unsigned from;           /* roles that may ask */
	unsigned to;             /* roles that answer */
	struct bus_form form[2]; /* request, reply */
};

/* By enum bus_type; traps unless 0 < type < BUS_TYPE_COUNT. */
const struct bus_message *bus_message(enum bus_type type);
/* Empties a message: zeros, and -1 in its FD fields. */
void bus_clear(enum bus_type type, bool reply, void *msg);
/* Closes every FD field of the message that is not -1, and sets it to -1. */
void bus_close_fds(enum bus_type type, bool reply, void *msg);

#endif
