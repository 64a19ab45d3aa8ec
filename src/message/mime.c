/* mime.c: finds the parts in one pass over the lines that begin with "--". The open parts form a path from the
 * whole message down to the one being read; each multipart on it has its boundary, and a boundary of any of them
 * ends everything below (RFC 2046 §5.1.2). Lines are counted in a second pass. */
#include "message/mime.h"

#define DEPTH_MAX 200u /* whatever the configuration says */

/* One open part. */
struct level {
	size_t part;
	struct slice boundary; /* empty: none, or its closing one was seen */
	size_t last_child;
};

struct parser {
	struct arena *a;
	const struct limits *limits;
	enum charset_place place;
	struct mime *m;
	size_t cap;
	struct level *path;
	size_t depth; /* open parts */
	size_t depth_max;
};

bool
mime_is(const struct mime_part *p, struct slice type, struct slice subtype)
{
	return slice_eq(p->type, type) && (subtype.n == 0 || slice_eq(p->subtype, subtype));
}

/* ---- one part's header --------------------------------------------------------------------------------------- */

static bool
is_type_word(struct slice s)
{
	for (size_t i = 0; i < s.n; i++) {
		uint8_t c = slice_at(s, i);

		if (c <= ' ' || c >= 0x7f || strchr("()<>@,;:\\\"/[]?=", c) != NULL)
			return false;
	}
	return s.n > 0;
}

static int
read_type(struct parser *ps, struct mime_part *p, struct slice raw)
{
	struct slice value, type, subtype;
	int err = params_parse(ps->a, raw, ps->limits, ps->place, &value, &p->params);

	if (err != 0)
		return err;
	subtype = value;
	type = slice_cut(&subtype, '/');
	if (is_type_word(type) && is_type_word(subtype)) {
		p->type = type;
		p->subtype = subtype;
		p->type_given = true;
	} else if (value.n > 0 && !slice_eq(value, SLICE("text"))) {
		/* Not readable as text by any rule, so it should not be shown as such (RFC 2045 §5.2 leaves it open). */
		p->type = SLICE("application");
		p->subtype = SLICE("octet-stream");
	} else {
		p->type = SLICE("text");
		p->subtype = SLICE("plain");
	}
	return 0;
}

static struct slice
lower(struct arena *a, struct slice s)
{
	uint8_t *out = arena_alloc(a, s.n);

	if (out == NULL)
		return SLICE_EMPTY;
	for (size_t i = 0; i < s.n; i++)
		out[i] = ascii_lower(slice_at(s, i));
	return slice_of(out, s.n);
}

/* Content-Language: tags between commas (RFC 3282). */
static void
read_languages(struct parser *ps, struct mime_part *p, struct slice raw)
{
	struct slice *v = NULL, rest = header_unfold(ps->a, raw);
	size_t n = 0, cap = 0;

	while (rest.n > 0 && n < (size_t)ps->limits->message_parameters) {
		struct slice tag = slice_cut(&rest, ',');
		size_t comment = slice_find_byte(tag, '(');

		tag = slice_trim(comment == SLICE_NONE ? tag : slice_head(tag, comment));
		if (tag.n == 0)
			continue;
		v = arena_grow(ps->a, v, n, &cap, sizeof(*v), (size_t)ps->limits->message_parameters);
		if (v == NULL)
			return;
		v[n++] = tag;
	}
	p->languages = (struct slice_list){v, n};
}

/* The fields of interest, the first of each name. */
static int
read_field(struct parser *ps, struct mime_part *p, const struct header_field *f, unsigned *seen)
{
	static const struct slice names[] = {SLICE_INIT("type"), SLICE_INIT("transfer-encoding"),
	    SLICE_INIT("disposition"), SLICE_INIT("id"), SLICE_INIT("description"), SLICE_INIT("md5"),
	    SLICE_INIT("location"), SLICE_INIT("language")};
	struct slice name, value;
	size_t which = 0;

	if (!slice_istarts(f->name, SLICE("content-")))
		return 0;
	name = slice_from(f->name, 8);
	while (which < COUNT_OF(names) && !slice_ieq(name, names[which]))
		which++;
	if (which == COUNT_OF(names) || (*seen & 1u << which) != 0)
		return 0;
	*seen |= 1u << which;
	if (which == 0)
		return read_type(ps, p, f->value);
	if (which == 2)
		return params_parse(ps->a, f->value, ps->limits, ps->place, &p->disposition, &p->disposition_params);
	value = header_unfold(ps->a, f->value);
	switch (which) {
	case 1:
		p->encoding = encoding_parse(value);
		p->encoding_given = lower(ps->a, value);
		break;
	case 3: p->id = value; break;
	case 4: p->description = value; break;
	case 5: p->md5 = value; break;
	case 6: p->location = value; break;
	default: read_languages(ps, p, value); break;
	}
	return arena_failed(ps->a) ? ERR_LIMIT : 0;
}

static int
read_header(struct parser *ps, struct mime_part *p)
{
	struct header_iter it = header_iter_of(
	    slice_range(ps->m->raw, p->header_start, p->header_end), (size_t)ps->limits->message_header_bytes);
	struct header_field f;
	const struct slice *v;
	unsigned seen = 0;
	int err = 0;

	p->encoding = ENCODING_7BIT;
	for (size_t n = 0; err == 0 && header_next(&it, &f) && n < (size_t)ps->limits->message_headers; n++)
		err = read_field(ps, p, &f, &seen);
	if (err != 0)
		return err;
	v = params_get(&p->params, SLICE("charset"));
	p->charset = v == NULL ? SLICE_EMPTY : *v;
	v = params_get(&p->disposition_params, SLICE("filename"));
	if (v == NULL)
		v = params_get(&p->params, SLICE("name"));
	p->filename = v == NULL ? SLICE_EMPTY : *v;
	return 0;
}

/* ---- boundaries ------------------------------------------------------------------------------------------------ */

static size_t
line_end(struct slice s, size_t pos)
{
	size_t at = slice_find_byte(slice_from(s, pos), '\n');

	return at == SLICE_NONE ? s.n : pos + at + 1;
}

struct hit {
	size_t line;  /* begins here */
	size_t after; /* the next line */
	size_t level; /* in path */
	bool closing;
};

/* Is the line at pos a boundary of an open multipart, innermost first? RFC 2046 §5.1.1: only white space may
 * follow, so that a boundary that begins like another is not taken for it. */
static bool
boundary_at(const struct parser *ps, size_t pos, struct hit *hit)
{
	struct slice raw = ps->m->raw, line;

	if (!slice_starts(slice_from(raw, pos), SLICE("--")))
		return false;
	hit->line = pos;
	hit->after = line_end(raw, pos);
	line = slice_range(raw, pos + 2, hit->after);
	while (line.n > 0 && ascii_is_space(slice_at(line, line.n - 1)))
		line.n--;
	for (size_t i = ps->depth; i > 0; i--) {
		struct slice b = ps->path[i - 1].boundary;

		if (b.n == 0 || (line.n != b.n && line.n != b.n + 2) || !slice_starts(line, b))
			continue;
		if (line.n > b.n && !slice_ends(line, SLICE("--")))
			continue;
		hit->level = i - 1;
		hit->closing = line.n > b.n;
		return true;
	}
	return false;
}

static bool
any_boundary(const struct parser *ps)
{
	for (size_t i = 0; i < ps->depth; i++)
		if (ps->path[i].boundary.n > 0)
			return true;
	return false;
}

/* The first boundary line at or behind pos, which is the beginning of a line. */
static bool
boundary_find(const struct parser *ps, size_t pos, struct hit *hit)
{
	if (!any_boundary(ps))
		return false;
	for (;;) {
		size_t at;

		if (boundary_at(ps, pos, hit))
			return true;
		at = slice_find(slice_from(ps->m->raw, pos), SLICE("\n--"));
		if (at == SLICE_NONE)
			return false;
		pos += at + 1;
	}
}

/* The content before a boundary line ends before the line end that belongs to the boundary. */
static size_t
content_end(struct slice raw, size_t line)
{
	if (line > 0 && slice_at(raw, line - 1) == '\n')
		line--;
	if (line > 0 && slice_at(raw, line - 1) == '\r')
		line--;
	return line;
}

/* Where the header that begins at pos ends: behind its empty line, or where a boundary or the end comes first. Looks at
 * each line once. */
static size_t
header_find_end(const struct parser *ps, size_t pos)
{
	struct slice raw = ps->m->raw;
	size_t max = (size_t)ps->limits->message_header_bytes, start = pos;
	struct hit hit;

	while (pos < raw.n) {
		size_t end = line_end(raw, pos);
		struct slice line = slice_range(raw, pos, end);

		if (end - start > max)
			return start + max;
		if (slice_eq(line, SLICE("\r\n")) || slice_eq(line, SLICE("\n")))
			return end;
		if (boundary_at(ps, pos, &hit)) {
			pos = content_end(raw, pos);
			return pos < start ? start : pos;
		}
		pos = end;
	}
	return raw.n;
}

/* ---- the tree -------------------------------------------------------------------------------------------------- */

static struct mime_part *
top_part(const struct parser *ps)
{
	return &ps->m->v[ps->path[ps->depth - 1].part];
}

static bool
limit_reached(struct parser *ps)
{
	if (ps->m->n < (size_t)ps->limits->message_parts)
		return false;
	ps->m->limited = true;
	return true;
}

/* Adds a part at `start` below the open one and puts it on the path. */
static int
part_open(struct parser *ps, size_t start, bool is_message)
{
	struct mime *m = ps->m;
	struct mime_part *p;
	struct level *up = ps->depth == 0 ? NULL : &ps->path[ps->depth - 1];
	size_t index = m->n;
	bool digest;

	m->v = arena_grow(ps->a, m->v, m->n, &ps->cap, sizeof(*m->v), (size_t)ps->limits->message_parts + 1);
	if (m->v == NULL)
		return ERR_LIMIT;
	m->n++;
	p = &m->v[index];
	*p = (struct mime_part){.header_start = start,
	    .parent = MIME_NONE,
	    .first_child = MIME_NONE,
	    .next = MIME_NONE,
	    .number = 1,
	    .depth = ps->depth,
	    .is_message = is_message};
	digest = up != NULL && !is_message && mime_is(&m->v[up->part], SLICE("multipart"), SLICE("digest"));
	p->type = digest ? SLICE("message") : SLICE("text");
	p->subtype = digest ? SLICE("rfc822") : SLICE("plain");
	if (up != NULL) {
		struct mime_part *parent = &m->v[up->part];

		p->parent = up->part;
		p->number = ++parent->children;
		if (parent->first_child == MIME_NONE)
			parent->first_child = index;
		else
			m->v[up->last_child].next = index;
		up->last_child = index;
		if (is_message)
			parent->has_message = true;
		else
			parent->is_multipart = true;
	}
	p->header_end = header_find_end(ps, start);
	p->body_end = m->raw.n;
	ps->path[ps->depth++] = (struct level){.part = index, .last_child = MIME_NONE};
	return read_header(ps, p);
}

/* Takes parts off the path until `keep` are left; their bodies end at `end`. */
static void
close_to(struct parser *ps, size_t keep, size_t end)
{
	while (ps->depth > keep) {
		struct level *l = &ps->path[--ps->depth];
		struct mime_part *p = &ps->m->v[l->part];

		/* What is above a part never ends before it. */
		p->body_end = end = end < p->header_end ? p->header_end : end;
		if (l->boundary.n > 0)
			p->boundary_missing = true;
	}
}

/* What the part just opened holds: *child is true when an embedded message begins right at its body. */
static void
part_enter(struct parser *ps, bool *child)
{
	struct mime_part *p = top_part(ps);
	bool multipart = mime_is(p, SLICE("multipart"), SLICE_EMPTY);
	bool message = mime_is(p, SLICE("message"), SLICE("rfc822")) || mime_is(p, SLICE("message"), SLICE("global"));
	bool plain = p->encoding != ENCODING_BASE64 && p->encoding != ENCODING_QP && p->encoding != ENCODING_UUENCODE;

	*child = false;
	if (!multipart && !(message && plain))
		return;
	if (ps->depth >= ps->depth_max) {
		ps->m->limited = true;
		return;
	}
	if (multipart) {
		struct slice b = p->params.boundary;

		while (b.n > 0 && ascii_is_space(slice_at(b, b.n - 1)))
			b.n--;
		ps->path[ps->depth - 1].boundary = b;
	} else if (!limit_reached(ps)) {
		*child = true;
	}
}

/* Opens a part and, as long as these are embedded messages, what is in it. *pos becomes the body of the innermost. */
static int
open_nested(struct parser *ps, size_t start, bool is_message, size_t *pos)
{
	bool child;

	do {
		int err = part_open(ps, start, is_message);

		if (err != 0)
			return err;
		start = *pos = top_part(ps)->header_end;
		part_enter(ps, &child);
		is_message = true;
	} while (child);
	return 0;
}

static int
parse(struct parser *ps)
{
	struct hit hit;
	size_t pos;
	int err = open_nested(ps, 0, true, &pos);

	while (err == 0 && boundary_find(ps, pos, &hit)) {
		if (!hit.closing && limit_reached(ps))
			break;
		close_to(ps, hit.level + 1, content_end(ps->m->raw, hit.line));
		pos = hit.after;
		if (hit.closing)
			ps->path[hit.level].boundary = SLICE_EMPTY;
		else
			err = open_nested(ps, hit.after, false, &pos);
	}
	close_to(ps, 0, ps->m->raw.n);
	return err;
}

/* ---- lines ----------------------------------------------------------------------------------------------------- */

struct mark {
	size_t at;
	size_t lines; /* LFs before `at` */
};

static int
mark_compare(const void *x, const void *y)
{
	const struct mark *a = x, *b = y;

	return a->at < b->at ? -1 : a->at > b->at;
}

/* LFs before each place of interest, in one pass. `v` is sorted. */
static void
count_marks(struct slice raw, struct mark *v, size_t n)
{
	size_t pos = 0, lines = 0;

	for (size_t i = 0; i < n; i++) {
		while (pos < v[i].at) {
			size_t at = slice_find_byte(slice_range(raw, pos, v[i].at), '\n');

			if (at == SLICE_NONE) {
				pos = v[i].at;
				break;
			}
			pos += at + 1;
			lines++;
		}
		v[i].lines = lines;
	}
}

static size_t
lines_before(const struct mark *v, size_t n, size_t at)
{
	struct mark key = {at, 0}, *hit = bsearch(&key, v, n, sizeof(*v), mark_compare);

	ASSERT(hit != NULL);
	return hit->lines;
}

static size_t
lines_between(const struct mark *v, size_t n, struct slice raw, size_t from, size_t to)
{
	size_t lines = lines_before(v, n, to) - lines_before(v, n, from);

	return lines + (to > from && slice_at(raw, to - 1) != '\n' ? 1 : 0);
}

static int
count_lines(struct arena *a, struct mime *m)
{
	struct arena_mark before = arena_mark(a);
	size_t n = 0;
	struct mark *v = ARENA_ARRAY(a, struct mark, m->n * 3);

	if (v == NULL)
		return ERR_LIMIT;
	for (size_t i = 0; i < m->n; i++) {
		v[n++].at = m->v[i].header_start;
		v[n++].at = m->v[i].header_end;
		v[n++].at = m->v[i].body_end;
	}
	qsort(v, n, sizeof(*v), mark_compare);
	count_marks(m->raw, v, n);
	for (size_t i = 0; i < m->n; i++) {
		struct mime_part *p = &m->v[i];

		p->header_lines = lines_between(v, n, m->raw, p->header_start, p->header_end);
		p->body_lines = lines_between(v, n, m->raw, p->header_end, p->body_end);
	}
	arena_release(a, before);
	return 0;
}

int
mime_parse(struct arena *a, struct slice raw, const struct limits *limits, enum charset_place place, struct mime *out)
{
	struct parser ps = {
	    .a = a, .limits = limits, .place = place, .m = out, .depth_max = (size_t)limits->message_depth + 1};
	int err;

	if (ps.depth_max > DEPTH_MAX)
		ps.depth_max = DEPTH_MAX;

	*out = (struct mime){.raw = raw};
	ps.path = ARENA_ARRAY(a, struct level, ps.depth_max + 1);
	if (ps.path == NULL)
		return ERR_LIMIT;
	err = parse(&ps);
	return err != 0 ? err : count_lines(a, out);
}

size_t
mime_arena_max(const struct limits *limits, size_t raw_bytes)
{
	size_t parts = (size_t)limits->message_parts + 1, params = 2 * (size_t)limits->message_parameters;
	size_t per_param = 4 * sizeof(struct mime_param), small = 32 * raw_bytes;
	/* The array of parts doubles as it grows; a parameter takes 4 bytes of the message and its name and value a slot each. */
	size_t tables = parts * (3 * sizeof(struct mime_part) + 3 * sizeof(struct mark)) +
	    64 * (size_t)limits->message_depth;
	size_t given = parts * params * per_param;

	return 65536 + tables + 4 * raw_bytes + (small < given ? small : given);
}

int
mime_header(
    struct arena *a, const struct mime *m, const struct mime_part *p, const struct limits *limits, struct header *out)
{
	return header_parse(a, mime_raw_header(m, p), limits, out);
}

/* ---- sections -------------------------------------------------------------------------------------------------- */

static const struct mime_part *
child_number(const struct mime *m, const struct mime_part *p, uint32_t number)
{
	size_t i = p->first_child;

	while (i != MIME_NONE && m->v[i].number != number)
		i = m->v[i].next;
	return i == MIME_NONE ? NULL : &m->v[i];
}

const struct mime_part *
mime_find(const struct mime *m, const uint32_t *numbers, size_t n)
{
	const struct mime_part *p = &m->v[0];
	bool fresh = true; /* p is a message whose body is still unnamed: 1 names it when it is no multipart */

	for (size_t i = 0; i < n && p != NULL; i++) {
		if (!fresh && p->has_message) {
			p = &m->v[p->first_child];
			fresh = true;
		}
		if (p->is_multipart)
			p = child_number(m, p, numbers[i]);
		else if (!fresh || numbers[i] != 1)
			p = NULL;
		fresh = false;
	}
	return p;
}

const struct mime_part *
mime_message_of(const struct mime *m, const struct mime_part *p)
{
	if (p->has_message)
		return &m->v[p->first_child];
	return p->parent == MIME_NONE ? p : NULL;
}

int
mime_section(const struct mime *m, const uint32_t *numbers, size_t n, enum mime_section section, struct slice *out)
{
	const struct mime_part *p = mime_find(m, numbers, n);

	if (p == NULL)
		return ERR_NOTFOUND;
	if (section == MIME_SECTION_HEADER || section == MIME_SECTION_TEXT) {
		if (n > 0)
			p = p->has_message ? &m->v[p->first_child] : NULL;
		if (p == NULL)
			return ERR_NOTFOUND;
		*out = section == MIME_SECTION_HEADER ? mime_raw_header(m, p) : mime_raw_body(m, p);
	} else if (section == MIME_SECTION_MIME) {
		if (n == 0)
			return ERR_NOTFOUND;
		*out = mime_raw_header(m, p);
	} else {
		*out = n == 0 ? mime_raw_part(m, p) : mime_raw_body(m, p);
	}
	return 0;
}

void
mime_put_number(const struct mime *m, const struct mime_part *p, struct buf *out)
{
	size_t numbers[DEPTH_MAX + 2], n = 0;

	if (p->parent == MIME_NONE)
		return;
	/* A message has no number of its own, but when it is no multipart, its body is 1. */
	for (;; p = &m->v[p->parent]) {
		if (!p->is_message)
			numbers[n++] = p->number;
		else if (!p->is_multipart)
			numbers[n++] = 1;
		if (p->parent == MIME_NONE)
			break;
	}
	for (size_t i = n; i > 0; i--) {
		buf_put_u64(out, numbers[i - 1]);
		if (i > 1)
			buf_put_u8(out, '.');
	}
}

bool
mime_decode(const struct mime *m, const struct mime_part *p, struct buf *out)
{
	return encoding_decode(p->encoding, mime_raw_body(m, p), out);
}
