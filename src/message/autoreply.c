/* autoreply.c: the marks that lists, robots and bulk mail bear, and what an answer is made of. When in doubt nothing is
 * answered: an answer too few is a nuisance, a loop of answers is harm. */
#include "message/autoreply.h"

#include "message/address.h"
#include "message/cfws.h"
#include "message/threads.h"

#define SUBJECT_BYTES_MAX 300u
#define REFERENCES_MAX 20

/* ---- who does not want an answer ------------------------------------------------------------------------------ */

/* Local parts of machines: as they are, at the front, at the end. */
static bool
is_machine(struct slice local)
{
	static const struct slice whole[] = {SLICE_INIT("mailer-daemon"), SLICE_INIT("listserv"),
	    SLICE_INIT("majordomo"), SLICE_INIT("noreply"), SLICE_INIT("no-reply"), SLICE_INIT("no_reply"),
	    SLICE_INIT("donotreply"), SLICE_INIT("do-not-reply"), SLICE_INIT("bounce"), SLICE_INIT("bounces"),
	    SLICE_INIT("nobody"), SLICE_INIT("root"), SLICE_INIT("daemon"), SLICE_INIT("postmaster")};
	static const struct slice front[] = {SLICE_INIT("owner-"), SLICE_INIT("mailer-daemon"), SLICE_INIT("noreply-"),
	    SLICE_INIT("no-reply-"), SLICE_INIT("noreply+"), SLICE_INIT("no-reply+"), SLICE_INIT("bounce-"),
	    SLICE_INIT("bounces-"), SLICE_INIT("bounce+"), SLICE_INIT("bounces+")};
	static const struct slice end[] = {SLICE_INIT("-request"), SLICE_INIT("-owner"), SLICE_INIT("-bounces"),
	    SLICE_INIT("-bounce"), SLICE_INIT("-noreply"), SLICE_INIT("-errors")};

	for (size_t i = 0; i < COUNT_OF(whole); i++)
		if (slice_ieq(local, whole[i]))
			return true;
	for (size_t i = 0; i < COUNT_OF(front); i++)
		if (slice_istarts(local, front[i]))
			return true;
	for (size_t i = 0; i < COUNT_OF(end); i++)
		if (slice_iends(local, end[i]))
			return true;
	return false;
}

/* The first word of a structured value: without comments, up to white space or ';'. */
static struct slice
first_word(struct slice value)
{
	struct cursor c = cursor_of(value);
	size_t from;

	cfws_skip(&c, NULL);
	from = c.pos;
	while (cursor_peek(&c) > ' ' && cursor_peek(&c) != ';' && cursor_peek(&c) != '(' && cursor_peek(&c) != ',')
		cursor_skip(&c, 1);
	return slice_range(value, from, c.pos);
}

static bool
is_any(struct slice word, const struct slice *v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (slice_ieq(word, v[i]))
			return true;
	return false;
}

/* X-Auto-Response-Suppress: a list of words (MS-OXCMAIL §2.1.3.4.6). */
static bool
suppresses(struct slice value)
{
	static const struct slice words[] = {SLICE_INIT("all"), SLICE_INIT("oof"), SLICE_INIT("autoreply")};
	struct slice rest = value;

	while (rest.p != NULL) {
		struct slice word = slice_cut(&rest, ',');

		if (is_any(slice_trim(word), words, COUNT_OF(words)))
			return true;
	}
	return false;
}

static const char *
field_refusal(const struct header_field *f)
{
	static const struct slice bulk[] = {SLICE_INIT("bulk"), SLICE_INIT("junk"), SLICE_INIT("list")};
	struct slice type;

	if (slice_istarts(f->name, SLICE("List-")) || slice_ieq(f->name, SLICE("Mailing-List")))
		return "it came over a mailing list";
	if (slice_ieq(f->name, SLICE("Auto-Submitted")) && !slice_ieq(first_word(f->value), SLICE("no")))
		return "a machine has sent it";
	if (slice_ieq(f->name, SLICE("Precedence")) && is_any(first_word(f->value), bulk, COUNT_OF(bulk)))
		return "it is bulk mail";
	if (slice_ieq(f->name, SLICE("X-Auto-Response-Suppress")) && suppresses(f->value))
		return "its sender wants no automatic answer";
	if (slice_ieq(f->name, SLICE("X-Autoreply")) || slice_ieq(f->name, SLICE("X-Autorespond")) ||
	    slice_ieq(f->name, SLICE("Feedback-ID")))
		return "a machine has sent it";
	if (slice_ieq(f->name, SLICE("X-Spam-Flag")) && slice_ieq(first_word(f->value), SLICE("yes")))
		return "it is marked as spam";
	if (!slice_ieq(f->name, SLICE("Content-Type")))
		return NULL;
	type = first_word(f->value);
	return slice_ieq(type, SLICE("multipart/report")) ? "it is a report" : NULL;
}

const char *
autoreply_refusal(const struct header *h, struct slice reverse_path)
{
	size_t at = slice_rfind_byte(reverse_path, '@');

	if (reverse_path.n == 0)
		return "it has no sender";
	if (at == SLICE_NONE || at == 0 || at + 1 == reverse_path.n)
		return "its sender is not an address";
	if (is_machine(slice_head(reverse_path, at)))
		return "its sender is a machine";
	if (h->truncated)
		return "its header is too long to be judged";
	for (size_t i = 0; i < h->n; i++) {
		const char *why = field_refusal(&h->v[i]);

		if (why != NULL)
			return why;
	}
	return NULL;
}

/* ---- for whom it was -------------------------------------------------------------------------------------------- */

static int
add_addresses(struct arena *a, struct slice value, size_t max, struct slice *v, size_t *n)
{
	struct address_list list;
	struct buf spec BUF_CLEANUP;
	int err = address_parse(a, value, max, &list);

	buf_init(&spec, 4096);
	for (size_t i = 0; err == 0 && i < list.n && *n < max; i++) {
		const struct address *one = &list.v[i];

		if (one->kind != ADDRESS_MAILBOX || one->domain.n == 0)
			continue;
		buf_reset(&spec);
		address_put_spec(&spec, one->local, one->domain);
		if (spec.err == 0)
			v[(*n)++] = arena_copy(a, buf_slice(&spec));
	}
	return err != 0 ? err : arena_failed(a) ? ERR_LIMIT : 0;
}

int
autoreply_recipients(struct arena *a, const struct header *h, size_t max, struct slice_list *out)
{
	static const struct slice names[] = {SLICE_INIT("To"), SLICE_INIT("Cc"), SLICE_INIT("Bcc"),
	    SLICE_INIT("Resent-To"), SLICE_INIT("Resent-Cc"), SLICE_INIT("Resent-Bcc")};
	struct slice *v = ARENA_ARRAY(a, struct slice, max + 1);
	size_t n = 0;
	int err = v == NULL ? ERR_NOMEM : 0;

	for (size_t i = 0; err == 0 && i < h->n && n < max; i++)
		if (is_any(h->v[i].name, names, COUNT_OF(names)))
			err = add_addresses(a, h->v[i].value, max, v, &n);
	*out = (struct slice_list){v, err == 0 ? n : 0};
	return err;
}

/* ---- what an answer takes over ------------------------------------------------------------------------------------- */

static struct slice
subject_of(struct arena *a, const struct header *h)
{
	struct slice text = header_text(a, header_value(h, SLICE("Subject")), CHARSET_FIBER);
	size_t n = text.n < SUBJECT_BYTES_MAX ? text.n : SUBJECT_BYTES_MAX;
	char *line;

	while (n < text.n && n > 0 && (slice_at(text, n) & 0xc0) == 0x80)
		n--; /* whole characters */
	line = arena_z(a, slice_head(text, n));
	for (size_t i = 0; line != NULL && i < n; i++)
		if ((uint8_t)line[i] < ' ')
			line[i] = ' ';
	return arena_printf(a, "Auto: %s", line == NULL || n == 0 ? "your message" : line);
}

int
autoreply_make(struct arena *a, const struct header *h, struct autoreply *out)
{
	struct slice references = header_value(h, SLICE("References"));
	struct slice_list own, all;
	struct slice *v;
	size_t from;
	int err = message_ids_parse(a, header_value(h, SLICE("Message-ID")), 1, &own);

	*out = (struct autoreply){.subject = subject_of(a, h)};
	if (references.n == 0)
		references = header_value(h, SLICE("In-Reply-To"));
	if (err == 0)
		err = message_ids_parse(a, references, MESSAGE_REFERENCES_MAX, &all);
	if (err != 0)
		return err;
	v = ARENA_ARRAY(a, struct slice, all.n + 1);
	if (v == NULL)
		return ERR_NOMEM;
	if (own.n > 0)
		out->in_reply_to = *own.v;
	from = all.n >= REFERENCES_MAX ? all.n - (REFERENCES_MAX - 1) : 0;
	for (size_t i = from; i < all.n; i++)
		v[out->references.n++] = all.v[i];
	if (own.n > 0)
		v[out->references.n++] = *own.v;
	out->references.v = v;
	return arena_failed(a) ? ERR_NOMEM : 0;
}
