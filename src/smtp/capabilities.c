#include "smtp/capabilities.h"

#include "base/err.h"

#define NUMBER_MAX (UINT64_MAX / 2)

static uint64_t
number(struct slice s)
{
	uint64_t n;

	return slice_to_u64(slice_trim(s), NUMBER_MAX, &n) == 0 ? n : 0;
}

/* Mechanisms, separated by spaces; of "AUTH=PLAIN", as old servers write, too. */
static unsigned
mechanisms(struct slice text)
{
	static const struct {
		struct slice name;
		enum smtp_mechanism bit;
	} known[] = {{SLICE_INIT("LOGIN"), SMTP_MECHANISM_LOGIN}, {SLICE_INIT("PLAIN"), SMTP_MECHANISM_PLAIN},
	    {SLICE_INIT("SCRAM-SHA-1"), SMTP_MECHANISM_SCRAM_SHA1},
	    {SLICE_INIT("SCRAM-SHA-256"), SMTP_MECHANISM_SCRAM_SHA256}};
	unsigned bits = 0;

	while (text.p != NULL) {
		struct slice word = slice_cut(&text, ' ');

		for (size_t i = 0; i < COUNT_OF(known); i++)
			if (slice_ieq(word, known[i].name))
				bits |= known[i].bit;
	}
	return bits;
}

/* "MAILMAX=20 RCPTMAX=100" (RFC 9422 §4). */
static void
take_limits(struct smtp_capabilities *can, struct slice text)
{
	while (text.p != NULL) {
		struct slice value = slice_cut(&text, ' '), name = slice_cut(&value, '=');

		if (slice_ieq(name, SLICE("MAILMAX")))
			can->mail_max = number(value);
		else if (slice_ieq(name, SLICE("RCPTMAX")))
			can->rcpt_max = number(value);
		else if (slice_ieq(name, SLICE("RCPTDOMAINMAX")))
			can->rcpt_domain_max = number(value);
	}
}

void
smtp_capabilities_take(struct smtp_capabilities *can, struct slice text)
{
	const struct {
		struct slice name;
		bool *flag;
	} flags[] = {{SLICE("PIPELINING"), &can->pipelining}, {SLICE("8BITMIME"), &can->eight_bit},
	    {SLICE("CHUNKING"), &can->chunking}, {SLICE("BINARYMIME"), &can->binary},
	    {SLICE("STARTTLS"), &can->starttls}, {SLICE("SMTPUTF8"), &can->utf8}, {SLICE("DSN"), &can->dsn},
	    {SLICE("REQUIRETLS"), &can->require_tls}, {SLICE("MT-PRIORITY"), &can->mt_priority}};
	struct slice rest = slice_trim(text), word = slice_cut(&rest, ' ');

	for (size_t i = 0; i < COUNT_OF(flags); i++)
		if (slice_ieq(word, flags[i].name))
			*flags[i].flag = true;
	if (slice_ieq(word, SLICE("SIZE"))) {
		can->size = true;
		can->size_max = number(rest);
	} else if (slice_ieq(word, SLICE("DELIVERBY"))) {
		can->deliver_by = true;
		can->deliver_by_min_s = number(rest);
	} else if (slice_ieq(word, SLICE("AUTH"))) {
		can->mechanisms |= mechanisms(rest);
	} else if (slice_istarts(word, SLICE("AUTH="))) {
		can->mechanisms |= mechanisms(slice_from(slice_trim(text), 5));
	} else if (slice_ieq(word, SLICE("LIMITS"))) {
		take_limits(can, rest);
	}
}
