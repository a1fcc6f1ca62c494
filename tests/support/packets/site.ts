/** Site: a gateway and clients of it on simulated ports, for tests of the loop. */
import type { SimulatedDevice, SimulatedDeviceOptions } from "./simulated_device.ts";
import { buildUdp, type Bytes } from "./packet_builder.ts";
import { assert } from "../assert.ts";
import { Simulation } from "./simulation.ts";

/** The gateway's address inside. */
export const GATEWAY = "10.66.77.1";

export interface Site {
  readonly simulation: Simulation;
  readonly gateway: SimulatedDevice;
  readonly clients: readonly SimulatedDevice[];
}

/** A gateway and clients of it, all connected; the gateway's hosts and clients send each other packets. */
export function site(
  count: number,
  options: Partial<SimulatedDeviceOptions> = {},
  isConnected = true,
): Site {
  const simulation = new Simulation();
  const gateway = simulation.addDevice({
    name: "gateway",
    address: "198.51.100.1",
    tunnelAddress: `${GATEWAY}/24`,
    isGateway: true,
    ...options,
  });
  const clients = Array.from({ length: count }, (_, i) => {
    const client = simulation.addDevice({
      name: `client ${i}`,
      address: `192.0.2.${i + 2}`,
      tunnelAddress: `${inner(i)}/24`,
    });
    const { address, port } = gateway;
    const peer = client.addPeer(gateway, ["0.0.0.0/0"], { endpoint: { address, port } });
    gateway.addPeer(client, [`${inner(i)}/32`]);
    if (isConnected) client.initiate(peer);
    return client;
  });
  simulation.run(100);
  return { simulation, gateway, clients };
}

/** The inner address of a client. */
export function inner(index: number): string {
  return `10.66.77.${index + 2}`;
}

/** A packet from the gateway's host to a client. */
export function toClient(index: number, text = "x"): Bytes {
  const payload = new TextEncoder().encode(text);
  return buildUdp({ source: GATEWAY, destination: inner(index), payload });
}

/** Lets a full port have room again, and the loop be woken by that. */
export function makeRoom({ gateway, simulation }: Site, port = gateway.udp): void {
  port.room = Infinity;
  assert(port.isRoomAwaited, "nobody waits for room");
  gateway.engine.resume(simulation.now);
}
