// SPDX-License-Identifier: GPL-2.0
/*
 * Every length up to that of a large packet, against the library: any bytes, and
 * those of which all bits are set once they are encrypted.
 */

#ifdef DEBUG
enum { AEAD_TEST_MAX = 1600 };

static bool __init aead_test_length(u8 *ours, u8 *theirs, u8 *before,
				    size_t len, bool ones)
{
	const size_t message = len + POLY1305_DIGEST_SIZE;
	const u64 nonce = 0x0123456789abcdefULL + len;
	u8 key[NOISE_SYMMETRIC_KEY_LEN];
	u8 *text = ours + WG_AEAD_HEADROOM;
	size_t i;

	for (i = 0; i < sizeof(key); ++i)
		key[i] = i * 7 + len;
	for (i = 0; i < WG_AEAD_HEADROOM + len; ++i)
		ours[i] = i * 13 + len;
	if (ones) {
		chacha20poly1305_encrypt(theirs, text, len, NULL, 0, nonce, key);
		for (i = 0; i < len; ++i)
			text[i] ^= ~theirs[i];
	}
	memcpy(before, ours, WG_AEAD_HEADROOM + len);

	chacha20poly1305_encrypt(theirs, text, len, NULL, 0, nonce, key);
	wg_aead_encrypt(text, len, nonce, key);
	if (memcmp(text, theirs, message))
		return false;

	text[len ? len / 2 : 0] ^= 4;
	memcpy(theirs, text, message);
	if (wg_aead_decrypt(text, message, nonce, key) ||
	    memcmp(text, theirs, message))
		return false;
	text[len ? len / 2 : 0] ^= 4;
	if (!wg_aead_decrypt(text, message, nonce, key))
		return false;

	return !memcmp(ours, before, WG_AEAD_HEADROOM + len);
}

bool __init wg_aead_selftest(void)
{
	const size_t size = WG_AEAD_HEADROOM + AEAD_TEST_MAX + POLY1305_DIGEST_SIZE;
	u8 *ours = kmalloc(size, GFP_KERNEL), *theirs = kmalloc(size, GFP_KERNEL);
	u8 *before = kmalloc(size, GFP_KERNEL);
	bool success = false;
	size_t len;

	if (!ours || !theirs || !before)
		goto out;
	for (len = 0; len <= AEAD_TEST_MAX; ++len) {
		bool passed;

		local_bh_disable();
		passed = aead_test_length(ours, theirs, before, len, false) &&
			 aead_test_length(ours, theirs, before, len, true);
		local_bh_enable();
		if (!passed) {
			pr_err("aead self-test: FAIL at %zu bytes\n", len);
			goto out;
		}
	}
	success = true;
	pr_info("aead self-tests: pass\n");
out:
	kfree(ours);
	kfree(theirs);
	kfree(before);
	return success;
}
#endif
