/** Command `vpn access test`: whether a client may send a packet, and by which rule, by a running gateway or a file. */
import { openLibc } from "../../ffi/libc.ts";
import { Rtnetlink } from "../../ffi/netlink/rtnetlink.ts";
import type { AccessRequest } from "../cli/command.ts";
import { ControlClient } from "../control/client.ts";
import { findNamedOrOnly } from "../control/instances.ts";
import { LiveAccess } from "../control/live_access.ts";
import { peersByKey } from "../control/live_peers.ts";
import { quoted } from "../core/config/config_error.ts";
import { validateServer } from "../core/config/roles.ts";
import { admittedPeers } from "../core/peers/admission.ts";
import type { TrialResult } from "../core/peers/access_trial.ts";
import { bracketed, parseAddress } from "../core/wire/host_address.ts";
import { loadConfig } from "../host/files/config_file.ts";
import { accessSurroundings } from "../host/network/access_surroundings.ts";
import { AppError, ExitCode } from "../process/errors.ts";
import { writeText } from "../process/output.ts";

const DEFAULT_INTERFACE = "vpn0";
/** ms; an instance that takes longer is stopped, or as good as. */
const ANSWER_TIMEOUT = 2_000;

/**
 * Tells.
 *
 * @returns 0 where the packet may pass, 1 where it is denied
 * @throws {AppError} for an unknown peer, or where no gateway runs
 */
export async function runAccess(request: AccessRequest): Promise<number> {
  const { protocol, port } = request;
  const hasPorts = protocol === "tcp" || protocol === "udp";
  if (hasPorts !== (port !== null)) {
    const problem = hasPorts ? "PORT is missing: give the port" : `${protocol} has no ports`;
    throw new AppError(problem, { exitCode: ExitCode.usage });
  }
  const result = request.configPath === null ? await askRunning(request) : askFile(request);
  if (request.json) writeText(Deno.stdout, `${JSON.stringify(result, null, 2)}\n`);
  else writeText(Deno.stdout, `${describe(request, result)}\n`);
  return result.isAllowed ? ExitCode.ok : ExitCode.unexpected;
}

async function askRunning(request: AccessRequest): Promise<TrialResult> {
  const { peer, protocol, address, port } = request;
  const instance = findNamedOrOnly(request.interfaceName, DEFAULT_INTERFACE);
  using client = await ControlClient.connect(instance);
  const params = { peer, protocol, address, port };
  return await client.request("test-access", params, { timeout: ANSWER_TIMEOUT }) as TrialResult;
}

function askFile(
  { configPath, interfaceName, peer, protocol, address, port }: AccessRequest,
): TrialResult {
  const config = validateServer(loadConfig(configPath!, "leave"));
  const peers = peersByKey(admittedPeers(config.peers, Date.now()));
  const [from] = Array.from(peers).find(([key, { name }]) => name === peer || key === peer) ?? [];
  if (from === undefined) {
    throw new AppError(`${configPath} has no peer ${quoted(peer)} that has access`, {
      exitCode: ExitCode.usage,
    });
  }
  using netlink = Rtnetlink.open(openLibc());
  const access = new LiveAccess({
    groups: config.groups,
    surroundings: accessSurroundings(netlink, config, {
      external: null,
      external6: null,
      tunnel: interfaceName ?? DEFAULT_INTERFACE,
    }),
    peers,
  });
  const destination = parseAddress(address)!;
  return access.test({ from, protocol, destination, port }, peers);
}

function describe(
  { peer, protocol, address, port }: AccessRequest,
  { isAllowed, rule, hasRules }: TrialResult,
): string {
  const place = port === null ? address : `${bracketed(address)}:${port}`;
  const reason = rule ??
    (!isAllowed
      ? "no Allow holds"
      : hasRules
      ? "no Deny holds, and there is no Allow or it is a service of the gateway's"
      : "it has no rules");
  return `${peer} to ${place} by ${protocol}: ${isAllowed ? "allowed" : "denied"}: ${reason}`;
}
