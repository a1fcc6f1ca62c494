/**
 * A slow and obvious judge of access, for judging the fast one: rules as a file has them, addresses as text, flows as
 * objects in a list, all of them judged again whenever a rule changes.
 */
import type { AccessRule } from "../../../lib/core/config/config.ts";
import type { AccessPeer, KnownHosts } from "../../../lib/core/peers/access_book.ts";
import { formatAddress } from "../../../lib/core/wire/host_address.ts";
import { formatCidr } from "../../../lib/core/wire/ipv4_text.ts";

/** A packet as the reference sees it. */
export interface PacketModel {
  readonly source: string;
  readonly destination: string;
  readonly protocol: "tcp" | "udp" | "icmp" | "gre" | "esp";
  readonly sourcePort: number;
  readonly destinationPort: number;
  /** Of TCP. */
  readonly flags: ReadonlySet<"syn" | "ack" | "fin" | "rst">;
  /** Of ICMP: an echo request or its reply; the identifier stands in the ports. */
  readonly isReply: boolean;
  /** The packet's identification, where it is a fragment; and whether it is a later one. */
  readonly train: number | null;
  readonly isLater: boolean;
}

export interface ReferenceSite {
  readonly gateway: { readonly inner: readonly string[]; readonly outer: readonly string[] };
  readonly lan: readonly string[];
  readonly own: readonly string[];
  /** The address of each peer by name. */
  readonly addresses: Readonly<Record<string, string>>;
  readonly hosts: KnownHosts;
}

export interface ReferenceRules {
  readonly peers: Readonly<Record<string, AccessPeer>>;
  readonly groups: Readonly<Record<string, Pick<AccessPeer, "allow" | "deny">>>;
}

interface Flow {
  readonly name: string;
  /** Of each end that has begun it: a packet of its. */
  readonly began: Map<string, PacketModel>;
  readonly cut: Map<string, PacketModel>;
  readonly mayAnswer: Set<string>;
  isAnswered: boolean;
  isClosing: boolean;
  until: number;
}

const PRIVATE = [
  "0.0.0.0/8",
  "10.0.0.0/8",
  "100.64.0.0/10",
  "127.0.0.0/8",
  "169.254.0.0/16",
  "172.16.0.0/12",
  "192.0.0.0/24",
  "192.168.0.0/16",
  "198.18.0.0/15",
  "224.0.0.0/3",
];

export class ReferenceAccess {
  readonly #site: ReferenceSite;
  #rules: ReferenceRules;
  #hasChanged = false;
  #flows: Flow[] = [];
  /** Whether packets whose first fragment has been seen pass, by their name, under the rules as they are. */
  readonly #trains = new Map<string, { passes: boolean; until: number }>();

  constructor(site: ReferenceSite, rules: ReferenceRules) {
    this.#site = site;
    this.#rules = rules;
  }

  set(rules: ReferenceRules): void {
    this.#rules = rules;
    this.#hasChanged = true;
    this.#trains.clear();
    for (const flow of this.#flows) {
      for (const [from, to] of [[flow.began, flow.cut], [flow.cut, flow.began]] as const) {
        for (const [end, packet] of [...from]) {
          if (this.#allows(packet) === (from === flow.began)) continue;
          from.delete(end);
          to.set(end, packet);
        }
      }
    }
  }

  /** Whether a packet passes that a peer sends, or with `isOutside` one from the host or by a forwarded port. */
  passes(packet: PacketModel, now: number): boolean {
    const [from, to] = [this.#peerAt(packet.source), this.#peerAt(packet.destination)];
    if (!this.#hasRules(from) && !this.#hasRules(to)) return true;
    const train = `${packet.source} ${packet.destination} ${packet.protocol} ${packet.train}`;
    if (packet.isLater) {
      if (!this.#hasRules(from)) return true;
      const known = this.#trains.get(train);
      return known !== undefined && now < known.until ? known.passes : this.#allows(packet);
    }
    const passes = this.#judge(packet, now);
    if (packet.train !== null && this.#hasRules(from)) {
      this.#trains.set(train, { passes, until: now + 30 });
    }
    return passes;
  }

  #judge(packet: PacketModel, now: number): boolean {
    const { source, destination, flags, protocol } = packet;
    const isSyn = protocol === "tcp" && flags.has("syn") && !flags.has("ack");
    this.#flows = this.#flows.filter(({ until }) => now < until);
    const name = flowName(packet);
    const flow = this.#flows.find((each) => each.name === name);
    const isAnswer = flow !== undefined && !isSyn && flow.mayAnswer.has(source) &&
      !flow.cut.has(destination);
    if (!isAnswer) {
      if (!this.#allows(packet)) {
        if (flow?.cut.has(source)) keep(flow, packet, now);
        return false;
      }
      if (!isSyn && flow?.cut.has(destination)) return false;
    }
    const kept = flow ?? {
      name,
      began: new Map(),
      cut: new Map(),
      mayAnswer: new Set(),
      isAnswered: false,
      isClosing: false,
      until: 0,
    };
    if (flow === undefined) this.#flows.push(kept);
    if (isSyn) {
      kept.cut.clear();
      kept.mayAnswer.clear();
      kept.isAnswered = kept.isClosing = false;
    }
    if (!isAnswer && (isSyn || !kept.began.has(source))) {
      kept.cut.delete(source);
      kept.began.set(source, packet);
      if (protocol !== "tcp" || isSyn || !this.#hasChanged) kept.mayAnswer.add(destination);
    }
    if (kept.began.has(destination)) kept.isAnswered = true;
    if (flags.has("fin") || flags.has("rst")) kept.isClosing = true;
    keep(kept, packet, now);
    return true;
  }

  // Rules.

  #peerAt(address: string): string | null {
    return Object.entries(this.#site.addresses).find(([, each]) => each === address)?.[0] ?? null;
  }

  #rulesOf(name: string | null): Pick<AccessPeer, "allow" | "deny">[] {
    const peer = name === null ? undefined : this.#rules.peers[name];
    if (peer === undefined) return [];
    return [peer, ...peer.groups.map((group) => this.#rules.groups[group]!)];
  }

  #hasRules(name: string | null): boolean {
    return this.#rulesOf(name).some(({ allow, deny }) => allow.length + deny.length > 0);
  }

  #allows(packet: PacketModel): boolean {
    const from = this.#peerAt(packet.source);
    const to = this.#peerAt(packet.destination);
    const rules = this.#rulesOf(from);
    const holds = (rule: AccessRule, isDeny: boolean) =>
      this.#isTarget(rule, packet.destination, to) && isService(rule, packet, isDeny);
    if (rules.some(({ deny }) => deny.some((rule) => holds(rule, true)))) return false;
    if (rules.every(({ allow }) => allow.length === 0)) return true;
    if (rules.some(({ allow }) => allow.some((rule) => holds(rule, false)))) return true;
    if (!this.#site.gateway.inner.includes(packet.destination)) return false;
    const isDns = !packet.isLater && packet.destinationPort === 53;
    return packet.protocol === "icmp" ||
      (isDns && (packet.protocol === "udp" || packet.protocol === "tcp"));
  }

  #isTarget({ target }: AccessRule, address: string, to: string | null): boolean {
    const { gateway, lan, own, hosts } = this.#site;
    const isGateway = [...gateway.inner, ...gateway.outer].includes(address);
    const isIn = (networks: readonly string[]) => networks.some((each) => contains(each, address));
    const isInternet = to === null && !isGateway && !isIn(lan) && !isIn(own) && !isIn(PRIVATE);
    switch (target.kind) {
      case "any":
        return true;
      case "network":
        return typeof target.prefix !== "string" && contains(formatCidr(target.prefix), address);
      case "gateway":
        return isGateway;
      case "lan":
        return to === null && !isGateway && isIn(lan);
      case "internet":
        return isInternet;
      case "peers":
        return to !== null;
      case "peer":
        return to === target.name;
      case "host": {
        const { addresses = [], isOwn = false } = hosts.get(target.name) ?? {};
        const isHost = addresses.map(formatAddress).includes(address);
        return isHost && (isOwn || isInternet);
      }
      case "group":
        return to !== null && (this.#rules.peers[to]?.groups.includes(target.name) ?? false);
    }
  }
}

/** Whether a rule is about what a packet is for; of a later fragment, for all ports, or for an `Allow` for some. */
function isService({ services }: AccessRule, packet: PacketModel, isDeny: boolean): boolean {
  if (services.length === 0) return true;
  return services.some(({ protocol, ports }) => {
    if (protocol !== packet.protocol) return false;
    if (ports === null) return true;
    if (packet.isLater) return !isDeny;
    return packet.destinationPort >= ports.first && packet.destinationPort <= ports.last;
  });
}

function keep(flow: Flow, { protocol }: PacketModel, now: number): void {
  const isOpen = flow.isAnswered && !flow.isClosing;
  const seconds = protocol === "icmp" ? 60 : protocol !== "tcp" ? 300 : isOpen ? 7440 : 240;
  flow.until = now + seconds;
}

/** Both directions have one name; an echo request and one the other way round have two. */
function flowName(packet: PacketModel): string {
  const { source, destination, sourcePort, destinationPort, protocol, isReply } = packet;
  const ends = [`${source} ${sourcePort}`, `${destination} ${destinationPort}`].toSorted();
  const asker = protocol === "icmp" ? (isReply ? destination : source) : "";
  return `${protocol} ${ends.join(" ")} ${asker}`;
}

function contains(network: string, address: string): boolean {
  const [base, length] = network.split("/") as [string, string];
  const bits = (text: string) =>
    text.split(".").map((byte) => Number(byte).toString(2).padStart(8, "0")).join("");
  return bits(base).slice(0, Number(length)) === bits(address).slice(0, Number(length));
}
