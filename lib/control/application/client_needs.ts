/** Client needs: what a new client's configuration says besides its private key, by what its gateway says. */
import type { Config, Endpoint } from "../../core/config/config.ts";
import { clientText, formatEndpoint, FULL_TUNNEL } from "../../core/config/text/config_writer.ts";
import type { PeerSettings } from "../../core/peers/peer_settings.ts";
import { encodeKey } from "../../core/config/values/key_text.ts";
import { RefusalError } from "../../core/config/refusal_error.ts";
import { formatCidr, formatIpv4, type Ipv4Prefix, prefixMask } from "../../core/wire/ipv4_text.ts";
import { addressOf6, network6 } from "../../core/wire/ipv6_prefix.ts";
import { CLIENT_KEY_PLACE, type ClientNeeds } from "./methods.ts";

/** What of it is not as the gateway says. */
export interface ClientWishes {
  /** In the order of preference; none for the gateway's own. */
  readonly endpoints?: readonly Endpoint[] | undefined;
  /** As they stand in a file. */
  readonly allowedIps?: string | undefined;
  readonly dns?: string | undefined;
}

type Gateway = Pick<Config, "fileName" | "interface">;

/**
 * All of it.
 *
 * @param settings those that the gateway has of it
 * @throws {RefusalError} where it is not known how to reach the gateway
 */
export function clientNeeds(
  gateway: Gateway,
  settings: PeerSettings,
  wishes: ClientWishes,
): ClientNeeds {
  const allowedIps = withGateway(wishes.allowedIps ?? defaultNetworks(gateway), gateway);
  const needs = {
    addresses: settings.AllowedIPs?.split(", ") ?? [],
    dns: wishes.dns ?? defaultDns(gateway, allowedIps),
    // A phone, or any other program, would send what no Ethernet takes.
    mtu: gateway.interface.mtu === "auto" ? null : gateway.interface.mtu,
    publicKey: encodeKey(gateway.interface.publicKey),
    presharedKey: settings.PresharedKey ?? null,
    allowedIps,
    endpoint: endpointsOf(gateway, wishes).map(formatEndpoint).join(", "),
  };
  const { transport } = gateway.interface;
  return { ...needs, text: clientText({ ...needs, privateKey: CLIENT_KEY_PLACE, transport }) };
}

function endpointsOf(gateway: Gateway, { endpoints = [] }: ClientWishes): readonly Endpoint[] {
  if (endpoints.length > 0) return endpoints;
  return [gateway.interface.publicEndpoint ?? refuseNowhere(gateway)];
}

function refuseNowhere({ fileName }: Gateway): never {
  throw new RefusalError(
    "invalid",
    `${fileName}: [Interface]: PublicEndpoint is missing: it is the address of the gateway for clients, as in ` +
      "PublicEndpoint = vpn.example.org:51820; or give --endpoint HOST[:PORT]",
  );
}

/** All, where the gateway leads to the internet; otherwise its own networks. */
function defaultNetworks({ interface: { egress, addresses, addresses6 } }: Gateway): string {
  if (egress !== "off") return FULL_TUNNEL;
  const networks = addresses.map((address) => formatCidr(networkOf(address)));
  return [...networks, ...addresses6.map(network6)].join(", ");
}

/**
 * What sends everything through the tunnel names the gateway's inner address as well: in a LAN that uses the same
 * numbers, as a hotel's may, the longer prefix keeps that the tunnel's.
 */
function withGateway(
  allowedIps: string,
  { interface: { addresses, addresses6 } }: Gateway,
): string {
  if (allowedIps !== FULL_TUNNEL) return allowedIps;
  const own6 = addresses6.slice(0, 1).map((prefix) => `${addressOf6(prefix)}/128`);
  return [`${formatIpv4(addresses[0]!.address)}/32`, ...own6, FULL_TUNNEL].join(", ");
}

function networkOf({ address, prefixLength }: Ipv4Prefix): Ipv4Prefix {
  return { address: (address & prefixMask(prefixLength)) >>> 0, prefixLength };
}

/** The gateway's proxy, for a client that could not reach another resolver but through it. */
function defaultDns({ interface: { dnsProxy, addresses } }: Gateway, allowedIps: string) {
  const isFull = allowedIps.split(", ").includes("0.0.0.0/0");
  return isFull && dnsProxy.length > 0 ? formatIpv4(addresses[0]!.address) : null;
}
