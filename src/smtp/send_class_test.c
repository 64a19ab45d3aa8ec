/* What replies of real servers count as. The texts are those that the large providers document or are known for, with
 * made-up addresses. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "bus/reply_class.h"
#include "smtp/send_class.h"

struct example {
	enum bus_reply_class want;
	int code;
	const char *status, *text;
};

static const struct example examples[] = {
    {REPLY_BAD_MAILBOX, 550, "5.1.1",
	"The email account that you tried to reach does not exist. Please try double-checking"},
    {REPLY_BAD_MAILBOX, 550, "5.2.1", "The email account that you tried to reach is inactive"},
    {REPLY_BAD_MAILBOX, 550, "5.1.10", "RESOLVER.ADR.RecipientNotFound; Recipient not found by SMTP address lookup"},
    {REPLY_BAD_MAILBOX, 550, "5.4.1", "Recipient address rejected: Access denied. AS(201806281)"},
    {REPLY_BAD_MAILBOX, 554, "", "delivery error: dd This user doesn't have a yahoo.com account (someone@yahoo.com)"},
    {REPLY_BAD_MAILBOX, 550, "", "Requested action not taken: mailbox unavailable"},
    {REPLY_BAD_MAILBOX, 550, "", "unknown user"},
    {REPLY_FULL, 552, "5.2.2", "The email account that you tried to reach is over quota"},
    {REPLY_FULL, 452, "4.2.2", "The recipient's inbox is out of storage space"},
    {REPLY_FULL, 554, "", "Quota exceeded (mailbox for user is full)"},
    {REPLY_UNAUTHENTICATED, 550, "5.7.26", "This mail has been blocked because the sender is unauthenticated."},
    {REPLY_UNAUTHENTICATED, 550, "5.7.1",
	"Unauthenticated email from a.test is not accepted due to domain's DMARC policy."},
    {REPLY_UNAUTHENTICATED, 450, "4.7.25", "Client host rejected: cannot find your hostname, [192.0.2.1]"},
    {REPLY_CONTENT, 550, "5.7.1", "Our system has detected that this message is likely unsolicited mail."},
    {REPLY_CONTENT, 552, "5.7.0", "This message was blocked because its content presents a potential security issue."},
    {REPLY_RATE_LIMITED, 421, "4.7.28", "Gmail has detected an unusual rate of mail originating from your SPF domain"},
    {REPLY_RATE_LIMITED, 450, "4.2.1", "The user you are trying to contact is receiving mail too quickly."},
    {REPLY_RATE_LIMITED, 451, "4.7.650", "The mail server [192.0.2.1] has been temporarily rate limited (S775)"},
    {REPLY_RATE_LIMITED, 421, "", "RP-001 The mail server IP connecting to server has exceeded the rate limit allowed"},
    {REPLY_RATE_LIMITED, 421, "4.7.0", "[TSS04] Messages from 192.0.2.1 temporarily deferred due to unexpected volume"},
    {REPLY_RATE_LIMITED, 452, "4.5.3", "Recipients belong to multiple regions"},
    {REPLY_RATE_LIMITED, 421, "", "Service not available, closing transmission channel"},
    {REPLY_BLOCKLISTED, 550, "5.7.1",
	"Unfortunately, messages from [192.0.2.1] weren't sent. part of their network is on our block list (S3150)."},
    {REPLY_BLOCKLISTED, 550, "5.7.606", "Access denied, banned sending IP [192.0.2.1]"},
    {REPLY_BLOCKLISTED, 553, "5.7.1",
	"[BL21] Connections will not be accepted from 192.0.2.1, because the ip is in Spamhaus's list"},
    {REPLY_BLOCKLISTED, 554, "",
	"IP=192.0.2.1 - A problem occurred. (Ask your postmaster for help or to contact tosa@rx.t-online.de)"},
    {REPLY_BLOCKLISTED, 554, "5.7.1", "Service unavailable; Client host [192.0.2.1] blocked using zen.spamhaus.org"},
    {REPLY_GREYLISTED, 450, "4.2.0",
	"<x@b.test>: Recipient address rejected: Greylisted, see http://postgrey.schweikert.ch/"},
    {REPLY_GREYLISTED, 451, "4.7.1", "Greylisting in action, please come back later"},
    {REPLY_TOO_LARGE, 552, "5.3.4", "Message size exceeds fixed limit"},
    {REPLY_TOO_LARGE, 552, "", "message size exceeds fixed maximum message size"},
    {REPLY_POLICY, 554, "5.7.9", "Message not accepted for policy reasons."},
    {REPLY_POLICY, 554, "5.7.1", "[CS01] Message rejected due to local policy."},
    {REPLY_POLICY, 550, "", "relay not permitted"},
    {REPLY_TLS, 530, "5.7.0", "Must issue a STARTTLS command first"},
    {REPLY_SIGN_IN, 535, "5.7.8", "Username and Password not accepted"},
    {REPLY_SIGN_IN, 530, "5.7.0", "Authentication Required"},
    {REPLY_PROTOCOL, 503, "5.5.1", "Bad sequence of commands"},
    {REPLY_PROTOCOL, 555, "5.5.4", "Unsupported option: BODY=BINARYMIME"},
    {REPLY_PROTOCOL, 250, "4.5.0", "The remote server gave a reply that has no meaning here"},
    {REPLY_OTHER, 451, "4.3.0", "Temporary lookup failure"},
    {REPLY_OTHER, 554, "", "Transaction failed"},
    /* ours */
    {REPLY_DNS, 0, "4.4.3", "The mail servers of spam.rbl.test could not be looked up in DNS"},
    {REPLY_DNS, 0, "5.1.2", "The domain greylist.test does not exist"},
    {REPLY_DNS, 0, "5.1.10", "x.test says that it does not accept mail (null MX)"},
    {REPLY_DNS, 0, "5.4.6", "mail would loop"},
    {REPLY_CONNECTION, 0, "4.4.1", "Could not connect to mx.dnsbl.test"},
    {REPLY_CONNECTION, 0, "4.4.2", "The connection was lost"},
    {REPLY_TLS, 0, "5.7.30", "REQUIRETLS support required"},
    {REPLY_TLS, 0, "4.7.10", "no encryption"},
    {REPLY_TOO_LARGE, 0, "5.3.4", "The message has 100 bytes"},
    {REPLY_PROTOCOL, 0, "4.5.0", "What it answered is not SMTP"},
    {REPLY_PROTOCOL, 0, "5.6.7", "The address cannot be expressed in SMTP"},
};

static void
examples_are_recognised(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(examples); i++) {
		const struct example *x = &examples[i];
		enum bus_reply_class got = smtp_reply_classify(x->code, slice_z(x->status), slice_z(x->text));

		if (got != x->want)
			fail_msg("%d %s %s: %s, not %s", x->code, x->status, x->text, reply_class_name(got),
			    reply_class_name(x->want));
	}
}

static void
every_class_has_its_words(void **state)
{
	(void)state;
#define REPLY_CLASS(id, number, name, words) \
	assert_string_equal(reply_class_name(REPLY_##id), name); \
	assert_string_equal(reply_class_words(REPLY_##id), words);
#include "bus/reply_classes.def"
#undef REPLY_CLASS
	assert_string_equal(reply_class_name(-1), "other");
	assert_string_equal(reply_class_name(1000), "other");
}

static void
a_reply_without_anything_is_other(void **state)
{
	(void)state;
	assert_int_equal(smtp_reply_classify(599, SLICE_EMPTY, SLICE_EMPTY), REPLY_OTHER);
	assert_int_equal(smtp_reply_classify(451, SLICE("4."), SLICE("\0\xff")), REPLY_OTHER);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(examples_are_recognised),
	    cmocka_unit_test(every_class_has_its_words), cmocka_unit_test(a_reply_without_anything_is_other)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
