/** `Forward6`: ports of a gateway's outside that lead to a client's address of IPv6. */
import { CLOUD_SERVICES6 } from "../../wire/cloud_services.ts";
import { canonicalIpv6 } from "../../wire/host_address.ts";
import { formatCidr6, isWithin6, translated } from "../../wire/ipv6_prefix.ts";
import type { PortForward6 } from "../config.ts";
import type { Entry } from "../text/config_document.ts";
import { hostAddress6, isUnicast6 } from "./addresses.ts";
import { integer, rejectValue } from "./values.ts";

/** One `Forward6`, with its entry for messages. */
export interface Forward6Item {
  readonly forward: PortForward6;
  readonly entry: Entry;
}

/** `tcp:8080 -> [fd00:77::2]:80`. */
export function parseForward6(entry: Entry): readonly Forward6Item[] {
  const rule = "a forward is PROTOCOL:PORT -> [ADDRESS]:PORT, as in tcp:8080 -> [fd00:77::2]:80";
  const [, protocolText, externalText, addressText, portText] =
    /^(tcp|udp)\s*:\s*(\d{1,5})\s*->\s*\[([^\]]{2,45})\]:(\d{1,5})$/i.exec(entry.value) ??
      rejectValue(entry, rule);
  const protocol = protocolText!.toLowerCase() === "tcp" ? "tcp" : "udp";
  const port = (text: string) =>
    integer(text, 1, 65535) ?? rejectValue(entry, "a port is 1 to 65535");
  const address = canonicalIpv6(addressText!) ?? rejectValue(entry, rule);
  hostAddress6(entry, address);
  // No client has such an address, and what tells a host its credentials would be published to everybody.
  if (
    CLOUD_SERVICES6.some((each) => each.address === address) ||
    isWithin6(`${address}/128`, formatCidr6(translated({ address: 0, prefixLength: 0 })))
  ) {
    rejectValue(
      entry,
      "a translator's addresses and a cloud's services for its hosts are not published",
    );
  }
  // Not loopback: where the kernel forwards, that would open the services of this host alone to the internet.
  if (!isUnicast6(`${address}/128`)) rejectValue(entry, "a host cannot have this address");
  return [{
    forward: { protocol, externalPort: port(externalText!), address, port: port(portText!) },
    entry,
  }];
}
