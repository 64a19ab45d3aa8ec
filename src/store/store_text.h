/* store_text.h: what SEARCH reads of a message: its decoded header fields, and of its body the text of every text part (HTML
 * as a person would read it) and the headers of parts, folded (message/fold.h). Made in two steps, since some of it is
 * read by another process: text_plan() takes the message apart, text_compose() puts the text together. */
#ifndef STORE_STORE_TEXT_H
#define STORE_STORE_TEXT_H

#include "base/arena.h"
#include "base/limits.h"
#include "store/store.h"

/* One piece of text, in order. */
struct text_piece {
	bool header;       /* of the message's own header: a field, on a line of its own */
	struct slice name; /* of a field, else empty */
	struct slice text; /* valid UTF-8; unset while `input` is */
	size_t input;      /* place in plan.inputs, or SIZE_MAX */
};

struct text_plan {
	struct text_piece *pieces;
	size_t pieces_n, pieces_cap;
	struct store_text_input *inputs; /* for a reader */
	size_t inputs_n, inputs_cap;
};

/* Everything lies in `a`, which should have room for text_arena_max(). Blocking; not on a fiber. ERR_LIMIT, ERR_NOMEM. */
NODISCARD int text_plan(struct arena *a, struct slice raw, const struct limits *l, struct text_plan *out);
size_t text_arena_max(const struct limits *l, size_t raw_bytes);
/* Appends the folded header, one line a field ("NAME: VALUE" LF), to `header`, and the body to `body`. `answers` has a text for
 * each input. Errors are those of the buffers. */
void text_compose(const struct text_plan *p, const struct slice *answers, struct buf *header, struct buf *body);

/* ---- looking for strings in it ---- */

/* Does the field `name` (folded) of a folded header contain `needle`? */
bool text_field_has(struct slice header, struct slice name, struct slice needle);
bool text_has(struct slice text, struct slice needle);

#endif
