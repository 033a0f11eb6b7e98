/* SPDX-License-Identifier: GPL-2.0 */
/*
 * How a device's packets go through the machine: chosen when the device is
 * created, from the module's parameters, and readable afterwards in
 * /sys/class/net/DEVICE/wireguard/. Which CPUs do the work of the queued path
 * can be set there at any time.
 */

#ifndef _WG_SETTINGS_H
#define _WG_SETTINGS_H

#include <linux/compiler.h>
#include <linux/rcupdate.h>
#include <linux/types.h>

struct cpumask;
struct net_device;
struct wg_device;
struct wg_lists;

enum wg_path {
	WG_PATH_QUEUED,	/* upstream's: a ring, a worker on any CPU, a serial stage */
	WG_PATH_INLINE,	/* the CPU that has the packet does all of it */
	WG_PATH_BATCHED,	/* the same at a lower cost: runs of packets are sent as one */
	/* For receive only: queued, but */
	WG_PATH_WORKQUEUE,	/* packets are delivered by a work item, not by a NAPI poll */
	WG_PATH_STEAL	/* a poll decrypts the packet that it would wait for */
};

struct wg_settings {
	enum wg_path transmit, receive;
	u64 stolen; /* packets that polls took from workers; under the ring's lock */
	struct cpumask __rcu *cpus; /* of the queued path; NULL: upstream's choice */
	struct wg_lists *lists; /* while they are received whole */
};

/* Sample the module's parameters for a new device, before it is registered. */
void wg_settings_init(struct net_device *dev);

/* When nothing uses the device any more. */
void wg_settings_free(struct wg_device *wg);

/* Whether the poll of a peer decrypts all packets, and no worker does. */
static inline bool wg_settings_inline_receive(const struct wg_settings *settings)
{
	return settings->receive == WG_PATH_INLINE || settings->receive == WG_PATH_BATCHED;
}

int wg_settings_confined_cpu(const struct wg_settings *settings, int cpu);

/* Where work of the queued path goes that upstream would give to an online CPU:
 * to that CPU, unless the device is confined to some.
 */
static inline int wg_settings_cpu(const struct wg_settings *settings, int cpu)
{
	if (likely(!rcu_access_pointer(settings->cpus)))
		return cpu;
	return wg_settings_confined_cpu(settings, cpu);
}

#endif /* _WG_SETTINGS_H */
