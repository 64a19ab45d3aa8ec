/* date_fuzz.c: any bytes as a date; what is printed reads back as the same moment. */
#include "message/date.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice in = slice_of(data, size);
	struct message_date d, again;
	BUF_CLEANUP struct buf b;
	int64_t day;

	buf_init(&b, 1024);
	(void)!date_parse_imap_day(in, &day);
	for (int round = 0; round < 2; round++) {
		int err = round == 0 ? date_parse(in, &d) : date_parse_imap(in, &d);

		if (err != 0)
			continue;
		ASSERT(d.offset_min > -1440 && d.offset_min < 1440);
		(void)date_day(&d);
		if (d.epoch_s < 0 || d.epoch_s > 250000000000)
			continue;
		buf_reset(&b);
		date_put(&b, d.epoch_s, d.offset_min);
		ASSERT(date_parse(buf_slice(&b), &again) == 0 && again.epoch_s == d.epoch_s &&
		    again.offset_min == d.offset_min);
		buf_reset(&b);
		date_put_imap(&b, d.epoch_s, d.offset_min);
		ASSERT(date_parse_imap(buf_slice(&b), &again) == 0 && again.epoch_s == d.epoch_s);
	}
	return 0;
}
