/* date.h: dates of messages (RFC 5322 §3.3, obsolete forms of §4.3) and of IMAP (RFC 9051, date-time). */
#ifndef MESSAGE_DATE_H
#define MESSAGE_DATE_H

#include "base/buf.h"

struct message_date {
	int64_t epoch_s; /* seconds since 1970 UTC */
	int offset_min;  /* zone east of UTC, -1439..1439 */
	bool zone_known; /* false: "-0000", a military or unknown zone, or none */
};

/* Reads the raw value of a Date field; comments, missing weekday, missing seconds, missing zone, two- and
 * three-digit years, dashes, asctime() order and full names of months are tolerated. ERR_SYNTAX when there is no
 * date to be found, or its year is before 1900. */
NODISCARD int date_parse(struct slice value, struct message_date *out);
/* Appends "Sun, 22 Nov 2026 02:42:26 +0000". */
void date_put(struct buf *out, int64_t epoch_s, int offset_min);
/* IMAP date-time without quotes, " 2-Nov-2026 02:42:26 +0000" (RFC 9051: dd is SP DIGIT or 2DIGIT). */
NODISCARD int date_parse_imap(struct slice s, struct message_date *out);
void date_put_imap(struct buf *out, int64_t epoch_s, int offset_min);
/* IMAP's search date "2-Nov-2026" as days since 1970-01-01. ERR_SYNTAX. */
NODISCARD int date_parse_imap_day(struct slice s, int64_t *day);
/* Days since 1970-01-01 of the date as written in its own zone (SENTBEFORE and others disregard time and zone). */
int64_t date_day(const struct message_date *d);

#endif
