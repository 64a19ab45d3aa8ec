/* settings.c: the configuration of a house, read through the one table of keys. Everything that is wrong is
 * reported with its line; nothing is taken over unless all is right. */
#include "role/settings_table.h"

#include "base/ini.h"
#include "base/log.h"
#include "bus/values.h"
#include "rt/net_prefix.h"

#define SETTINGS_ARENA_BYTES (8u << 20)
#define HOSTNAME_BYTES 253u

struct parse {
	struct settings *s;
	struct arena *a; /* the settings' own */
	struct buf *detail;
	int err;
};

#define WRONG(p, line, ...) \
	do { \
		ini_complain((p)->detail, (line), __VA_ARGS__); \
		if ((p)->err == 0) \
			(p)->err = ERR_INVALID; \
	} while (0)

/* ---- values ------------------------------------------------------------------------------------------ */

static struct slice
lower(struct arena *a, struct slice s)
{
	char *z = arena_z(a, s);

	for (size_t i = 0; z != NULL && i < s.n; i++)
		z[i] = (char)ascii_lower((uint8_t)z[i]);
	return slice_of(z, z == NULL ? 0 : s.n);
}

/* LDH labels of up to 63 bytes (RFC 1123 §2.1); UTF-8 labels are let through for IDNA. */
static bool
is_name(struct slice s)
{
	if (s.n == 0 || s.n > HOSTNAME_BYTES)
		return false;
	while (s.p != NULL) {
		struct slice label = slice_cut(&s, '.');

		if (label.n == 0 || label.n > 63 || slice_at(label, 0) == '-' || slice_at(label, label.n - 1) == '-')
			return false;
		for (size_t i = 0; i < label.n; i++) {
			uint8_t c = slice_at(label, i);

			if (!ascii_is_alnum(c) && c != '-' && c != '_' && c < 0x80)
				return false;
		}
	}
	return true;
}

static bool
is_address(struct slice s)
{
	struct net_address ignored;

	return net_address_parse(s, 0, &ignored) == 0;
}

static bool
is_separator(uint8_t c, bool lines)
{
	return c == ',' || (!lines && (c == ' ' || c == '\t'));
}

static int
read_list(struct arena *a, struct slice value, bool lines, struct slice_list *out)
{
	struct slice *v = NULL;
	size_t n = 0, cap = 0, at = 0;

	while (at < value.n) {
		size_t from = at;
		struct slice item;

		while (at < value.n && !is_separator(slice_at(value, at), lines))
			at++;
		item = slice_trim(slice_range(value, from, at));
		at++;
		if (item.n == 0)
			continue;
		v = arena_grow(a, v, n, &cap, sizeof(*v), 4096);
		if (v == NULL)
			return ERR_NOMEM;
		v[n++] = item;
	}
	*out = (struct slice_list){v, n};
	return 0;
}

/* Networks, separated as words. */
static int
read_networks(struct arena *a, struct slice value, struct network_list *out)
{
	struct slice_list words;
	struct net_prefix *v;

	if (read_list(a, value, false, &words) != 0)
		return ERR_NOMEM;
	v = ARENA_ARRAY(a, struct net_prefix, words.n + 1);
	for (size_t i = 0; i < words.n; i++)
		if (v == NULL || net_prefix_parse(words.v[i], &v[i]) != 0)
			return ERR_SYNTAX;
	*out = (struct network_list){v, words.n};
	return 0;
}

bool
network_list_contains(struct network_list l, const struct net_address *a)
{
	for (size_t i = 0; i < l.n; i++)
		if (net_prefix_contains(&l.v[i], a))
			return true;
	return false;
}

/* The place of a value in a list of words, or -1. */
static int
word_index(struct slice value, const char *const words[], size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (slice_eq(value, slice_z(words[i])))
			return (int)i;
	return -1;
}

static const char *const format_words[] = {"text", "json"};
static const char *const level_words[] = {"debug", "info", "warn", "error"};
static const char *const bool_words[] = {"no", "yes"};
static const char *const security_words[] = {[SECURITY_OPPORTUNISTIC] = "opportunistic",
    [SECURITY_REQUIRED] = "required",
    [SECURITY_IMPLICIT] = "implicit",
    [SECURITY_NONE] = "none"};
static const char *const ip_words[] = {[SEND_IP_BOTH] = "both", [SEND_IP_V4] = "ipv4", [SEND_IP_V6] = "ipv6"};
static const char *const policy_words[] = {[ASSESS_NOTE] = "note", [ASSESS_JUNK] = "junk", [ASSESS_OBEY] = "obey"};
static const char *const service_words[LISTEN_SERVICE_COUNT] = {[LISTEN_SMTP] = "smtp",
    [LISTEN_SUBMISSION] = "submission",
    [LISTEN_SUBMISSIONS] = "submissions",
    [LISTEN_IMAP] = "imap",
    [LISTEN_IMAPS] = "imaps",
    [LISTEN_POP3] = "pop3",
    [LISTEN_POP3S] = "pop3s",
    [LISTEN_LMTP] = "lmtp",
    [LISTEN_METRICS] = "metrics",
    [LISTEN_CONTROL] = "control",
    [LISTEN_LOCAL] = "local"};
static const uint16_t service_ports[LISTEN_SERVICE_COUNT] = {[LISTEN_SMTP] = 25,
    [LISTEN_SUBMISSION] = 587,
    [LISTEN_SUBMISSIONS] = 465,
    [LISTEN_IMAP] = 143,
    [LISTEN_IMAPS] = 993,
    [LISTEN_POP3] = 110,
    [LISTEN_POP3S] = 995,
    [LISTEN_LMTP] = 24,
    [LISTEN_METRICS] = 9825};

const char *
listen_service_name(enum listen_service service)
{
	return service_words[service];
}

bool
listen_service_is_porch(enum listen_service service)
{
	return service != LISTEN_SMTP && service < LISTEN_LMTP;
}

static const char *
take_word(struct slice value, const char *const words[], size_t n, int *out)
{
	static const char *const wanted[] = {"no or yes", "text or json", "debug, info, warn or error",
	    "smtp, submission, submissions, imap, imaps, pop3, pop3s, lmtp or metrics",
	    "opportunistic, required, implicit or none", "both, ipv4 or ipv6", "obey, junk or note"};
	int i = word_index(value, words, n);

	if (i >= 0) {
		*out = i;
		return NULL;
	}
	return words == bool_words    ? wanted[0]
	    : words == format_words   ? wanted[1]
	    : words == level_words    ? wanted[2]
	    : words == security_words ? wanted[4]
	    : words == ip_words       ? wanted[5]
	    : words == policy_words   ? wanted[6]
				      : wanted[3];
}

static const char *
take_number(struct slice value, uint64_t min, uint64_t max, uint64_t *out, const char *wanted)
{
	return slice_to_u64(value, max, out) != 0 || *out < min ? wanted : NULL;
}

/* Fills the member at `at`: NULL, or what the value should have been. */
static const char *
take_value(struct parse *p, enum setting_type type, struct slice value, void *at)
{
	const char *wrong = NULL;
	uint64_t number = 0;
	int word = 0;

	switch (type) {
	case SETTING_TEXT: *(struct slice *)at = arena_copy(p->a, value); break;
	case SETTING_NAME:
		wrong = value.n == 0 || is_name(value) ? NULL : "a host name (letters, digits, - and dots)";
		*(struct slice *)at = lower(p->a, value);
		break;
	case SETTING_HOST:
		wrong = is_name(value) || is_address(value) ? NULL : "a host name or an IP address";
		*(struct slice *)at = lower(p->a, value);
		break;
	case SETTING_ADDRESS:
		wrong = value.n == 0 || slice_eq(value, SLICE("*")) || is_address(value) ? NULL : "an IP address";
		*(struct slice *)at = arena_copy(p->a, value);
		break;
	case SETTING_BOOL:
		wrong = take_word(value, bool_words, COUNT_OF(bool_words), &word);
		*(bool *)at = word == 1;
		break;
	case SETTING_FORMAT: wrong = take_word(value, format_words, COUNT_OF(format_words), at); break;
	case SETTING_LEVEL: wrong = take_word(value, level_words, COUNT_OF(level_words), at); break;
	case SETTING_SERVICE:
		wrong = take_word(value, service_words, LISTEN_CONTROL, &word);
		*(enum listen_service *)at = (enum listen_service)word;
		break;
	case SETTING_SECURITY:
		wrong = take_word(value, security_words, COUNT_OF(security_words), &word);
		*(enum send_security *)at = (enum send_security)word;
		break;
	case SETTING_IP:
		wrong = take_word(value, ip_words, COUNT_OF(ip_words), &word);
		*(enum send_ip *)at = (enum send_ip)word;
		break;
	case SETTING_POLICY:
		wrong = take_word(value, policy_words, COUNT_OF(policy_words), &word);
		*(enum assess_mode *)at = (enum assess_mode)word;
		break;
	case SETTING_COUNT:
		wrong = take_number(value, 0, SETTINGS_PROCESSES_MAX, &number, "a number from 0 to 64");
		*(int *)at = (int)number;
		break;
	case SETTING_NUMBER:
		wrong = take_number(value, 0, INT64_MAX, &number, "a whole number");
		*(int64_t *)at = (int64_t)number;
		break;
	case SETTING_PORT:
		wrong = value.n == 0 ? NULL : take_number(value, 1, 65535, &number, "a port number from 1 to 65535");
		*(uint16_t *)at = (uint16_t)number;
		break;
	case SETTING_NETWORKS:
		wrong = read_networks(p->a, value, at) == 0
		    ? NULL
		    : "a list of IP addresses and networks (192.0.2.0/24, with no bits set behind the prefix)";
		break;
	case SETTING_WORDS:
	case SETTING_LINES:
		wrong = read_list(p->a, arena_copy(p->a, value), type == SETTING_LINES, at) == 0 ? NULL
												 : "a shorter list";
		break;
	}
	return wrong;
}

/* ---- sections ---------------------------------------------------------------------------------------- */

static void
take_limit(struct parse *p, const struct ini_entry *e)
{
	int err = limits_set(&p->s->limits, e->key, e->value);

	if (err == ERR_NOTFOUND)
		WRONG(p, e->line, "there is no limit %.*s; `posthouse config default` lists all", SLICE_ARG(e->key));
	else if (err != 0)
		WRONG(p, e->line, "%.*s is a whole number", SLICE_ARG(e->key));
}

static void
take_entry(struct parse *p, const struct ini_section *in, const struct ini_entry *e, void *into)
{
	const struct setting_row *row;
	const char *wanted;

	if (slice_eq(in->kind, SLICE("limits"))) {
		take_limit(p, e);
		return;
	}
	row = setting_find(in->kind, e->key);
	if (row == NULL) {
		WRONG(p, e->line, "[%.*s] has no setting %.*s; `posthouse config default` lists all",
		    SLICE_ARG(in->kind), SLICE_ARG(e->key));
		return;
	}
	wanted = take_value(p, row->type, e->value, (char *)into + row->offset);
	if (wanted != NULL)
		WRONG(p, e->line, "%s is %s, not %.*s", row->key, wanted, SLICE_ARG(e->value));
}

static const struct ini_entry *
entry_find(const struct ini_section *in, const char *key)
{
	for (size_t i = 0; i < in->n; i++)
		if (slice_eq(in->entries[i].key, slice_z(key)))
			return &in->entries[i];
	return NULL;
}

/* The defaults of a kind of section, which are valid. */
static void
take_defaults(struct parse *p, const char *kind, void *into)
{
	for (size_t i = 0; i < setting_rows_count; i++)
		if (strcmp(setting_rows[i].kind, kind) == 0 && setting_rows[i].value[0] != '\0')
			ASSERT(take_value(p, setting_rows[i].type, slice_z(setting_rows[i].value),
				   (char *)into + setting_rows[i].offset) == NULL);
}

static void
add_listener(struct parse *p, struct listen_settings l)
{
	struct settings *s = p->s;

	s->listeners = arena_grow(
	    p->a, s->listeners, s->listeners_count, &s->listeners_cap, sizeof(l), INI_SECTIONS_MAX);
	if (s->listeners == NULL) {
		p->err = ERR_NOMEM;
		return;
	}
	s->listeners[s->listeners_count++] = l;
}

static void
add_listeners(struct parse *p, struct listen_settings l)
{
	if (l.port == 0)
		l.port = service_ports[l.service];
	if (!slice_eq(l.address, SLICE("*"))) {
		add_listener(p, l);
		return;
	}
	l.address = SLICE("0.0.0.0");
	add_listener(p, l);
	l.address = SLICE("::");
	add_listener(p, l);
}

/* What is written for another service would do nothing: nobody shall believe that it does. */
static void
check_listen_keys(struct parse *p, const struct ini_section *in, const struct listen_settings *l)
{
	static const char *const smtp_only[] = {
	    "xclient", "trusted", "early_talker_check", "client_limits", "require_tls", "message_bytes"};

	for (size_t i = 0; i < COUNT_OF(smtp_only); i++) {
		const struct ini_entry *e = entry_find(in, smtp_only[i]);

		if (e != NULL && l->service != LISTEN_SMTP && l->service != LISTEN_LMTP)
			WRONG(p, e->line, "%s is for the services smtp and lmtp only", smtp_only[i]);
	}
}

static bool
is_loopback(struct slice address)
{
	struct net_address a;

	return net_address_parse(address, 1, &a) == 0 && net_address_is_loopback(&a);
}

static void
take_listen(struct parse *p, const struct ini_section *in, struct listen_settings l)
{
	l.name = in->name;
	check_listen_keys(p, in, &l);
	if (l.service == LISTEN_METRICS && entry_find(in, "address") == NULL)
		l.address = SLICE("127.0.0.1");
	if (entry_find(in, "service") == NULL)
		WRONG(p, in->line, "[listen %.*s] needs a service", SLICE_ARG(in->name));
	else if (l.address.n == 0)
		WRONG(p, in->line, "[listen %.*s] needs an address, or *", SLICE_ARG(in->name));
	else if (l.service == LISTEN_METRICS && l.allow.n == 0 && !is_loopback(l.address))
		WRONG(p, in->line,
		    "[listen %.*s] tells everybody who can reach it how the house is: use address = 127.0.0.1, or name "
		    "who may ask with allow",
		    SLICE_ARG(in->name));
	else
		add_listeners(p, l);
}

static void
take_tls(struct parse *p, const struct ini_section *in, struct tls_settings t)
{
	struct settings *s = p->s;

	t.name = in->name;
	if (t.certificate.n == 0 || t.key.n == 0)
		WRONG(p, in->line, "[tls %.*s] needs a certificate and a key", SLICE_ARG(in->name));
	s->tls = arena_grow(p->a, s->tls, s->tls_count, &s->tls_cap, sizeof(t), INI_SECTIONS_MAX);
	if (s->tls == NULL)
		p->err = ERR_NOMEM;
	else
		s->tls[s->tls_count++] = t;
}

/* What several named sections do at their end. */
#define ADD(p, list, item) \
	do { \
		struct settings *s_ = (p)->s; \
		s_->list = arena_grow( \
		    (p)->a, s_->list, s_->list##_count, &s_->list##_cap, sizeof(item), INI_SECTIONS_MAX); \
		if (s_->list == NULL) \
			(p)->err = ERR_NOMEM; \
		else \
			s_->list[s_->list##_count++] = (item); \
	} while (0)

static void
take_route(struct parse *p, const struct ini_section *in, struct route_settings r)
{
	r.domain = lower(p->a, in->name);
	if (!is_name(r.domain))
		WRONG(p, in->line, "[route %.*s] needs the name of a domain", SLICE_ARG(in->name));
	else if ((r.host.n == 0) == (r.relay.n == 0))
		WRONG(p, in->line, "[route %.*s] needs a host or a relay", SLICE_ARG(in->name));
	ADD(p, routes, r);
}

static bool
is_plain_text(struct slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if (slice_at(s, i) < 32 || slice_at(s, i) == 127)
			return false;
	return true;
}

static void
take_relay(struct parse *p, const struct ini_section *in, struct relay_settings r)
{
	r.name = in->name;
	if (r.host.n == 0)
		WRONG(p, in->line, "[relay %.*s] needs a host", SLICE_ARG(in->name));
	else if ((r.user.n == 0) != (r.password_file.n == 0))
		WRONG(p, in->line, "[relay %.*s] needs a user and a password_file, or neither", SLICE_ARG(in->name));
	else if (r.user.n > 0 && r.tls != SECURITY_REQUIRED && r.tls != SECURITY_IMPLICIT)
		WRONG(p, in->line, "[relay %.*s]: a password is only sent with tls = required or implicit",
		    SLICE_ARG(in->name));
	else if (!is_plain_text(r.user))
		WRONG(p, in->line, "[relay %.*s]: the user has control characters", SLICE_ARG(in->name));
	ADD(p, relays, r);
}

/* At most one address of each family. */
static bool
is_source(struct slice_list l)
{
	int v4 = 0, v6 = 0;

	for (size_t i = 0; i < l.n; i++) {
		if (!is_address(l.v[i]))
			return false;
		if (slice_find_byte(l.v[i], ':') == SLICE_NONE)
			v4++;
		else
			v6++;
	}
	return v4 <= 1 && v6 <= 1;
}

static void
take_sender(struct parse *p, const struct ini_section *in, struct sender_settings s)
{
	s.domain = lower(p->a, in->name);
	if (!is_name(s.domain))
		WRONG(p, in->line, "[sender %.*s] needs the name of a domain", SLICE_ARG(in->name));
	else if (!is_source(s.bind))
		WRONG(p, in->line, "[sender %.*s]: bind is an IPv4 address, an IPv6 address, or both",
		    SLICE_ARG(in->name));
	ADD(p, senders, s);
}

/* The largest networks that may submit without a password; wider ones would be half the world. */
#define SUBMITTER_BITS_MIN_V4 (96 + 8)
#define SUBMITTER_BITS_MIN_V6 16

static void
check_networks(struct parse *p, const struct ini_section *in, const struct submitter_settings *b)
{
	for (size_t i = 0; i < b->networks.n; i++) {
		const struct net_prefix *n = &b->networks.v[i];

		if (n->bits < (net_prefix_is_v4(n) ? SUBMITTER_BITS_MIN_V4 : SUBMITTER_BITS_MIN_V6))
			WRONG(p, in->line, "[submitter %.*s]: network %zu of its list is too large to trust",
			    SLICE_ARG(in->name), i + 1);
	}
}

static void
take_submitter(struct parse *p, const struct ini_section *in, struct submitter_settings b)
{
	struct settings *s = p->s;

	b.name = in->name;
	check_networks(p, in, &b);
	if (b.networks.n == 0 && b.users.n == 0)
		WRONG(p, in->line, "[submitter %.*s] needs networks or users", SLICE_ARG(in->name));
	if (b.senders.n == 0)
		WRONG(p, in->line, "[submitter %.*s] needs senders", SLICE_ARG(in->name));
	for (size_t i = 0; i < b.senders.n; i++) {
		size_t at = slice_rfind_byte(b.senders.v[i], '@');

		if (at == SLICE_NONE || !is_name(slice_from(b.senders.v[i], at + 1)))
			WRONG(p, in->line, "[submitter %.*s]: the sender %.*s is no address and no @domain",
			    SLICE_ARG(in->name), SLICE_ARG(b.senders.v[i]));
	}
	s->submitters = arena_grow(
	    p->a, s->submitters, s->submitters_count, &s->submitters_cap, sizeof(b), INI_SECTIONS_MAX);
	if (s->submitters == NULL)
		p->err = ERR_NOMEM;
	else
		s->submitters[s->submitters_count++] = b;
}

static void
take_site(struct parse *p, const struct ini_section *in, struct site_settings t)
{
	struct settings *s = p->s;

	t.suffix = lower(p->a, in->name);
	if (!is_name(t.suffix))
		WRONG(p, in->line, "[site %.*s] needs the end of a host name", SLICE_ARG(in->name));
	s->sites = arena_grow(p->a, s->sites, s->sites_count, &s->sites_cap, sizeof(t), INI_SECTIONS_MAX);
	if (s->sites == NULL)
		p->err = ERR_NOMEM;
	else
		s->sites[s->sites_count++] = t;
}

static void
take_entries(struct parse *p, const struct ini_section *in, void *into)
{
	for (size_t i = 0; i < in->n; i++)
		take_entry(p, in, &in->entries[i], into);
}

static void
take_named(struct parse *p, const struct ini_section *in)
{
	struct listen_settings l = {.port = 0};
	struct tls_settings t = {.name = in->name};
	struct route_settings r = {.port = 0};
	struct relay_settings relay = {.port = 0};
	struct sender_settings sender = {.domain = in->name};
	struct submitter_settings b = {.name = in->name};
	struct site_settings x = {.connections = 0};

	if (slice_eq(in->kind, SLICE("listen"))) {
		take_defaults(p, "listen", &l);
		take_entries(p, in, &l);
		take_listen(p, in, l);
	} else if (slice_eq(in->kind, SLICE("tls"))) {
		take_defaults(p, "tls", &t);
		take_entries(p, in, &t);
		take_tls(p, in, t);
	} else if (slice_eq(in->kind, SLICE("submitter"))) {
		take_defaults(p, "submitter", &b);
		take_entries(p, in, &b);
		take_submitter(p, in, b);
	} else if (slice_eq(in->kind, SLICE("site"))) {
		take_defaults(p, "site", &x);
		take_entries(p, in, &x);
		take_site(p, in, x);
	} else if (slice_eq(in->kind, SLICE("relay"))) {
		take_defaults(p, "relay", &relay);
		take_entries(p, in, &relay);
		take_relay(p, in, relay);
	} else if (slice_eq(in->kind, SLICE("sender"))) {
		take_defaults(p, "sender", &sender);
		take_entries(p, in, &sender);
		take_sender(p, in, sender);
	} else {
		take_defaults(p, "route", &r);
		take_entries(p, in, &r);
		take_route(p, in, r);
	}
}

static void
take_section(struct parse *p, const struct ini_section *in)
{
	const struct section_row *row = section_find(in->kind);

	if (row == NULL)
		WRONG(p, in->line, "there is no section [%.*s]; `posthouse config default` lists all",
		    SLICE_ARG(in->kind));
	else if (row->named != (in->name.n > 0))
		WRONG(p, in->line, row->named ? "[%s] needs a name: [%s NAME]" : "[%s] takes no name", row->kind,
		    row->kind);
	else if (row->named)
		take_named(p, in);
	else
		take_entries(p, in, p->s);
}

/* ---- the whole --------------------------------------------------------------------------------------- */

static bool
serves_mail(const struct settings *s)
{
	for (size_t i = 0; i < s->listeners_count; i++)
		if (s->listeners[i].service != LISTEN_METRICS)
			return true;
	return false;
}

static void
default_listeners(struct parse *p)
{
	for (int i = 0; i < LISTEN_CONTROL; i++) {
		struct listen_settings l = {.port = 0};

		if (i == LISTEN_LMTP || i == LISTEN_METRICS)
			continue;
		take_defaults(p, "listen", &l);
		l.name = slice_z(service_words[i]);
		l.service = (enum listen_service)i;
		add_listeners(p, l);
	}
}

static bool
listeners_are_loopback(const struct settings *s)
{
	for (size_t i = 0; i < s->listeners_count; i++) {
		struct net_address a;

		if (net_address_parse(s->listeners[i].address, s->listeners[i].port, &a) != 0 ||
		    !net_address_is_loopback(&a))
			return false;
	}
	return true;
}

static void
check_listeners(struct parse *p)
{
	const struct settings *s = p->s;

	for (size_t i = 0; i < s->listeners_count; i++)
		for (size_t j = i + 1; j < s->listeners_count; j++)
			if (s->listeners[i].port == s->listeners[j].port &&
			    slice_eq(s->listeners[i].address, s->listeners[j].address)) {
				buf_printf(p->detail,
				    "[listen %.*s] and [listen %.*s] have the same address and port\n",
				    SLICE_ARG(s->listeners[i].name), SLICE_ARG(s->listeners[j].name));
				p->err = p->err == 0 ? ERR_INVALID : p->err;
			}
}

static void
check_relay(struct parse *p, const char *where, struct slice of, struct slice name)
{
	if (name.n == 0 || settings_relay(p->s, name) != NULL)
		return;
	buf_printf(p->detail, "[%s%s%.*s]: there is no [relay %.*s]\n", where, of.n > 0 ? " " : "", SLICE_ARG(of),
	    SLICE_ARG(name));
	p->err = p->err == 0 ? ERR_INVALID : p->err;
}

static void
check_sending(struct parse *p)
{
	const struct settings *s = p->s;

	check_relay(p, "send", SLICE_EMPTY, s->send_relay);
	for (size_t i = 0; i < s->routes_count; i++)
		check_relay(p, "route", s->routes[i].domain, s->routes[i].relay);
	for (size_t i = 0; i < s->senders_count; i++)
		check_relay(p, "sender", s->senders[i].domain, s->senders[i].relay);
	if (!is_source(s->send_bind)) {
		buf_put_z(p->detail, "[send]: bind is an IPv4 address, an IPv6 address, or both\n");
		p->err = p->err == 0 ? ERR_INVALID : p->err;
	}
}

static bool
is_mail_address(struct slice s)
{
	size_t at = slice_rfind_byte(s, '@');

	return at != SLICE_NONE && at > 0 && slice_find_byte(s, ' ') == SLICE_NONE && is_name(slice_from(s, at + 1));
}

static void
check_reports(struct parse *p)
{
	const struct settings *s = p->s;

	if (s->report_sender.n > 0 && !is_mail_address(s->report_sender)) {
		buf_put_z(p->detail, "[trust] report_sender must be a mail address\n");
		p->err = p->err == 0 ? ERR_INVALID : p->err;
	}
	for (size_t i = 0; i < s->report_addresses.n; i++)
		if (!is_mail_address(s->report_addresses.v[i])) {
			buf_printf(p->detail, "[trust] report_address: %.*s is no mail address\n",
			    SLICE_ARG(s->report_addresses.v[i]));
			p->err = p->err == 0 ? ERR_INVALID : p->err;
		}
}

static void
check_whole(struct parse *p)
{
	struct settings *s = p->s;

	check_listeners(p);
	check_sending(p);
	if (s->cleartext_sign_in && !listeners_are_loopback(s)) {
		buf_put_z(
		    p->detail, "cleartext_sign_in = yes is refused: not every listener is on a loopback address\n");
		p->err = p->err == 0 ? ERR_INVALID : p->err;
	}
	check_reports(p);
	if (s->data_dir.n == 0 || slice_at(s->data_dir, 0) != '/') {
		buf_put_z(p->detail, "data_dir must be an absolute path\n");
		p->err = p->err == 0 ? ERR_INVALID : p->err;
	}
}

static void
take_machine_name(struct parse *p)
{
	char name[HOST_NAME_MAX_BYTES + 1] = "";

	p->s->hostname_given = p->s->hostname.n > 0;
	if (p->s->hostname_given)
		return;
	if (gethostname(name, sizeof(name) - 1) != 0 || !is_name(slice_z(name)))
		p->s->hostname = SLICE("localhost");
	else
		p->s->hostname = lower(p->a, slice_z(name));
}

int
settings_parse(struct settings **out, struct slice text, struct buf *detail)
{
	struct settings *s = calloc(1, sizeof(*s));
	struct parse p;
	struct ini ini;
	int err;

	*out = NULL;
	if (s == NULL)
		return ERR_NOMEM;
	arena_init(&s->arena, SETTINGS_ARENA_BYTES);
	limits_default(&s->limits);
	p = (struct parse){.s = s, .a = &s->arena, .detail = detail};
	err = ini_parse(arena_copy(&s->arena, text), &s->arena, &ini, detail);
	take_defaults(&p, "house", s);
	take_defaults(&p, "dns", s);
	take_defaults(&p, "send", s);
	take_defaults(&p, "trust", s);
	for (size_t i = 0; i < ini.n; i++)
		take_section(&p, &ini.sections[i]);
	if (!serves_mail(s))
		default_listeners(&p);
	check_whole(&p);
	add_listener(&p, (struct listen_settings){.name = SLICE("control"), .service = LISTEN_CONTROL});
	add_listener(&p, (struct listen_settings){.name = SLICE("local"), .service = LISTEN_LOCAL});
	take_machine_name(&p);
	if (err == 0)
		err = p.err;
	if (err == 0 && arena_failed(&s->arena))
		err = ERR_NOMEM;
	if (err != 0) {
		settings_free(&s);
		return err;
	}
	*out = s;
	return 0;
}

const struct relay_settings *
settings_relay(const struct settings *s, struct slice name)
{
	for (size_t i = 0; i < s->relays_count; i++)
		if (slice_eq(s->relays[i].name, name))
			return &s->relays[i];
	return NULL;
}

bool
settings_has_sources(const struct settings *s)
{
	bool any = s->send_bind.n > 0;

	for (size_t i = 0; i < s->senders_count; i++)
		any |= s->senders[i].bind.n > 0;
	return any;
}

const struct sender_settings *
settings_sender(const struct settings *s, struct slice domain)
{
	for (size_t i = 0; i < s->senders_count; i++)
		if (slice_ieq(s->senders[i].domain, domain))
			return &s->senders[i];
	return NULL;
}

void
settings_free(struct settings **sp)
{
	struct settings *s = *sp;

	*sp = NULL;
	while (s != NULL) {
		struct settings *older = s->older;

		arena_free(&s->arena);
		free(s);
		s = older;
	}
}

int
settings_set_hostname(struct settings *s, struct slice name)
{
	if (!is_name(name))
		return ERR_INVALID;
	s->hostname = lower(&s->arena, name);
	return s->hostname.n == 0 ? ERR_NOMEM : 0;
}

void
settings_start(struct settings *s, int64_t flags, uint32_t generation, struct slice hostname)
{
	s->generation = generation;
	s->plain = (flags & START_PLAIN) != 0;
	s->test_clock = s->test_clock || (flags & START_TEST_CLOCK) != 0;
	s->allow_unsandboxed = (flags & START_UNSANDBOXED) != 0;
	/* A command's own house is not news. */
	if ((flags & START_QUIET) != 0 && s->log_level < LOG_WARN)
		s->log_level = LOG_WARN;
	if (!s->hostname_given && hostname.n > 0 && settings_set_hostname(s, hostname) != 0)
		s->hostname = SLICE("localhost");
}
