#include "cli/sendmail.h"

#include "base/limits.h"
#include "message/build.h"
#include "message/header.h"

#include <pwd.h>

/* The house takes lines up to limits.smtp_text_line_bytes; what programs print is sometimes longer. */
#define LINE_BYTES 60000u
#define HEADER_BYTES (1u << 20)
#define ADDRESSES_MAX 10000u
#define ADDRESS_BYTES_MAX 1000u

/* ---- lines ------------------------------------------------------------------------------------------------------------ */

void
sendmail_input_init(struct sendmail_input *in, FILE *file, bool dot_ends)
{
	*in = (struct sendmail_input){.in = file, .dot_ends = dot_ends, .held = -1};
	buf_init(&in->line, LINE_BYTES + 1);
}

void
sendmail_input_free(struct sendmail_input *in)
{
	buf_free(&in->line);
}

static int
next_byte(struct sendmail_input *in)
{
	int c = in->held;

	in->held = -1;
	return c >= 0 ? c : getc_unlocked(in->in);
}

int
sendmail_input_line(struct sendmail_input *in, struct slice *line)
{
	int c = EOF;

	in->line.n = 0;
	while (!in->over && in->line.n < LINE_BYTES && (c = next_byte(in)) != EOF && c != '\n') {
		if (c != '\r') {
			buf_put_u8(&in->line, (uint8_t)c);
			continue;
		}
		/* A CR alone, as progress bars print it, ends a line too: on the wire it may not stand alone. */
		c = next_byte(in);
		if (c != '\n' && c != EOF)
			in->held = c;
		c = '\n';
		break;
	}
	*line = buf_slice(&in->line);
	if (in->line.err != 0)
		return in->line.err;
	if (!in->over && c == EOF && ferror(in->in))
		return ERR_IO;
	if (in->over || (c == EOF && line->n == 0))
		return 0;
	in->over = c == EOF || (in->dot_ends && c == '\n' && slice_eq(*line, SLICE(".")));
	return in->over && c != EOF ? 0 : 1;
}

/* ---- the header ---------------------------------------------------------------------------------------------------------- */

/* RFC 5322 §2.2: printable characters but space up to a colon. */
static bool
is_field(struct slice line)
{
	size_t colon = slice_find_byte(line, ':');

	if (colon == SLICE_NONE || colon == 0)
		return false;
	for (size_t i = 0; i < colon; i++)
		if (slice_at(line, i) < 33 || slice_at(line, i) > 126)
			return false;
	return true;
}

static bool
is_mbox_line(struct slice line)
{
	return slice_starts(line, SLICE("From ")) || slice_starts(line, SLICE(">From "));
}

int
sendmail_header_read(struct sendmail_input *in, struct buf *header, struct buf *first_body)
{
	struct slice line;
	int r;

	for (bool first = true; (r = sendmail_input_line(in, &line)) == 1; first = false) {
		bool folded = header->n > 0 && line.n > 0 && (slice_at(line, 0) == ' ' || slice_at(line, 0) == '\t');

		if (first && is_mbox_line(line))
			continue;
		if (line.n == 0)
			return 0;
		if (!folded && !is_field(line)) {
			buf_put(first_body, line);
			return first_body->err != 0 ? first_body->err : 1;
		}
		buf_put(header, line);
		buf_put_z(header, "\r\n");
		if (header->n > HEADER_BYTES)
			return ERR_LIMIT;
		if (header->err != 0)
			return header->err;
	}
	return r;
}

/* ---- addresses -------------------------------------------------------------------------------------------------------------- */

static struct slice
own_domain(const struct sendmail *s)
{
	size_t at = slice_rfind_byte(s->own_address, '@');

	return at == SLICE_NONE ? SLICE("localhost") : slice_from(s->own_address, at + 1);
}

/* The list with a domain behind every name. *changed: one had none. */
static int
parse_addresses(struct sendmail *s, struct slice value, struct address_list *out, bool *changed)
{
	struct address *v;
	int err = address_parse(&s->arena, value, ADDRESSES_MAX, out);

	*changed = false;
	if (err != 0)
		return err;
	v = ARENA_ARRAY(&s->arena, struct address, out->n + 1);
	if (v == NULL)
		return ERR_LIMIT;
	for (size_t i = 0; i < out->n; i++) {
		v[i] = out->v[i];
		if (v[i].kind == ADDRESS_MAILBOX && v[i].domain.n == 0 && v[i].local.n > 0) {
			v[i].domain = own_domain(s);
			*changed = true;
		}
	}
	out->v = v;
	return out->truncated ? ERR_LIMIT : 0;
}

static int
add_recipient(struct sendmail *s, const struct address *a)
{
	struct buf text BUF_CLEANUP;

	if (a->kind != ADDRESS_MAILBOX || a->local.n == 0)
		return 0;
	buf_init(&text, ADDRESS_BYTES_MAX);
	address_put_spec(&text, a->local, a->domain);
	if (text.err != 0)
		return ERR_SYNTAX;
	s->recipients = arena_grow(
	    &s->arena, s->recipients, s->recipients_n, &s->recipients_cap, sizeof(*s->recipients), ADDRESSES_MAX);
	if (s->recipients == NULL)
		return ERR_LIMIT;
	s->recipients[s->recipients_n++] = arena_copy(&s->arena, buf_slice(&text));
	return arena_failed(&s->arena) ? ERR_LIMIT : 0;
}

static int
add_recipients(struct sendmail *s, const struct address_list *l)
{
	int err = 0;

	for (size_t i = 0; i < l->n && err == 0; i++)
		err = add_recipient(s, &l->v[i]);
	return err;
}

int
sendmail_recipients_add(struct sendmail *s, struct slice text)
{
	struct address_list list;
	bool changed;
	int err = parse_addresses(s, text, &list, &changed);

	if (err == 0 && address_first(&list) == NULL)
		err = ERR_SYNTAX;
	return err != 0 ? err : add_recipients(s, &list);
}

int
sendmail_address(struct sendmail *s, struct slice text, struct slice *out)
{
	const struct address *first;
	struct buf spec BUF_CLEANUP;
	struct address_list list;
	bool changed;
	int err;

	*out = SLICE_EMPTY;
	text = slice_trim(text);
	if (text.n == 0 || slice_eq(text, SLICE("<>")))
		return 0;
	/* What reads fields makes an address of any words; who names one sender means one word, or a name with <>. */
	if (slice_find_byte(text, ' ') != SLICE_NONE && slice_find_byte(text, '<') == SLICE_NONE &&
	    slice_at(text, 0) != '"')
		return ERR_SYNTAX;
	err = parse_addresses(s, text, &list, &changed);
	if (err != 0)
		return err;
	first = address_first(&list);
	if (first == NULL || first->local.n == 0 || list.n != 1)
		return ERR_SYNTAX;
	buf_init(&spec, ADDRESS_BYTES_MAX);
	address_put_spec(&spec, first->local, first->domain);
	*out = arena_copy(&s->arena, buf_slice(&spec));
	return spec.err != 0 || arena_failed(&s->arena) ? ERR_SYNTAX : 0;
}

/* ---- fields ---------------------------------------------------------------------------------------------------------------- */

enum field_kind {
	FIELD_OTHER,
	FIELD_FROM,
	FIELD_SENDERS,     /* whom it is from, in other words */
	FIELD_TO,          /* recipients */
	FIELD_RESENT_TO,   /* recipients of a message that is sent on */
	FIELD_RESENT_FROM, /* by whom */
};

static enum field_kind
kind_of(struct slice name)
{
	static const struct {
		const char *name;
		enum field_kind kind;
	} v[] = {{"From", FIELD_FROM}, {"Sender", FIELD_SENDERS}, {"Reply-To", FIELD_SENDERS}, {"To", FIELD_TO},
	    {"Cc", FIELD_TO}, {"Bcc", FIELD_TO}, {"Resent-To", FIELD_RESENT_TO}, {"Resent-Cc", FIELD_RESENT_TO},
	    {"Resent-Bcc", FIELD_RESENT_TO}, {"Resent-From", FIELD_RESENT_FROM}, {"Resent-Sender", FIELD_RESENT_FROM}};

	for (size_t i = 0; i < COUNT_OF(v); i++)
		if (slice_ieq(name, slice_z(v[i].name)))
			return v[i].kind;
	return FIELD_OTHER;
}

/* The name of the user's person, as the system has it, or of -F. */
static struct slice
full_name(struct sendmail *s)
{
	const struct passwd *pw;
	struct slice name;

	if (s->full_name != NULL)
		return slice_z(s->full_name);
	if (s->from != NULL)
		return SLICE_EMPTY;
	pw = getpwuid(geteuid());
	if (pw == NULL || pw->pw_gecos == NULL)
		return SLICE_EMPTY;
	name = arena_copy(&s->arena, slice_z(pw->pw_gecos));
	return slice_trim(slice_cut(&name, ','));
}

static int
put_from(struct sendmail *s, struct buf *out)
{
	struct slice address = s->sender.n > 0 ? s->sender : s->own_address, name = full_name(s);
	struct address_list list;
	struct address *one;
	bool changed;
	int err = parse_addresses(s, address, &list, &changed);

	one = ARENA_NEW(&s->arena, struct address);
	if (err != 0 || one == NULL || list.n != 1)
		return err != 0 ? err : ERR_LIMIT;
	*one = list.v[0];
	one->name = slice_is_utf8(name, true) ? name : SLICE_EMPTY;
	list.v = one;
	build_field_addresses(out, SLICE("From"), &list);
	return out->err;
}

static int
put_field(
    struct sendmail *s, const struct header_field *f, enum field_kind kind, enum field_kind recipients, struct buf *out)
{
	struct address_list list;
	bool changed;
	int err;

	if (kind == FIELD_OTHER) {
		buf_put(out, f->raw);
		return out->err;
	}
	err = parse_addresses(s, f->value, &list, &changed);
	if (err == 0 && s->from_header && kind == recipients)
		err = add_recipients(s, &list);
	if (err != 0)
		return err;
	if (changed)
		build_field_addresses(out, f->name, &list);
	else
		buf_put(out, f->raw);
	return out->err;
}

int
sendmail_header_finish(struct sendmail *s, struct slice header, struct buf *out)
{
	struct header_iter it = header_iter_of(header, HEADER_BYTES + 1);
	enum field_kind recipients = FIELD_TO;
	struct header_field f;
	bool from = false;
	int err = 0;

	while (header_next(&it, &f)) {
		enum field_kind kind = kind_of(f.name);

		from = from || kind == FIELD_FROM;
		if (kind == FIELD_RESENT_TO)
			recipients = FIELD_RESENT_TO;
	}
	it = header_iter_of(header, HEADER_BYTES + 1);
	while (err == 0 && header_next(&it, &f))
		err = put_field(s, &f, kind_of(f.name), recipients, out);
	if (err == 0 && !from)
		err = put_from(s, out);
	return err != 0 ? err : out->err;
}
