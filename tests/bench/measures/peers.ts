/** Throughput by the number of peers that the server has configured. */
import type { Wire } from "../../net/support/wire.ts";
import { tunnelOf } from "../contenders/contender.ts";
import { type Program, startVpn } from "../contenders/vpn.ts";
import { clientConfig, serverConfig } from "../contenders/wireguard_config.ts";
import { measureTcp, startIperfServer } from "./tcp.ts";

/** One TCP stream each way, one after the other, at a server with so many peers: Gbit/s, both added. */
export async function measureWithPeers(
  wire: Wire,
  { program, peers, seconds }: { program: Program; peers: number; seconds: number },
): Promise<number> {
  const server = await startVpn("server", wire.server, {
    program,
    config: serverConfig({ isOurs: true, silentPeers: peers - 1 }),
  });
  const client = await startVpn("client", wire.client, {
    program,
    config: clientConfig({ isOurs: true }),
  });
  await using _tunnel = tunnelOf(server, client);
  await using _iperf = await startIperfServer(wire.server);
  await measureTcp(wire.client, { seconds: 1 });
  const up = await measureTcp(wire.client, { seconds });
  const down = await measureTcp(wire.client, { seconds, down: true });
  return up.rate + down.rate;
}
