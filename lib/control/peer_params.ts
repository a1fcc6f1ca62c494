/** Peer parameters: the form of a peer in the control protocol, with the keys of a configuration. */
import { formatEndpoint } from "../core/config/text/config_writer.ts";
import { formatAccessRules, parseAccessRules } from "../core/config/values/access_rules.ts";
import {
  ipv4Prefixes,
  ipv6Prefixes,
  parseAllowedIps,
  parseEndpoint,
} from "../core/config/values/addresses.ts";
import type { Entry } from "../core/config/text/config_document.ts";
import { ConfigError } from "../core/config/config_error.ts";
import type { PeerConfig } from "../core/config/config.ts";
import { formatExpires, parseExpires } from "../core/config/values/expiry.ts";
import { formatQuota, parseQuota } from "../core/config/values/quota.ts";
import { encodeKey } from "../core/config/values/key_text.ts";
import {
  parseGroups,
  parseKeepalive,
  parseKey,
  parsePeerName,
  parseRateLimit,
  parseYesNo,
} from "../core/config/values/values.ts";
import { formatCidr } from "../core/wire/ipv4_text.ts";
import type { LivePeer } from "./live_peers.ts";
import { type Params, RequestError } from "./protocol.ts";

/** `Key: "value"`, as in a `[Peer]` section; what the section would not have is left out. */
export type PeerParams = Readonly<Record<string, string>>;

/** The parameters that stand for a peer of a configuration. */
export function peerParams(peer: PeerConfig): PeerParams {
  const { name, publicKey, presharedKey, allowedIps, endpoint, persistentKeepalive } = peer;
  return {
    PublicKey: encodeKey(publicKey),
    AllowedIPs: [...allowedIps.map(formatCidr), ...peer.allowedIps6].join(", "),
    PersistentKeepalive: `${persistentKeepalive}`,
    ...(name === null ? {} : { Name: name }),
    ...(presharedKey === null ? {} : { PresharedKey: encodeKey(presharedKey) }),
    ...(endpoint === null ? {} : { Endpoint: formatEndpoint(endpoint) }),
    ...(peer.rateLimit === null ? {} : { RateLimit: `${peer.rateLimit}` }),
    ...(peer.quota === null ? {} : { Quota: formatQuota(peer.quota) }),
    ...(peer.quotaRate === null ? {} : { QuotaRate: `${peer.quotaRate}` }),
    ...(peer.groups.length === 0 ? {} : { Groups: peer.groups.join(", ") }),
    ...(peer.allow.length === 0 ? {} : { Allow: formatAccessRules(peer.allow) }),
    ...(peer.deny.length === 0 ? {} : { Deny: formatAccessRules(peer.deny) }),
    ...(peer.isEnabled ? {} : { Enabled: "no" }),
    ...(peer.expires === null ? {} : { Expires: formatExpires(peer.expires) }),
  };
}

/**
 * The peer that parameters stand for. An endpoint with a name is left out: a gateway looks up none.
 *
 * @throws {RequestError}
 */
export function livePeer(params: Params): LivePeer {
  const read = <T>(key: string, parse: (entry: Entry) => T): T | null => {
    const value = params[key];
    if (value === undefined) return null;
    if (typeof value !== "string") throw new RequestError(`Cannot read ${key}: it is not a string`);
    try {
      return parse({ fileName: "", line: 0, key, value });
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      // Without the place, as there is no file.
      throw new RequestError(error.message.replace(/^:0: /, ""));
    }
  };
  const publicKey = read("PublicKey", parseKey);
  if (publicKey === null) throw new RequestError("Cannot add the peer: PublicKey is missing");
  const endpoint = read("Endpoint", parseEndpoint);
  const networks = read("AllowedIPs", parseAllowedIps) ?? [];
  return {
    publicKey,
    presharedKey: read("PresharedKey", parseKey),
    allowedIps: ipv4Prefixes(networks),
    allowedIps6: ipv6Prefixes(networks),
    endpoint: endpoint?.address === null ? null : endpoint,
    persistentKeepalive: read("PersistentKeepalive", parseKeepalive) ?? 0,
    name: read("Name", parsePeerName),
    rateLimit: read("RateLimit", parseRateLimit),
    quota: read("Quota", parseQuota),
    quotaRate: read("QuotaRate", parseRateLimit),
    groups: read("Groups", parseGroups) ?? [],
    allow: read("Allow", parseAccessRules) ?? [],
    deny: read("Deny", parseAccessRules) ?? [],
    isEnabled: read("Enabled", parseYesNo) ?? true,
    expires: read("Expires", parseExpires),
  };
}

/** The public key among parameters. */
export function publicKeyOf(params: Params): Uint8Array {
  return livePeer({ PublicKey: params["PublicKey"] }).publicKey;
}
