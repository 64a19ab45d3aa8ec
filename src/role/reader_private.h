/* reader_private.h: what the role and the readers that are forked from it share. */
#ifndef ROLE_READER_PRIVATE_H
#define ROLE_READER_PRIVATE_H

#include "message/charset.h"
#include "role/role.h"
#include "role/sandbox.h"

struct reader_child {
	struct house *house;
	struct sandbox_program *sandbox; /* NULL: the kernel has none, and the operator goes on without */
};

/* In the new process: closes everything but the socket and standard error, limits itself, enters the sandbox and serves
 * requests of one kind until the socket ends. */
_Noreturn void reader_child_main(const struct reader_child *c, enum bus_reader what, int fd);

#endif
