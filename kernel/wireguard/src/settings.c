// SPDX-License-Identifier: GPL-2.0
/*
 * How a device's packets go through the machine: see settings.h.
 */

#include "settings.h"
#include "device.h"

#include <linux/capability.h>
#include <linux/cpumask.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/netdevice.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/sysfs.h>

static const char *const path_names[] = {
	[WG_PATH_QUEUED] = "queued",
	[WG_PATH_INLINE] = "inline",
	[WG_PATH_BATCHED] = "batched",
	[WG_PATH_WORKQUEUE] = "workqueue",
	[WG_PATH_STEAL] = "steal",
};

static enum wg_path transmit = WG_PATH_QUEUED, receive = WG_PATH_QUEUED;

static int path_param_set(const char *text, const struct kernel_param *param)
{
	size_t count = param->arg == &transmit ? WG_PATH_BATCHED + 1 : ARRAY_SIZE(path_names);
	int path = __sysfs_match_string(path_names, count, text);

	if (path < 0)
		return path;
	WRITE_ONCE(*(enum wg_path *)param->arg, path);
	return 0;
}

static int path_param_get(char *buffer, const struct kernel_param *param)
{
	return sysfs_emit(buffer, "%s\n",
			  path_names[READ_ONCE(*(enum wg_path *)param->arg)]);
}

static const struct kernel_param_ops path_ops = {
	.set = path_param_set,
	.get = path_param_get,
};

module_param_cb(transmit, &path_ops, &transmit, 0644);
MODULE_PARM_DESC(transmit, "Where devices created from now on encrypt: queued (default), inline or batched");
module_param_cb(receive, &path_ops, &receive, 0644);
MODULE_PARM_DESC(receive, "How devices created from now on receive: queued (default), inline, batched, workqueue or steal");

static struct wg_settings *settings_of(struct device *dev)
{
	struct wg_device *wg = netdev_priv(to_net_dev(dev));

	return &wg->settings;
}

static ssize_t transmit_show(struct device *dev, struct device_attribute *attr,
			     char *buffer)
{
	return sysfs_emit(buffer, "%s\n", path_names[settings_of(dev)->transmit]);
}
static DEVICE_ATTR_RO(transmit);

static ssize_t receive_show(struct device *dev, struct device_attribute *attr,
			    char *buffer)
{
	return sysfs_emit(buffer, "%s\n", path_names[settings_of(dev)->receive]);
}
static DEVICE_ATTR_RO(receive);

static ssize_t stolen_show(struct device *dev, struct device_attribute *attr,
			   char *buffer)
{
	return sysfs_emit(buffer, "%llu\n", READ_ONCE(settings_of(dev)->stolen));
}
static DEVICE_ATTR_RO(stolen);

/* Serializes writers of the masks of all devices. */
static DEFINE_MUTEX(cpus_lock);

static ssize_t cpus_show(struct device *dev, struct device_attribute *attr,
			 char *buffer)
{
	const struct cpumask *cpus;
	ssize_t length;

	rcu_read_lock();
	cpus = rcu_dereference(settings_of(dev)->cpus);
	length = cpumap_print_to_pagebuf(true, buffer, cpus ?: cpu_possible_mask);
	rcu_read_unlock();
	return length;
}

static ssize_t cpus_store(struct device *dev, struct device_attribute *attr,
			  const char *buffer, size_t length)
{
	struct wg_settings *settings = settings_of(dev);
	struct cpumask *cpus, *old;
	int ret;

	/* A device may belong to a namespace whose root has no say here. */
	if (!capable(CAP_NET_ADMIN))
		return -EPERM;

	cpus = kzalloc(cpumask_size(), GFP_KERNEL);
	if (!cpus)
		return -ENOMEM;
	ret = cpulist_parse(buffer, cpus);
	if (!ret && !cpumask_intersects(cpus, cpu_online_mask))
		ret = -EINVAL;
	if (ret) {
		kfree(cpus);
		return ret;
	}
	if (cpumask_subset(cpu_possible_mask, cpus)) {
		kfree(cpus);
		cpus = NULL;
	}

	mutex_lock(&cpus_lock);
	old = rcu_replace_pointer(settings->cpus, cpus, lockdep_is_held(&cpus_lock));
	mutex_unlock(&cpus_lock);
	if (old) {
		synchronize_rcu();
		kfree(old);
	}
	return length;
}
static DEVICE_ATTR_RW(cpus);

/* The CPUs of the mask take turns as all CPUs would. Those that went off line
 * are skipped, and a mask without any that is online does not confine.
 */
int wg_settings_confined_cpu(const struct wg_settings *settings, int cpu)
{
	unsigned int count = 0, candidate, turn;
	const struct cpumask *cpus;

	rcu_read_lock();
	cpus = rcu_dereference(settings->cpus);
	if (!cpus)
		goto out;
	for_each_cpu_and(candidate, cpus, cpu_online_mask)
		++count;
	if (!count)
		goto out;
	turn = cpu % count;
	for_each_cpu_and(candidate, cpus, cpu_online_mask) {
		if (!turn--) {
			cpu = candidate;
			break;
		}
	}
out:
	rcu_read_unlock();
	return cpu;
}

static struct attribute *settings_attributes[] = {
	&dev_attr_transmit.attr,
	&dev_attr_receive.attr,
	&dev_attr_stolen.attr,
	&dev_attr_cpus.attr,
	NULL
};

static const struct attribute_group settings_group = {
	.name = "wireguard",
	.attrs = settings_attributes,
};

void wg_settings_init(struct net_device *dev)
{
	struct wg_device *wg = netdev_priv(dev);

	wg->settings.transmit = READ_ONCE(transmit);
	wg->settings.receive = READ_ONCE(receive);
	dev->sysfs_groups[0] = &settings_group;
}

void wg_settings_free(struct wg_device *wg)
{
	kfree(rcu_dereference_protected(wg->settings.cpus, true));
}
