/** Resolve: looks up a server's address by its name, the first time and when its tunnel is down. */
import { lookup } from "node:dns/promises";
import type { Endpoint } from "../../core/config/config.ts";
import { inTurn } from "../../core/wire/families.ts";
import { type HostAddress, isIpv6, parseAddress } from "../../core/wire/host_address.ts";
import { lookUpDirectly } from "./direct_lookup.ts";
import { nameServersIn } from "./name_server.ts";
import { type Nat64Options, withNat64 } from "./nat64.ts";
import { readText } from "./resolv_conf_file.ts";
import { AppError, errorMessage, ExitCode } from "../../process/errors.ts";

const HOSTS_FILE = "/etc/hosts";

/** ms in which a network with a translator says so. */
const NAT64_TIMEOUT = 1_000;
/** Addresses of one name that are tried: more would leave each too little time. */
const MAX_ADDRESSES = 8;

/**
 * The address of an endpoint that the host prefers. A name is looked up as the host does it (`/etc/hosts`, then DNS).
 *
 * @param timeout ms
 * @param options `setting`: what the user calls it, `Endpoint` if left out
 * @throws {AppError} with exit code 3 when it has no address, or none is found in time
 */
export async function resolveEndpoint(
  { host, address }: Endpoint,
  timeout: number,
  { setting }: { readonly setting?: string } = {},
): Promise<HostAddress> {
  if (address !== null) return address;
  return (await lookUp(host, { timeout, ...setting === undefined ? {} : { setting } }))[0]!;
}

/**
 * The same for all addresses of a name, as the host prefers them, of both families in turn.
 *
 * @param hasRoute whether the host has one to an address; asked where there may be none but by NAT64
 */
export async function resolveAll(
  { host, address }: Endpoint,
  timeout: number,
  hasRoute: Nat64Options["hasRoute"] = () => true,
): Promise<readonly HostAddress[]> {
  const found = address === null ? await lookUp(host, { timeout }) : [address];
  return await withNat64(found, {
    hasRoute,
    lookUp: (name) =>
      lookUp(name, { timeout: Math.min(timeout, NAT64_TIMEOUT), family: 6 }).catch(() => []),
  });
}

async function lookUp(
  host: string,
  { timeout, family = 0, setting = "Endpoint" }: {
    readonly timeout: number;
    /** 0 for both. */
    readonly family?: 0 | 4 | 6;
    readonly setting?: string;
  },
): Promise<readonly HostAddress[]> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${timeout / 1000} s`)), timeout);
  });
  try {
    const asked = lookup(host, { family, all: true, order: "verbatim" });
    const found = await Promise.race([asked, late]);
    const addresses = found.flatMap(({ address }) => parseAddress(address) ?? []);
    if (addresses.length === 0) throw new Error("it has no address");
    return tried(addresses);
  } catch (error) {
    const reason = errorMessage(error);
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
  /** Whether the host has a route to an address, past the tunnel. */
  readonly hasRoute: Nat64Options["hasRoute"];
  /** Calls while questions to these resolvers may leave the host. */
  readonly whileAsking: <Result>(
    resolvers: readonly HostAddress[],
    call: () => Promise<Result>,
  ) => Promise<Result>;
}

/**
 * The same while the tunnel is down. What the host looks names up by may lie behind it, so the resolvers from before
 * are asked, outside the tunnel. Where nothing gives an address, the server is taken to be where it was.
 */
export async function resolveAgain(
  endpoint: Endpoint,
  { last, nameServers, mark, timeout, hasRoute, whileAsking }: AgainOptions,
): Promise<readonly HostAddress[]> {
  const { host, address } = endpoint;
  const listed = address === null ? addressesInHosts(readText(HOSTS_FILE) ?? "", host) : [address];
  const servers = nameServersIn(nameServers);
  if (listed.length === 0 && servers.length === 0) {
    return await resolveAll(endpoint, timeout, hasRoute).catch(() => last);
  }
  const ask = (name: string, limit: number) => {
    const options = { nameServers: servers, mark, timeout: limit };
    const addresses = servers.map((server) => server.address);
    return whileAsking(addresses, () => lookUpDirectly(name, options));
  };
  const found = listed.length > 0 ? listed : await ask(host, timeout);
  const lookUp = (name: string) => ask(name, Math.min(timeout, NAT64_TIMEOUT));
  return found.length > 0 ? tried(await withNat64(found, { hasRoute, lookUp })) : last;
}

function tried(addresses: readonly HostAddress[]): readonly HostAddress[] {
  return inTurn([...new Set(addresses)]).slice(0, MAX_ADDRESSES);
}

/** The addresses of a name in a text like that of `/etc/hosts` (hosts(5)): the first of each family. */
export function addressesInHosts(text: string, host: string): readonly HostAddress[] {
  const wanted = host.toLowerCase();
  const found: HostAddress[] = [];
  for (const line of text.split("\n")) {
    const [address, ...names] = line.replace(/#.*/, "").trim().split(/\s+/);
    if (!names.some((name) => name.toLowerCase() === wanted)) continue;
    const parsed = parseAddress(address!);
    if (parsed === null || found.some((other) => isIpv6(other) === isIpv6(parsed))) continue;
    found.push(parsed);
  }
  return found;
}
