/** Peer events: what the data plane reports and what becomes of access, as the few events that a person reads later. */
import { encodeKey } from "../core/config/values/key_text.ts";
import { formatSocketAddress } from "../core/wire/host_address.ts";
import type { DataPlaneListener } from "../dataplane/data_plane_handle.ts";
import type { EventPeer } from "./accounts.ts";
import type { PeersChange } from "./live_peers.ts";

/** ms in which a peer's moves are one event: a client may move with each packet. */
const MOVE_PAUSE = 60_000;
/** Peers named of those that are changed at once; the others are counted. */
const CHANGES_NAMED = 100;

export interface PeerEventsOptions {
  readonly record: (kind: string, peer: EventPeer | null, detail?: string | null) => void;
  /** Monotonic ms. */
  readonly now: () => number;
}

type PeerReport = Parameters<DataPlaneListener["onPeer"]>[0];

export class PeerEvents {
  readonly #options: PeerEventsOptions;
  /** Those with a session, by public key, and when each was last told to have moved. */
  readonly #connected = new Map<string, number>();

  constructor(options: PeerEventsOptions) {
    this.#options = options;
  }

  /** The data plane reports something of a peer. */
  report(report: PeerReport): void {
    const { record, now } = this.#options;
    const key = encodeKey(report.publicKey);
    const place = report.endpoint.port === 0 ? null : formatSocketAddress(report.endpoint);
    const isConnected = this.#connected.has(key);
    switch (report.event) {
      case "handshake-completed":
      case "up":
        if (isConnected) return;
        this.#connected.set(key, now());
        record("connected", report, place);
        break;
      case "down":
      case "released":
      case "keys-zeroed":
        if (this.#connected.delete(key)) record("disconnected", report);
        break;
      case "endpoint-changed":
        // Where it was at first is told with its connection.
        if (!isConnected || now() - this.#connected.get(key)! < MOVE_PAUSE) return;
        this.#connected.set(key, now());
        record("endpoint-changed", report, place);
        break;
      case "quota-reached":
        record("quota-reached", report);
        break;
    }
  }

  /** The peers have been changed, by a command or by a reload, or time has passed for some. */
  changed({ changes, before, after }: PeersChange): void {
    for (const change of changes.slice(0, CHANGES_NAMED)) {
      const key = encodeKey(change.kind === "put" ? change.peer.publicKey : change.publicKey);
      const known = before.peers.get(key);
      const peer = change.kind === "put" ? change.peer : known;
      if (peer === undefined) continue;
      const what = change.kind === "remove" ? "removed" : known === undefined ? "added" : "changed";
      this.#options.record("configuration-changed", peer, what);
    }
    const more = changes.length - CHANGES_NAMED;
    if (more > 0) this.#options.record("configuration-changed", null, `${more} more peers`);
    this.#followAccess(before, after);
  }

  #followAccess(before: PeersChange["before"], after: PeersChange["after"]): void {
    const { record } = this.#options;
    for (const [key, peer] of before.admitted) {
      if (after.admitted.has(key)) continue;
      if (this.#connected.delete(key)) record("disconnected", peer);
      const now = after.peers.get(key);
      if (now !== undefined) record(now.isEnabled ? "expired" : "disabled", now);
    }
    for (const [key, peer] of after.admitted) {
      if (!before.admitted.has(key) && before.peers.has(key)) record("enabled", peer);
    }
  }
}
