/** The status of a fleet, as a made-up gateway tells it. */
import type { Status } from "../../../lib/control/status.ts";

/** Three gateways with the same peers, one of which is not there. */
export function fleetOf(text = ""): Status["store"] {
  const gateways = ["frankfurt", "helsinki", "strasbourg"].map((name, index) => ({
    number: index + 1,
    name: text || name,
    endpoint: `198.51.100.${index + 11}:7946`,
    isSelf: index === 0,
    isUp: index < 2,
    isDraining: false,
    clockOffset: index === 0 ? 0 : index === 1 ? 0.012 : null,
  }));
  return {
    servers: ["tls://nats-a.example.org:4222", "tls://nats-b.example.org:4222"],
    connected: true,
    server: "tls://nats-a.example.org:4222",
    replicas: 2,
    lastContact: new Date().toISOString(),
    problem: null,
    revision: "4711",
    leftOut: 0,
    admitsNew: true,
    virtualAddress: {
      address: "203.0.113.5",
      holder: 1,
      isHere: true,
      isDraining: false,
      gateways,
    },
  };
}
