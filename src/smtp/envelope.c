#include "smtp/envelope.h"

#include "base/house.h"

#define DIGITS_9_MAX 999999999 /* RFC 2852 §4, RFC 4865 §3 */

/* ---- values --------------------------------------------------------------------------------------------- */

static int
upper_hex(int c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* RFC 3461 §4: decodes xtext; false when it is none, or stands for control characters. */
static bool
decode_xtext(struct slice s, struct buf *out)
{
	struct cursor c = cursor_of(s);

	while (!cursor_end(&c)) {
		int byte = cursor_u8(&c);

		if (byte == '+') {
			int high = upper_hex(cursor_u8(&c)), low = upper_hex(cursor_u8(&c));

			byte = high < 0 || low < 0 ? -1 : high * 16 + low;
		} else if (byte < '!' || byte > '~' || byte == '=') {
			return false;
		}
		if (byte < ' ' || byte == 127)
			return false;
		buf_put_u8(out, (uint8_t)byte);
	}
	return c.err == 0 && out->err == 0;
}

/* xtext that stands for printable ASCII. */
static bool
is_xtext(struct slice s)
{
	BUF_CLEANUP struct buf text;

	buf_init(&text, SMTP_ORCPT_MAX);
	return decode_xtext(s, &text) && slice_is_ascii(buf_slice(&text));
}

/* RFC 6533 §3: graphic ASCII without what parameters must not hold, and UTF-8 where the session has it. What is escaped in it
 * is not looked at: "it MUST be copied without alteration". */
static bool
is_utf8_address(struct slice s, bool utf8)
{
	for (size_t i = 0; i < s.n; i++) {
		uint8_t c = slice_at(s, i);

		if (c <= ' ' || c == 127 || c == '=' || c == '+' || (c > 127 && !utf8))
			return false;
	}
	return slice_is_utf8(s, true);
}

/* An atom of RFC 822, as in "rfc822". */
static bool
is_atom(struct slice s)
{
	for (size_t i = 0; i < s.n; i++) {
		uint8_t c = slice_at(s, i);

		if (c <= ' ' || c > '~' || strchr("()<>@,;:\\\".[]", c) != NULL)
			return false;
	}
	return s.n > 0;
}

static int
two_digits(struct cursor *c)
{
	int high = cursor_u8(c), low = cursor_u8(c);

	if (!ascii_is_digit((uint8_t)high) || !ascii_is_digit((uint8_t)low))
		cursor_fail(c, ERR_SYNTAX);
	return (high - '0') * 10 + (low - '0');
}

static int
days_of(int64_t year, int month)
{
	static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};

	return month == 2 && year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) ? 29 : days[month - 1];
}

/* RFC 3339, in UTC: "2026-11-22T02:42:26Z", with a fraction or without, which is dropped. */
static int
utc_read(struct slice s, int64_t *out)
{
	struct cursor c = cursor_of(s);
	struct civil_time t = {.year = two_digits(&c) * 100};

	t.year += two_digits(&c);
	cursor_expect_byte(&c, '-');
	t.month = two_digits(&c);
	cursor_expect_byte(&c, '-');
	t.day = two_digits(&c);
	if (!cursor_accept_byte(&c, 't'))
		cursor_expect_byte(&c, 'T');
	t.hour = two_digits(&c);
	cursor_expect_byte(&c, ':');
	t.minute = two_digits(&c);
	cursor_expect_byte(&c, ':');
	t.second = two_digits(&c);
	if (cursor_accept_byte(&c, '.')) {
		if (cursor_peek(&c) < '0' || cursor_peek(&c) > '9')
			return ERR_SYNTAX;
		while (cursor_peek(&c) >= '0' && cursor_peek(&c) <= '9')
			cursor_skip(&c, 1);
	}
	if (!cursor_accept_byte(&c, 'z'))
		cursor_expect_byte(&c, 'Z');
	if (c.err != 0 || !cursor_end(&c) || t.year < 1970 || t.month < 1 || t.month > 12 || t.day < 1 ||
	    t.day > days_of(t.year, t.month) || t.hour > 23 || t.minute > 59 || t.second > 60)
		return ERR_SYNTAX;
	*out = time_from_civil(&t);
	return 0;
}

/* ---- the parameters of MAIL ------------------------------------------------------------------------------ */

struct reading {
	const struct smtp_envelope_rules *rules;
	struct smtp_mail_envelope *out;
};
typedef enum smtp_reply_id read_fn(const struct reading *r, struct slice value);

static enum smtp_reply_id
read_size(const struct reading *r, struct slice value)
{
	uint64_t size = 0;
	int e = value.n > 20 ? ERR_SYNTAX : slice_to_u64(value, UINT64_MAX / 2, &size);

	if (e == ERR_SYNTAX)
		return SMTP_R_BAD_PARAMETER;
	return e != 0 || size > (uint64_t)r->rules->message_bytes ? SMTP_R_TOO_LARGE : SMTP_R_OK;
}

static enum smtp_reply_id
read_body(const struct reading *r, struct slice value)
{
	static const struct slice words[] = {SLICE_INIT("7BIT"), SLICE_INIT("8BITMIME"), SLICE_INIT("BINARYMIME")};

	for (size_t i = 0; i < COUNT_OF(words); i++)
		if (slice_ieq(value, words[i])) {
			r->out->body = (enum smtp_body)i;
			return SMTP_R_OK;
		}
	return SMTP_R_BAD_PARAMETER;
}

static enum smtp_reply_id
read_utf8(const struct reading *r, struct slice value)
{
	r->out->utf8 = true;
	return value.n == 0 ? SMTP_R_OK : SMTP_R_BAD_PARAMETER;
}

static enum smtp_reply_id
read_require_tls(const struct reading *r, struct slice value)
{
	r->out->require_tls = true;
	if (value.n > 0)
		return SMTP_R_BAD_PARAMETER;
	return r->rules->tls ? SMTP_R_OK : SMTP_R_REQUIRETLS_NEEDS_TLS;
}

static enum smtp_reply_id
read_ret(const struct reading *r, struct slice value)
{
	bool full = slice_ieq(value, SLICE("FULL"));

	r->out->ret = full ? SLICE("FULL") : SLICE("HDRS");
	return full || slice_ieq(value, SLICE("HDRS")) ? SMTP_R_OK : SMTP_R_BAD_PARAMETER;
}

static enum smtp_reply_id
read_envid(const struct reading *r, struct slice value)
{
	r->out->envid = value;
	return value.n > 0 && value.n <= SMTP_ENVID_MAX && is_xtext(value) ? SMTP_R_OK : SMTP_R_BAD_PARAMETER;
}

static enum smtp_reply_id
hold(const struct reading *r, int64_t until_s)
{
	if (r->rules->hold_max_s == 0)
		return SMTP_R_UNKNOWN_PARAMETER;
	if (r->out->hold || until_s > r->rules->now_s + r->rules->hold_max_s)
		return SMTP_R_BAD_HOLD;
	r->out->hold = true;
	r->out->hold_until_s = until_s;
	return SMTP_R_OK;
}

static enum smtp_reply_id
read_hold_for(const struct reading *r, struct slice value)
{
	uint64_t seconds = 0;
	int e = slice_to_u64(value, DIGITS_9_MAX, &seconds);

	if (r->rules->hold_max_s > 0 && (e != 0 || seconds == 0 || slice_at(value, 0) == '0'))
		return SMTP_R_BAD_HOLD;
	return hold(r, r->rules->now_s + (int64_t)seconds);
}

/* A time that has passed is one that has come: clocks differ. */
static enum smtp_reply_id
read_hold_until(const struct reading *r, struct slice value)
{
	int64_t until_s = 0;

	if (utc_read(value, &until_s) != 0 && r->rules->hold_max_s > 0)
		return SMTP_R_BAD_HOLD;
	return hold(r, until_s);
}

/* RFC 2852 §4: ["-" / "+"]1*9DIGIT ";" ("N" / "R") ["T"]. */
static enum smtp_reply_id
read_by(const struct reading *r, struct slice value)
{
	struct slice mode = value, time = slice_cut(&mode, ';');
	bool negative = slice_starts(time, SLICE("-"));
	uint64_t seconds = 0;

	if (negative || slice_starts(time, SLICE("+")))
		time = slice_from(time, 1);
	if (time.n > 9 || slice_to_u64(time, DIGITS_9_MAX, &seconds) != 0 || mode.n == 0 || mode.n > 2)
		return SMTP_R_BAD_PARAMETER;
	r->out->by_mode = (char)ascii_upper(slice_at(mode, 0));
	r->out->by_trace = mode.n == 2;
	r->out->by_s = r->rules->now_s + (negative ? -(int64_t)seconds : (int64_t)seconds);
	if (r->out->by_trace && ascii_upper(slice_at(mode, 1)) != 'T')
		return SMTP_R_BAD_PARAMETER;
	if (r->out->by_mode == 'R')
		return negative || seconds == 0 ? SMTP_R_BAD_PARAMETER : SMTP_R_OK;
	return r->out->by_mode == 'N' ? SMTP_R_OK : SMTP_R_BAD_PARAMETER;
}

/* RFC 6710 §7: (["-"] NZDIGIT) / "0". */
static enum smtp_reply_id
read_priority(const struct reading *r, struct slice value)
{
	bool negative = value.n == 2 && slice_at(value, 0) == '-';
	struct slice digit = slice_from(value, negative ? 1 : 0);

	if (digit.n != 1 || !ascii_is_digit(slice_at(digit, 0)) || (negative && slice_at(digit, 0) == '0'))
		return SMTP_R_BAD_PARAMETER;
	r->out->priority_given = true;
	r->out->priority = slice_at(digit, 0) - '0';
	if (negative)
		r->out->priority = -r->out->priority;
	if (r->out->priority > r->rules->priority_max) {
		r->out->priority = r->rules->priority_max;
		r->out->priority_lowered = true;
	}
	return SMTP_R_OK;
}

/* RFC 4954 §5: who has signed in speaks for himself, so that what it says is not passed on. */
static enum smtp_reply_id
read_auth(const struct reading *r, struct slice value)
{
	if (!r->rules->auth)
		return SMTP_R_UNKNOWN_PARAMETER;
	return value.n > 0 && value.n <= SMTP_ORCPT_MAX && (is_xtext(value) || slice_eq(value, SLICE("<>")))
	    ? SMTP_R_OK
	    : SMTP_R_BAD_PARAMETER;
}

static const struct {
	struct slice name;
	read_fn *read;
} mail_parameters[] = {{SLICE_INIT("SIZE"), read_size}, {SLICE_INIT("BODY"), read_body},
    {SLICE_INIT("SMTPUTF8"), read_utf8}, {SLICE_INIT("RET"), read_ret}, {SLICE_INIT("ENVID"), read_envid},
    {SLICE_INIT("REQUIRETLS"), read_require_tls}, {SLICE_INIT("HOLDFOR"), read_hold_for},
    {SLICE_INIT("HOLDUNTIL"), read_hold_until}, {SLICE_INIT("BY"), read_by}, {SLICE_INIT("MT-PRIORITY"), read_priority},
    {SLICE_INIT("AUTH"), read_auth}};

static enum smtp_reply_id
read_one(const struct reading *r, const struct smtp_parameter *p)
{
	for (size_t i = 0; i < COUNT_OF(mail_parameters); i++)
		if (slice_ieq(p->name, mail_parameters[i].name))
			return mail_parameters[i].read(r, p->value);
	return SMTP_R_UNKNOWN_PARAMETER;
}

enum smtp_reply_id
smtp_mail_envelope_read(
    const struct smtp_parameters *ps, const struct smtp_envelope_rules *rules, struct smtp_mail_envelope *out)
{
	const struct reading r = {rules, out};

	*out = (struct smtp_mail_envelope){0};
	for (size_t i = 0; i < ps->n; i++) {
		enum smtp_reply_id refusal = read_one(&r, &ps->v[i]);

		if (refusal != SMTP_R_OK)
			return refusal;
	}
	/* RFC 4865 §5.2.2: what is due before it may be sent. */
	if (out->hold && out->by_mode != 0 && out->hold_until_s > out->by_s)
		return SMTP_R_BAD_HOLD;
	return SMTP_R_OK;
}

void
smtp_mail_envelope_put(const struct smtp_mail_envelope *e, bool eight_bit, bool tls_not_required, struct buf *out)
{
	if (e->body == SMTP_BODY_BINARYMIME)
		buf_put_z(out, "BODY=BINARYMIME\n");
	else if (e->body == SMTP_BODY_8BITMIME || eight_bit)
		buf_put_z(out, "BODY=8BITMIME\n");
	if (e->utf8)
		buf_put_z(out, "SMTPUTF8=\n");
	if (e->ret.n > 0)
		buf_printf(out, "RET=%.*s\n", SLICE_ARG(e->ret));
	if (e->envid.n > 0)
		buf_printf(out, "ENVID=%.*s\n", SLICE_ARG(e->envid));
	if (e->require_tls)
		buf_put_z(out, "REQUIRETLS=\n");
	else if (tls_not_required)
		buf_put_z(out, "TLS-REQUIRED=NO\n");
	if (e->hold)
		buf_printf(out, "HOLDUNTIL=%lld\n", (long long)e->hold_until_s);
	if (e->by_mode != 0)
		buf_printf(out, "BY=%lld;%c%s\n", (long long)e->by_s, e->by_mode, e->by_trace ? "T" : "");
	if (e->priority_given)
		buf_printf(out, "MT-PRIORITY=%lld\n", (long long)e->priority);
}

/* ---- the parameters of RCPT ------------------------------------------------------------------------------ */

static bool
put_notify(struct slice value, struct buf *out)
{
	static const struct slice words[] = {SLICE_INIT("SUCCESS"), SLICE_INIT("FAILURE"), SLICE_INIT("DELAY")};
	unsigned have = 0;
	bool first = true;

	if (slice_ieq(value, SLICE("NEVER"))) {
		buf_put_z(out, "NOTIFY=NEVER\n");
		return true;
	}
	if (value.n == 0)
		return false;
	while (value.p != NULL) {
		struct slice word = slice_cut(&value, ',');
		unsigned known = 0;

		for (size_t i = 0; i < COUNT_OF(words); i++)
			if (slice_ieq(word, words[i]))
				known = 1u << i;
		if (known == 0 || (have & known) != 0)
			return false;
		have |= known;
	}
	buf_put_z(out, "NOTIFY=");
	for (size_t i = 0; i < COUNT_OF(words); i++)
		if ((have & 1u << i) != 0) {
			buf_put_z(out, first ? "" : ",");
			buf_put(out, words[i]);
			first = false;
		}
	buf_put_z(out, "\n");
	return true;
}

/* UTF-8 in the form that may pass anywhere, utf-8-addr-xtext (RFC 6533 §3). The text is valid. */
static void
put_unitext(struct slice text, struct buf *out)
{
	for (size_t i = 0; i < text.n;) {
		uint8_t c = slice_at(text, i);
		size_t more = c < 0x80 ? 0 : c < 0xe0 ? 1 : c < 0xf0 ? 2 : 3;
		unsigned point = more == 0 ? c : c & (0x3fu >> more);

		for (size_t j = 1; j <= more; j++)
			point = point << 6 | (slice_at(text, i + j) & 0x3fu);
		if (point > ' ' && point < 127 && point != '\\' && point != '+' && point != '=')
			buf_put_u8(out, c);
		else
			buf_printf(out, "\\x{%02X}", point);
		i += more + 1;
	}
}

static bool
put_orcpt(struct slice value, bool utf8, struct buf *out)
{
	struct slice address = value, type = slice_cut(&address, ';');
	BUF_CLEANUP struct buf text;

	buf_init(&text, SMTP_ORCPT_MAX);
	if (value.n > SMTP_ORCPT_MAX || !is_atom(type) || address.n == 0)
		return false;
	buf_put_z(out, "ORCPT=");
	if (slice_ieq(type, SLICE("utf-8"))) {
		if (!is_utf8_address(address, utf8))
			return false;
		buf_put(out, value);
	} else if (!decode_xtext(address, &text) || !slice_is_utf8(buf_slice(&text), true)) {
		return false;
	} else if (slice_is_ascii(buf_slice(&text))) {
		buf_put(out, value);
	} else {
		/* Postfix calls an address outside ASCII rfc822 too; from here on it has its right name. */
		buf_put_z(out, "utf-8;");
		put_unitext(buf_slice(&text), out);
	}
	buf_put_z(out, "\n");
	return true;
}

enum smtp_reply_id
smtp_rcpt_envelope_read(const struct smtp_parameters *ps, bool utf8, struct buf *out)
{
	for (size_t i = 0; i < ps->n; i++) {
		const struct smtp_parameter *p = &ps->v[i];
		bool good;

		if (slice_ieq(p->name, SLICE("NOTIFY")))
			good = put_notify(p->value, out);
		else if (slice_ieq(p->name, SLICE("ORCPT")))
			good = put_orcpt(p->value, utf8, out);
		else
			return SMTP_R_UNKNOWN_PARAMETER;
		if (!good)
			return SMTP_R_BAD_PARAMETER;
	}
	return SMTP_R_OK;
}
