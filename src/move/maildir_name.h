/* maildir_name.h: names of files in a Maildir, and Dovecot's list of UIDs beside them. */
#ifndef MOVE_MAILDIR_NAME_H
#define MOVE_MAILDIR_NAME_H

#include "base/buf.h"
#include "base/slice.h"

struct maildir_name {
	struct slice base; /* what stays when flags change */
	uint8_t flags;     /* enum store_flag */
	bool forwarded;    /* P: passed on */
	uint32_t keywords; /* bit n: the letter 'a' + n */
};
/* "UNIQUE:2,FLAGS", also with ';' or '!' where the file system has no ':'. Any name is one; unknown flags mean nothing. */
void maildir_name_parse(struct slice name, struct maildir_name *out);
/* Appends ":2," and the letters of flags, in order. */
void maildir_name_put_info(struct buf *out, uint8_t flags, bool forwarded, uint32_t keywords);

/* The first line of dovecot-uidlist, "3 V1275660208 N25022 G3085…": false if it is none. */
bool maildir_uidlist_head(struct slice line, uint32_t *uidvalidity, uint32_t *uidnext);
/* Any other line, "25006 W2341 :1276528487.M364837P9451.host,S=1355": false if it is none. */
bool maildir_uidlist_line(struct slice line, uint32_t *uid, struct slice *base);

#endif
