/** Owns the look-up of a server's address by its name. */
import { lookup } from "node:dns/promises";
import type { Endpoint } from "../config/config.ts";
import { parseIpv4 } from "../wire/ipv4_text.ts";
import { AppError, ExitCode } from "./errors.ts";

/**
 * The IPv4 address of an endpoint, host order. A name is looked up as the host does it (`/etc/hosts`, then DNS).
 *
 * @throws {AppError} with exit code 3 when it has no IPv4 address, or none is found in time
 */
export async function resolveEndpoint(endpoint: Endpoint, timeout: number): Promise<number> {
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
        "check Endpoint and this host's DNS",
      { exitCode: ExitCode.connect, cause: error },
    );
  } finally {
    clearTimeout(timer);
  }
}
