/** wireguard-go as a contender, of any version, and this project's client at its server. */
import { WireguardGo } from "../../net/support/programs/wireguard_go.ts";
import { CLIENT_INSIDE, SERVER_INSIDE, type Wire } from "../../net/support/wire.ts";
import { ContenderName } from "../figures.ts";
import { type Contender, tunnelOf } from "./contender.ts";
import { type Program, startVpn } from "./vpn.ts";
import { clientConfig, serverConfig, serverConfigWith } from "./wireguard_config.ts";

/** wireguard-go at both ends; `program` is how it is run. */
export function wireguardGo(name: string, program: Program): Contender {
  return {
    name,
    async start({ behind, ...wire }) {
      const server = await startServer(wire, serverConfig({ isOurs: false }), program);
      const config = clientConfig({ isOurs: false, behind });
      const addresses = [`${CLIENT_INSIDE}/24`];
      const client = await WireguardGo.start(wire.client, config, addresses, program);
      if (behind !== undefined) await client.route(behind);
      return tunnelOf(server.process, client.process);
    },
    async startServer(wire, peers) {
      const config = serverConfigWith({ isOurs: false }, peers);
      return (await startServer(wire, config, program)).process;
    },
  };
}

/** This project's client, and wireguard-go as its server. */
export function mixed(program: Program, wireguardGoProgram: Program): Contender {
  return {
    name: ContenderName.mixed,
    async start(wire) {
      const server = await startServer(wire, serverConfig({ isOurs: false }), wireguardGoProgram);
      const config = clientConfig({ isOurs: true });
      const client = await startVpn("client", wire.client, { program, config });
      return tunnelOf(server.process, client);
    },
  };
}

function startServer(wire: Wire, config: string, program: Program): Promise<WireguardGo> {
  return WireguardGo.start(wire.server, config, [`${SERVER_INSIDE}/24`], program);
}
