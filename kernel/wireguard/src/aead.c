// SPDX-License-Identifier: GPL-2.0
/*
 * ChaCha20Poly1305 for messages in one piece, in place.
 *
 * Poly1305's key is the first block of the key stream. The library computes it
 * on its own, one block by scalar code, before the blocks for the text, which
 * vector code computes eight at a time. Here it is the first of those eight: a
 * full packet's 22.2 blocks and this one still take three times eight.
 *
 * With AVX-512 they are computed in one pass, by aead-avx512.c.
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
#include <linux/jump_label.h>
#include <linux/minmax.h>
#include <linux/percpu.h>
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

#ifdef WG_AEAD_HAS_WIDE
#include <asm/cpufeature.h>
#include <asm/fpu/api.h>

static DEFINE_STATIC_KEY_FALSE(use_wide);
static struct wg_aead_scratch __percpu *scratches;

/* Another user of vector registers may be interrupted. */
static bool can_be_wide(size_t len)
{
	return static_branch_likely(&use_wide) && len >= WG_AEAD_WIDE_LEAST &&
	       likely(irq_fpu_usable());
}

/* What one pass does not encrypt or decrypt. */
static void crypt_rest(cipher_state *state, u8 *text, size_t len)
{
	if (likely(len <= WG_AEAD_WIDE_BYTES))
		return;
	state->x[12] = 1 + WG_AEAD_WIDE_BYTES / CHACHA_BLOCK_SIZE;
	chacha20_crypt(words_of(state), text + WG_AEAD_WIDE_BYTES,
		       text + WG_AEAD_WIDE_BYTES, len - WG_AEAD_WIDE_BYTES);
}

/* The scratch memory is this CPU's between kernel_fpu_begin() and _end(). */
static void wide_encrypt(cipher_state *state, u8 *text, size_t len)
{
	struct wg_aead_scratch *scratch;

	crypt_rest(state, text, len);
	kernel_fpu_begin();
	scratch = this_cpu_ptr(scratches);
	wg_aead_wide_crypt(scratch, state->x, text, text, len);
	wg_aead_wide_tag(scratch, text + len, text, len);
	kernel_fpu_end();
}

static bool wide_decrypt(cipher_state *state, u8 *text, size_t len)
{
	u8 tag[POLY1305_DIGEST_SIZE];
	struct wg_aead_scratch *scratch;
	bool ok;

	kernel_fpu_begin();
	scratch = this_cpu_ptr(scratches);
	wg_aead_wide_crypt(scratch, state->x, scratch->text, text, len);
	wg_aead_wide_tag(scratch, tag, text, len);
	ok = !crypto_memneq(tag, text + len, sizeof(tag));
	if (likely(ok))
		memcpy(text, scratch->text, min_t(size_t, len, WG_AEAD_WIDE_BYTES));
	kernel_fpu_end();
	if (likely(ok))
		crypt_rest(state, text, len);
	return ok;
}

int __init wg_aead_init(void)
{
	if (!boot_cpu_has(X86_FEATURE_AVX512F) ||
	    !boot_cpu_has(X86_FEATURE_AVX512BW) ||
	    !boot_cpu_has(X86_FEATURE_AVX512VL) ||
	    !boot_cpu_has(X86_FEATURE_AVX512IFMA) ||
	    !boot_cpu_has(X86_FEATURE_AVX512_VBMI2) ||
	    !boot_cpu_has(X86_FEATURE_BMI2) ||
	    !cpu_has_xfeatures(XFEATURE_MASK_SSE | XFEATURE_MASK_YMM |
			       XFEATURE_MASK_AVX512, NULL))
		return 0;
#ifdef X86_FEATURE_PREFER_YMM
	/* Wider vectors slow this CPU's clock down. */
	if (boot_cpu_has(X86_FEATURE_PREFER_YMM))
		return 0;
#endif
	scratches = alloc_percpu(struct wg_aead_scratch);
	if (!scratches)
		return -ENOMEM;
	static_branch_enable(&use_wide);
	pr_info("batched paths encrypt full packets with AVX-512\n");
	return 0;
}

void wg_aead_uninit(void)
{
	free_percpu(scratches);
}
#else
static bool can_be_wide(size_t len)
{
	return false;
}

static void wide_encrypt(cipher_state *state, u8 *text, size_t len)
{
}

static bool wide_decrypt(cipher_state *state, u8 *text, size_t len)
{
	return false;
}

int __init wg_aead_init(void)
{
	return 0;
}

void wg_aead_uninit(void)
{
}
#endif

static noinline_for_stack void narrow_encrypt(cipher_state *state, u8 *text, size_t len)
{
	u8 *block0 = text - CHACHA_BLOCK_SIZE;
	u8 before[CHACHA_BLOCK_SIZE];
	u8 tag_key[POLY1305_KEY_SIZE];

	BUILD_BUG_ON(WG_AEAD_HEADROOM < CHACHA_BLOCK_SIZE);
	memcpy(before, block0, sizeof(before));
	memset(block0, 0, sizeof(before));
	chacha20_crypt(words_of(state), block0, block0,
		       CHACHA_BLOCK_SIZE + len);
	memcpy(tag_key, block0, sizeof(tag_key));
	memcpy(block0, before, sizeof(before));
	tag_of(text + len, text, len, tag_key);
	memzero_explicit(tag_key, sizeof(tag_key));
}

/* The first vector's part of the text is decrypted aside, because the key that
 * comes with it is needed to authenticate what is still encrypted.
 */
static noinline_for_stack bool narrow_decrypt(cipher_state *state, u8 *text, size_t len)
{
	u8 first[VECTOR_BYTES], tag[POLY1305_DIGEST_SIZE];
	size_t aside = min_t(size_t, len, sizeof(first) - CHACHA_BLOCK_SIZE);
	bool ok;

	memset(first, 0, CHACHA_BLOCK_SIZE);
	memcpy(first + CHACHA_BLOCK_SIZE, text, aside);
	chacha20_crypt(words_of(state), first, first,
		       CHACHA_BLOCK_SIZE + aside);
	tag_of(tag, text, len, first);
	ok = !crypto_memneq(tag, text + len, sizeof(tag));
	if (likely(ok)) {
		memcpy(text, first + CHACHA_BLOCK_SIZE, aside);
		if (likely(len > aside))
			chacha20_crypt(words_of(state), text + aside,
				       text + aside, len - aside);
	}
	memzero_explicit(first, CHACHA_BLOCK_SIZE);
	return ok;
}

void wg_aead_encrypt(u8 *text, size_t len, u64 nonce,
		     const u8 key[NOISE_SYMMETRIC_KEY_LEN])
{
	cipher_state state;

	cipher_init(&state, nonce, key);
	if (can_be_wide(len))
		wide_encrypt(&state, text, len);
	else
		narrow_encrypt(&state, text, len);
	memzero_explicit(&state, sizeof(state));
}

bool wg_aead_decrypt(u8 *text, size_t len, u64 nonce,
		     const u8 key[NOISE_SYMMETRIC_KEY_LEN])
{
	cipher_state state;
	bool ok;

	if (unlikely(len < POLY1305_DIGEST_SIZE))
		return false;
	len -= POLY1305_DIGEST_SIZE;
	cipher_init(&state, nonce, key);
	ok = can_be_wide(len) ? wide_decrypt(&state, text, len) :
				narrow_decrypt(&state, text, len);
	memzero_explicit(&state, sizeof(state));
	return ok;
}

#include "selftest/aead.c"
