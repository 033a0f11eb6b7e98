// SPDX-License-Identifier: GPL-2.0
/*
 * Packets of UDP segments that arrive as such: what a tunnel on the same host
 * sends as one packet. UDP would separate them before it gives them to the socket
 * of a tunnel, with a clone and headers for each. It does not if they are marked
 * as those of a tunnel and the socket accepts them, so a netfilter hook marks
 * those that are for the device.
 */

#include "device.h"
#include "list.h"
#include "messages.h"

#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/netfilter.h>
#include <linux/netfilter_ipv4.h>
#include <linux/netfilter_ipv6.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>
#include <linux/udp.h>
#include <linux/version.h>
#include <net/ip.h>
#include <net/sock.h>

bool wg_list_is_data(struct sk_buff *skb)
{
	const struct message_data *first = (const struct message_data *)(udp_hdr(skb) + 1);
	const unsigned int size = skb_shinfo(skb)->gso_size;
	const struct sk_buff *part;

	if (skb_shinfo(skb)->nr_frags || !skb_has_frag_list(skb) ||
	    skb_shared(skb) || skb_cloned(skb) || size < MESSAGE_MINIMUM_LENGTH ||
	    skb_tail_pointer(skb) - (const u8 *)first != size ||
	    first->header.type != cpu_to_le32(MESSAGE_DATA))
		return false;
	skb_walk_frags(skb, part) {
		const struct message_data *message = (const struct message_data *)part->data;

		if (skb_is_nonlinear(part) || skb_shared(part) || skb_cloned(part) ||
		    part->len < MESSAGE_MINIMUM_LENGTH || part->len > size ||
		    message->header.type != first->header.type ||
		    message->key_idx != first->key_idx)
			return false;
	}
	return true;
}

void wg_list_split(struct sk_buff *skb)
{
	struct sk_buff *part;

	skb->next = skb_shinfo(skb)->frag_list;
	skb_shinfo(skb)->frag_list = NULL;
	skb_gso_reset(skb);
	skb->len -= skb->data_len;
	skb->data_len = 0;
	skb->truesize = SKB_TRUESIZE(skb_end_offset(skb));
	for (part = skb->next; part; part = part->next) {
		/* Nobody else has it, so nobody else has its headers. */
		atomic_set(&skb_shinfo(part)->dataref, 1);
		part->nohdr = 0;
		skb_orphan(part);
	}
}

#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 9, 0) && IS_ENABLED(CONFIG_NETFILTER)
struct wg_lists {
	struct nf_hook_ops ops[2];
	struct net *net;
	struct rcu_head rcu;
};

static unsigned int mark_list(void *priv, struct sk_buff *skb,
			      const struct nf_hook_state *state)
{
	const struct wg_device *wg = priv;

	if (likely(skb_shinfo(skb)->gso_type != SKB_GSO_UDP_L4 || !skb_is_gso(skb)))
		return NF_ACCEPT;
	if (state->pf == NFPROTO_IPV6 && ipv6_hdr(skb)->nexthdr != IPPROTO_UDP)
		return NF_ACCEPT;
	if (skb_transport_offset(skb) + sizeof(struct udphdr) <= skb_headlen(skb) &&
	    udp_hdr(skb)->dest == htons(wg->incoming_port) && wg_list_is_data(skb))
		skb_shinfo(skb)->gso_type |= SKB_GSO_UDP_TUNNEL_CSUM;
	return NF_ACCEPT;
}

void wg_lists_start(struct wg_device *wg, struct net *net)
{
	struct wg_lists *lists;

	if (wg->settings.receive != WG_PATH_BATCHED || wg->settings.lists)
		return;
	lists = kzalloc(sizeof(*lists), GFP_KERNEL);
	if (!lists)
		return;
	lists->net = net;
	for (int i = 0; i < ARRAY_SIZE(lists->ops); ++i) {
		lists->ops[i].hook = mark_list;
		lists->ops[i].priv = wg;
		lists->ops[i].pf = i ? NFPROTO_IPV6 : NFPROTO_IPV4;
		lists->ops[i].hooknum = NF_INET_LOCAL_IN;
		lists->ops[i].priority = i ? NF_IP6_PRI_LAST : NF_IP_PRI_LAST;
	}
	if (nf_register_net_hooks(net, lists->ops, ARRAY_SIZE(lists->ops))) {
		kfree(lists);
		return;
	}
	wg->settings.lists = lists;
}

void wg_lists_accept(struct wg_device *wg, struct sock *sk)
{
	if (wg->settings.receive == WG_PATH_BATCHED)
		udp_set_bit(ACCEPT_L4, sk);
}

void wg_lists_stop(struct wg_device *wg)
{
	struct wg_lists *lists = wg->settings.lists;

	if (!lists)
		return;
	nf_unregister_net_hooks(lists->net, lists->ops, ARRAY_SIZE(lists->ops));
	wg->settings.lists = NULL;
	kfree_rcu(lists, rcu);
}
#else
void wg_lists_start(struct wg_device *wg, struct net *net)
{
}

void wg_lists_accept(struct wg_device *wg, struct sock *sk)
{
}

void wg_lists_stop(struct wg_device *wg)
{
}
#endif
