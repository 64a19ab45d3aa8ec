/* send_class.h: what kind of answer a reply is, from its code, its enhanced status and its words (send_classes.def). */
#ifndef SMTP_SEND_CLASS_H
#define SMTP_SEND_CLASS_H

#include "base/slice.h"
#include "bus/values.h"

/* code: of a reply (RFC 5321 §4.2), or 0 for a sentence of our own. status: RFC 3463, or empty. text: one line, any bytes.
 * Never REPLY_NONE. */
enum bus_reply_class smtp_reply_classify(int code, struct slice status, struct slice text);

#endif
