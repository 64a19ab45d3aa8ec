#include "smtp/header_watch.h"

static const char *const kept_names[SMTP_KEPT_COUNT] = {[SMTP_KEPT_FROM] = "From",
    [SMTP_KEPT_SENDER] = "Sender",
    [SMTP_KEPT_RESENT_FROM] = "Resent-From",
    [SMTP_KEPT_RESENT_SENDER] = "Resent-Sender"};

const char *
smtp_kept_name(enum smtp_kept k)
{
	return kept_names[k];
}

void
smtp_header_watch_init(struct smtp_header_watch *w, bool keep)
{
	*w = (struct smtp_header_watch){.keep = keep, .in_name = true, .empty = true};
	for (size_t i = 0; i < SMTP_KEPT_COUNT; i++)
		buf_init(&w->kept[i], SMTP_FROM_MAX);
}

void
smtp_header_watch_free(struct smtp_header_watch *w)
{
	for (size_t i = 0; i < SMTP_KEPT_COUNT; i++)
		buf_free(&w->kept[i]);
}

/* The colon has come: which field is it? White space before the colon is the obsolete syntax (RFC 5322 §4.5). */
static void
name_ends(struct smtp_header_watch *w)
{
	struct slice name = slice_of(w->name, w->name_n);

	w->in_name = false;
	if (slice_eq(name, SLICE("received")))
		w->received++;
	else if (slice_eq(name, SLICE("date")))
		w->date_count++;
	else if (slice_eq(name, SLICE("message-id")))
		w->message_id_count++;
	else if (slice_eq(name, SLICE("tls-required")))
		w->in_tls_required = w->tls_required_count++ == 0;
	for (size_t i = 0; i < SMTP_KEPT_COUNT; i++) {
		bool again;

		if (!slice_ieq(name, slice_z(kept_names[i])))
			continue;
		again = w->kept_count[i]++ > 0;
		if (!w->keep || (again && i != SMTP_KEPT_FROM))
			continue;
		w->into = &w->kept[i];
		if (again)
			buf_put_z(w->into, ", ");
	}
}

static void
name_byte(struct smtp_header_watch *w, uint8_t c)
{
	if (w->empty && (c == ' ' || c == '\t')) {
		w->in_name = w->empty = false; /* a folded line goes on */
		if (w->into != NULL)
			buf_put_u8(w->into, ' ');
		return;
	}
	if (w->empty) {
		w->in_tls_required = false;
		w->into = NULL;
	}
	w->empty = false;
	if (c == ':')
		name_ends(w);
	else if (c == ' ' || c == '\t')
		w->name_over = true; /* however much of it */
	else if (c == '\0')
		; /* some readers leave it out */
	else if (w->name_over)
		w->in_name = false; /* no field */
	else if (w->name_n < sizeof(w->name))
		w->name[w->name_n++] = ascii_lower(c);
	else
		w->in_name = false; /* longer than any that we look for */
}

static void
keep_text(struct smtp_header_watch *w, struct slice text)
{
	while (text.p != NULL)
		buf_put(w->into, slice_cut(&text, '\r'));
}

static void
keep_tls_required(struct smtp_header_watch *w, struct slice text)
{
	for (size_t i = 0; i < text.n && w->tls_required_n < sizeof(w->tls_required); i++)
		if (!ascii_is_space(slice_at(text, i)))
			w->tls_required[w->tls_required_n++] = (char)ascii_lower(slice_at(text, i));
}

bool
smtp_header_watch_tls_not_required(const struct smtp_header_watch *w)
{
	return w->tls_required_count == 1 && slice_eq(slice_of(w->tls_required, w->tls_required_n), SLICE("no"));
}

void
smtp_header_watch_feed(struct smtp_header_watch *w, struct slice run)
{
	size_t i = 0;

	while (i < run.n && !w->done) {
		uint8_t c = slice_at(run, i);

		if (w->in_name && c != '\r' && c != '\n') {
			name_byte(w, c);
			i++;
		} else if (c == '\n') {
			if (w->in_name && w->empty)
				w->done = true;
			w->in_name = w->empty = true;
			w->name_over = false;
			w->name_n = 0;
			i++;
		} else {
			/* To the end of the line at once. */
			size_t lf = slice_find_byte(slice_from(run, i), '\n');
			size_t to = lf == SLICE_NONE ? run.n : i + lf;

			if (w->into != NULL && !w->in_name)
				keep_text(w, slice_range(run, i, to));
			if (w->in_tls_required && !w->in_name)
				keep_tls_required(w, slice_range(run, i, to));
			i = to;
		}
	}
}
