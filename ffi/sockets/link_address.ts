/** Link-layer socket addresses: the layout of `struct sockaddr_ll` (packet(7)). */

/** `struct sockaddr_ll { u16 family; be16 protocol; int ifindex; u16 hatype; u8 pkttype; u8 halen; u8 addr[8]; }` */
export const SOCKADDR_LL_SIZE = 20;
export const SOCKADDR_LL_PROTOCOL = 2;
export const SOCKADDR_LL_IFINDEX = 4;
export const SOCKADDR_LL_HATYPE = 8;
