/** Identities of the demo: inner addresses, keys made for this one run, and the configuration files from them. */
import { encodeKey, KEY_LENGTH } from "../../core/config/values/key_text.ts";
import { clamp, publicKey } from "../../core/noise/x25519.ts";
import { patient } from "./patience.ts";
import {
  GATEWAY_ADDRESS,
  GATEWAY_ADDRESS6,
  INTERNET_ADDRESS,
  MEMBER_NAMES,
  type MemberName,
} from "./topology.ts";

/** WireGuard's usual one. */
export const SERVER_PORT = 51820;
const INNER_NETWORK = "10.66.77.0/24";
/** In seconds, of which 60 may be set. A client that UDP does not get through for waits for half of it. */
const CONNECT_TIMEOUT = String(Math.min(60, patient(5)));

/** The addresses inside the tunnel. */
export const INNER_ADDRESSES: Readonly<Record<MemberName, string>> = {
  "gateway": "10.66.77.1",
  "client-1": "10.66.77.2",
  "client-2": "10.66.77.3",
};

/** Those of IPv6, which the first client and the gateway have, where the kernel has it. */
export const INNER_ADDRESSES6 = {
  "gateway": "fd00:66:77::1",
  "client-1": "fd00:66:77::2",
} as const;

/**
 * Makes all keys, and from them the text of each host's configuration. Each client shares a key with the gateway.
 *
 * @param hasIpv6 whether there is IPv6: the first client's network then has nothing else
 */
export function createConfigurations(hasIpv6: boolean): Record<MemberName, string> {
  const gateway = createKeyPair();
  const sections: string[] = [];
  const configurations: Partial<Record<MemberName, string>> = {};
  for (const name of MEMBER_NAMES) {
    if (name === "gateway") continue;
    const client = createKeyPair();
    const presharedKey = encodeKey(randomKey());
    const byIpv6 = hasIpv6 && name === "client-1";
    const own6 = byIpv6 ? `, ${INNER_ADDRESSES6[name]}/128` : "";
    const address = `${INNER_ADDRESSES[name]}/32${own6}`;
    const host = byIpv6 ? `[${GATEWAY_ADDRESS6}]` : GATEWAY_ADDRESS;
    sections.push(configSection("Peer", {
      Name: name,
      PublicKey: client.publicKey,
      PresharedKey: presharedKey,
      AllowedIPs: address,
    }));
    configurations[name] = configSection("Interface", {
      PrivateKey: client.privateKey,
      Address: address,
      Transport: "auto",
      ConnectTimeout: CONNECT_TIMEOUT,
    }) + configSection("Peer", {
      PublicKey: gateway.publicKey,
      PresharedKey: presharedKey,
      Endpoint: `${host}:${SERVER_PORT}`,
      // All of the client's traffic.
      AllowedIPs: byIpv6 ? "0.0.0.0/0, ::/0" : "0.0.0.0/0",
    });
  }
  configurations.gateway = configSection("Interface", {
    PrivateKey: gateway.privateKey,
    ListenPort: String(SERVER_PORT),
    Address: `${INNER_ADDRESSES.gateway}/${INNER_NETWORK.split("/")[1]}` +
      (hasIpv6 ? `, ${INNER_ADDRESSES6.gateway}/64` : ""),
    DnsProxy: INTERNET_ADDRESS,
    Transport: "auto",
  }) + sections.join("");
  return configurations as Record<MemberName, string>;
}

export function configSection(name: string, entries: Readonly<Record<string, string>>): string {
  const lines = Object.entries(entries).map(([key, value]) => `${key} = ${value}\n`);
  return `[${name}]\n${lines.join("")}\n`;
}

export function createKeyPair(): { readonly privateKey: string; readonly publicKey: string } {
  const secret = clamp(randomKey());
  return { privateKey: encodeKey(secret), publicKey: encodeKey(publicKey(secret)) };
}

function randomKey(): Uint8Array {
  return crypto.getRandomValues(new Uint8Array(KEY_LENGTH));
}
