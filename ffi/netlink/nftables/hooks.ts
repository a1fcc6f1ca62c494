/**
 * Netfilter hooks: where a packet enters a chain (linux/netfilter*.h), and the order of those that enter at one place.
 */

export const NF_NETDEV_INGRESS = 0;
export const NF_ARP_IN = 0;
export const NF_INET_PRE_ROUTING = 0;
export const NF_INET_LOCAL_IN = 1;
export const NF_INET_FORWARD = 2;
export const NF_INET_LOCAL_OUT = 3;
export const NF_INET_POST_ROUTING = 4;
/** Before connection tracking (-200), behind the assembly of fragments (-400) where tracking does that. */
export const PRIORITY_RAW = -300;
export const PRIORITY_DESTINATION_NAT = -100;
export const PRIORITY_FILTER = 0;
export const PRIORITY_SOURCE_NAT = 100;
