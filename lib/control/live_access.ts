/**
 * Live access: the access rules of a running gateway, as its peers, its groups and its networks are now. What differs
 * from what the data plane has is told it before the peers that come, and after those that go.
 */
import type { AccessItem, AccessSurroundings } from "../core/access/access_items.ts";
import { AccessTable } from "../core/access/access_table.ts";
import type { GroupConfig } from "../core/config/config.ts";
import {
  type TrialPacket,
  type TrialResult,
  type TrialSite,
  tryAccess,
} from "../core/peers/access_trial.ts";
import {
  AccessBook,
  type AccessPeer,
  type AccessUpdate,
  type KnownHosts,
} from "../core/peers/access_book.ts";

export interface LiveAccessOptions {
  readonly groups: readonly GroupConfig[];
  readonly surroundings: AccessSurroundings;
  /** Those that the data plane begins with, by public key in base64. */
  readonly peers: ReadonlyMap<string, AccessPeer>;
}

export class LiveAccess {
  /** What the data plane begins with. */
  readonly atStart: readonly AccessItem[];
  readonly #book = new AccessBook();
  /** As the data plane has it. */
  readonly #table = new AccessTable();
  #groups: readonly GroupConfig[];
  #surroundings: AccessSurroundings;
  #hosts: KnownHosts = new Map();
  #hostNames: ReadonlySet<string> = new Set();

  constructor({ groups, surroundings, peers }: LiveAccessOptions) {
    this.#groups = groups;
    this.#surroundings = surroundings;
    this.atStart = this.update(peers).before;
  }

  /** The number of a peer, by its public key in base64. */
  idOf(key: string): number {
    return this.#book.idOf(key);
  }

  /** A peer goes by another key from now on. */
  rename(from: string, to: string): void {
    this.#book.rename(from, to);
  }

  /** What a rule says, and where it stands. */
  ruleText(rule: number): string {
    return this.#book.ruleText(rule);
  }

  /** Whether any peer has rules. */
  get isUsed(): boolean {
    return this.#table.isUsed;
  }

  get groups(): readonly GroupConfig[] {
    return this.#groups;
  }

  /** Takes these networks for the gateway's from the next update on. Returns whether they are others than before. */
  follow(surroundings: AccessSurroundings): boolean {
    if (JSON.stringify(surroundings) === JSON.stringify(this.#surroundings)) return false;
    this.#surroundings = surroundings;
    return true;
  }

  /** Hosts that rules name. */
  get hostNames(): ReadonlySet<string> {
    return this.#hostNames;
  }

  /** Takes these addresses for those of hosts from the next update on. */
  followHosts(hosts: KnownHosts): void {
    this.#hosts = hosts;
  }

  /** What the data plane is to be told, if these are its peers from now on, and these the groups. */
  update(peers: ReadonlyMap<string, AccessPeer>, groups = this.#groups): AccessUpdate {
    this.#groups = groups;
    const [surroundings, hosts] = [this.#surroundings, this.#hosts];
    this.#hostNames = new Set([...hostsIn(peers.values()), ...hostsIn(groups)]);
    const update = this.#book.update({ peers, groups, surroundings, hosts });
    this.#table.change([...update.before, ...update.after]);
    return update;
  }

  /** What the rules say of a packet, these peers having access. */
  test(packet: TrialPacket, peers: TrialSite["peers"]): TrialResult {
    return tryAccess(packet, {
      table: this.#table,
      idOf: (key) => this.idOf(key),
      ruleText: (rule) => this.ruleText(rule),
      peers,
    });
  }
}

function* hostsIn(sections: Iterable<Pick<AccessPeer, "allow" | "deny">>): Generator<string> {
  for (const { allow, deny } of sections) {
    for (const { target } of [...allow, ...deny]) if (target.kind === "host") yield target.name;
  }
}
