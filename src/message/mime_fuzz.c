/* mime_fuzz.c: any bytes as a message; the parts must nest within their parents and follow each other. */
#include "message/mime.h"

#include "message/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check(const struct mime *m)
{
	for (size_t i = 0; i < m->n; i++) {
		const struct mime_part *p = &m->v[i];

		ASSERT(p->header_start <= p->header_end && p->header_end <= p->body_end && p->body_end <= m->raw.n);
		ASSERT(p->type.n > 0 && p->subtype.n > 0);
		if (p->parent != MIME_NONE) {
			const struct mime_part *up = &m->v[p->parent];

			ASSERT(p->parent < i && p->depth == up->depth + 1);
			ASSERT(p->header_start >= up->header_end && p->body_end <= up->body_end);
		}
		if (p->next != MIME_NONE)
			ASSERT(m->v[p->next].header_start >= p->body_end && m->v[p->next].number == p->number + 1);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice raw = slice_of(data, size), s;
	struct limits limits;
	struct mime m;
	ARENA_CLEANUP struct arena a;
	BUF_CLEANUP struct buf b;

	limits_default(&limits);
	limits.message_parts = 100;
	limits.message_depth = 10;
	arena_init(&a, mime_arena_max(&limits, size));
	buf_init(&b, 64 << 20);
	ASSERT(mime_parse(&a, raw, &limits, CHARSET_THREAD, &m) == 0);
	check(&m);
	ASSERT(text_of_message(&m, &limits, CHARSET_THREAD, &b) == 0);
	ASSERT(text_preview(&m, &limits, CHARSET_THREAD, 200, &b) == 0);
	ASSERT(slice_is_utf8(buf_slice(&b), false));
	for (uint32_t i = 0; i < 4; i++) {
		uint32_t path[3] = {1, i, 1};

		for (int k = 0; k < 4; k++)
			(void)!mime_section(&m, path, i % 4, (enum mime_section)k, &s);
	}
	for (size_t i = 0; i < m.n; i++)
		mime_put_number(&m, &m.v[i], &b);
	return 0;
}
