/** Service names: what published services and their back ends are called by people. */
import type { ForwardBackEnd, PortForward } from "../../core/config/config.ts";
import { formatIpv4 } from "../../core/wire/ipv4_text.ts";

/** What a service is called, as in `tcp:443` or `tcp:203.0.113.7:443`. */
export function serviceName({ protocol, externalAddress, externalPort }: PortForward): string {
  return externalAddress === null
    ? `${protocol}:${externalPort}`
    : `${protocol}:${formatIpv4(externalAddress)}:${externalPort}`;
}

/** By its whole text, or by the peer or address alone. */
export function isCalled({ text, port }: ForwardBackEnd, name: string): boolean {
  return text === name || text === `${name}:${port}`;
}
