/* report_failure.h: a report about one message (RFC 9991 and RFC 6591, in the form of RFC 5965): the fields of its message/feedback-report part, and
 * what the returned message says of itself where these do not. */
#ifndef READER_REPORT_FAILURE_H
#define READER_REPORT_FAILURE_H

#include "reader/report.h"

/* `fields`: the part, decoded; `returned`: the returned message or its header, or empty; `mail`: the header of the message that brought them.
 * r->kind is REPORT_FAILURE, with one row. ERR_INVALID with a problem; ERR_NOMEM. */
NODISCARD int report_failure_read(struct report *r, struct slice fields, struct slice returned, struct slice mail);

#endif
