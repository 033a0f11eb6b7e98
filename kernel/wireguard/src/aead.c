// SPDX-License-Identifier: GPL-2.0
/*
 * ChaCha20Poly1305 for messages in one piece, in place.
 *
 * Poly1305's key is the first block of the key stream. The library computes it
 * on its own, one block by scalar code, before the blocks for the text, which
 * vector code computes eight at a time. Here it is the first of those eight: a
 * full packet's 22.2 blocks and this one still take three times eight.
 */

#include "aead.h"

#include <crypto/chacha.h>
#include <crypto/chacha20poly1305.h>
#include <crypto/poly1305.h>
#if __has_include(<crypto/utils.h>)
#include <crypto/utils.h>
#else
#include <crypto/algapi.h>
#endif
#include <linux/minmax.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/version.h>

#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 16, 0)
typedef struct chacha_state cipher_state;
#define words_of(state) (state)
#else
typedef struct {
	u32 x[CHACHA_BLOCK_SIZE / sizeof(u32)];
} cipher_state;
#define words_of(state) ((state)->x)
#endif

/* What the widest vector code does at a time. */
#define VECTOR_BYTES (8 * CHACHA_BLOCK_SIZE)

static void cipher_init(cipher_state *state, u64 nonce, const u8 *key)
{
	u32 words[CHACHA_KEY_SIZE / sizeof(u32)];
	__le64 iv[2] = { 0, cpu_to_le64(nonce) };
	unsigned int i;

	memcpy(words, key, sizeof(words));
	for (i = 0; i < ARRAY_SIZE(words); ++i)
		words[i] = le32_to_cpu((__force __le32)words[i]);
	chacha_init(words_of(state), words, (const u8 *)iv);
	memzero_explicit(words, sizeof(words));
}

static void tag_of(u8 tag[POLY1305_DIGEST_SIZE], const u8 *text, size_t len,
		   const u8 key[POLY1305_KEY_SIZE])
{
	struct {
		u8 padding[POLY1305_BLOCK_SIZE];
		__le64 lens[2];
	} end = { .lens = { 0, cpu_to_le64(len) } };
	size_t padding = -len % POLY1305_BLOCK_SIZE;
	struct poly1305_desc_ctx poly1305;

	poly1305_init(&poly1305, key);
	poly1305_update(&poly1305, text, len);
	poly1305_update(&poly1305, (u8 *)end.lens - padding,
			padding + sizeof(end.lens));
	poly1305_final(&poly1305, tag);
}

void wg_aead_encrypt(u8 *text, size_t len, u64 nonce,
		     const u8 key[NOISE_SYMMETRIC_KEY_LEN])
{
	u8 *block0 = text - CHACHA_BLOCK_SIZE;
	u8 before[CHACHA_BLOCK_SIZE];
	u8 tag_key[POLY1305_KEY_SIZE];
	cipher_state state;

	BUILD_BUG_ON(WG_AEAD_HEADROOM < CHACHA_BLOCK_SIZE);
	cipher_init(&state, nonce, key);
	memcpy(before, block0, sizeof(before));
	memset(block0, 0, sizeof(before));
	chacha20_crypt(words_of(&state), block0, block0,
		       CHACHA_BLOCK_SIZE + len);
	memcpy(tag_key, block0, sizeof(tag_key));
	memcpy(block0, before, sizeof(before));
	tag_of(text + len, text, len, tag_key);
	memzero_explicit(tag_key, sizeof(tag_key));
	memzero_explicit(&state, sizeof(state));
}

/* The first vector's part of the text is decrypted aside, because the key that
 * comes with it is needed to authenticate what is still encrypted.
 */
bool wg_aead_decrypt(u8 *text, size_t len, u64 nonce,
		     const u8 key[NOISE_SYMMETRIC_KEY_LEN])
{
	u8 first[VECTOR_BYTES], tag[POLY1305_DIGEST_SIZE];
	cipher_state state;
	size_t aside;
	bool ok;

	if (unlikely(len < POLY1305_DIGEST_SIZE))
		return false;
	len -= POLY1305_DIGEST_SIZE;
	aside = min_t(size_t, len, sizeof(first) - CHACHA_BLOCK_SIZE);

	cipher_init(&state, nonce, key);
	memset(first, 0, CHACHA_BLOCK_SIZE);
	memcpy(first + CHACHA_BLOCK_SIZE, text, aside);
	chacha20_crypt(words_of(&state), first, first,
		       CHACHA_BLOCK_SIZE + aside);
	tag_of(tag, text, len, first);
	ok = !crypto_memneq(tag, text + len, sizeof(tag));
	if (likely(ok)) {
		memcpy(text, first + CHACHA_BLOCK_SIZE, aside);
		if (likely(len > aside))
			chacha20_crypt(words_of(&state), text + aside,
				       text + aside, len - aside);
	}
	memzero_explicit(first, CHACHA_BLOCK_SIZE);
	memzero_explicit(&state, sizeof(state));
	return ok;
}

#include "selftest/aead.c"
