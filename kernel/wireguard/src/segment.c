// SPDX-License-Identifier: GPL-2.0
/*
 * The segments of a TCP sender, as packets in one piece.
 *
 * The network stack's own function copies all that is known of the packet into
 * each segment, in memory from the general allocator. From here on all that a
 * segment needs is its data and room for what is put around it.
 */

#include "messages.h"
#include "segment.h"

#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/netdevice.h>
#include <linux/skbuff.h>
#include <linux/tcp.h>
#include <net/checksum.h>
#include <net/ip6_checksum.h>
#include <net/tcp.h>

/* What TCP sends, or what GRO made of what arrived for somebody else. IPv6 may
 * have no other headers. The headers are in one piece.
 */
static bool is_plain_tcp(const struct sk_buff *skb)
{
	const unsigned int type = skb_shinfo(skb)->gso_type;
	const unsigned int ip_len = skb_transport_offset(skb);

	if (type & ~(SKB_GSO_TCPV4 | SKB_GSO_TCPV6 | SKB_GSO_TCP_ECN) ||
	    skb->encapsulation || skb->ip_summed != CHECKSUM_PARTIAL ||
	    skb_shinfo(skb)->tx_flags & SKBTX_ANY_TSTAMP ||
	    skb_network_offset(skb) || !skb_transport_header_was_set(skb) ||
	    skb_checksum_start(skb) != skb_transport_header(skb))
		return false;
	if (type & SKB_GSO_TCPV6 ? ip_len != sizeof(struct ipv6hdr) :
				   ip_len < sizeof(struct iphdr))
		return false;
	return skb_headlen(skb) >= ip_len + sizeof(struct tcphdr) &&
	       tcp_hdrlen(skb) >= sizeof(struct tcphdr) &&
	       skb_headlen(skb) >= ip_len + tcp_hdrlen(skb) &&
	       skb->len > ip_len + tcp_hdrlen(skb) + skb_shinfo(skb)->gso_size;
}

/* Write a segment's headers. @sum is that of its data. */
static void write_headers(u8 *headers, unsigned int ip_len, unsigned int tcp_len,
			  unsigned int data_len, unsigned int index, u32 seq,
			  bool last, __wsum sum)
{
	struct tcphdr *tcp = (struct tcphdr *)(headers + ip_len);
	struct iphdr *ip = (struct iphdr *)headers;

	tcp->seq = htonl(seq);
	if (!last)
		tcp->fin = tcp->psh = 0;
	if (index)
		tcp->cwr = 0;
	tcp->check = 0;
	sum = csum_partial(tcp, tcp_len, sum);
	if (ip->version == 4) {
		ip->tot_len = htons(ip_len + tcp_len + data_len);
		ip->id = htons(ntohs(ip->id) + index);
		ip_send_check(ip);
		tcp->check = csum_tcpudp_magic(ip->saddr, ip->daddr,
					       tcp_len + data_len, IPPROTO_TCP, sum);
	} else {
		struct ipv6hdr *ip6 = (struct ipv6hdr *)headers;

		ip6->payload_len = htons(ip_len - sizeof(*ip6) + tcp_len + data_len);
		tcp->check = csum_ipv6_magic(&ip6->saddr, &ip6->daddr,
					     tcp_len + data_len, IPPROTO_TCP, sum);
	}
}

struct sk_buff *wg_segment_tcp(struct sk_buff *skb)
{
	unsigned int ip_len, tcp_len, head_len, offset, index = 0;
	struct sk_buff *first = NULL, **tail = &first, *segment;
	const unsigned int size = skb_shinfo(skb)->gso_size;
	u32 seq;

	if (unlikely(!is_plain_tcp(skb)))
		return NULL;
	ip_len = skb_transport_offset(skb);
	tcp_len = tcp_hdrlen(skb);
	head_len = ip_len + tcp_len;
	seq = ntohl(tcp_hdr(skb)->seq);

	for (offset = head_len; offset < skb->len; offset += size, ++index) {
		unsigned int len = min(size, skb->len - offset);
		__wsum sum;

		segment = __netdev_alloc_skb(skb->dev, DATA_PACKET_HEAD_ROOM + head_len + len +
					     noise_encrypted_len(MESSAGE_PADDING_MULTIPLE),
					     GFP_ATOMIC | __GFP_NOWARN);
		if (unlikely(!segment))
			goto err;
		*tail = segment;
		tail = &segment->next;
		skb_reserve(segment, DATA_PACKET_HEAD_ROOM);
		skb_reset_network_header(segment);
		skb_set_transport_header(segment, ip_len);
		skb_put_data(segment, skb->data, head_len);
		sum = skb_copy_and_csum_bits(skb, offset, skb_put(segment, len), len);
		write_headers(segment->data, ip_len, tcp_len, len, index,
			      seq + offset - head_len, offset + len == skb->len, sum);

		segment->protocol = skb->protocol;
		segment->priority = skb->priority;
		segment->hash = skb->hash;
		segment->l4_hash = skb->l4_hash;
		segment->sw_hash = skb->sw_hash;
	}

	/* What the sender was charged, it is given back with the first. */
	if (skb->destructor) {
		swap(first->destructor, skb->destructor);
		swap(first->sk, skb->sk);
		swap(first->truesize, skb->truesize);
	}
	return first;

err:
	kfree_skb_list(first);
	return NULL;
}
