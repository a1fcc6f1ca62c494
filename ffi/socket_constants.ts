/**
 * Socket constants: the numbers of `socket(2)`, `setsockopt(2)` and `recvmsg(2)` that more than one kind of socket
 * takes.
 */

// Address families (include/linux/socket.h).
export const AF_UNSPEC = 0;
export const AF_UNIX = 1;
export const AF_INET = 2;
export const AF_INET6 = 10;
export const AF_NETLINK = 16;
export const AF_PACKET = 17;

// Types of socket, and the flags that open a socket without a second call.
export const SOCK_STREAM = 1;
export const SOCK_DGRAM = 2;
export const SOCK_RAW = 3;
export const SOCK_SEQPACKET = 5;
export const SOCK_NONBLOCK = 0o4000;
export const SOCK_CLOEXEC = 0o2000000;

// Protocols (include/uapi/linux/in.h).
export const IPPROTO_ICMP = 1;
export const IPPROTO_TCP = 6;
export const IPPROTO_UDP = 17;
export const IPPROTO_ICMPV6 = 58;
export const IPPROTO_RAW = 255;

/** EtherType of IPv4 (include/uapi/linux/if_ether.h). */
export const ETH_P_IP = 0x0800;
export const ETH_P_IPV6 = 0x86dd;

// Levels of `setsockopt(2)` and of control messages.
export const SOL_IP = 0;
export const SOL_SOCKET = 1;
export const SOL_UDP = 17;
export const SOL_IPV6 = 41;
export const SOL_PACKET = 263;
export const SOL_NETLINK = 270;

// Options of every socket (include/uapi/asm-generic/socket.h: x86-64 and arm64 have the same).
export const SO_SNDBUF = 7;
export const SO_RCVBUF = 8;
export const SO_REUSEPORT = 15;
export const SO_RCVTIMEO = 20;
export const SO_SNDTIMEO = 21;
/** The forced forms pass net.core.[rw]mem_max but want CAP_NET_ADMIN. */
export const SO_SNDBUFFORCE = 32;
export const SO_RCVBUFFORCE = 33;
export const SO_MARK = 36;
export const SO_MEMINFO = 55;

// Options of IPv4 sockets.
export const IP_TOS = 1;
export const IP_PKTINFO = 8;
export const IP_MTU_DISCOVER = 10;
export const IP_RECVTOS = 13;
/** DF, whatever the kernel has been told of the path. */
export const IP_PMTUDISC_PROBE = 3;

// Options of IPv6 sockets (include/uapi/linux/in6.h).
export const IPV6_MTU_DISCOVER = 23;
export const IPV6_V6ONLY = 26;
export const IPV6_RECVPKTINFO = 49;
export const IPV6_PKTINFO = 50;
export const IPV6_RECVTCLASS = 66;
export const IPV6_TCLASS = 67;
/** What the kernel has been told of the path decides where it divides a datagram, which routers do not. */
export const IPV6_PMTUDISC_WANT = 1;
/** Nothing is divided, whatever the kernel has been told of the path. */
export const IPV6_PMTUDISC_PROBE = 3;

// Options and control messages of UDP sockets.
export const UDP_SEGMENT = 103;
export const UDP_GRO = 104;

/** Frames of a packet socket have a `virtio_net_hdr` in front. */
export const PACKET_VNET_HDR = 15;

// Flags of `send(2)`, `recv(2)` and their batched forms.
/** The kernel cut the message short: the buffer was too small. */
export const MSG_TRUNC = 0x20;
export const MSG_DONTWAIT = 0x40;
export const MSG_NOSIGNAL = 0x4000;

/** An interface name with its NUL (include/uapi/linux/if.h). */
export const IFNAMSIZ = 16;

/** `struct iovec { void *iov_base; size_t iov_len; }` */
export const IOVEC_SIZE = 16;
