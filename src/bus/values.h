/* values.h: the enumerations that travel in messages between roles (bus/messages.def). Numbers are wire
 * values: they do not change meaning. */
#ifndef BUS_VALUES_H
#define BUS_VALUES_H

/* How a house is started, beyond its configuration. */
enum start_flag {
	START_PLAIN = 1,       /* no rate limits, no spam filter: for measuring */
	START_TEST_CLOCK = 2,  /* obeys `posthouse clock advance` */
	START_UNSANDBOXED = 4, /* goes on where the kernel offers no sandbox */
	START_QUIET = 8        /* for one command: no listeners, no deliveries */
};

/* What a user signs in to. */
enum bus_service { SERVICE_IMAP = 1, SERVICE_POP3 = 2, SERVICE_SUBMISSION = 3, SERVICE_HTTP = 4, SERVICE_SIEVE = 5 };

enum vault_verify_result { VERIFY_OK = 1, VERIFY_BAD = 2, VERIFY_BUSY = 3 };

enum vault_dkim_change {
	DKIM_ACTIVATE = 1, /* the keys that are next sign, and those that signed are retired */
	DKIM_RETIRE = 2,   /* one key signs no more */
	DKIM_REMOVE = 3,   /* one key is destroyed */
	DKIM_FORGET = 4    /* all keys of the domain are */
};

/* How the house is. */
enum bus_health {
	HEALTH_FINE = 0,
	HEALTH_WARNING = 1, /* somebody should look at it in the next days */
	HEALTH_CRITICAL = 2 /* something does not work now, or is about to fail */
};

/* What becomes of an envelope recipient. */
enum bus_rcpt {
	RCPT_OK = 1,          /* local: deliverable */
	RCPT_REMOTE = 2,      /* not our domain: only submission may send there */
	RCPT_UNKNOWN = 3,     /* our domain, no such mailbox: 550 5.1.1 */
	RCPT_DISABLED = 4,    /* 550 5.2.1 */
	RCPT_SYNTAX = 5,      /* 553 5.1.3 */
	RCPT_TEMPFAIL = 6,    /* 451 4.3.0 */
	RCPT_NO_SPACE = 7,    /* 452 4.3.1 */
	RCPT_NOT_ALLOWED = 8, /* this sender may not write there: 550 5.7.1 */
	RCPT_BAD_RETURN =
	    9,          /* a return address of ours (SRS) that is forged, too old, or not for such mail: 550 5.7.1 */
	RCPT_LOOP = 10, /* it leads only to itself: 550 5.4.6 */
	RCPT_FULL = 11, /* the mailboxes that it leads to are full: 452 4.2.2 */
	RCPT_SUPPRESSED = 12 /* not our domain, and submission may not send there either: 550 5.1.1 with detail */
};

/* How a message came to the queue. ORIGIN_SUBMITTER: a device, application or local program that may submit without
 * signing in ([submitter NAME]). */
enum bus_origin { ORIGIN_STRANGER = 1, ORIGIN_ACCOUNT = 2, ORIGIN_SYSTEM = 3, ORIGIN_SUBMITTER = 4 };

/* How an address stands to who would send as it. */
enum bus_sender {
	SENDER_OK = 1,
	SENDER_OTHER = 2,   /* not one of theirs: 550 5.7.1 */
	SENDER_FOREIGN = 3, /* nor of a domain of ours */
	SENDER_RATE = 4     /* theirs, but they have sent enough for now: 450 4.7.1 with detail */
};

enum bus_submit {
	SUBMIT_OK = 1,
	SUBMIT_TEMPFAIL = 2, /* 451 4.3.0 */
	SUBMIT_NO_SPACE = 3, /* 452 4.3.1 */
	SUBMIT_REFUSED = 4,  /* 554 5.x.x with detail */
	SUBMIT_RATE = 5,     /* 450 4.7.1 with detail: enough for now */
	SUBMIT_LOOP = 6      /* 554 5.4.6: it was here before, and would only go round again */
};

/* What a gate makes of a stranger's message that it takes; bits. */
enum bus_judged {
	JUDGED_JUNK = 1,     /* into the mailbox for unwanted mail */
	JUDGED_UNPROVEN = 2, /* the client was not shown to be one of the sender's: he is not told of success */
	JUDGED_FORGED =
	    4 /* the sender's domain, or the author's, says that the message is not theirs: nobody elsewhere is told
			      * that it could not be delivered */
};

/* What a reader is for. */
enum bus_reader { READER_TEXTS = 1, READER_REPORTS = 2 };

/* What others tell us of mail of our domains. */
enum bus_report {
	REPORT_NONE = 0,    /* there is none, or it cannot be read */
	REPORT_DMARC = 1,   /* aggregate (RFC 9990) */
	REPORT_TLS = 2,     /* RFC 8460 */
	REPORT_FAILURE = 3, /* about one message (RFC 9991, RFC 5965) */
};

/* Somebody to share with. */
enum bus_person {
	PERSON_NONE = 1,
	PERSON_FOUND = 2,
	PERSON_ELSEWHERE = 3 /* another desk keeps that account */
};
/* What came of a change of an access control list. */
enum bus_share {
	SHARE_OK = 1,
	SHARE_NO_MAILBOX = 2,
	SHARE_NOBODY = 3,    /* no such account, or none that may be shared with */
	SHARE_ELSEWHERE = 4, /* another desk keeps that account */
	SHARE_BAD_RIGHTS = 5,
	SHARE_OWNER = 6, /* the account itself has all rights always */
	SHARE_LIMIT = 7
};

enum bus_deliver {
	DELIVER_OK = 1,
	DELIVER_DUPLICATE = 2,  /* was delivered before: as good as OK */
	DELIVER_OVER_QUOTA = 3, /* try later, bounce at the end (5.2.2) */
	DELIVER_TEMPFAIL = 4,
	DELIVER_NO_ACCOUNT = 5,
	DELIVER_FULL = 6 /* as over quota, and hardly any message would fit */
};

enum bus_send {
	SEND_OK = 1,       /* the remote took responsibility (2xx after the data) */
	SEND_TEMPFAIL = 2, /* 4xx, no connection, DNS trouble: try again */
	SEND_FAIL = 3      /* 5xx, null MX, no such domain: bounce */
};

/* What kind of answer it was that a recipient met: REPLY_BAD_MAILBOX, … */
enum bus_reply_class {
#define REPLY_CLASS(id, number, name, words) REPLY_##id = (number),
#include "bus/reply_classes.def"
#undef REPLY_CLASS
};

/* What the history of a message tells. */
enum bus_history {
	HISTORY_RECEIVED = 1,  /* taken with its 250 */
	HISTORY_DELIVERED = 2, /* in a mailbox here */
	HISTORY_SENT = 3,      /* another server took it */
	HISTORY_DEFERRED = 4,  /* an attempt failed for now */
	HISTORY_FAILED = 5,    /* for good */
	HISTORY_BOUNCED = 6,   /* a report went to the sender */
	HISTORY_DELAYED = 7,   /* a delay warning went to the sender */
	HISTORY_EXPANDED = 8,  /* an alias led here */
	HISTORY_OPERATOR = 9,  /* held, released, removed, retried by the operator */
	HISTORY_NOTE = 10
};

#endif
