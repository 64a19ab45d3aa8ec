/* dovecot_passwd.h: a line of Dovecot's passwd-file: "user:{SCHEME}hash:uid:gid:gecos:home:shell:extra fields". */
#ifndef MOVE_DOVECOT_PASSWD_H
#define MOVE_DOVECOT_PASSWD_H

#include "base/arena.h"
#include "base/slice.h"

struct dovecot_user {
	struct slice user;
	struct slice hash;   /* with its {SCHEME}, in `a`; empty: nobody can sign in */
	struct slice name;   /* from gecos: up to its first comma */
	int64_t quota_bytes; /* of an extra field quota_rule or quota_storage_size; 0: none */
	bool locked;         /* nologin, or a password that no hash is ("*", "!") */
};
/* 1, 0 for a line that says nothing, ERR_SYNTAX, ERR_LIMIT. */
NODISCARD int dovecot_passwd_line(struct slice line, struct arena *a, struct dovecot_user *out);

#endif
