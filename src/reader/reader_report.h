/* reader_report.h: what a reader of reports does: finds the report in a message, or takes a report's file as it is, and tells what is in it (reader_report
 * of bus/messages.def). Which part it is, is seen by its content: the types that mail gives them are often wrong. Parts of messages within the
 * message are not looked at: what a failure report returns may hold anything. */
#ifndef READER_READER_REPORT_H
#define READER_READER_REPORT_H

#include "bus/bus.h"
#include "reader/report.h"

/* An arena of this size is enough for any. */
#define READER_REPORT_ARENA ((size_t)256 << 20)

/* Fills the reply, which lies in `a`. `salt`: any number that strangers do not know. Not on a fiber. Only ERR_NOMEM. */
NODISCARD int reader_report(const struct limits *l, uint64_t salt, const struct bus_reader_report_request *q,
    struct arena *a, struct bus_reader_report_reply *reply);

#endif
