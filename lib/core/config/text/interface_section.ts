/** Section `[Interface]`: its defaults, and the rules between its keys. */
import { publicKey } from "../../noise/x25519.ts";
import { formatIpv4 } from "../../wire/ipv4_text.ts";
import { MIN_LINK_MTU } from "../../wire/ipv6.ts";
import { type Ipv6PrefixText, isWithin6, LINK_LOCAL6 } from "../../wire/ipv6_prefix.ts";
import { egressNetworks, ipv4Prefixes, ipv6Prefixes, type Prefix } from "../values/addresses.ts";
import type { ForwardItem } from "../values/forward_key.ts";
import type { HookCommand, InterfaceConfig } from "../config.ts";
import type { Section } from "./config_document.ts";
import { ConfigError } from "../config_error.ts";
import type { Forward6Item } from "../values/forward6.ts";
import { mergedRoutes } from "../values/name_keys.ts";
import { INTERFACE_KEYS, SECTION_KEYS } from "../values/keys.ts";
import type { Notes } from "./notes.ts";
import type { HookKeys } from "../hook_keys.ts";
import { badValue, readSection } from "./section.ts";

/** The NAT tells published services apart by ten bits. */
const MAX_FORWARDS = 1000;

/** The section, but for the keys that commands would set. */
export interface InterfaceDraft {
  /** The commands that may set keys before the tunnel is up. */
  readonly hooks: readonly HookCommand[];
  readonly hasPrivateKey: boolean;
  readonly carriesIpv6: boolean;
  /** @throws {ConfigError} where there is no private key */
  config(keys: HookKeys | null): InterfaceConfig;
}

/**
 * Reads the section.
 *
 * @throws {ConfigError}
 */
export function readInterface(section: Section, notes: Notes): InterfaceDraft {
  const { values, entries } = readSection(section, INTERFACE_KEYS, {
    tables: SECTION_KEYS,
    notes,
  });
  const addresses = withoutRepetitions(values.Address);
  const addresses6 = carriedAddresses(addresses, values.MTU ?? null, notes);
  refuseRepeatedForwards(values.Forward);
  refuseRepeatedForwards6(values.Forward6);

  const peerTimeout = values.PeerTimeout ?? 6_000;
  const releaseAfter = values.ReleaseAfter ?? Math.max(180_000, peerTimeout);
  if (releaseAfter < peerTimeout) {
    const rule = `it must be at least PeerTimeout, here ${peerTimeout / 1000} seconds`;
    throw badValue(entries.get("ReleaseAfter")!, rule);
  }
  if (values.SaveConfig) {
    notes.warn(
      entries.get("SaveConfig")!,
      "has no effect: vpn never rewrites this file at the end of a run",
    );
  }
  for (const { ipv6, entry } of values.DNS) if (ipv6 !== undefined) notes.ipv6(entry);

  const config = (privateKey: Uint8Array, done: readonly HookCommand[]): InterfaceConfig => ({
    privateKey,
    publicKey: publicKey(privateKey),
    listenPort: values.ListenPort ?? null,
    addresses: ipv4Prefixes(addresses),
    addresses6,
    dns: values.DNS.flatMap(({ ipv4 }) => ipv4 ?? []),
    dns6: values.DNS.flatMap(({ ipv6 }) => ipv6 ?? []),
    dnsSearch: values.DNS.flatMap(({ search }) => search ?? []),
    mtu: values.MTU ?? null,
    table: values.Table ?? "auto",
    fwMark: values.FwMark ?? null,
    preUp: values.PreUp.filter((hook) => !done.includes(hook)),
    postUp: values.PostUp.filter((hook) => !done.includes(hook)),
    preDown: values.PreDown,
    postDown: values.PostDown,

    publicEndpoint: values.PublicEndpoint ?? null,
    egress: values.Egress ?? "raw",
    egress6: values.Egress6 ?? "nat",
    egressInterface: values.EgressInterface ?? null,
    egressAllow: egressNetworks(values.EgressAllow, addresses6.length > 0, notes),
    egressDeny: egressNetworks(values.EgressDeny, addresses6.length > 0, notes),
    natPorts: values.NatPorts ?? { first: 20000, last: 29999 },
    natFiltering: values.NatFiltering ?? "endpoint",
    capture: values.Capture ?? "packet",
    clientToClient: values.ClientToClient ?? true,
    dnsProxy: values.DnsProxy,
    dnsDomain: values.DnsDomain ?? null,
    dnsRoutes: mergedRoutes(values.DnsRoute),
    dnsBlock: values.DnsBlock,
    dnsQueryLog: values.DnsQueryLog ?? false,
    flowLog: values.FlowLog ?? false,
    forwards: values.Forward.map(({ forward }) => forward),
    forwards6: values.Forward6.map(({ forward }) => forward),
    transport: values.Transport ?? "udp",
    connectTimeout: values.ConnectTimeout ?? 2_500,
    peerTimeout,
    releaseAfter,
    onPeerTimeout: values.OnPeerTimeout ?? "reconnect",
    killSwitch: values.KillSwitch ?? false,
    allowIpv6: values.AllowIPv6 ?? false,
    aead: values.Aead ?? "auto",
    dataPlaneThreads: values.DataPlaneThreads ?? "auto",
    webhooks: [...new Set(values.Webhook)],
    webhookSecret: values.WebhookSecret ?? null,
    controlGroup: values.ControlGroup ?? null,
    store: [...new Set(values.Store)],
    storeCredentials: values.StoreCredentials ?? null,
    storeCa: values.StoreCA ?? null,
    storeGrace: values.StoreGrace ?? 86_400_000,
    virtualAddress: values.VirtualAddress ?? null,
    metrics: values.Metrics ?? null,
    lines: new Map(Array.from(entries, ([key, { line }]) => [key, line])),
  });
  return {
    hooks: [...values.PreUp, ...values.PostUp],
    hasPrivateKey: values.PrivateKey !== undefined,
    carriesIpv6: addresses6.length > 0,
    config: (keys) => {
      const privateKey = values.PrivateKey ?? keys?.privateKey ?? null;
      if (privateKey !== null) return config(privateKey, keys?.done ?? []);
      throw new ConfigError(
        `${section.fileName}: [Interface]: PrivateKey is missing: create one with \`vpn genkey\``,
      );
    },
  };
}

function withoutRepetitions(addresses: readonly Prefix[]): readonly Prefix[] {
  return [...new Map(addresses.map((address) => [address.text, address])).values()];
}

/** The IPv6 addresses by which the tunnel carries IPv6; what keeps it from that is noted. */
function carriedAddresses(
  addresses: readonly Prefix[],
  mtu: "auto" | number | null,
  notes: Notes,
): readonly Ipv6PrefixText[] {
  const usable = ipv6Prefixes(addresses, notes).filter((each) => !isWithin6(each, LINK_LOCAL6));
  if (usable.length === 0) return [];
  if (typeof mtu === "number" && mtu < MIN_LINK_MTU) {
    notes.setWhyNoIpv6(`MTU is ${mtu}, and IPv6 needs ${MIN_LINK_MTU}`);
    return [];
  }
  notes.setWhyNoIpv6(null);
  return usable;
}

function refuseRepeatedForwards(forwards: readonly ForwardItem[]): void {
  const first = forwards.at(MAX_FORWARDS);
  if (first !== undefined) {
    throw badValue(first.entry, `there are ${MAX_FORWARDS} before it, the maximum: remove some`);
  }
  const lines = new Map<string, number>();
  for (const { forward, entry } of forwards) {
    const { protocol, externalAddress, externalPort, backEnds } = forward;
    const front = externalAddress === null
      ? `${protocol} port ${externalPort}`
      : `${protocol} ${formatIpv4(externalAddress)}:${externalPort}`;
    // What its target sends itself leaves by one port.
    const targets = backEnds.map(({ text }) => `${protocol} to ${text}`);
    for (const each of [front, ...targets]) {
      const line = lines.get(each);
      if (line !== undefined) throw badValue(entry, `line ${line} forwards ${each} already`);
      lines.set(each, entry.line);
    }
  }
}

function refuseRepeatedForwards6(forwards: readonly Forward6Item[]): void {
  const lines = new Map<string, number>();
  for (const { forward: { protocol, externalPort }, entry } of forwards) {
    const port = `${protocol} port ${externalPort}`;
    const line = lines.get(port);
    if (line !== undefined) throw badValue(entry, `line ${line} forwards ${port} already`);
    lines.set(port, entry.line);
  }
}
