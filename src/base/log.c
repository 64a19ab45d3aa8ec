/* log.c: building and writing one log line. A line has at most LOG_LINE_MAX bytes; longer values are cut
 * and marked with an ellipsis. A log that cannot be written is not a reason to stop serving mail. */
#include "base/log.h"

#define LOG_LINE_MAX 4096u
#define LOG_VALUE_MAX 512u

_Static_assert(LOG_LINE_MAX <= LOG_BATCH_BYTES, "a line fits into a batch");

static const char *const level_names[] = {"debug", "info", "warn", "error"};

struct line {
	char p[LOG_LINE_MAX];
	size_t n;
	bool full; /* something did not fit */
};

static void
line_put(struct line *l, const char *p, size_t n)
{
	if (l->full || n > sizeof(l->p) - 2 - l->n) {
		l->full = true;
		return;
	}
	memcpy(l->p + l->n, p, n);
	l->n += n;
}

static void
line_z(struct line *l, const char *z)
{
	line_put(l, z, strlen(z));
}

/* JSON string rules; bytes that are not UTF-8 as \u00XX of their value. */
static void
line_quoted(struct line *l, struct slice s)
{
	struct slice shown = slice_head(s, LOG_VALUE_MAX);
	bool utf8;

	/* Not in the middle of a character. */
	for (int i = 0; i < 3 && shown.n < s.n && (s.p[shown.n] & 0xc0) == 0x80; i++)
		shown.n--;
	utf8 = slice_is_utf8(shown, true);

	line_put(l, "\"", 1);
	for (size_t i = 0; i < shown.n; i++) {
		uint8_t c = shown.p[i];
		char esc[8];

		if (c == '"' || c == '\\') {
			esc[0] = '\\';
			esc[1] = (char)c;
			line_put(l, esc, 2);
		} else if (c < 0x20 || c == 0x7f || (c >= 0x80 && !utf8)) {
			line_put(l, esc, (size_t)snprintf(esc, sizeof(esc), "\\u%04x", c));
		} else {
			line_put(l, (const char *)&c, 1);
		}
	}
	if (shown.n < s.n)
		line_z(l, "...");
	line_put(l, "\"", 1);
}

static bool
needs_quotes(struct slice s)
{
	if (s.n == 0 || s.n > LOG_VALUE_MAX)
		return true;
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] <= ' ' || s.p[i] >= 0x7f || s.p[i] == '"' || s.p[i] == '\\' || s.p[i] == '=')
			return true;
	return false;
}

/* A field that does not fit is left out whole, so that the line stays well formed. */
static void
line_field(struct line *l, const struct log_field *f, enum log_format format)
{
	size_t before = l->n;
	char number[24];

	if (format == LOG_FORMAT_JSON) {
		line_z(l, ",\"");
		line_z(l, f->key);
		line_z(l, "\":");
	} else {
		line_z(l, " ");
		line_z(l, f->key);
		line_z(l, "=");
	}
	if (f->kind == LOG_FIELD_INT)
		line_put(l, number, (size_t)snprintf(number, sizeof(number), "%lld", (long long)f->number));
	else if (format == LOG_FORMAT_JSON || needs_quotes(f->text))
		line_quoted(l, f->text);
	else
		line_put(l, (const char *)f->text.p, f->text.n);
	if (l->full)
		l->n = before;
	l->full = false;
}

/* ---- batches ------------------------------------------------------------------------------------------- */

/* file scope: a batch belongs to the thread that began it */
static _Thread_local struct log_batch *batch;

static void
write_lines(struct house *h, const char *p, size_t n)
{
	ssize_t ignored = write(h->log_fd, p, n);

	(void)ignored;
}

void
log_batch_begin(struct log_batch *b, struct house *h)
{
	b->house = h;
	b->outer = batch;
	b->n = 0;
	batch = b;
}

void
log_batch_flush(void)
{
	struct log_batch *b = batch;
	size_t n = b == NULL ? 0 : b->n;

	if (n == 0)
		return;
	b->n = 0;
	write_lines(b->house, b->p, n);
}

void
log_batch_end(struct log_batch *b)
{
	ASSERT(batch == b);
	log_batch_flush();
	batch = b->outer;
}

/* Whether the line waits now. */
static bool
batch_put(struct house *h, const struct line *l)
{
	struct log_batch *b = batch;

	if (b == NULL || b->house != h)
		return false;
	if (l->n > sizeof(b->p) - b->n)
		log_batch_flush();
	memcpy(b->p + b->n, l->p, l->n);
	b->n += l->n;
	return true;
}

void
log_event(struct house *h, enum log_level level, const char *event, const struct log_field *fields, size_t n)
{
	char stamp[RFC3339_MAX];
	struct line l;
	struct log_field head[2] = {LOG_Z("role", h->role), LOG_Z("event", event)};

	if (level < h->log_level)
		return;
	l.n = 0;
	l.full = false;
	time_rfc3339(house_now_us(h), stamp);
	if (h->log_format == LOG_FORMAT_JSON) {
		line_z(&l, "{\"time\":\"");
		line_z(&l, stamp);
		line_z(&l, "\",\"level\":\"");
		line_z(&l, level_names[level]);
		line_z(&l, "\"");
	} else {
		line_z(&l, stamp);
		line_z(&l, " ");
		line_z(&l, level_names[level]);
	}
	line_field(&l, &head[0], h->log_format);
	line_field(&l, &head[1], h->log_format);
	for (size_t i = 0; i < n; i++)
		line_field(&l, &fields[i], h->log_format);
	if (h->log_format == LOG_FORMAT_JSON)
		l.p[l.n++] = '}';
	l.p[l.n++] = '\n';
	if (!batch_put(h, &l))
		write_lines(h, l.p, l.n);
	else if (level >= LOG_WARN)
		log_batch_flush();
}
