/** Address claims: which hosts on an Ethernet say that they have an IPv4 address, when they are asked by ARP. */
import { Arena } from "../../../../ffi/arena.ts";
import type { Libc } from "../../../../ffi/libc.ts";
import { HardwareType, type Link } from "../../../../ffi/netlink/links.ts";
import { PacketSender } from "../../../../ffi/sockets/packet_sender.ts";
import { CAPTURE_BUFFER_SIZE, PacketSocket } from "../../../../ffi/sockets/packet_socket.ts";
import { VNET_HEADER_SIZE } from "../../../core/offload/virtio_net_header.ts";
import * as arp from "../../../core/wire/arp.ts";
import { EGRESS_MARK } from "../../../dataplane/egress/egress.ts";
import { arpReplyFilter } from "../../../dataplane/filters/arp_filter.ts";

/** Questions, and how many a host that counts answers: one that has just lost the address does not; ms between them. */
const QUESTIONS = 3;
const NEEDED = 2;
const QUESTION_INTERVAL = 300;
/** ms between two looks for answers. */
const LOOK_INTERVAL = 10;
const BATCH = 8;
const BUFFER_SIZE = 256 * 1024;
const FRAME_SPACE = 64;
const CONTROL_SPACE = 16 * 1024;
const ETHERNET_HEADER_SIZE = 14;

/**
 * Asks as RFC 5227 section 2.1.1 has it, so that no neighbour learns anything from the question.
 *
 * @param link the interface to the network; this host's own claim is not among the answers
 * @param address host order
 * @returns hardware addresses, as in `02:00:5e:10:00:01`; null where the interface is no Ethernet
 * @throws {SystemCallError} EPERM without CAP_NET_RAW
 */
export async function claimsOf(
  libc: Libc,
  link: Link,
  address: number,
): Promise<readonly string[] | null> {
  if (link.hardwareType !== HardwareType.ethernet || link.hardwareAddress === null) return null;
  const arena = new Arena(
    BATCH * CAPTURE_BUFFER_SIZE + FRAME_SPACE + PacketSender.arenaSize({ frames: 1, pieces: 1 }) +
      CONTROL_SPACE,
  );
  using answers = PacketSocket.open(libc, arena, {
    link: link.index,
    linkHeaderSize: ETHERNET_HEADER_SIZE,
    filter: arpReplyFilter(address, ETHERNET_HEADER_SIZE),
    batch: BATCH,
    bufferSize: BUFFER_SIZE,
  });
  using sender = PacketSender.open(libc, arena, {
    ...{ mark: EGRESS_MARK, frames: 1, pieces: 1, bufferSize: BUFFER_SIZE },
  });
  const frame = arena.allocate(FRAME_SPACE) + VNET_HEADER_SIZE;
  arp.writeProbe(arena, frame, address | 0, link.hardwareAddress);
  const answered = new Map<string, number>();
  for (let question = 0; question < QUESTIONS; question++) {
    sender.beginFrame(link.index, arp.ETHER_TYPE);
    sender.addPiece(frame - VNET_HEADER_SIZE, VNET_HEADER_SIZE + arp.FRAME_SIZE);
    sender.endFrame();
    sender.send(0);
    sender.clear();
    for (const host of await answersUntil(arena, answers, performance.now() + QUESTION_INTERVAL)) {
      answered.set(host, (answered.get(host) ?? 0) + 1);
    }
  }
  return Array.from(answered).filter(([, count]) => count >= NEEDED).map(([host]) => host);
}

async function answersUntil(
  arena: Arena,
  answers: PacketSocket,
  deadline: number,
): Promise<Set<string>> {
  const hosts = new Set<string>();
  while (performance.now() < deadline) {
    const count = answers.receive();
    for (let i = 0; i < count; i++) {
      const message = answers.receivedOffsets[i]! + VNET_HEADER_SIZE;
      const length = answers.receivedLengths[i]! - VNET_HEADER_SIZE;
      const host = arp.replySender(arena, message, length);
      if (host !== null) hosts.add(Array.from(host, hexadecimal).join(":"));
    }
    await new Promise((resolve) => setTimeout(resolve, LOOK_INTERVAL));
  }
  return hosts;
}

function hexadecimal(byte: number): string {
  return byte.toString(16).padStart(2, "0");
}
