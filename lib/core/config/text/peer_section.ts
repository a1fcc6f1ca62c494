/** The `[Peer]` sections: their defaults, those of one peer put together, and that each network is one peer's. */
import { MAX_PEERS } from "../../limits/max_peers.ts";
import {
  type EndpointLine,
  ENDPOINTS_RULE,
  ipv4Prefixes,
  ipv6Prefixes,
  MAX_ENDPOINTS,
  type Prefix,
  ZONED_ENDPOINT_RULE,
} from "../values/addresses.ts";
import { nameInComments } from "./comment_names.ts";
import type { Endpoint, PeerConfig } from "../config.ts";
import type { Entry, Section } from "./config_document.ts";
import { formatEndpoint } from "./config_writer.ts";
import { ConfigError } from "../config_error.ts";
import { encodeKey } from "../values/key_text.ts";
import { PEER_KEYS, SECTION_KEYS } from "../values/keys.ts";
import { nextKeyOf, noneIfZero } from "../values/next_key.ts";
import type { Notes } from "./notes.ts";
import { badValue, readSection, type Values } from "./section.ts";

/** A peer as the sections so far make it, but for its networks. */
interface Draft {
  readonly publicKey: Uint8Array;
  readonly keyEntry: Entry;
  readonly line: number;
  values: Values<typeof PEER_KEYS>;
  /** The first that names its groups. */
  groupsEntry: Entry | undefined;
  /** From a comment: used where no other peer has it. */
  commentName: string | null;
}

/** Reads the sections in turn. */
export class PeerReader {
  readonly #notes: Notes;
  readonly #carriesIpv6: boolean;
  /** By public key, as text, in the order of the file. */
  readonly #drafts = new Map<string, Draft>();
  readonly #names = new Map<string, Draft>();
  /** Each network once, by its text, with the peer that has it. */
  readonly #networks = new Map<string, { readonly prefix: Prefix; readonly owner: Draft }>();

  constructor(notes: Notes, { carriesIpv6 }: { readonly carriesIpv6: boolean }) {
    this.#notes = notes;
    this.#carriesIpv6 = carriesIpv6;
  }

  /**
   * Reads the next section. One with the key of an earlier one adds to it, and what both give counts as the later has
   * it.
   *
   * @throws {ConfigError}
   */
  read(section: Section): void {
    const { values, entries } = readSection(section, PEER_KEYS, {
      tables: SECTION_KEYS,
      notes: this.#notes,
    });
    const { PublicKey: publicKey } = values;
    if (publicKey === undefined) {
      throw new ConfigError(
        `${section.fileName}:${section.line}: [Peer]: PublicKey is missing: the other end prints it with \`vpn pubkey\``,
      );
    }
    const key = encodeKey(publicKey);
    const earlier = this.#drafts.get(key);
    const commentName = nameInComments(section.above, section.comments);
    const draft = earlier ?? {
      publicKey,
      keyEntry: entries.get("PublicKey")!,
      line: section.line,
      values,
      groupsEntry: undefined,
      commentName,
    };
    if (earlier === undefined) this.#drafts.set(key, draft);
    else {
      const given = Object.entries(values).filter(([, value]) => value !== undefined);
      const { Groups, Allow, Deny, Endpoint } = draft.values;
      draft.values = {
        ...draft.values,
        ...Object.fromEntries(given),
        Endpoint: values.Endpoint.length > 0 ? values.Endpoint : Endpoint,
        Groups: [...Groups, ...values.Groups],
        Allow: [...Allow, ...values.Allow],
        Deny: [...Deny, ...values.Deny],
      };
      draft.commentName ??= commentName;
    }
    draft.groupsEntry ??= entries.get("Groups");
    if (values.Name !== undefined) this.#claimName(values.Name, entries.get("Name")!, draft);
    for (const prefix of values.AllowedIPs) this.#give(prefix, draft);
    this.#checkEndpoints(values.Endpoint);
  }

  #checkEndpoints(lines: readonly EndpointLine[]): void {
    if (lines.length > MAX_ENDPOINTS) {
      throw badValue(lines[MAX_ENDPOINTS]!.entry, ENDPOINTS_RULE);
    }
    const places = new Map<string, Entry>();
    for (const { endpoint, entry } of lines) {
      if (typeof endpoint === "string") {
        this.#notes.warn(entry, `has no effect: ${ZONED_ENDPOINT_RULE}`);
        continue;
      }
      const place = formatEndpoint(endpoint);
      const earlier = places.get(place);
      if (earlier === undefined) places.set(place, entry);
      else this.#notes.warn(entry, `has no effect: ${place} is on line ${earlier.line} already`);
    }
  }

  /** Where a peer says which groups it is in. */
  groupsEntry(publicKey: Uint8Array): Entry | undefined {
    return this.#drafts.get(encodeKey(publicKey))?.groupsEntry;
  }

  /** Whether a section has this public key, as text. */
  has(publicKey: string): boolean {
    return this.#drafts.has(publicKey);
  }

  /**
   * The peers, once all sections are read, in steps; with the preshared keys that commands set in place of the file's,
   * by the public keys. The interface's own key among several is no peer, as for the kernel: so one list of peers can
   * serve all the hosts in it.
   *
   * @throws {ConfigError} where it is the key of the only peer, which is a mistake
   */
  *peers(
    ownKey: Uint8Array,
    presharedKeys: ReadonlyMap<string, Uint8Array | null>,
  ): Generator<void, readonly PeerConfig[]> {
    const own = encodeKey(ownKey);
    const ownEntry = this.#drafts.get(own)?.keyEntry;
    if (ownEntry !== undefined) {
      if (this.#drafts.size === 1) {
        throw new ConfigError(
          `${ownEntry.fileName}:${ownEntry.line}: PublicKey: this is the key of [Interface] itself: give the public key of the other end`,
        );
      }
      this.#notes.warn(
        ownEntry,
        "this is the key of [Interface] itself: a tunnel is not its own peer",
      );
      this.#drafts.delete(own);
    }
    this.#requireFew();
    this.#requireNextKeysFree(own);
    const networks = new Map<Draft, Prefix[]>();
    for (const { prefix, owner } of this.#networks.values()) {
      const given = networks.get(owner);
      if (given === undefined) networks.set(owner, [prefix]);
      else given.push(prefix);
    }
    const peers: PeerConfig[] = [];
    for (const [key, draft] of this.#drafts) {
      yield;
      const peer = this.#peer(draft, networks.get(draft) ?? []);
      const presharedKey = presharedKeys.get(key);
      peers.push(presharedKey === undefined ? peer : { ...peer, presharedKey });
    }
    return peers;
  }

  #requireFew(): void {
    if (this.#drafts.size <= MAX_PEERS) return;
    const { keyEntry, line } = [...this.#drafts.values()][MAX_PEERS]!;
    throw new ConfigError(
      `${keyEntry.fileName}:${line}: [Peer]: there are ${this.#drafts.size} peers, and ${MAX_PEERS} at most: ` +
        "remove some, or share them among several gateways",
    );
  }

  /** A key is one peer's, whether it has it or is to have it. */
  #requireNextKeysFree(own: string): void {
    const owners = new Map(Array.from(this.#drafts, ([key, { line }]) => [key, line]));
    for (const { values: { NextPublicKey: next }, keyEntry, line } of this.#drafts.values()) {
      if (next === undefined) continue;
      const key = encodeKey(next);
      const owner = owners.get(key);
      owners.set(key, line);
      if (owner === undefined && key !== own) continue;
      const whose = key === own ? "[Interface]" : `the peer on line ${owner}`;
      throw new ConfigError(
        `${keyEntry.fileName}:${line}: [Peer]: NextPublicKey: this is the key of ${whose}: make another one`,
      );
    }
  }

  #peer(draft: Draft, networks: readonly Prefix[]): PeerConfig {
    const { publicKey, keyEntry, values, line } = draft;
    const endpoints = endpointsOf(values.Endpoint);
    const zoned = values.Endpoint.map(({ endpoint }) => endpoint).find((each) =>
      typeof each === "string"
    );
    return {
      publicKey,
      presharedKey: noneIfZero(values.PresharedKey),
      allowedIps: ipv4Prefixes(networks),
      allowedIps6: ipv6Prefixes(networks, this.#notes),
      endpoint: endpoints[0] ?? null,
      otherEndpoints: endpoints.slice(1),
      zonedEndpoint: endpoints.length === 0 ? zoned ?? null : null,
      persistentKeepalive: values.PersistentKeepalive ?? 0,
      name: values.Name ?? this.#freeName(draft),
      rateLimit: values.RateLimit ?? null,
      quota: values.Quota ?? null,
      quotaRate: values.QuotaRate ?? null,
      groups: [...new Set(values.Groups)],
      allow: values.Allow,
      deny: values.Deny,
      isEnabled: values.Enabled ?? true,
      expires: values.Expires ?? null,
      nextKey: nextKeyOf(values, (key) => `${keyEntry.fileName}:${line}: [Peer]: ${key}`),
      line,
    };
  }

  /** Two peers with one name could not be told apart; what a comment says is no mistake then. */
  #freeName(draft: Draft): string | null {
    const { commentName } = draft;
    if (commentName === null || this.#names.has(commentName)) return null;
    this.#names.set(commentName, draft);
    return commentName;
  }

  #claimName(name: string, entry: Entry, draft: Draft): void {
    const owner = this.#names.get(name) ?? draft;
    if (owner !== draft) throw badValue(entry, `the peer on line ${owner.line} has this name`);
    this.#names.set(name, draft);
  }

  /** A network is the peer's that was given it last, as in the kernel. */
  #give(prefix: Prefix, owner: Draft): void {
    const earlier = this.#networks.get(prefix.text);
    if (
      earlier !== undefined && earlier.owner !== owner &&
      (prefix.ipv4 !== null || this.#carriesIpv6)
    ) {
      this.#notes.warn(
        prefix.entry,
        `${prefix.text} belongs to this peer, no longer to the one on line ${earlier.owner.line}`,
      );
    }
    if (earlier?.owner !== owner) this.#networks.delete(prefix.text);
    else if (earlier !== undefined) return;
    this.#networks.set(prefix.text, { prefix, owner });
  }
}

/** Those that can be used, each once. */
function endpointsOf(lines: readonly EndpointLine[]): readonly Endpoint[] {
  const endpoints = new Map<string, Endpoint>();
  for (const { endpoint } of lines) {
    if (typeof endpoint === "string") continue;
    const place = formatEndpoint(endpoint);
    if (!endpoints.has(place)) endpoints.set(place, endpoint);
  }
  return [...endpoints.values()];
}
