/* bus_codec.c: messages to bytes and back, driven by the tables that messages.def makes. On the wire an INT has 8
 * bytes (big-endian), a descriptor one (there or not; the descriptor itself travels beside the bytes), TEXT and
 * BYTES a 32-bit length and themselves, a LIST a 32-bit count and its entries. A message decodes to its exact end or
 * not at all. Decoded slices lie in the input, lists in the arena. */
#include "bus/bus_table.h"

#include "base/cursor.h"

#define REQ(...) __VA_ARGS__
#define REP(...) __VA_ARGS__

/* The C structs hold the fields one after another without padding: the codec walks them by size. */
#define INT(n) +sizeof(int64_t)
#define FD(n) +sizeof(int64_t)
#define TEXT(n) +sizeof(struct slice)
#define BYTES(n) +sizeof(struct slice)
#define LIST(n) +sizeof(struct slice_list)
#define MESSAGE(name, from, to, req, rep) \
	_Static_assert(sizeof(struct bus_##name##_request) == (size_t)0 req, #name); \
	_Static_assert(sizeof(struct bus_##name##_reply) == (size_t)0 rep, #name);
#include "bus/messages.def"
#undef MESSAGE
#undef INT
#undef FD
#undef TEXT
#undef BYTES
#undef LIST

/* At most BUS_FDS_MAX descriptors a message. */
#define INT(n)
#define FD(n) +1
#define TEXT(n)
#define BYTES(n)
#define LIST(n)
#define MESSAGE(name, from, to, req, rep) _Static_assert((0 req) <= BUS_FDS_MAX && (0 rep) <= BUS_FDS_MAX, #name);
#include "bus/messages.def"
#undef MESSAGE
#undef INT
#undef FD
#undef TEXT
#undef BYTES
#undef LIST

#define INT(n) FIELD_INT,
#define FD(n) FIELD_FD,
#define TEXT(n) FIELD_TEXT,
#define BYTES(n) FIELD_BYTES,
#define LIST(n) FIELD_LIST,
#define MESSAGE(name, from, to, req, rep) \
	static const uint8_t name##_request_fields[] = {req FIELD_END}; \
	static const uint8_t name##_reply_fields[] = {rep FIELD_END};
#include "bus/messages.def"
#undef MESSAGE

static const struct bus_message messages[BUS_TYPE_COUNT] = {
#define MESSAGE(name_, from_, to_, req, rep) \
	[BUS_##name_] = {.name = #name_, \
	    .from = (unsigned)(from_), \
	    .to = (unsigned)(to_), \
	    .form = {{name_##_request_fields, sizeof(struct bus_##name_##_request)}, \
		{name_##_reply_fields, sizeof(struct bus_##name_##_reply)}}},
#include "bus/messages.def"
#undef MESSAGE
};

const struct bus_message *
bus_message(enum bus_type type)
{
	ASSERT(type > BUS_NONE && type < BUS_TYPE_COUNT);
	return &messages[type];
}

const char *
bus_role_name(enum bus_role r)
{
	switch (r) {
	case ROLE_KEEPER: return "keeper";
	case ROLE_VAULT: return "vault";
	case ROLE_GATE: return "gate";
	case ROLE_PORCH: return "porch";
	case ROLE_DESK: return "desk";
	case ROLE_CLERK: return "clerk";
	case ROLE_COURIER: return "courier";
	case ROLE_READER: return "reader";
	case ROLE_ANY: break;
	}
	return "any";
}

static size_t
field_size(enum bus_field f)
{
	return f == FIELD_INT || f == FIELD_FD ? sizeof(int64_t) : sizeof(struct slice);
}

static int
encode_bytes(struct buf *out, struct slice s)
{
	if (s.n > UINT32_MAX)
		return ERR_LIMIT;
	buf_put_be32(out, (uint32_t)s.n);
	buf_put(out, s);
	return 0;
}

static int
encode_list(struct buf *out, const struct slice_list *list)
{
	if (list->n > BUS_LIST_MAX)
		return ERR_LIMIT;
	buf_put_be32(out, (uint32_t)list->n);
	for (size_t i = 0; i < list->n; i++) {
		int err = encode_bytes(out, list->v[i]);

		if (err != 0)
			return err;
	}
	return 0;
}

static int
encode_fd(struct buf *out, int64_t fd, int fds[], size_t *nfds, size_t fds_max)
{
	bool there = fd > STDERR_FILENO;

	if (there) {
		if (fd > INT32_MAX || *nfds >= fds_max)
			return ERR_LIMIT;
		fds[(*nfds)++] = (int)fd;
	}
	buf_put_u8(out, there);
	return 0;
}

static int
encode_field(enum bus_field f, const void *at, struct buf *out, int fds[], size_t *nfds, size_t fds_max)
{
	const struct slice *s = at;

	switch (f) {
	case FIELD_INT: buf_put_be64(out, (uint64_t) * (const int64_t *)at); return 0;
	case FIELD_FD: return encode_fd(out, *(const int64_t *)at, fds, nfds, fds_max);
	case FIELD_TEXT: return slice_is_utf8(*s, true) ? encode_bytes(out, *s) : ERR_INVALID;
	case FIELD_BYTES: return encode_bytes(out, *s);
	case FIELD_LIST: return encode_list(out, at);
	case FIELD_END: break;
	}
	return 0;
}

int
bus_encode(enum bus_type type, bool reply, const void *msg, struct buf *out, int fds[], size_t *nfds, size_t fds_max)
{
	const struct bus_form *form = &bus_message(type)->form[reply];
	const char *at = msg;
	size_t start = out->n;

	*nfds = 0;
	for (const uint8_t *f = form->fields; *f != FIELD_END; f++) {
		int err = encode_field(*f, at, out, fds, nfds, fds_max);

		if (err == 0)
			err = out->err;
		if (err != 0) {
			buf_truncate(out, start);
			*nfds = 0;
			return err;
		}
		at += field_size(*f);
	}
	return 0;
}

static int
decode_list(struct cursor *c, struct arena *a, struct slice_list *list)
{
	uint32_t n = cursor_be32(c);
	struct slice *v;

	/* Every entry takes at least its length: no list is larger than what came. */
	if (n > BUS_LIST_MAX || n > cursor_left(c) / 4)
		return ERR_SYNTAX;
	*list = (struct slice_list){NULL, 0};
	if (n == 0)
		return 0;
	v = ARENA_ARRAY(a, struct slice, n);
	if (v == NULL)
		return ERR_NOMEM;
	for (uint32_t i = 0; i < n; i++)
		v[i] = cursor_take(c, cursor_be32(c));
	*list = (struct slice_list){v, n};
	return 0;
}

static int
decode_fd(struct cursor *c, const int fds[], size_t nfds, size_t *used, int64_t *fd)
{
	uint8_t there = cursor_u8(c);

	*fd = -1;
	if (there > 1)
		return ERR_SYNTAX;
	if (there == 0)
		return 0;
	if (*used >= nfds)
		return ERR_SYNTAX;
	*fd = fds[(*used)++];
	return 0;
}

static int
decode_field(enum bus_field f, struct cursor *c, const int fds[], size_t nfds, size_t *used, struct arena *a, void *at)
{
	struct slice *s = at;

	switch (f) {
	case FIELD_INT: *(int64_t *)at = (int64_t)cursor_be64(c); return 0;
	case FIELD_FD: return decode_fd(c, fds, nfds, used, at);
	case FIELD_TEXT: *s = cursor_take(c, cursor_be32(c)); return slice_is_utf8(*s, true) ? 0 : ERR_SYNTAX;
	case FIELD_BYTES: *s = cursor_take(c, cursor_be32(c)); return 0;
	case FIELD_LIST: return decode_list(c, a, at);
	case FIELD_END: break;
	}
	return 0;
}

/* What a message is before it is decoded, and after it was refused: empty, and without descriptors. */
static void
clear(const struct bus_form *form, void *msg)
{
	char *at = msg;

	memset(msg, 0, form->size);
	for (const uint8_t *f = form->fields; *f != FIELD_END; f++) {
		if (*f == FIELD_FD)
			*(int64_t *)(void *)at = -1;
		at += field_size(*f);
	}
}

void
bus_clear(enum bus_type type, bool reply, void *msg)
{
	clear(&bus_message(type)->form[reply], msg);
}

int
bus_decode(enum bus_type type, bool reply, struct slice in, const int fds[], size_t nfds, struct arena *a, void *msg)
{
	const struct bus_form *form = &bus_message(type)->form[reply];
	struct cursor c = cursor_of(in);
	char *at = msg;
	size_t used = 0;
	int err = 0;

	clear(form, msg);
	for (const uint8_t *f = form->fields; *f != FIELD_END && err == 0; f++) {
		err = decode_field(*f, &c, fds, nfds, &used, a, at);
		at += field_size(*f);
	}
	if (err == 0 && (c.err != 0 || !cursor_end(&c) || used != nfds))
		err = ERR_SYNTAX;
	if (err != 0)
		clear(form, msg);
	return err;
}

void
bus_close_fds(enum bus_type type, bool reply, void *msg)
{
	char *at = msg;

	for (const uint8_t *f = bus_message(type)->form[reply].fields; *f != FIELD_END; f++) {
		int64_t *fd = (int64_t *)(void *)at;

		if (*f == FIELD_FD && *fd > STDERR_FILENO) {
			(void)close((int)*fd);
			*fd = -1;
		}
		at += field_size(*f);
	}
}
