#include "trust/http_reply.h"

#include "base/cursor.h"

#define LINE_BYTES_MAX 8192
#define FIELDS_BYTES_MAX 32768

void
http_reply_init(struct http_reply *r, size_t body_max)
{
	*r = (struct http_reply){.stage = HTTP_STATUS};
	buf_init(&r->line, LINE_BYTES_MAX);
	buf_init(&r->body, body_max);
}

void
http_reply_free(struct http_reply *r)
{
	buf_free(&r->line);
	buf_free(&r->body);
}

/* "HTTP/1.1 200 OK" (RFC 9112 §4) */
static int
status_line(struct http_reply *r, struct slice line)
{
	struct cursor c = cursor_of(line);

	cursor_expect(&c, SLICE("HTTP/1."));
	(void)cursor_number(&c, 9);
	cursor_expect_byte(&c, ' ');
	r->status = (int)cursor_number(&c, 999);
	if (c.err != 0 || r->status < 100 || (!cursor_end(&c) && cursor_peek(&c) != ' '))
		return ERR_SYNTAX;
	r->stage = HTTP_FIELDS;
	return 0;
}

static void
take_type(struct http_reply *r, struct slice value)
{
	struct slice type = slice_trim(slice_cut(&value, ';'));

	if (slice_to_z(type, r->type, sizeof(r->type)) != 0)
		r->type[0] = '\0';
	for (size_t i = 0; r->type[i] != '\0'; i++)
		r->type[i] = (char)ascii_lower((uint8_t)r->type[i]);
}

static int
field(struct http_reply *r, struct slice line)
{
	struct slice value = line, name;
	uint64_t length;

	if (slice_find_byte(line, ':') == SLICE_NONE)
		return ERR_SYNTAX;
	name = slice_cut(&value, ':');
	value = slice_trim(value);
	if (slice_ieq(name, SLICE("Content-Type"))) {
		take_type(r, value);
	} else if (slice_ieq(name, SLICE("Transfer-Encoding"))) {
		/* Others were not asked for. */
		if (!slice_ieq(value, SLICE("chunked")))
			return ERR_SYNTAX;
		r->chunked = true;
	} else if (slice_ieq(name, SLICE("Content-Length"))) {
		if (slice_to_u64(value, UINT64_MAX, &length) != 0 || (r->has_length && length != r->left))
			return ERR_SYNTAX;
		r->has_length = true;
		r->left = length;
	}
	return 0;
}

/* The empty line after the fields. */
static int
fields_end(struct http_reply *r)
{
	if (r->status < 200) {
		r->chunked = r->has_length = false;
		r->stage = HTTP_STATUS;
		return 0;
	}
	/* RFC 9112 §6.3: both is an attack. */
	if (r->chunked && r->has_length)
		return ERR_SYNTAX;
	if (r->has_length && r->left > r->body.max)
		return ERR_LIMIT;
	r->stage = r->chunked                                                         ? HTTP_CHUNK_SIZE
	    : r->status == 204 || r->status == 304 || (r->has_length && r->left == 0) ? HTTP_DONE
										      : HTTP_BODY;
	return 0;
}

/* Hexadecimal, perhaps with extensions behind a semicolon (RFC 9112 §7.1). */
static int
chunk_size(struct http_reply *r, struct slice line)
{
	struct slice digits = slice_trim(slice_cut(&line, ';'));
	uint64_t n = 0;

	if (digits.n == 0 || digits.n > 8)
		return ERR_SYNTAX;
	for (size_t i = 0; i < digits.n; i++) {
		uint8_t c = ascii_lower(slice_at(digits, i));

		if (!ascii_is_digit(c) && (c < 'a' || c > 'f'))
			return ERR_SYNTAX;
		n = n * 16 + (uint64_t)(ascii_is_digit(c) ? c - '0' : c - 'a' + 10);
	}
	if (n > r->body.max - r->body.n)
		return ERR_LIMIT;
	r->left = n;
	r->stage = n == 0 ? HTTP_TRAILER : HTTP_CHUNK;
	return 0;
}

static int
take_line(struct http_reply *r, struct slice line)
{
	if (slice_ends(line, SLICE("\r")))
		line = slice_head(line, line.n - 1);
	r->fields_bytes += line.n + 2;
	if (r->fields_bytes > FIELDS_BYTES_MAX)
		return ERR_LIMIT;
	switch (r->stage) {
	case HTTP_STATUS: return status_line(r, line);
	case HTTP_FIELDS: return line.n == 0 ? fields_end(r) : field(r, line);
	case HTTP_CHUNK_SIZE: return chunk_size(r, line);
	case HTTP_CHUNK_END: r->stage = HTTP_CHUNK_SIZE; return line.n == 0 ? 0 : ERR_SYNTAX;
	case HTTP_TRAILER: r->stage = line.n == 0 ? HTTP_DONE : HTTP_TRAILER; return 0;
	case HTTP_BODY:
	case HTTP_CHUNK:
	case HTTP_DONE: break;
	}
	return ERR_SYNTAX;
}

/* Bytes of the body at the front of `in`. */
static int
take_body(struct http_reply *r, struct slice *in)
{
	bool bounded = r->stage == HTTP_CHUNK || r->has_length;
	struct slice part = bounded && r->left < in->n ? slice_head(*in, (size_t)r->left) : *in;

	buf_put(&r->body, part);
	*in = slice_from(*in, part.n);
	if (bounded) {
		r->left -= part.n;
		if (r->left == 0)
			r->stage = r->stage == HTTP_CHUNK ? HTTP_CHUNK_END : HTTP_DONE;
	}
	return r->body.err;
}

int
http_reply_feed(struct http_reply *r, struct slice in)
{
	int e = 0;

	while (e == 0 && in.n > 0 && r->stage != HTTP_DONE) {
		size_t end;

		if (r->stage == HTTP_BODY || r->stage == HTTP_CHUNK) {
			e = take_body(r, &in);
			continue;
		}
		end = slice_find_byte(in, '\n');
		buf_put(&r->line, slice_head(in, end == SLICE_NONE ? in.n : end));
		if (r->line.err != 0)
			return r->line.err;
		if (end == SLICE_NONE)
			return 0;
		in = slice_from(in, end + 1);
		e = take_line(r, buf_slice(&r->line));
		buf_truncate(&r->line, 0);
	}
	return e;
}

int
http_reply_end(struct http_reply *r)
{
	if (r->stage == HTTP_BODY && !r->has_length)
		r->stage = HTTP_DONE;
	return r->stage == HTTP_DONE ? 0 : ERR_CLOSED;
}
