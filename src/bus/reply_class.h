/* reply_class.h: the classes of answers to mail that we send (reply_classes.def): names for logs and JSON, words for people. */
#ifndef BUS_REPLY_CLASS_H
#define BUS_REPLY_CLASS_H

#include "base/slice.h"
#include "bus/values.h"

/* "bad_mailbox"; "" for REPLY_NONE; "other" for a number that is none. */
const char *reply_class_name(int64_t reply_class);
/* "the mailbox does not exist or is closed": what follows "not taken: " in a sentence. */
const char *reply_class_words(int64_t reply_class);

#endif
