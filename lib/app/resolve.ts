/** Owns the look-up of a server's address by its name, the first time and when its tunnel is down. */
import { lookup } from "node:dns/promises";
import type { Endpoint } from "../config/config.ts";
import { parseIpv4 } from "../wire/ipv4_text.ts";
import { lookUpDirectly } from "./dns/direct_lookup.ts";
import { readText } from "./dns/resolv_conf_file.ts";
import { AppError, ExitCode } from "./errors.ts";

const HOSTS_FILE = "/etc/hosts";

/**
 * The IPv4 address of an endpoint, host order. A name is looked up as the host does it (`/etc/hosts`, then DNS).
 *
 * @param timeout ms
 * @param options `setting`: what the user calls it
 * @throws {AppError} with exit code 3 when it has no IPv4 address, or none is found in time
 */
export async function resolveEndpoint(
  endpoint: Endpoint,
  timeout: number,
  { setting = "Endpoint" }: { readonly setting?: string } = {},
): Promise<number> {
  if (endpoint.address !== null) return endpoint.address;
  const { host } = endpoint;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${timeout / 1000} s`)), timeout);
  });
  try {
    const { address } = await Promise.race([lookup(host, { family: 4 }), late]);
    const parsed = parseIpv4(address);
    if (parsed === null) throw new Error(`"${address}" is not an IPv4 address`);
    return parsed;
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new AppError(
      `Cannot find the server's address: looking up "${host}" failed: ${reason}: ` +
        `check ${setting} and this host's DNS`,
      { exitCode: ExitCode.connect, cause: error },
    );
  } finally {
    clearTimeout(timer);
  }
}

export interface AgainOptions {
  /** The address that was found last, host order. */
  readonly last: number;
  /** Resolvers outside the tunnel, as text; empty where none may be asked, as under `KillSwitch`. */
  readonly nameServers: readonly string[];
  /** Mark of the tunnel's own datagrams; 0 for none. */
  readonly mark: number;
  /** ms */
  readonly timeout: number;
}

/**
 * The same while the tunnel is down. What the host looks names up by may lie behind it, so the resolvers from before are
 * asked, outside the tunnel. Where nothing gives an address, the server is taken to be where it was.
 */
export async function resolveEndpointAgain(
  endpoint: Endpoint,
  { last, nameServers, mark, timeout }: AgainOptions,
): Promise<number> {
  if (endpoint.address !== null) return endpoint.address;
  const { host } = endpoint;
  const listed = addressInHosts(readText(HOSTS_FILE) ?? "", host);
  if (listed !== null) return listed;
  const servers = nameServers.map(parseIpv4).filter((address) => address !== null);
  if (servers.length > 0) {
    return await lookUpDirectly(host, { nameServers: servers, mark, timeout }) ?? last;
  }
  return await resolveEndpoint(endpoint, timeout).catch(() => last);
}

/** The IPv4 address of a name, host order, in a text like that of `/etc/hosts` (hosts(5)); null where it is not there. */
export function addressInHosts(text: string, host: string): number | null {
  const wanted = host.toLowerCase();
  for (const line of text.split("\n")) {
    const [address, ...names] = line.replace(/#.*/, "").trim().split(/\s+/);
    if (!names.some((name) => name.toLowerCase() === wanted)) continue;
    const parsed = parseIpv4(address!);
    if (parsed !== null) return parsed;
  }
  return null;
}
