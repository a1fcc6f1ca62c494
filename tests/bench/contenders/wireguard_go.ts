/** Debian's wireguard-go as a contender, and this project's client at a wireguard-go server. */
import { WireguardGo } from "../../net/support/programs/wireguard_go.ts";
import { CLIENT_INSIDE, SERVER_INSIDE, type Wire } from "../../net/support/wire.ts";
import { ContenderName } from "../figures.ts";
import { type Contender, tunnelOf } from "./contender.ts";
import { type Program, startVpn } from "./vpn.ts";
import { clientConfig, serverConfig } from "./wireguard_config.ts";

/** wireguard-go at both ends. */
export function wireguardGo(): Contender {
  return {
    name: ContenderName.wireguardGo,
    async start(wire) {
      const server = await startServer(wire);
      const config = clientConfig({ isOurs: false });
      const client = await WireguardGo.start(wire.client, config, [`${CLIENT_INSIDE}/24`]);
      return tunnelOf(server.process, client.process);
    },
  };
}

/** This project's client, and wireguard-go as its server. */
export function mixed(program: Program): Contender {
  return {
    name: ContenderName.mixed,
    async start(wire) {
      const server = await startServer(wire);
      const config = clientConfig({ isOurs: true });
      const client = await startVpn("client", wire.client, { program, config });
      return tunnelOf(server.process, client);
    },
  };
}

function startServer(wire: Wire): Promise<WireguardGo> {
  const config = serverConfig({ isOurs: false });
  return WireguardGo.start(wire.server, config, [`${SERVER_INSIDE}/24`]);
}
