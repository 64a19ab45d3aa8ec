/* settings.h: the configuration of a house as data: the INI file (base/ini.h) read through the one table of
 * keys (role/settings.def). All slices live as long as the settings. */
#ifndef ROLE_SETTINGS_H
#define ROLE_SETTINGS_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/limits.h"

enum listen_service {
	LISTEN_SMTP,        /* strangers: gate */
	LISTEN_SUBMISSION,  /* users with STARTTLS: porch */
	LISTEN_SUBMISSIONS, /* users with implicit TLS: porch */
	LISTEN_IMAP,
	LISTEN_IMAPS,
	LISTEN_POP3,
	LISTEN_POP3S,
	LISTEN_CONTROL      /* DIR/run/control: clerk; always there */
};

struct listen_settings {
	struct slice name;    /* [listen NAME] */
	enum listen_service service;
	struct slice address; /* "0.0.0.0", "::", "127.0.0.1" */
	uint16_t port;
};

struct tls_settings { /* [tls NAME] */
	struct slice name;
	struct slice certificate; /* path of a PEM chain */
	struct slice key;         /* path of a PEM key; imported into secrets/ by the vault */
	struct slice_list names;  /* empty: those of the certificate */
};

struct route_settings { /* [route DOMAIN]: a fixed next hop */
	struct slice domain;
	struct slice host; /* name or address */
	uint16_t port;
};

struct settings {
	uint32_t generation;
	struct slice hostname;    /* how the house calls itself: banner, EHLO, Received, DSNs */
	struct slice data_dir;
	int log_format;           /* enum log_format */
	int log_level;            /* enum log_level */
	bool cleartext_sign_in;   /* only where every listener is loopback (demo) */
	bool short_names;         /* "alice" signs in as alice@the first domain */
	bool plain;               /* --plain: no rate limits, no spam filter: for measuring */
	bool test_clock;
	bool allow_unsandboxed;
	int gates, porches, desks, couriers; /* processes; 0: one per two cores */
	struct listen_settings *listeners;
	size_t listeners_count;
	struct tls_settings *tls;
	size_t tls_count;
	struct route_settings *routes;
	size_t routes_count;
	/* [dns] */
	struct slice_list dns_forwarders, dns_stubs, dns_trust_anchors, dns_insecure;
	struct slice dns_resolv_conf; /* default /etc/resolv.conf; "" for full recursion */
	uint16_t smtp_port;           /* port that remote servers listen on: 25; other in tests */
	struct slice send_bind;       /* source address for sending, or empty */
	struct limits limits;
	struct arena arena;
};

/* Parses the text of a configuration file. ERR_SYNTAX or ERR_INVALID with "line N: …" sentences in `detail`, all of
 * them, not only the first. */
NODISCARD int settings_parse(struct settings **out, struct slice text, struct buf *detail);
void settings_free(struct settings **s);
/* The annotated default configuration, made from the table. */
void settings_print_default(struct buf *out);

#endif
