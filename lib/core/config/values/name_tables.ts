/** Files by which a host has names for numbers: services(5) and iproute2's `rt_tables`. */

/**
 * Ports by the names of services and their aliases; those of UDP where a name has several, as WireGuard asks for them.
 */
export function parseServices(text: string): ReadonlyMap<string, number> {
  const ports = new Map<string, number>();
  const ofUdp = new Set<string>();
  for (const line of text.split("\n")) {
    const [name, place = "", ...aliases] = line.replace(/#.*$/s, "").trim().split(/\s+/);
    const [, port, protocol] = /^(\d{1,5})\/(tcp|udp)$/.exec(place) ?? [];
    if (name === undefined || port === undefined || !(Number(port) >= 1 && Number(port) <= 65535)) {
      continue;
    }
    for (const each of [name, ...aliases]) {
      if (protocol !== "udp" && ports.has(each) || ofUdp.has(each)) continue;
      ports.set(each, Number(port));
      if (protocol === "udp") ofUdp.add(each);
    }
  }
  return ports;
}

/** Routing tables by name. */
export function parseRtTables(text: string): ReadonlyMap<string, number> {
  const tables = new Map<string, number>();
  for (const line of text.split("\n")) {
    const [, number, name] = /^\s*(\d{1,10}|0x[0-9a-f]{1,8})\s+([^\s#]+)/i.exec(line) ?? [];
    const table = Number(number);
    if (name !== undefined && table >= 1 && table <= 0xffffffff) tables.set(name, table);
  }
  return tables;
}
