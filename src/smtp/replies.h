/* replies.h: the replies of our servers by name; the table is replies.def. */
#ifndef SMTP_REPLIES_H
#define SMTP_REPLIES_H

enum smtp_reply_id {
#define REPLY(name, code, status, text) SMTP_R_##name,
#include "smtp/replies.def"
#undef REPLY
	SMTP_R_COUNT
};

struct smtp_reply_row {
	int code;
	const char *status;
	const char *text;
};
extern const struct smtp_reply_row smtp_replies[SMTP_R_COUNT];

#endif
