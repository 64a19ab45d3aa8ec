/* main.c: the program: a role when the keeper starts it as one, else the command line. */
#include "cli/cli.h"

int
main(int argc, char **argv)
{
	static const struct role_ops *const roles[] = {&role_vault_ops, &role_reader_ops, &role_clerk_ops,
	    &role_desk_ops, &role_courier_ops, &role_gate_ops, &role_porch_ops, NULL};

	if (role_is_asked(argc, argv))
		return role_main(argc, argv, roles);
	return cli_main(argc, argv);
}
