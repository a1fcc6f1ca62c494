/** Access world: peers with rules as a configuration writes them, and the packets between them, for tests. */
import { AccessControl } from "../../../lib/core/access/access_control.ts";
import type { AccessSurroundings } from "../../../lib/core/access/access_items.ts";
import { prefixWords } from "../../../lib/core/access/inner_address.ts";
import type { AccessRule } from "../../../lib/core/config/config.ts";
import { parseAccessRules } from "../../../lib/core/config/values/access_rules.ts";
import {
  AccessBook,
  type AccessPeer,
  type KnownHosts,
} from "../../../lib/core/peers/access_book.ts";
import { DropReason } from "../../../lib/core/wire/drop_reason.ts";
import { parseCidr, parseIpv4 } from "../../../lib/core/wire/ipv4_text.ts";
import { createMemory } from "../../../lib/core/wire/memory.ts";
import { AllowedIps } from "../../../lib/core/wireguard/allowed_ips.ts";
import type { PacketPeer } from "../../../lib/core/wireguard/packet_peer.ts";

/** A peer or a group as a test writes it. */
export interface RulesText {
  readonly allow?: string;
  readonly deny?: string;
}

export interface PeerText extends RulesText {
  readonly groups?: readonly string[];
}

export const GATEWAY = "10.66.77.1";
export const GATEWAY6 = "fd00:77::1";
/** Addresses of peers by name; each has a network behind it as well. */
export const ADDRESSES: Readonly<Record<string, string>> = {
  laptop: "10.66.77.2",
  printer: "10.66.77.3",
  phone: "10.66.77.4",
  server: "10.66.77.5",
};
export const SURROUNDINGS: AccessSurroundings = {
  inner: [prefixWords(parseCidr(`${GATEWAY}/24`)!), prefixWords(`${GATEWAY6}/64`)],
  outer: [prefixWords(parseCidr("203.0.113.5/32")!), prefixWords(parseCidr("192.168.1.1/32")!)],
  lan: [prefixWords(parseCidr("203.0.113.0/24")!), prefixWords(parseCidr("192.168.1.0/24")!)],
};

/** One on the internet, one that our own resolver has, and one whose resolver says that it is inside. */
export const HOSTS: KnownHosts = new Map([
  ["git.example.org", { addresses: [0xc6336407, 0xc63364c8], isOwn: false }],
  ["wiki.corp.example", { addresses: [0x0a140105], isOwn: true }],
  ["rebound.example.org", {
    addresses: [0x0a140105, 0x0a424d03, 0xc0a80109, 0xcb007105, 0xc6336407],
    isOwn: false,
  }],
]);

/** Rules from their text. */
export function rules(value = ""): readonly AccessRule[] {
  if (value === "") return [];
  return parseAccessRules({ fileName: "test", line: 1, key: "Allow", value });
}

export function accessPeer(name: string, { allow, deny, groups = [] }: PeerText): AccessPeer {
  return { name, groups, allow: rules(allow), deny: rules(deny) };
}

export interface WorldOptions {
  /** Memory that flow tables of several threads lie in, and which is this one's. */
  readonly shared?: { readonly flows: readonly SharedArrayBuffer[]; readonly own: number };
}

export class AccessWorld {
  readonly control: AccessControl;
  readonly book: AccessBook = new AccessBook();
  readonly peers = new Map<string, PacketPeer>();
  readonly allowedIps: AllowedIps<PacketPeer> = new AllowedIps();
  now = 0;
  readonly #memory = createMemory(70_000);

  /** Peers are named as in `ADDRESSES`. */
  constructor(
    peers: Readonly<Record<string, PeerText>>,
    groups: Readonly<Record<string, RulesText>> = {},
    { shared }: WorldOptions = {},
  ) {
    Object.entries(ADDRESSES).forEach(([name, address], i) => {
      const accessId = this.book.idOf(name);
      const peer = {
        index: i + 1,
        accessId,
        mtu: 1420,
        fromLimit: null,
        toLimit: null,
        isRemoved: false,
        isSpent: false,
        source: 0,
        sourceAsOf: -1,
        flow: null,
      };
      this.peers.set(name, peer);
      this.allowedIps.insert(parseIpv4(address)!, 32, peer);
    });
    this.control = new AccessControl({
      view: this.#memory.view,
      allowedIps: this.allowedIps,
      seed: 7,
      items: this.#items(peers, groups),
      ...(shared && { shared }),
    });
  }

  /** Has peers and groups have these rules from now on. */
  set(
    peers: Readonly<Record<string, PeerText>>,
    groups: Readonly<Record<string, RulesText>> = {},
  ): void {
    this.control.change(this.#items(peers, groups));
  }

  #items(
    peers: Readonly<Record<string, PeerText>>,
    groups: Readonly<Record<string, RulesText>>,
  ) {
    const { before, after } = this.book.update({
      peers: new Map(
        Object.keys(ADDRESSES).map((name) => [name, accessPeer(name, peers[name] ?? {})]),
      ),
      groups: Object.entries(groups).map(([name, { allow, deny }]) => ({
        name,
        allow: rules(allow),
        deny: rules(deny),
      })),
      surroundings: SURROUNDINGS,
      hosts: HOSTS,
    });
    return [...before, ...after];
  }

  /** Whether a packet that the peer with its source address sends passes. */
  sends(packet: Uint8Array): boolean {
    const [source, destination] = this.#put(packet);
    return this.control.fromPeer(source!, destination, 0, this.now) === DropReason.none;
  }

  /** Whether a packet from the host passes, to the peer with its destination address. */
  receives(packet: Uint8Array): boolean {
    const [, destination] = this.#put(packet);
    return this.control.toPeer(destination!, 0, null, this.now) === DropReason.none;
  }

  /** The same from outside, by a forwarded port or another. */
  receivesFromOutside(packet: Uint8Array, isForwarded: boolean): boolean {
    const [, destination] = this.#put(packet);
    const nat = { isForwarded: () => isForwarded };
    return this.control.toPeer(destination!, 0, nat, this.now) === DropReason.none;
  }

  /** What rules have cost a peer, by what they say. */
  denials(name: string): Record<string, number> {
    const { accessId } = this.peers.get(name)!;
    return Object.fromEntries(
      this.control.table.denialsOf(accessId)
        .map(({ rule, packets }) => [this.book.ruleText(rule), packets]),
    );
  }

  #put(packet: Uint8Array): [PacketPeer | null, PacketPeer | null] {
    this.#memory.bytes.set(packet);
    const view = this.#memory.view;
    return [
      this.allowedIps.lookup(view.getInt32(12)),
      this.allowedIps.lookup(view.getInt32(16)),
    ];
  }
}
