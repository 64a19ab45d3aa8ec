/* arc_results.c: our own Authentication-Results fields, as one. */
#include "trust/arc.h"

/* Cuts *rest at the first ";" that is in no quoted string and in no comment (RFC 8601 §2.2, RFC 5322 §3.2). */
static struct slice
cut_result(struct slice *rest)
{
	size_t depth = 0, i = 0;
	bool quoted = false;
	struct slice out;

	for (; i < rest->n; i++) {
		uint8_t c = slice_at(*rest, i);

		if (c == '\\')
			i++;
		else if (c == '"' && depth == 0)
			quoted = !quoted;
		else if (c == '(' && !quoted)
			depth++;
		else if (c == ')' && !quoted && depth > 0)
			depth--;
		else if (c == ';' && !quoted && depth == 0)
			break;
	}
	i = i < rest->n ? i : rest->n;
	out = slice_head(*rest, i);
	*rest = i < rest->n ? slice_from(*rest, i + 1) : SLICE_EMPTY;
	return slice_trim(out);
}

/* The authserv-id may have a version behind it. */
static bool
is_ours(struct slice *value, struct slice id)
{
	struct slice name = cut_result(value);

	return slice_ieq(slice_trim(slice_cut(&name, ' ')), id);
}

static void
read_chain(struct slice result, enum trust_result *chain)
{
	struct slice value = result, method = slice_trim(slice_cut(&value, '='));

	if (value.p == NULL || !slice_ieq(method, SLICE("arc")))
		return;
	value = slice_trim(value);
	*chain = slice_istarts(value, SLICE("pass")) ? TRUST_PASS
	    : slice_istarts(value, SLICE("none"))    ? TRUST_NONE
						     : TRUST_FAIL;
}

void
arc_results_gather(const struct header *h, struct slice authserv_id, struct buf *out, enum trust_result *chain)
{
	bool any = false;

	*chain = TRUST_NONE;
	buf_put(out, authserv_id);
	for (size_t i = 0; i < h->n; i++) {
		struct slice value = h->v[i].value;

		if (!slice_ieq(h->v[i].name, SLICE("Authentication-Results")) || !is_ours(&value, authserv_id))
			continue;
		while (value.p != NULL) {
			struct slice result = cut_result(&value);

			if (result.n == 0 || slice_ieq(result, SLICE("none")))
				continue;
			read_chain(result, chain);
			buf_put_z(out, any ? ";\r\n\t" : "; ");
			buf_put(out, result);
			any = true;
		}
	}
	if (!any)
		buf_put_z(out, "; none");
}
