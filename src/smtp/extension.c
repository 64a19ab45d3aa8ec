/* extension.c: what EHLO and LHLO announce, from the table of extensions. */
#include "smtp/channel.h"

#include "directory/sasl.h"

#define PARAMETER_BYTES 200

enum offered { ALWAYS, CLEAR, TLS, SIGN_IN, PROXY };
typedef void parameter_fn(const struct smtp_channel *ch, struct buf *out);

static void
parameter_NOTHING(const struct smtp_channel *ch, struct buf *out)
{
	(void)ch;
	(void)out;
}

static void
parameter_SIZE(const struct smtp_channel *ch, struct buf *out)
{
	buf_printf(out, " %lld", (long long)ch->message_bytes);
}

static void
parameter_MECHANISMS(const struct smtp_channel *ch, struct buf *out)
{
	sasl_put_mechanisms(out, ch->st, SERVICE_SUBMISSION, !ch->channel_binding, SLICE(" "), SLICE(""));
}

static void
parameter_ATTRIBUTES(const struct smtp_channel *ch, struct buf *out)
{
	(void)ch;
	buf_put_z(out, " NAME ADDR PORT PROTO HELO LOGIN DESTADDR DESTPORT");
}

/* RFC 4865 §3: seconds, and the same as a time. */
static void
parameter_HOLD(const struct smtp_channel *ch, struct buf *out)
{
	int64_t seconds = ch->house->limits.submission_hold_ms / 1000;
	struct civil_time t;

	time_to_civil(house_now_s(ch->house) + seconds, &t);
	buf_printf(out, " %lld %04lld-%02d-%02dT%02d:%02d:%02dZ", (long long)seconds, (long long)t.year, t.month, t.day,
	    t.hour, t.minute, t.second);
}

/* RFC 9422 §4: numbers of six digits at most. */
static void
parameter_LIMITS(const struct smtp_channel *ch, struct buf *out)
{
	int64_t recipients = ch->house->limits.smtp_recipients;

	if (ch->mails_max > 0 && ch->mails_max <= 999999)
		buf_printf(out, " MAILMAX=%lld", (long long)ch->mails_max);
	buf_printf(out, " RCPTMAX=%lld", (long long)(recipients > 999999 ? 999999 : recipients));
}

static const struct {
	const char *keyword;
	unsigned where;
	enum offered offered;
	parameter_fn *parameter;
} extensions[] = {
#define EXTENSION(keyword, where, offered, parameter, help) {(keyword), (where), (offered), parameter_##parameter},
#include "smtp/extensions.def"
#undef EXTENSION
};

static bool
is_offered(const struct smtp_channel *ch, size_t i)
{
	if ((extensions[i].where & ch->where) == 0)
		return false;
	switch (extensions[i].offered) {
	case CLEAR: return ch->tls != NULL && !smtp_channel_is_tls(ch);
	case TLS: return smtp_channel_is_tls(ch);
	case SIGN_IN: return smtp_channel_is_tls(ch) || ch->cleartext_sign_in;
	case PROXY: return ch->xclient;
	case ALWAYS: break;
	}
	/* RFC 4865 §4.2: with the time that it allows, or not at all. */
	return extensions[i].parameter != parameter_HOLD || ch->house->limits.submission_hold_ms >= 1000;
}

void
smtp_reply_extensions(struct smtp_channel *ch)
{
	const size_t last = COUNT_OF(extensions) - 1; /* always offered */

	(void)!stream_printf(ch->st, "250-%.*s\r\n", SLICE_ARG(ch->hostname));
	for (size_t i = 0; i <= last; i++) {
		BUF_CLEANUP struct buf parameter;

		if (!is_offered(ch, i))
			continue;
		buf_init(&parameter, PARAMETER_BYTES);
		extensions[i].parameter(ch, &parameter);
		(void)!stream_printf(ch->st, "250%c%s%.*s\r\n", i == last ? ' ' : '-', extensions[i].keyword,
		    SLICE_ARG(buf_slice(&parameter)));
	}
}
