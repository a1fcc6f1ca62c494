/** Gateway made up for tests of the console's page: many peers that send and receive, with much to say of them. */
import { fleetOf } from "./fleet_status.ts";
import { createHash } from "node:crypto";
import type { EventEntry, PeerEntry, PeerList } from "../../../lib/control/application/methods.ts";
import type {
  ConsoleGateway,
  GatewayMethod,
  ParamsOf,
  ResultOf,
} from "../../../lib/console/gateway/gateway.ts";
import type { PeerStatus, Status } from "../../../lib/control/status.ts";

const OWNERS = ["anna", "ben", "carla", "david", "elif", "farid", "greta", "hugo", "ines", "jonas"];
const KINDS = ["phone", "laptop", "tablet", "desktop", "printer", "camera"];

interface FakePeer {
  status: PeerStatus;
  /** Bytes a second, at most. */
  readonly pace: number;
}

/** One of a text, as long as a public key. */
export function keyOf(text: string): string {
  return createHash("sha256").update(text).digest("base64");
}

export interface BusyGatewayOptions {
  readonly count: number;
  /** Unix ms. */
  readonly now: () => number;
  /** The name of the peer at an index; made up if left out. */
  readonly nameOf?: (index: number) => string;
  /** What else is said of things, in place of harmless words. */
  readonly text?: string;
}

export class BusyGateway implements ConsoleGateway {
  readonly interfaceName = "vpn0";
  readonly #options: BusyGatewayOptions;
  readonly #peers: FakePeer[];
  readonly #start: number;
  #told = 0;

  constructor(options: BusyGatewayOptions) {
    this.#options = options;
    this.#start = options.now() - 3 * 86_400_000;
    this.#peers = Array.from({ length: options.count }, (_, index) => this.#peer(index));
    this.#told = options.now();
  }

  /** Answers as the real one does. */
  ask<Name extends GatewayMethod>(
    method: Name,
    params: ParamsOf<Name>,
  ): Promise<ResultOf<Name>> {
    const given = params as unknown as Readonly<Record<string, unknown>>;
    return Promise.resolve(this.#answer(method, given) as ResultOf<Name>);
  }

  /** Nothing happens here by itself. */
  followEvents(_onEvent: (event: EventEntry) => void, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      signal.addEventListener("abort", () => resolve(), { once: true });
    });
  }

  #answer(method: string, params: Readonly<Record<string, unknown>>): unknown {
    const { text = "" } = this.#options;
    switch (method) {
      case "status":
        return this.#status();
      case "peers":
        return this.#list();
      case "create-peer":
        return { peer: this.#list().peers[0], client: { text: CLIENT } };
      case "change-peers":
        return this.#change(params as unknown as Change);
      case "usage":
        return { usage: this.#usage(params) };
      case "events":
        return { events: this.#events().slice(-Number(params["limit"])), last: 40 };
      case "test-access":
        return { isAllowed: false, rule: text || "deny 169.254.169.254", hasRules: true };
      case "dns":
        return {
          queries: 48_211,
          hits: 31_870,
          blocked: 5_204,
          merged: 402,
          overBudget: 0,
          evicted: 0,
          wrongAnswers: 12,
          refused: 3,
          evictedConnections: 0,
        };
      case "doctor":
        return {
          isRunning: false,
          time: new Date(this.#options.now() - 185_000).toISOString(),
          problem: null,
          checks: [
            ...Array.from({ length: 19 }, (_, index) => ({
              ...{ name: `check-${index}`, status: "ok", why: text || "as it is to be" },
              remedy: null,
            })),
            {
              name: "dns-upstream",
              status: "warn",
              why: text ||
                "of the resolvers in DnsProxy, 9.9.9.9 is unreachable, or is not a resolver",
              remedy: text || "set DnsProxy to resolvers that this host can reach (`vpn0.conf:8`)",
            },
          ],
        };
      case "health":
        return {
          state: "up",
          missing: text === "" ? [] : [text],
          warnings: [text || "AllowedIPs of elif-phone reach into those of office-router"],
          pending: [],
          restart: [],
          problem: null,
          deadRules: text === "" ? [] : [text],
        };
      case "settings":
        return { revision: "r1", text: SETTINGS + (text === "" ? "" : `# ${text}\n`) };
      case "preview-settings":
        return preview(SETTINGS, `${params["text"]}`);
      default:
        throw new Error(`the made-up gateway knows no ${method}`);
    }
  }

  #peer(index: number): FakePeer {
    const owner = OWNERS[index % OWNERS.length]!;
    const kind = KINDS[Math.floor(index / OWNERS.length) % KINDS.length]!;
    const round = Math.floor(index / (OWNERS.length * KINDS.length));
    const name = this.#options.nameOf?.(index) ?? `${owner}-${kind}${round === 0 ? "" : round + 1}`;
    const isUp = index % 3 !== 2;
    const isSeen = isUp || index % 4 !== 0;
    const now = this.#options.now();
    const { text } = this.#options;
    const isLimited = index % 7 === 3;
    return {
      pace: isUp ? [90_000, 1_400_000, 0, 12_000, 260_000][index % 5]! : 0,
      status: {
        name,
        publicKey: keyOf(`peer ${index}`),
        endpoint: isSeen ? `203.0.113.${index % 250}:${40_000 + index}` : null,
        otherEndpoint: index === 4 ? "198.51.100.77:51820" : null,
        transport: index % 6 === 1 ? "faketcp" : "udp",
        allowedIps: [`10.66.${77 + (index >> 8)}.${index % 256}/32`],
        latestHandshake: isSeen
          ? new Date(now - (isUp ? 1_000 * (index % 120) : 7_200_000 * (index % 30 + 1)))
            .toISOString()
          : null,
        silence: isSeen ? 4 : null,
        presence: isUp ? "up" : isSeen ? "down" : "never",
        isUp,
        admission: index % 11 === 8 ? "disabled" : index % 17 === 11 ? "expired" : "admitted",
        expires: index % 17 === 11 ? "2026-11-01T00:00:00.000Z" : null,
        groups: [text ?? (index % 2 === 0 ? "staff" : "contractors")],
        kind: "stock",
        roundTrip: index % 5 === 0 ? 0.0132 : null,
        hello: text === undefined ? null : {
          version: 1,
          software: text,
          role: "client",
          seenAt: null,
          clockOffset: null,
        },
        mtu: 1420,
        persistentKeepalive: 25,
        rateLimit: isLimited ? 50_000_000 : null,
        rateLimited: 0,
        dns: index % 3 === 0
          ? { queries: 90 + index, cached: 40, blocked: 5, nameErrors: 3, refused: 0 }
          : null,
        denied: index % 5 === 1 ? [{ rule: text ?? "deny 169.254.169.254", packets: 31 }] : [],
        nat: { ports: 12, sessions: 12 + index % 40, refused: 0 },
        quota: isLimited
          ? {
            bytes: 100e9,
            period: "month",
            used: 31e9 + index * 1e8,
            resetsAt: "2026-12-01T00:00:00.000Z",
            rate: null,
          }
          : null,
        received: 3e8 + index * 37_000_123 % 9e9,
        sent: 2e9 + index * 91_000_321 % 8e10,
      },
    };
  }

  #status(): Status {
    const now = this.#options.now();
    const seconds = Math.max(0, now - this.#told) / 1000;
    this.#told = now;
    for (const [index, peer] of this.#peers.entries()) {
      if (peer.status.admission !== "admitted" || peer.pace === 0) continue;
      const swing = 0.55 + 0.45 * Math.sin(now / 4_000 + index) * Math.cos(now / 9_000 + index * 2);
      const bytes = Math.round(peer.pace * swing * seconds);
      peer.status = {
        ...peer.status,
        received: peer.status.received + Math.round(bytes / 6),
        sent: peer.status.sent + bytes,
      };
    }
    return {
      interface: this.interfaceName,
      netns: null,
      role: "server",
      state: "up",
      missing: [],
      pid: 4711,
      time: new Date(now).toISOString(),
      since: new Date(this.#start).toISOString(),
      publicKey: keyOf("gateway"),
      listenPort: 51820,
      addresses: ["10.66.77.1/16", "fd66:77::1/64"],
      aead: "libcrypto 3.0.17",
      threads: { count: 1, decidedBy: "auto: 2 processors" },
      oneThread: null,
      segmentation: true,
      store: fleetOf(this.#options.text),
      peers: this.#peers.map(({ status }) => status),
      workers: [],
      nat: { mappings: 212, sessions: 1_384, sendErrors: {} },
      services: [],
      drops: { replayedCounter: 4, accessDenied: 93 },
    };
  }

  #list(): PeerList {
    const { text } = this.#options;
    const group = (name: string, allow: string, deny: string) => ({
      name,
      allow,
      deny,
      members: this.#peers.filter(({ status }) => status.groups.includes(name))
        .map(({ status }) => status.name ?? status.publicKey),
      revision: "g1",
    });
    return {
      revision: "l1",
      peers: this.#peers.map(({ status }, index) => this.#entry(status, index)),
      groups: text === undefined
        ? [
          group(
            "contractors",
            "internet, 10.20.0.0/16 tcp/443 tcp/8443, peer:ines-printer udp/631",
            "",
          ),
          group("staff", "", "169.254.169.254"),
        ]
        : [group(text, text, text)],
    };
  }

  #entry(status: PeerStatus, index: number): PeerEntry {
    const { text } = this.#options;
    const { name, publicKey, allowedIps, groups, admission, expires } = status;
    return {
      name,
      publicKey,
      allowedIps,
      hasPresharedKey: true,
      groups,
      admission,
      expires,
      quota: status.quota === null ? null : "100G/month",
      quotaRate: null,
      nextPublicKey: null,
      keyExpires: null,
      settings: {
        ...name === null ? {} : { Name: name },
        AllowedIPs: allowedIps.join(", "),
        Groups: groups.join(", "),
        ...index % 9 === 1 ? { Allow: text ?? "icmp, 10.30.0.0/24", Deny: text ?? "lan" } : {},
        ...status.quota === null ? {} : { Quota: "100G/month" },
      },
      revision: `p${index}`,
    };
  }

  #change({ peers, set }: Change): unknown {
    for (const peer of this.#peers) {
      if (!peers.includes(peer.status.publicKey)) continue;
      if ("Enabled" in set) {
        const admission = set["Enabled"] === "no" ? "disabled" : "admitted";
        peer.status = {
          ...peer.status,
          admission,
          isUp: admission === "admitted" && peer.pace > 0,
        };
      }
    }
    return { peers: this.#list().peers.filter(({ publicKey }) => peers.includes(publicKey)) };
  }

  #usage({ by }: Readonly<Record<string, unknown>>): unknown[] {
    const size = by === "month" ? 7 : by === "day" ? 10 : 13;
    const end = by === "hour" ? ":00Z" : "";
    const step = by === "month" ? 30 * 86_400_000 : by === "day" ? 86_400_000 : 3_600_000;
    return Array.from({ length: by === "month" ? 7 : 40 }, (_, back) => ({
      period: new Date(this.#options.now() - back * step).toISOString().slice(0, size) + end,
      name: "",
      publicKey: "",
      received: Math.round(step * (12 + 9 * Math.sin(back / 3))),
      sent: Math.round(step * (61 + 50 * Math.sin(back / 4 + 1))),
    }));
  }

  #events(): EventEntry[] {
    const { text } = this.#options;
    const kinds = [
      ["connected", "from 203.0.113.9:41233"],
      ["configuration-changed", "changed by admin (console)"],
      ["disconnected", null],
      ["endpoint-changed", "from 203.0.113.9:41233 to 198.51.100.4:5060"],
      ["expired", null],
      ["quota-reached", null],
      ["denied", "31 packets: deny 169.254.169.254"],
    ] as const;
    return Array.from({ length: 40 }, (_, index) => {
      const [event, detail] = kinds[index % kinds.length]!;
      const peer = this.#peers[index * 7 % Math.max(1, this.#peers.length)];
      return {
        id: index + 1,
        time: new Date(this.#options.now() - (40 - index) * 431_000).toISOString(),
        event: text ?? event,
        name: peer?.status.name ?? null,
        publicKey: peer?.status.publicKey ?? null,
        detail: text ?? detail,
      };
    });
  }
}

interface Change {
  readonly peers: readonly string[];
  readonly set: Readonly<Record<string, string | null>>;
}

const CLIENT = `[Interface]
PrivateKey = {PRIVATE_KEY}
Address = 10.66.80.9/32, fd66:77::809/128
DNS = 10.66.77.1

[Peer]
PublicKey = ${keyOf("gateway")}
PresharedKey = ${keyOf("preshared")}
AllowedIPs = 0.0.0.0/0, ::/0
Endpoint = vpn.example.org:51820
PersistentKeepalive = 25
`;

const SETTINGS = `[Interface]
# The office's gateway.
PrivateKey = (secret)
Address = 10.66.77.1/16, fd66:77::1/64
ListenPort = 51820
Endpoint = vpn.example.org:51820
DNS = 10.66.77.1
DnsDomain = vpn
DnsBlock = /etc/vpn/block.txt
Isolate = metadata
ClientToClient = no
`;

function preview(before: string, after: string): unknown {
  const [old, now] = [before.split("\n"), after.split("\n")];
  return {
    lines: [
      ...old.flatMap((text) => {
        const kind = now.includes(text) ? "same" : "removed";
        return [{ kind, text }];
      }),
      ...now.filter((text) => !old.includes(text)).map((text) => ({ kind: "added", text })),
    ],
    live: ["DnsBlock"],
    restart: ["ListenPort"],
    warnings: [],
  };
}
