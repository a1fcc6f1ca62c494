/**
 * Packets that a Linux kernel sent, captured on a veth pair with checksum offload switched off: 10.66.77.2 asks,
 * 10.66.77.1 answers. They keep the parsers and the packet builder honest, for neither had a hand in them.
 */
import { hex } from "../packets/packet_builder.ts";

/** UDP, 40000 to 53, "hello, gateway". */
export const UDP = hex(`
  4500 002a 01b3 4000 4011 8a89 0a42 4d02 0a42 4d01
  9c40 0035 0016 27fb 6865 6c6c 6f2c 2067 6174 6577 6179`);

/** ICMP 3/3, the answer to a datagram for port 54, which it quotes. */
export const PORT_UNREACHABLE = hex(`
  45c0 0039 6d52 0000 4001 5e2b 0a42 4d01 0a42 4d02
  0303 ab9e 0000 0000
  4500 001d 01f5 4000 4011 8a54 0a42 4d02 0a42 4d01 9c40 0036 0009 3cde 78`);

/** UDP with a record-route option. */
export const UDP_RECORD_ROUTE = hex(`
  4800 002a 0203 4000 4011 33d6 0a42 4d02 0a42 4d01
  070b 080a 424d 0200 0000 0001
  9c40 0035 000a 426b 7272`);

/** UDP with a loose source route. */
export const UDP_LOOSE_SOURCE_ROUTE = hex(`
  4700 0028 0222 4000 4011 bdbd 0a42 4d02 0a42 4d01
  8307 040a 424d 0100
  9c40 0035 000c d5f3 6c73 7272`);

/** TCP SYN, 40001 to 80, with MSS, SACK, timestamps and window scale. */
export const TCP_SYN = hex(`
  4500 003c 46e6 4000 4006 454f 0a42 4d02 0a42 4d01
  9c41 0050 b81d 5d8f 0000 0000 a002 faf0 e776 0000
  0204 05b4 0402 080a edcf 1700 0000 0000 0103 030a`);

/** The SYN/ACK. */
export const TCP_SYN_ACK = hex(`
  4500 003c 0000 4000 4006 8c35 0a42 4d01 0a42 4d02
  0050 9c41 8bab e029 b81d 5d90 a012 fe88 585b 0000
  0204 05b4 0402 080a a792 780a edcf 1700 0103 030a`);

/** PSH|ACK with "GET / HTTP/1.0". */
export const TCP_DATA = hex(`
  4500 0046 46e8 4000 4006 4543 0a42 4d02 0a42 4d01
  9c41 0050 b81d 5d90 8bab e02a 8018 003f a6ba 0000
  0101 080a edcf 1700 a792 780a 4745 5420 2f20 4854 5450 2f31 2e30 0d0a 0d0a`);

/** RST|ACK. */
export const TCP_RESET = hex(`
  4500 0034 0afb 4000 4006 8142 0a42 4d01 0a42 4d02
  0050 9c41 8bab e02a b81d 5da2 8014 0040 84f9 0000
  0101 080a a792 786e edcf 1700`);

/** A UDP datagram of 128 bytes, 40002 to 53, in three fragments. */
export const UDP_FRAGMENTS = [
  hex(`
    4500 004c 0272 2000 4011 a9a8 0a42 4d02 0a42 4d01 9c42 0035 0080 7777
    3031 3233 3435 3637 3839 3031 3233 3435 3637 3839 3031 3233 3435 3637 3839 3031 3233 3435 3637
    3839 3031 3233 3435 3637`),
  hex(`
    4500 004c 0272 2007 4011 a9a1 0a42 4d02 0a42 4d01
    3839 3031 3233 3435 3637 3839 3031 3233 3435 3637 3839 3031 3233 3435 3637 3839 3031 3233 3435
    3637 3839 3031 3233 3435 3637 3839 3031 3233`),
  hex(`
    4500 0024 0272 000e 4011 c9c2 0a42 4d02 0a42 4d01
    3435 3637 3839 3031 3233 3435 3637 3839`),
];

/** ICMP echo with eight bytes of data. */
export const ECHO = hex(`
  4500 0024 95bb 4000 4001 f696 0a42 4d02 0a42 4d01
  0800 d2cf 191f 0001 0001 0203 0405 0607`);

/** Its reply. */
export const ECHO_REPLY = hex(`
  4500 0024 6d61 0000 4001 5ef1 0a42 4d01 0a42 4d02
  0000 dacf 191f 0001 0001 0203 0405 0607`);

/** All of them that may pass a boundary. */
export const GOOD_PACKETS: Readonly<Record<string, Uint8Array<ArrayBuffer>>> = {
  UDP,
  PORT_UNREACHABLE,
  UDP_RECORD_ROUTE,
  TCP_SYN,
  TCP_SYN_ACK,
  TCP_DATA,
  TCP_RESET,
  FIRST_FRAGMENT: UDP_FRAGMENTS[0]!,
  MIDDLE_FRAGMENT: UDP_FRAGMENTS[1]!,
  LAST_FRAGMENT: UDP_FRAGMENTS[2]!,
  ECHO,
  ECHO_REPLY,
};
