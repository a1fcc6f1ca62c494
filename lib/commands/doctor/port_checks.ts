/** Checks of the ports that a tunnel listens on: whether another program has them, and whether a running one has. */
import { formatIpv4 } from "../../core/wire/ipv4_text.ts";
import { HIDDEN_OWNER, listenerAt, listenerOn } from "../../host/network/port_safety.ts";
import { type Check, fail, hidden, ok, type Verdict } from "./check.ts";
import { DNS_PORT, proxyAddress } from "./firewall_packets.ts";
import type { Subject } from "./subject.ts";

export const PORT_CHECKS: readonly Check[] = [
  { name: "listen-port", look: checkListenPort },
  { name: "dns-port", look: checkDnsPort },
];

function checkListenPort(subject: Subject): Verdict[] {
  const { config, instance } = subject;
  const port = config?.listenPort ?? 0;
  if (port === 0) return [];
  const listener = listenerOn("udp", port);
  if (listener === null && instance?.isOurs) {
    return [fail(
      `${instance.title} is running, but does not listen on UDP port ${port}`,
      `restart it: it may use another ListenPort (${subject.place("ListenPort")})`,
    )];
  }
  if (listener === null) return [ok(`UDP port ${port} is free`)];
  if (instance?.isOurs && listener.endsWith(`(process ${instance.pid})`)) {
    return [ok(`UDP port ${port} is open: ${listener} listens`)];
  }
  if (isHidden(listener)) return [hidden(`UDP port ${port} is in use`)];
  return [fail(
    `UDP port ${port} is in use: ${listener} listens on it`,
    `stop it, or choose another ListenPort (${
      subject.place("ListenPort")
    }) and set the new Endpoint on clients`,
  )];
}

/** `DnsProxy` answers on the gateway's inner address, by both protocols. */
function checkDnsPort(subject: Subject): Verdict[] {
  const { instance } = subject;
  const address = proxyAddress(subject);
  if (address === null) return [];
  const place = subject.place("DnsProxy");
  const at = `port ${DNS_PORT} of ${formatIpv4(address)}`;
  for (const protocol of ["udp", "tcp"] as const) {
    const listener = listenerAt(protocol, { address, port: DNS_PORT });
    const isOwn = instance?.isOurs === true && listener?.endsWith(`(process ${instance.pid})`);
    if (listener === null && instance?.isOurs) {
      return [fail(
        `DnsProxy (${place}): ${instance.title} is running, but does not answer at ${protocol} ${at}`,
        "restart the gateway with this configuration",
      )];
    }
    if (listener === null || isOwn) continue;
    if (isHidden(listener)) return [hidden(`${protocol} ${at}, which DnsProxy needs, is in use`)];
    return [fail(
      `DnsProxy (${place}) needs ${protocol} ${at}, but ${listener} listens there`,
      `stop that program from using the address (dnsmasq: \`bind-dynamic\` and \`except-interface=${subject.options.interfaceName}\`; ` +
        `others: list their listening addresses), or remove DnsProxy (${place})`,
    )];
  }
  return [ok(`${at} is ${instance?.isOurs ? "answered by the gateway" : "free"} for DnsProxy`)];
}

/** Whether it may be a gateway of ours that root runs. */
export function isHidden(listener: string, uid = Deno.uid()): boolean {
  return uid !== 0 && listener === HIDDEN_OWNER;
}
