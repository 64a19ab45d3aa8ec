/* settings.h: the configuration of a house as data: the INI file (base/ini.h) read through the one table of
 * keys (role/settings.def). All slices live as long as the settings. */
#ifndef ROLE_SETTINGS_H
#define ROLE_SETTINGS_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/limits.h"
#include "rt/net_prefix.h"
#include "trust/assess.h"

/* The longest path of a data folder or a configuration, its NUL included; buffers for what lies in it have 64 bytes more. */
#define HOUSE_PATH_BYTES 1024u

enum listen_service {
	LISTEN_SMTP,        /* strangers: gate */
	LISTEN_SUBMISSION,  /* users with STARTTLS: porch */
	LISTEN_SUBMISSIONS, /* users with implicit TLS: porch */
	LISTEN_IMAP,
	LISTEN_IMAPS,
	LISTEN_POP3,
	LISTEN_POP3S,
	LISTEN_LMTP,    /* local programs: gate; only where it is written */
	LISTEN_METRICS, /* who watches the house: the first porch; only where it is written */
	LISTEN_CONTROL, /* DIR/run/control: clerk; always there */
	LISTEN_LOCAL    /* DIR/run/sendmail: programs of this machine: clerk; always there */
};
#define LISTEN_SERVICE_COUNT (LISTEN_LOCAL + 1)

/* Networks of a setting. */
struct network_list {
	const struct net_prefix *v;
	size_t n;
};
bool network_list_contains(struct network_list l, const struct net_address *a);

struct listen_settings {
	struct slice name; /* [listen NAME] */
	enum listen_service service;
	struct slice address; /* "0.0.0.0", "::", "127.0.0.1" */
	uint16_t port;
	struct network_list allow;          /* who may come; empty: all (LMTP: this machine) */
	struct network_list proxy_protocol; /* balancers that tell whose connection it is */
	/* smtp and lmtp: */
	struct network_list xclient; /* who may tell it with XCLIENT */
	struct network_list trusted; /* for whom neither the early-talker check nor the limits of clients hold */
	bool early_talker_check, client_limits, require_tls, check_senders;
	int64_t message_bytes; /* 0: limits.smtp_message_bytes */
};

struct tls_settings { /* [tls NAME] */
	struct slice name;
	struct slice certificate; /* path of a PEM chain */
	struct slice key;         /* path of a PEM key; imported into secrets/ by the vault */
	struct slice_list names;  /* empty: those of the certificate */
};

/* How a connection to a server of the configuration is secured. */
enum send_security { SECURITY_OPPORTUNISTIC, SECURITY_REQUIRED, SECURITY_IMPLICIT, SECURITY_NONE };
enum send_ip { SEND_IP_BOTH, SEND_IP_V4, SEND_IP_V6 };

struct route_settings { /* [route DOMAIN]: a fixed next hop */
	struct slice domain;
	struct slice host; /* name or address */
	uint16_t port;
	enum send_security tls;
	struct slice relay; /* or instead of a host the name of a relay */
};

struct relay_settings { /* [relay NAME]: a smart host */
	struct slice name;
	struct slice host;
	uint16_t port;
	enum send_security tls;
	struct slice user, password_file; /* both or none; the vault keeps the password */
};

struct sender_settings { /* [sender DOMAIN]: how its mail goes out */
	struct slice domain;
	struct slice_list bind;
	struct slice helo, relay;
};

struct submitter_settings { /* [submitter NAME]: who may submit without signing in */
	struct slice name;
	struct network_list networks;
	struct slice_list users, senders;
	int64_t messages_per_hour, messages_per_day, recipients_per_hour, recipients_per_day;
};

struct site_settings { /* [site SUFFIX]: 0 leaves the default */
	struct slice suffix;
	int64_t connections, connection_messages, messages_per_minute;
};

struct settings {
	uint32_t generation;
	struct slice hostname;     /* how the house calls itself: banner, EHLO, Received, DSNs */
	bool hostname_given;       /* false: it is the machine's name */
	struct slice local_domain; /* empty: the hostname; local_domain() */
	struct slice data_dir;
	struct slice user_prefix; /* "posthouse-": own uids when started as root; empty: none */
	int log_format;           /* enum log_format */
	int log_level;            /* enum log_level */
	bool cleartext_sign_in;   /* only where every listener is loopback (demo) */
	bool submission_channel_binding;
	bool client_certificates;
	struct slice client_ca;       /* path, or empty */
	bool short_names;             /* "alice" signs in as alice@the first domain */
	bool plain;                   /* --plain: no rate limits, no spam filter: for measuring */
	bool sharing_between_domains; /* of mailboxes */
	bool test_clock;
	bool allow_unsandboxed;
	int gates, porches, desks, couriers; /* processes; 0: one per two cores */
	struct listen_settings *listeners;
	size_t listeners_count, listeners_cap;
	struct tls_settings *tls;
	size_t tls_count, tls_cap;
	struct route_settings *routes;
	size_t routes_count, routes_cap;
	struct relay_settings *relays;
	size_t relays_count, relays_cap;
	struct sender_settings *senders;
	size_t senders_count, senders_cap;
	struct submitter_settings *submitters;
	size_t submitters_count, submitters_cap;
	struct site_settings *sites;
	size_t sites_count, sites_cap;
	/* [dns] */
	struct slice_list dns_forwarders, dns_stubs, dns_trust_anchors, dns_insecure;
	struct slice dns_resolv_conf; /* default /etc/resolv.conf; "" for full recursion */
	uint16_t smtp_port;           /* port that remote servers listen on: 25; other in tests */
	struct slice_list send_bind;  /* source addresses for sending */
	enum send_ip send_ip;
	struct slice send_relay; /* name of the relay for everything, or empty */
	bool send_dane, send_mta_sts;
	int64_t warmup_start, warmup_growth, warmup_target;
	uint16_t mta_sts_port; /* 443; other in tests */
	struct slice send_ca_file;
	/* [trust] */
	bool trust_checks;
	struct network_list trust_exempt;
	struct assess_rules trust;
	struct slice report_sender; /* empty: no reports */
	bool tls_reports, failure_reports;
	struct slice_list report_addresses;
	struct limits limits;
	struct arena arena;
	struct settings
	    *older; /* the generation that this one replaced: sessions may still use it; freed with this one */
};

/* Parses the text of a configuration file (bounds: base/ini.h). Without [listen NAME] sections the standard ports are
 * listened on; address "*" becomes two listeners of one name (IPv4, IPv6); the pseudo listeners of the control socket
 * and of local programs are always the last two. No file is opened. ERR_SYNTAX or ERR_INVALID with "line N: …" sentences in `detail`, all of
 * them, not only the first. */
NODISCARD int settings_parse(struct settings **out, struct slice text, struct buf *detail);
void settings_free(struct settings **s);
/* The name the house calls itself, where the configuration gives none. */
NODISCARD int settings_set_hostname(struct settings *s, struct slice name);
/* What the start says beyond the configuration: enum start_flag (bus/values.h), and a name where the configuration gives
 * none (empty: keeps the machine's). */
void settings_start(struct settings *s, int64_t flags, uint32_t generation, struct slice hostname);
/* 0 when a running house may take `fresh` over; ERR_INVALID with a sentence for each setting that takes a restart. */
NODISCARD int settings_may_reload(const struct settings *old, const struct settings *fresh, struct buf *detail);
/* The annotated default configuration, made from the table. */
void settings_print_default(struct buf *out);
/* What a valid configuration says other than the default, in the form of a configuration. */
NODISCARD int settings_print_diff(struct slice text, struct buf *out, struct buf *detail);
/* What local users are addresses of. */
static inline struct slice
settings_local_domain(const struct settings *s)
{
	return s->local_domain.n > 0 ? s->local_domain : s->hostname;
}
/* NULL when there is none of that name. */
const struct relay_settings *settings_relay(const struct settings *s, struct slice name);
/* Is there any address to send from? */
bool settings_has_sources(const struct settings *s);
/* What holds for mail from this domain, or NULL. */
const struct sender_settings *settings_sender(const struct settings *s, struct slice domain);
/* "smtp", …, "control". */
const char *listen_service_name(enum listen_service service);
bool listen_service_is_porch(enum listen_service service);

#endif
