/* Records that ask for reports on TLS, and the URLs in them. */
#include "trust/tls_report.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct slice texts[2], rest = slice_of(p, n);
	struct tls_report_places places;
	struct https_url url;
	struct arena a ARENA_CLEANUP;

	arena_init(&a, 1 << 20);
	texts[0] = slice_cut(&rest, 0);
	texts[1] = rest;
	if (tls_report_record((struct slice_list){texts, 2}, &a, &places) != 0)
		return 0;
	ASSERT(places.mail.n + places.https.n > 0 && places.mail.n + places.https.n <= TLS_REPORT_PLACES_MAX);
	for (size_t i = 0; i < places.mail.n; i++)
		ASSERT(slice_find_byte(places.mail.v[i], '@') != SLICE_NONE);
	for (size_t i = 0; i < places.https.n; i++) {
		ASSERT(https_url_parse(places.https.v[i], &url) == 0);
		ASSERT(url.port > 0 && url.host.n > 0 && slice_find_byte(url.host, '@') == SLICE_NONE);
		ASSERT(url.target.n == 0 || slice_at(url.target, 0) == '/' || slice_at(url.target, 0) == '?');
	}
	return 0;
}
