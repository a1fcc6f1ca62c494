/**
 * Difference of two configurations, and its application: what of a file that was edited is another now.
 *
 * What a file only looks different by (comments, the order of keys and of peers, the lines that things stand on) is
 * none.
 */
import type { Config, InterfaceConfig, PeerConfig } from "./config.ts";
import { encodeKey } from "./values/key_text.ts";

/** What `[Interface]` sets. */
export type Settings = Omit<InterfaceConfig, "lines">;

/** The key of the file that each setting comes from. */
export const SETTING_KEYS: Readonly<Record<keyof Settings, string>> = {
  privateKey: "PrivateKey",
  publicKey: "PrivateKey",
  listenPort: "ListenPort",
  addresses: "Address",
  addresses6: "Address",
  dns: "DNS",
  dns6: "DNS",
  dnsSearch: "DNS",
  mtu: "MTU",
  table: "Table",
  fwMark: "FwMark",
  preUp: "PreUp",
  postUp: "PostUp",
  preDown: "PreDown",
  postDown: "PostDown",
  publicEndpoint: "PublicEndpoint",
  egress: "Egress",
  egress6: "Egress6",
  egressInterface: "EgressInterface",
  egressAllow: "EgressAllow",
  egressDeny: "EgressDeny",
  natPorts: "NatPorts",
  natFiltering: "NatFiltering",
  capture: "Capture",
  clientToClient: "ClientToClient",
  dnsProxy: "DnsProxy",
  dnsDomain: "DnsDomain",
  dnsRoutes: "DnsRoute",
  dnsBlock: "DnsBlock",
  dnsQueryLog: "DnsQueryLog",
  flowLog: "FlowLog",
  forwards: "Forward",
  forwards6: "Forward6",
  transport: "Transport",
  connectTimeout: "ConnectTimeout",
  peerTimeout: "PeerTimeout",
  releaseAfter: "ReleaseAfter",
  onPeerTimeout: "OnPeerTimeout",
  killSwitch: "KillSwitch",
  allowIpv6: "AllowIPv6",
  aead: "Aead",
  dataPlaneThreads: "DataPlaneThreads",
  webhooks: "Webhook",
  webhookSecret: "WebhookSecret",
  controlGroup: "ControlGroup",
  store: "Store",
  storeCredentials: "StoreCredentials",
  storeCa: "StoreCA",
  storeGrace: "StoreGrace",
  virtualAddress: "VirtualAddress",
  metrics: "Metrics",
};

/** A peer that is new, or other than it was. */
export interface PutPeer {
  readonly peer: PeerConfig;
  readonly isNew: boolean;
  /** Whether it is to be looked for elsewhere than before. */
  readonly isMoved: boolean;
}

export interface ConfigChange {
  /** The new values of those that differ. */
  readonly settings: Partial<Settings>;
  /** Public keys of peers that are there no more. */
  readonly removed: readonly Uint8Array[];
  readonly put: readonly PutPeer[];
  /** All peers in their order, as whose first one may be a client's server, and where they stand in the file. */
  readonly layout: readonly Pick<PeerConfig, "publicKey" | "line">[];
}

/**
 * What makes `after` of `before`, in steps. The cost grows with the peers, not with their square: there may be
 * thousands.
 */
export function* configChange(
  before: Pick<Config, "interface" | "peers">,
  after: Pick<Config, "interface" | "peers">,
): Generator<void, ConfigChange> {
  const names = Object.keys(SETTING_KEYS) as (keyof Settings)[];
  const settings = Object.fromEntries(
    names.filter((name) => !isSame(before.interface[name], after.interface[name]))
      .map((name) => [name, after.interface[name]]),
  );
  const old = peersByKey(before.peers);
  const kept = peersByKey(after.peers);
  const removed = before.peers.map(({ publicKey }) => publicKey)
    .filter((publicKey) => !kept.has(encodeKey(publicKey)));
  const put: PutPeer[] = [];
  for (const peer of after.peers) {
    yield;
    const earlier = old.get(encodeKey(peer.publicKey));
    if (earlier === undefined) put.push({ peer, isNew: true, isMoved: peer.endpoint !== null });
    else if (!isSame(earlier, peer)) {
      put.push({ peer, isNew: false, isMoved: !isSame(earlier.endpoint, peer.endpoint) });
    }
  }
  return { settings, removed, put, layout: after.peers };
}

/** The configuration as a change makes it. */
export function changedConfig<Kind extends Config>(
  before: Kind,
  { settings, put, layout }: ConfigChange,
): Kind {
  const peers = new Map(peersByKey(before.peers));
  for (const { peer } of put) peers.set(encodeKey(peer.publicKey), peer);
  return {
    ...before,
    interface: { ...before.interface, ...settings },
    peers: layout.flatMap(({ publicKey, line }) => {
      const peer = peers.get(encodeKey(publicKey));
      return peer === undefined ? [] : [{ ...peer, line }];
    }),
  };
}

/** The keys of `[Interface]` that a change is about, each once. */
export function changedKeys({ settings }: Pick<ConfigChange, "settings">): string[] {
  return [...new Set(Object.keys(settings).map((name) => SETTING_KEYS[name as keyof Settings]))];
}

/** The part of a change that is about these keys of `[Interface]`; the peers stay in. */
export function ofKeys(change: ConfigChange, isWanted: (key: string) => boolean): ConfigChange {
  const settings = Object.fromEntries(
    Object.entries(change.settings)
      .filter(([name]) => isWanted(SETTING_KEYS[name as keyof Settings])),
  );
  return { ...change, settings };
}

function peersByKey(peers: readonly PeerConfig[]): ReadonlyMap<string, PeerConfig> {
  return new Map(peers.map((peer) => [encodeKey(peer.publicKey), peer]));
}

/** Whether two values mean the same, wherever in the file they stand. */
export function isSame(one: unknown, other: unknown): boolean {
  return JSON.stringify(one, withoutPlace) === JSON.stringify(other, withoutPlace);
}

function withoutPlace(name: string, value: unknown): unknown {
  if (name === "line") return undefined;
  if (value instanceof Uint8Array) return encodeKey(value);
  if (value === null || typeof value !== "object" || Array.isArray(value)) return value;
  // A peer that was added while the tunnel runs has its properties in another order than one of a file.
  return Object.fromEntries(Object.entries(value).sort(([one], [other]) => one < other ? -1 : 1));
}
