/** Peer events: what the data plane reports and what becomes of access, as the few events that a person reads later. */
import { encodeKey } from "../core/config/values/key_text.ts";
import { Allowance } from "../core/limits/allowance.ts";
import { formatSocketAddress } from "../core/wire/host_address.ts";
import type { DataPlaneListener } from "../dataplane/data_plane_listener.ts";
import type { EventPeer } from "./accounts.ts";
import type { LivePeer, PeersChange } from "./live_peers.ts";
import { renameKey } from "../host/accounts/pending_usage.ts";

/** ms in which a peer's moves are one event: a client may move with each packet. */
const MOVE_PAUSE = 60_000;
/**
 * Connections of a peer that are told: so many at once, and one a minute after that. A client may come and say goodbye
 * each second, and there is room for so many events of all peers: they are not to give way to those of one.
 */
const CONNECTIONS = { perSecond: 1 / 60, burst: 10 } as const;
/** Peers named of those that are changed at once; the others are counted. */
const CHANGES_NAMED = 100;

export interface PeerEventsOptions {
  readonly record: (kind: string, peer: EventPeer | null, detail?: string | null) => void;
  /** Monotonic ms. */
  readonly now: () => number;
}

interface Connection {
  /** When the peer was last told to be elsewhere. */
  movedAt: number;
  readonly isTold: boolean;
}

/** Of a peer's connections. */
interface Telling {
  readonly allowance: Allowance;
  /** Connections since the last one that was told. */
  leftOut: number;
}

type PeerReport = Parameters<DataPlaneListener["onPeer"]>[0];

export class PeerEvents {
  readonly #options: PeerEventsOptions;
  /** Of those with a session, by public key. */
  readonly #connected = new Map<string, Connection>();
  readonly #telling = new Map<string, Telling>();

  constructor(options: PeerEventsOptions) {
    this.#options = options;
  }

  /** The data plane reports something of a peer. */
  report(report: PeerReport): void {
    const { record, now } = this.#options;
    const key = encodeKey(report.publicKey);
    const place = report.endpoint.port === 0 ? null : formatSocketAddress(report.endpoint);
    const connection = this.#connected.get(key);
    switch (report.event) {
      case "handshake-completed":
      case "up":
        // One that was left out and lasts is told as soon as that may be.
        if (!connection?.isTold) this.#connect(key, report, place);
        break;
      case "down":
      case "released":
      case "keys-zeroed":
        this.#disconnect(key, report);
        break;
      case "endpoint-changed":
        // Where it was at first is told with its connection.
        if (!connection?.isTold || now() - connection.movedAt < MOVE_PAUSE) return;
        connection.movedAt = now();
        record("endpoint-changed", report, place);
        break;
      case "quota-reached":
        record("quota-reached", report);
        break;
    }
  }

  #connect(key: string, peer: EventPeer, place: string | null): void {
    const { record, now } = this.#options;
    let telling = this.#telling.get(key);
    if (telling === undefined) {
      telling = { allowance: new Allowance(CONNECTIONS), leftOut: 0 };
      this.#telling.set(key, telling);
    }
    const isTold = telling.allowance.take(now());
    if (!isTold && !this.#connected.has(key)) telling.leftOut++;
    else if (isTold && this.#connected.has(key)) telling.leftOut--;
    this.#connected.set(key, { movedAt: now(), isTold });
    if (!isTold) return;
    if (telling.leftOut > 0) {
      record(
        "connections-left-out",
        peer,
        `${telling.leftOut} before the next, in quick succession`,
      );
    }
    telling.leftOut = 0;
    record("connected", peer, place);
  }

  /** It is told of those that were told to be there. */
  #disconnect(key: string, peer: EventPeer): void {
    const connection = this.#connected.get(key);
    this.#connected.delete(key);
    if (connection?.isTold) this.#options.record("disconnected", peer);
  }

  /** The peers have been changed, by a command or by a reload, or time has passed for some. */
  changed({ changes, by, before, after }: PeersChange): void {
    const who = by === "" ? "" : ` by ${by}`;
    for (const change of changes.slice(0, CHANGES_NAMED)) {
      const key = encodeKey(change.kind === "put" ? change.peer.publicKey : change.publicKey);
      const known = before.peers.get(key);
      const peer = change.kind === "put" ? change.peer : known;
      if (peer === undefined) continue;
      if (change.kind === "put" && change.replaces !== undefined) {
        this.#replaced(change.replaces, key);
        this.#options.record("key-replaced", peer, `of ${change.replaces}`);
        continue;
      }
      const what = change.kind === "remove" ? "removed" : known === undefined ? "added" : "changed";
      this.#options.record("configuration-changed", peer, `${what}${who}`);
    }
    const more = changes.length - CHANGES_NAMED;
    if (more > 0) this.#options.record("configuration-changed", null, `${more} more peers${who}`);
    this.#followAccess(before, after);
    for (const change of changes) {
      if (change.kind === "remove") this.#telling.delete(encodeKey(change.publicKey));
    }
  }

  /** It is the same peer by another key, with which it may have been told to be there already. */
  #replaced(from: string, to: string): void {
    renameKey(this.#connected, from, to);
    renameKey(this.#telling, from, to);
  }

  #followAccess(before: PeersChange["before"], after: PeersChange["after"]): void {
    const { record } = this.#options;
    for (const [key, peer] of before.admitted) {
      if (after.admitted.has(key) || isReplaced(peer, after.admitted)) continue;
      this.#disconnect(key, peer);
      const now = after.peers.get(key);
      if (now !== undefined) record(now.isEnabled ? "expired" : "disabled", now);
    }
    for (const [key, peer] of after.admitted) {
      if (!before.admitted.has(key) && before.peers.has(key)) record("enabled", peer);
    }
  }
}

/** Whether a peer is there by its next key. */
function isReplaced({ nextKey }: LivePeer, admitted: ReadonlyMap<string, LivePeer>): boolean {
  return nextKey !== null && admitted.has(encodeKey(nextKey.publicKey));
}
