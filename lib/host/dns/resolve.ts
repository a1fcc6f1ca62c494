/** Resolve: looks up a server's address by its name, the first time and when its tunnel is down. */
import { lookup } from "node:dns/promises";
import type { Endpoint } from "../../core/config/config.ts";
import { type HostAddress, isIpv6 } from "../../core/wire/host_address.ts";
import { parseIpv4 } from "../../core/wire/ipv4_text.ts";
import { lookUpDirectly } from "./direct_lookup.ts";
import { readText } from "./resolv_conf_file.ts";
import { AppError, ExitCode } from "../../process/errors.ts";

const HOSTS_FILE = "/etc/hosts";

/** Addresses of one name that are tried: more would leave each too little time. */
const MAX_ADDRESSES = 8;

/** What messages call the setting, where it is not `Endpoint`. */
export interface ResolveOptions {
  readonly setting?: string;
}

/**
 * The address of an endpoint that the host prefers. A name is looked up as the host does it (`/etc/hosts`, then DNS).
 *
 * @param timeout ms
 * @throws {AppError} with exit code 3 when it has no address, or none is found in time
 */
export async function resolveEndpoint(endpoint: Endpoint, timeout: number): Promise<HostAddress> {
  return (await resolveAll(endpoint, timeout))[0]!;
}

/**
 * The same for a user that has no use for IPv6.
 *
 * @throws {AppError} with exit code 3, also where it has no IPv4 address
 */
export async function resolveIpv4(
  endpoint: Endpoint,
  timeout: number,
  options: ResolveOptions = {},
): Promise<number> {
  const { host, address } = endpoint;
  if (address !== null) return isIpv6(address) ? refuseIpv6(host, options) : address;
  return (await lookUp(host, { timeout, ...options }))[0]!;
}

function refuseIpv6(host: string, { setting = "Endpoint" }: ResolveOptions): never {
  throw new AppError(
    `Cannot use ${setting} = [${host}]: IPv4 only is supported here: give an IPv4 address or a host name`,
    { exitCode: ExitCode.connect },
  );
}

/** The same for all addresses of a name, in the order in which the host prefers them. */
export async function resolveAll(
  endpoint: Endpoint,
  timeout: number,
): Promise<readonly HostAddress[]> {
  const { host, address } = endpoint;
  return address === null ? await lookUp(host, { timeout }) : [address];
}

async function lookUp(
  host: string,
  { timeout, setting = "Endpoint" }: { readonly timeout: number } & ResolveOptions,
): Promise<readonly number[]> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${timeout / 1000} s`)), timeout);
  });
  try {
    const found = await Promise.race([lookup(host, { family: 4, all: true }), late]);
    const addresses = found.flatMap(({ address }) => parseIpv4(address) ?? []);
    if (addresses.length === 0) throw new Error("it has no IPv4 address");
    return distinct(addresses);
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
  /** The addresses that were found last. */
  readonly last: readonly HostAddress[];
  /** Resolvers outside the tunnel, as text. */
  readonly nameServers: readonly string[];
  /** Mark of the tunnel's own datagrams; 0 for none. */
  readonly mark: number;
  /** ms */
  readonly timeout: number;
  /** Calls while questions to these resolvers (host order) may leave the host. */
  readonly whileAsking: <Result>(
    resolvers: readonly number[],
    call: () => Promise<Result>,
  ) => Promise<Result>;
}

/**
 * The same while the tunnel is down. What the host looks names up by may lie behind it, so the resolvers from before
 * are asked, outside the tunnel. Where nothing gives an address, the server is taken to be where it was.
 */
export async function resolveAgain(
  endpoint: Endpoint,
  { last, nameServers, mark, timeout, whileAsking }: AgainOptions,
): Promise<readonly HostAddress[]> {
  if (endpoint.address !== null) return [endpoint.address];
  const { host } = endpoint;
  const listed = addressInHosts(readText(HOSTS_FILE) ?? "", host);
  if (listed !== null) return [listed];
  const servers = nameServers.map(parseIpv4).filter((address) => address !== null);
  if (servers.length === 0) return await resolveAll(endpoint, timeout).catch(() => last);
  const options = { nameServers: servers, mark, timeout };
  const found = await whileAsking(servers, () => lookUpDirectly(host, options));
  return found.length > 0 ? distinct(found) : last;
}

function distinct<Address>(addresses: readonly Address[]): readonly Address[] {
  return [...new Set(addresses)].slice(0, MAX_ADDRESSES);
}

/**
 * The IPv4 address of a name, host order, in a text like that of `/etc/hosts` (hosts(5)); null where it is not there.
 */
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
