/* Arguments of MAIL and RCPT: what is accepted is safe to write into a command and a header field, and reads the same again. */
#include "smtp/command.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	ARENA_CLEANUP struct arena a;
	struct smtp_parameters ps;
	struct smtp_path path, again;
	struct slice text;

	arena_init(&a, 1 << 20);
	if (smtp_path_argument_parse(slice_of(p, n), SLICE("FROM"), &a, &path, &ps) != 0)
		return 0;
	ASSERT(path.null == (path.address.n == 0));
	ASSERT(
	    path.address.n <= SMTP_PATH_MAX && path.local.n <= SMTP_LOCAL_PART_MAX && path.domain.n <= SMTP_DOMAIN_MAX);
	for (size_t i = 0; i < path.address.n; i++)
		ASSERT(slice_at(path.address, i) >= 32 && slice_at(path.address, i) != 127);
	ASSERT(slice_is_utf8(path.address, true) && (path.utf8 || slice_is_ascii(path.address)));
	ASSERT(slice_is_ascii(path.domain));
	for (size_t i = 0; i < path.domain.n; i++)
		ASSERT(strchr("@<> \"\\", slice_at(path.domain, i)) == NULL);
	if (path.domain.n > 0)
		ASSERT(slice_eq(slice_from(path.address, slice_rfind_byte(path.address, '@') + 1), path.domain));
	if (!path.literal && path.domain.n > 0) {
		struct cursor c;

		text = arena_printf(&a, "<x@%.*s>", SLICE_ARG(path.domain));
		c = cursor_of(text);
		ASSERT(smtp_path_parse(&c, &a, &again) == 0 && slice_eq(again.domain, path.domain));
	}
	return 0;
}
