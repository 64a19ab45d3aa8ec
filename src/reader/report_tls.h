/* report_tls.h: a report about the encryption of connections to our servers (RFC 8460 §4): JSON. */
#ifndef READER_REPORT_TLS_H
#define READER_REPORT_TLS_H

#include "reader/report.h"

/* Reads one: r->kind is REPORT_TLS. ERR_INVALID with a problem; ERR_NOMEM. */
NODISCARD int report_tls_read(struct report *r, struct slice json);

#endif
