/** Access site: a simulated gateway whose peers have rules, and its clients, for tests. */
import type { AccessItem } from "../../../lib/core/access/access_items.ts";
import { AccessBook } from "../../../lib/core/peers/access_book.ts";
import type { SimulatedDevice, SimulatedDeviceOptions } from "../packets/simulated_device.ts";
import { Simulation } from "../packets/simulation.ts";
import {
  accessPeer,
  ADDRESSES,
  GATEWAY,
  GATEWAY6,
  HOSTS,
  type PeerText,
  rules,
  type RulesText,
} from "./world.ts";
import { SURROUNDINGS } from "./world.ts";

/** The IPv6 address of the peer with this place in `ADDRESSES`. */
export function inner6(index: number): string {
  return `fd00:77::${index + 2}`;
}

export class AccessSite {
  readonly simulation: Simulation = new Simulation();
  readonly gateway: SimulatedDevice;
  /** By name, as in `ADDRESSES`. */
  readonly clients: Readonly<Record<string, SimulatedDevice>>;
  readonly book: AccessBook = new AccessBook();

  constructor(
    peers: Readonly<Record<string, PeerText>>,
    options: Partial<SimulatedDeviceOptions> = {},
    hasIpv6 = false,
  ) {
    const six = (address: string) => hasIpv6 ? { tunnelAddress6: `${address}/64` } : {};
    for (const name of Object.keys(ADDRESSES)) this.book.idOf(name);
    this.gateway = this.simulation.addDevice({
      name: "gateway",
      address: "198.51.100.1",
      tunnelAddress: `${GATEWAY}/24`,
      ...six(GATEWAY6),
      isGateway: true,
      access: this.items(peers),
      ...options,
    });
    this.clients = Object.fromEntries(
      Object.entries(ADDRESSES).map(([name, inner], i) => {
        const client = this.simulation.addDevice({
          name,
          address: `192.0.2.${i + 2}`,
          tunnelAddress: `${inner}/24`,
          ...six(inner6(i)),
          ...(options.aead && { aead: options.aead }),
        });
        const { address, port } = this.gateway;
        const peer = client.addPeer(this.gateway, ["0.0.0.0/0", "::/0"], {
          endpoint: { address, port },
        });
        this.gateway.addPeer(client, [`${inner}/32`, `${inner6(i)}/128`], {
          accessId: this.book.idOf(name),
        });
        client.initiate(peer);
        return [name, client];
      }),
    );
    this.simulation.run(100);
  }

  /** What a change to these rules comes to. */
  items(
    peers: Readonly<Record<string, PeerText>>,
    groups: Readonly<Record<string, RulesText>> = {},
  ): AccessItem[] {
    const { before, after } = this.book.update({
      peers: new Map(
        Object.keys(ADDRESSES).map((name) => [name, accessPeer(name, peers[name] ?? {})]),
      ),
      groups: Object.entries(groups).map(([name, { allow, deny }]) => ({
        name,
        allow: rules(allow),
        deny: rules(deny),
      })),
      surroundings: SURROUNDINGS,
      hosts: HOSTS,
    });
    return [...before, ...after];
  }

  /** Has peers have these rules from now on. */
  set(peers: Readonly<Record<string, PeerText>>): void {
    this.gateway.changeAccess(this.items(peers));
  }

  /** What a client's host, or the gateway's, has been handed since this was last asked. */
  taken(device: SimulatedDevice): Uint8Array[] {
    this.simulation.run(100);
    return device.tun.written.splice(0);
  }
}
