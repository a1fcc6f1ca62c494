/**
 * Test of flows that overlap, with random traffic under every kind of pressure: whatever ends, nothing goes to a wrong
 * client.
 */
import { assert } from "../../support/assert.ts";
import { Random } from "../../support/random.ts";
import { isSharedPort } from "../../../lib/core/nat/shared_ports.ts";
import { type Ends, Load } from "../../support/nat/load.ts";
import { ACK, address, CLIENT, FIN, REMOTE, RST, SYN, World } from "../../support/nat/world.ts";
import { environment } from "../../support/permissions.ts";

const PORTS = { first: 30_000, last: 30_063 };
const ROUNDS = Number(environment("VPN_FUZZ_COUNT") ?? 60_000);

for (const filtering of ["endpoint", "address"] as const) {
  Deno.test(`what comes back reaches the client that wrote last from there to there, or nobody, filtering by ${filtering}`, () => {
    const random = new Random(7);
    const world = new World({ filtering, ports: PORTS, clientQuota: 5 });
    const load = new Load(world);
    /** By protocol, external port and, where that is shared, remote end: who left by it last. */
    const owners = new Map<string, { flow: Ends; kind: "tcp" | "udp" | "icmp"; port: number }>();
    const counts = { shared: 0, delivered: 0, undelivered: 0, refused: 0 };
    for (let round = 0; round < ROUNDS; round++) {
      if (random.chance(0.02)) world.advance(random.pick([1000, 20_000, 130_000, 310_000]));
      if (random.chance(0.001)) {
        world.nat.releaseClient((address(CLIENT) + random.below(4)) | 0, world.clock.now);
      }
      if (owners.size > 0 && random.chance(0.4)) {
        const { flow, kind, port } = random.pick([...owners.values()]);
        const flags = random.pick([ACK, ACK, SYN | ACK, FIN | ACK, RST]);
        if (load.in(kind, flow, port, flags)) counts.delivered++;
        else {
          assert(
            !load.wasMisdelivered,
            `round ${round}: ${kind} port ${port} led to another client`,
          );
          counts.undelivered++;
        }
        continue;
      }
      const kind = random.pick(["tcp", "udp", "icmp"] as const);
      const flow = {
        client: address(CLIENT) + random.below(4),
        clientPort: 1024 + random.below(12),
        remote: address(REMOTE) + random.below(3),
        remotePort: kind === "icmp" ? 0 : random.pick([53, 443, 5000]),
      };
      const port = load.out(kind, flow, random.pick([SYN, SYN, ACK, ACK, FIN | ACK, RST]));
      if (port < 0) {
        counts.refused++;
        continue;
      }
      const isShared = isSharedPort(PORTS, port);
      if (isShared) counts.shared++;
      const remote = isShared ? `${flow.remote}:${flow.remotePort}` : "";
      owners.set(`${kind}/${port}/${remote}`, { flow, kind, port });
    }
    for (const [what, count] of Object.entries(counts)) assert(count > ROUNDS / 1000, what);
    world.advance(8_000_000);
    assert(world.nat.mappingCount === 0 && world.nat.sessionCount === 0);
  });
}
