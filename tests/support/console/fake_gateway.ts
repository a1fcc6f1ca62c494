/** Fake gateway: answers the console as a gateway with a few peers does, out of memory. */
import type {
  CreatedPeer,
  EventEntry,
  PeerEntry,
} from "../../../lib/control/application/methods.ts";
import type { PeerStatus, Status } from "../../../lib/control/status.ts";
import { peerOf } from "../status/statuses.ts";
import {
  type ConsoleGateway,
  type GatewayMethod,
  GatewayRefusal,
  GatewayUnreachable,
  type ParamsOf,
  type ResultOf,
} from "../../../lib/console/gateway/gateway.ts";

/** A public key by a number. */
export function keyOf(number: number): string {
  const bytes = new Uint8Array(32);
  new DataView(bytes.buffer).setUint32(0, number);
  return bytes.toBase64();
}

/** The same as it stands in a path. */
export function idOf(number: number): string {
  return keyOf(number).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

type Answers = { [Name in GatewayMethod]: (params: ParamsOf<Name>) => ResultOf<Name> };

export class FakeGateway implements ConsoleGateway {
  readonly interfaceName = "vpn0";
  readonly peers: PeerEntry[] = [];
  /** What was asked for, in its order. */
  readonly asked: { readonly method: string; readonly params: unknown }[] = [];
  isReachable = true;
  revision = 1;
  /** How each peer is, by what is not as a new one is. */
  readonly figures = new Map<string, Partial<PeerStatus>>();
  #onEvent: ((event: EventEntry) => void) | null = null;

  constructor(count = 3) {
    for (let i = 1; i <= count; i++) this.#add(`peer${i}`, keyOf(i), {});
  }

  ask<Name extends GatewayMethod>(
    method: Name,
    params: ParamsOf<Name>,
  ): Promise<ResultOf<Name>> {
    this.asked.push({ method, params });
    if (!this.isReachable) return Promise.reject(new GatewayUnreachable("Cannot reach vpn0"));
    return Promise.try(() => (this.#answers[method] as Answers[Name])(params));
  }

  followEvents(onEvent: (event: EventEntry) => void, signal: AbortSignal): Promise<void> {
    this.#onEvent = onEvent;
    return new Promise((resolve) => signal.addEventListener("abort", () => resolve()));
  }

  tell(event: EventEntry): void {
    this.#onEvent?.(event);
  }

  get isFollowed(): boolean {
    return this.#onEvent !== null;
  }

  readonly #answers: Answers = {
    "status": () => this.#status(),
    "peers": () => ({ revision: `r${this.revision}`, peers: this.peers, groups: [] }),
    "create-peer": ({ name, publicKey, set = {} }) => {
      if (this.peers.some((peer) => peer.name === name || peer.publicKey === publicKey)) {
        throw new GatewayRefusal("Cannot add the peer: another has its name", "conflict");
      }
      return created(this.#add(name, publicKey, set));
    },
    "rotate-peer": ({ peer: name, publicKey, revision }) => {
      this.#require(revision, [name]);
      const peer = this.#found([name])[0]!;
      const changed = { ...peer, nextPublicKey: publicKey, revision: `p${++this.revision}` };
      this.peers[this.peers.indexOf(peer)] = changed;
      return created(changed);
    },
    "change-peers": ({ peers: names, set, revision }) => {
      this.#require(revision, names);
      const peers = this.#found(names).map((peer) => {
        const settings = Object.fromEntries(
          Object.entries({ ...peer.settings, ...set }).filter(([, value]) => value !== null),
        );
        const changed: PeerEntry = {
          ...peer,
          name: settings["Name"] ?? null,
          settings,
          admission: settings["Enabled"] === "no" ? "disabled" : "admitted",
          revision: `p${++this.revision}`,
        };
        this.peers[this.peers.indexOf(peer)] = changed;
        return changed;
      });
      return { peers };
    },
    "delete-peers": ({ peers: names, revision }) => {
      this.#require(revision, names);
      const peers = this.#found(names);
      for (const peer of peers) this.peers.splice(this.peers.indexOf(peer), 1);
      this.revision++;
      return { peers: peers.map(({ name, publicKey }) => ({ name, publicKey })) };
    },
    "put-group": ({ name, allow, deny, revision }) => {
      this.#require(revision, []);
      return { name, allow, deny, members: [], revision: `r${++this.revision}` };
    },
    "delete-group": () => null,
    "settings": () => ({ revision: `r${this.revision}`, text: "ListenPort = 51820\n" }),
    "preview-settings": ({ text }) => ({
      lines: [{ kind: "added", text }],
      live: ["DNS"],
      restart: [],
      warnings: [],
    }),
    "change-settings": ({ revision }) => {
      this.#require(revision, []);
      const changes = ["DNS is 9.9.9.9 from now on"];
      return { revision: `r${++this.revision}`, changes, restart: [], problems: [] };
    },
    "usage": () => ({
      usage: [{ period: "2026-11", name: "peer1", publicKey: keyOf(1), received: 5, sent: 7 }],
    }),
    "events": ({ after = 0 }) => ({ events: [eventOf(after + 1)], last: after + 1 }),
    "test-access": () => ({ isAllowed: true, rule: null, hasRules: false }),
    "dns": () => ({ queries: 12, blocked: 3 }),
    "doctor": ({ again = false }) => ({
      isRunning: again,
      time: "2026-11-29T01:00:00.000Z",
      problem: null,
      checks: [{ name: "clock", status: "ok", why: "the clock is right", remedy: null }],
    }),
    "health": () => ({
      state: "up",
      missing: [],
      warnings: [],
      pending: [],
      restart: [],
      problem: null,
      deadRules: [],
    }),
  };

  #add(
    name: string,
    publicKey: string,
    set: Readonly<Record<string, string | null | undefined>>,
  ): PeerEntry {
    const settings = Object.fromEntries(
      Object.entries({ Name: name, ...set }).filter(([, value]) => typeof value === "string"),
    ) as Record<string, string>;
    const peer: PeerEntry = {
      name,
      publicKey,
      allowedIps: [`10.66.77.${this.peers.length + 2}/32`],
      hasPresharedKey: true,
      groups: settings["Groups"]?.split(", ") ?? [],
      admission: "admitted",
      expires: null,
      quota: null,
      quotaRate: null,
      nextPublicKey: null,
      keyExpires: null,
      settings,
      revision: `p${++this.revision}`,
    };
    this.peers.push(peer);
    return peer;
  }

  #require(revision: string | undefined, names: readonly string[]): void {
    const found = names.length === 1 ? this.#found(names)[0]!.revision : `r${this.revision}`;
    if (revision === undefined || revision === found) return;
    throw new GatewayRefusal("Cannot change it: it is another by now", "revision");
  }

  #found(names: readonly string[]): PeerEntry[] {
    return names.map((name) => {
      const peer = this.peers.find((each) => each.name === name || each.publicKey === name);
      if (peer === undefined) throw new GatewayRefusal(`There is no peer "${name}"`, "not-found");
      return peer;
    });
  }

  #status(): Status {
    const time = new Date().toISOString();
    return {
      interface: "vpn0",
      netns: null,
      role: "server",
      state: "up",
      missing: [],
      pid: 1,
      time,
      since: "2026-11-29T00:00:00.000Z",
      publicKey: keyOf(0),
      listenPort: 51820,
      addresses: ["10.66.77.1/24"],
      aead: "builtin",
      threads: { count: 1, decidedBy: "auto: 2 processors" },
      oneThread: null,
      segmentation: true,
      store: null,
      peers: this.peers.map((peer) => ({ ...statusOf(peer), ...this.figures.get(peer.publicKey) })),
      workers: [],
      nat: { mappings: 0, sessions: 0, sendErrors: {} },
      services: [],
      drops: {},
    };
  }
}

export function eventOf(id: number): EventEntry {
  return {
    id,
    time: "2026-11-29T01:00:00.000Z",
    event: "connected",
    name: "peer1",
    publicKey: keyOf(1),
    detail: null,
  };
}

function statusOf({ name, publicKey, allowedIps, admission }: PeerEntry): PeerStatus {
  return peerOf({ name, publicKey, allowedIps, admission });
}

function created(peer: PeerEntry): CreatedPeer {
  const endpoint = "vpn.example.com:51820";
  return {
    peer,
    client: {
      addresses: peer.allowedIps,
      dns: null,
      mtu: null,
      publicKey: keyOf(0),
      presharedKey: null,
      allowedIps: "0.0.0.0/0",
      endpoint,
      text: `[Interface]\nPrivateKey = {PRIVATE_KEY}\n[Peer]\nEndpoint = ${endpoint}\n`,
    },
  };
}
