/**
 * Peer application: what is asked and changed of a gateway's peers and groups, by whomever: checked, made in the store
 * and in what runs, or in neither.
 */
import { freeAddress } from "../../core/config/address_pool.ts";
import { freeAddress6 } from "../../core/config/address_pool6.ts";
import type { Config } from "../../core/config/config.ts";
import { decodeKey, encodeKey } from "../../core/config/values/key_text.ts";
import { admissionOf } from "../../core/peers/admission.ts";
import {
  type PeerSettings,
  peerSettings,
  settledNetworks,
  type SettledPeer,
  settledPeer,
} from "../../core/peers/peer_settings.ts";
import { succeededSettings } from "../../core/peers/key_succession.ts";
import {
  changedTable,
  type PeerStore,
  type StoreChange,
  type StoredPeers,
  type StoreOutcome,
  type StoreTable,
} from "../../core/peers/peer_store.ts";
import { RefusalError } from "../../core/config/refusal_error.ts";
import { formatCidr, formatIpv4 } from "../../core/wire/ipv4_text.ts";
import { errorMessage } from "../../process/errors.ts";
import { paced } from "../../process/pace.ts";
import { clientNeeds, type ClientWishes } from "./client_needs.ts";
import { expiryText, withKeysSet } from "./changed_settings.ts";
import { withFollowedName } from "./followed_name.ts";
import type {
  CreatedPeer,
  GroupEntry,
  PeerEntry,
  PeerKeyChanges,
  PeerKeys,
  PeerList,
} from "./methods.ts";
import {
  findKey,
  findKeys,
  groupEntry,
  groupsOf,
  keyOf,
  membersIn,
  requireFreeName,
  requireRevision,
  unknown,
} from "./peer_names.ts";

/** What runs from the store. */
export interface LiveGateway {
  /**
   * Makes it what a change of the store comes to, or throws; then nothing is changed.
   *
   * @param by who asks, as a person reads it
   */
  apply(outcome: StoreOutcome, by: string): Promise<void>;
  /** Peers that it has by now, by public key, those that the store does not have included; none where nothing runs. */
  peers(): ReadonlyMap<string, SettledPeer>;
}

export interface PeerApplicationOptions {
  readonly store: PeerStore;
  readonly live: LiveGateway;
  /** The gateway's own settings, as they are by now. */
  readonly gateway: () => Pick<Config, "fileName" | "interface">;
  /** The wall clock, Unix ms. */
  readonly now: () => number;
  /** In base64. */
  readonly newPresharedKey: () => string;
}

/** A key pair for a peer in place of the one it has. */
export interface RotationRequest extends ClientWishes {
  /** Its name or public key. */
  readonly name: string;
  /** The new one, in base64. */
  readonly publicKey: string;
  /** A moment, or a period that begins now. */
  readonly keyExpires?: string | undefined;
  readonly hasPresharedKey: boolean;
}

/** Of each change. */
export interface ChangeTerms {
  /** Who asks, as a person reads it. */
  readonly by: string;
  readonly revision?: string | undefined;
}

export interface NewPeerRequest extends ClientWishes {
  readonly name: string;
  /** In base64. */
  readonly publicKey: string;
  readonly set: PeerKeyChanges;
  readonly hasPresharedKey: boolean;
}

export class PeerApplication {
  readonly #options: PeerApplicationOptions;

  constructor(options: PeerApplicationOptions) {
    this.#options = options;
  }

  /** All peers and groups. @throws {RefusalError} where the store cannot be read */
  async list(): Promise<PeerList> {
    return await paced(this.#listIn(await this.#options.store.snapshot()));
  }

  *#listIn(snapshot: StoredPeers): Generator<void, PeerList> {
    const peers: PeerEntry[] = [];
    for (const key of snapshot.peers.keys()) {
      yield;
      peers.push(this.#entryIn(snapshot, key));
    }
    for (const [key, peer] of this.#options.live.peers()) {
      yield;
      if (!snapshot.peers.has(key)) peers.push(this.#entry(key, peerSettings(peer), null));
    }
    const members = yield* membersIn(snapshot);
    const groups = Array.from(
      snapshot.groups.keys(),
      (name) => groupEntry(snapshot, name, members.get(name) ?? []),
    );
    return { revision: snapshot.revision, peers, groups };
  }

  /** Adds a peer; the next free addresses are its own, unless others are given. @throws {RefusalError} */
  async create(request: NewPeerRequest, { by, revision }: ChangeTerms): Promise<CreatedPeer> {
    const { gateway, newPresharedKey } = this.#options;
    const { name, publicKey, set, hasPresharedKey } = request;
    const key = keyOf(publicKey);
    if (key === encodeKey(gateway().interface.publicKey)) {
      throw new RefusalError("conflict", "Cannot add the peer: its key is the key of this gateway");
    }
    let settings: PeerSettings = {};
    const after = await this.#write((before) => {
      requireRevision(before.revision, revision, "the list of peers");
      requireFreeName(before, name, `add ${name}`);
      settings = withKeysSet(
        {
          Name: name,
          ...(hasPresharedKey ? { PresharedKey: newPresharedKey() } : {}),
        },
        { ...set, AllowedIPs: set.AllowedIPs ?? this.#freeAddresses(before) },
        this.#options.now(),
      );
      // What the client would need is known before anything is changed.
      clientNeeds(gateway(), settings, request);
      return [{ kind: "put-peer", publicKey: key, settings, expected: null }];
    }, by);
    return {
      peer: this.#entryIn(after, key),
      client: clientNeeds(gateway(), after.peers.get(key)!, request),
    };
  }

  /** Gives a peer another key pair, beside the one it has until the other is used. @throws {RefusalError} */
  async rotate(
    { name, publicKey, keyExpires, ...request }: RotationRequest,
    { by, revision }: ChangeTerms,
  ): Promise<CreatedPeer> {
    const { gateway, newPresharedKey } = this.#options;
    const next = keyOf(publicKey);
    if (next === encodeKey(gateway().interface.publicKey)) {
      throw new RefusalError("conflict", "Cannot rotate the key: it is the key of this gateway");
    }
    let key = "";
    const after = await this.#write((before) => {
      key = findKey(before, name);
      requireRevision(before.peerRevisions.get(key), revision, name);
      const { NextPublicKey: _key, NextPresharedKey: _secret, KeyExpires: _end, ...settings } =
        before.peers.get(key)!;
      const expires = keyExpires === undefined
        ? null
        : expiryText("KeyExpires", keyExpires, this.#options.now());
      const changed = {
        ...settings,
        NextPublicKey: next,
        ...(request.hasPresharedKey ? { NextPresharedKey: newPresharedKey() } : {}),
        ...(expires === null ? {} : { KeyExpires: expires }),
      };
      // What the client would need is known before anything is changed.
      clientNeeds(gateway(), succeededSettings(changed), request);
      return [{ kind: "put-peer", publicKey: key, settings: changed }];
    }, by);
    const settings = succeededSettings(after.peers.get(key)!);
    return { peer: this.#entryIn(after, key), client: clientNeeds(gateway(), settings, request) };
  }

  /**
   * Has peers be known by their next keys alone. What runs is told first of all, whatever becomes of the store.
   *
   * @param isDue of which ones, given the next key
   * @throws {RefusalError} where that is so, and the store still has the keys of before
   */
  async succeed(isDue: (peer: SettledPeer, next: string) => boolean, by: string): Promise<void> {
    const { store, live } = this.#options;
    const make = ({ peers }: StoreTable) =>
      Array.from(peers).flatMap(([key, settings]): StoreChange[] => {
        const { NextPublicKey: next } = settings;
        if (next === undefined || !isDue(settledPeer(decodeKey(key)!, settings), next)) return [];
        return [
          { kind: "delete-peer", publicKey: key },
          { kind: "put-peer", publicKey: next, settings: succeededSettings(settings) },
        ];
      });
    const before = await store.snapshot();
    const changes = make(before);
    if (changes.length === 0) return;
    const running = live.peers();
    if (changes.some((change) => "publicKey" in change && running.has(change.publicKey))) {
      await live.apply({ before, after: changedTable(before, changes) }, by);
    }
    await store.change(make);
  }

  /** Changes keys of peers, of all or none. @throws {RefusalError} */
  async change(
    names: readonly string[],
    set: PeerKeyChanges,
    { by, revision }: ChangeTerms,
  ): Promise<readonly PeerEntry[]> {
    let keys: readonly string[] = [];
    const after = await this.#write((before) => {
      keys = [...new Set(findKeys(before, names))];
      const [only] = keys;
      if (keys.length === 1) requireRevision(before.peerRevisions.get(only!), revision, names[0]!);
      else requireRevision(before.revision, revision, "the list of peers");
      if (typeof set.Name === "string") {
        if (keys.length > 1) throw new RefusalError("invalid", "Name: each peer needs its own");
        requireFreeName(before, set.Name, `rename ${names[0]}`, only);
      }
      return keys.flatMap((publicKey) => {
        const settings = withKeysSet(before.peers.get(publicKey)!, set, this.#options.now());
        return withFollowedName(before, publicKey, settings);
      });
    }, by);
    return keys.map((key) => this.#entryIn(after, key));
  }

  /**
   * Takes peers out. They are cut off first of all, whatever becomes of the store.
   *
   * @throws {RefusalError} also where they are cut off, and the store still has them
   */
  async remove(
    names: readonly string[],
    { by, revision }: ChangeTerms,
  ): Promise<readonly Pick<PeerEntry, "name" | "publicKey">[]> {
    const { store, live } = this.#options;
    const before = await store.snapshot();
    const keys = new Set(findKeys(before, names));
    if (keys.size === 1) {
      requireRevision(before.peerRevisions.get([...keys][0]!), revision, names[0]!);
    } else requireRevision(before.revision, revision, "the list of peers");
    const removed = Array.from(keys, (publicKey) => ({
      name: before.peers.get(publicKey)!.Name ?? null,
      publicKey,
    }));
    const without = (table: StoreTable): StoreTable => ({
      ...table,
      peers: new Map(Array.from(table.peers).filter(([key]) => !keys.has(key))),
    });
    const refusal = await live.apply({ before, after: without(before) }, by).then(
      () => null,
      (error: unknown) => error,
    );
    try {
      await store.change(() =>
        Array.from(keys, (publicKey): StoreChange => ({ kind: "delete-peer", publicKey }))
      );
    } catch (error) {
      if (!(error instanceof RefusalError) || refusal !== null) throw error;
      throw new RefusalError(
        error.code,
        `${error.message}: access is cut off until the next start or reload, but not taken out of the configuration`,
        { cause: error },
      );
    }
    if (refusal !== null) {
      const message = errorMessage(refusal);
      throw new RefusalError(
        "unavailable",
        `The configuration is changed, but what runs has not applied it: ${message}: restart it`,
        { cause: refusal },
      );
    }
    return removed;
  }

  /** Sets a group's rules, and makes it where it is not there. @throws {RefusalError} */
  async putGroup(
    name: string,
    { allow, deny }: { readonly allow: string; readonly deny: string },
    { by, revision }: ChangeTerms,
  ): Promise<GroupEntry> {
    const after = await this.#write((before) => {
      requireRevision(before.groupRevisions.get(name), revision, `group ${name}`);
      const settings = {
        ...(allow.trim() === "" ? {} : { Allow: allow }),
        ...(deny.trim() === "" ? {} : { Deny: deny }),
      };
      return [{ kind: "put-group", name, settings }];
    }, by);
    return groupEntry(after, name, (await paced(membersIn(after))).get(name) ?? []);
  }

  /** Takes a group out; its members are in it no more. @throws {RefusalError} */
  async removeGroup(name: string, { by, revision }: ChangeTerms): Promise<void> {
    await this.#write((before) => {
      if (!before.groups.has(name)) throw unknown("group", name, [...before.groups.keys()]);
      requireRevision(before.groupRevisions.get(name), revision, `group ${name}`);
      const members = Array.from(before.peers).filter(([, peer]) => groupsOf(peer).includes(name));
      return [
        ...members.map(([publicKey, { Groups: _groups, ...peer }]): StoreChange => {
          const others = groupsOf({ Groups: _groups! }).filter((each) => each !== name);
          const groups = others.length === 0 ? {} : { Groups: others.join(", ") };
          return { kind: "put-peer", publicKey, settings: { ...peer, ...groups } };
        }),
        { kind: "delete-group", name },
      ];
    }, by);
  }

  /** Has a change made in what runs and in the store, or in neither. */
  async #write(
    make: (before: StoredPeers) => readonly StoreChange[],
    by: string,
  ): Promise<StoredPeers> {
    const { store, live } = this.#options;
    let applied: StoreOutcome | null = null;
    try {
      return await store.change(make, async (outcome) => {
        await live.apply(outcome, by);
        applied = outcome;
      });
    } catch (error) {
      if (applied !== null) {
        const { before, after } = applied as StoreOutcome;
        await live.apply({ before: after, after: before }, `${by}, taken back`);
      }
      throw error;
    }
  }

  #freeAddresses(table: StoreTable): string {
    const { interface: section, fileName } = this.#options.gateway();
    const peers = Array.from(table.peers.values(), settledNetworks);
    const address = freeAddress({ interface: section, peers });
    if (address === null) {
      const { addresses, lines } = section;
      throw new RefusalError(
        "conflict",
        `${fileName}:${lines.get("Address") ?? 1}: Address: no address is free in ${
          addresses.map(formatCidr).join(", ") || "it"
        }: remove a peer, or use a larger network, as in Address = 10.66.77.1/24`,
      );
    }
    const address6 = freeAddress6({ interface: section, peers });
    return [`${formatIpv4(address)}/32`, ...address6 === null ? [] : [`${address6}/128`]]
      .join(", ");
  }

  #entryIn(snapshot: StoredPeers, key: string): PeerEntry {
    return this.#entry(key, snapshot.peers.get(key)!, snapshot.peerRevisions.get(key)!);
  }

  #entry(key: string, settings: PeerSettings, revision: string | null): PeerEntry {
    const { PresharedKey: secret, NextPresharedKey: _next, ...shown } = settings;
    const peer = settledPeer(decodeKey(key)!, settings);
    return {
      name: peer.name,
      publicKey: key,
      allowedIps: settings.AllowedIPs?.split(", ") ?? [],
      hasPresharedKey: secret !== undefined,
      groups: peer.groups,
      admission: admissionOf(peer, this.#options.now()),
      expires: settings.Expires ?? null,
      quota: settings.Quota ?? null,
      quotaRate: peer.quotaRate,
      nextPublicKey: settings.NextPublicKey ?? null,
      keyExpires: settings.KeyExpires ?? null,
      settings: shown satisfies PeerKeys,
      revision,
    };
  }
}
