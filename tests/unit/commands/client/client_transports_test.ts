/** Tests of `lib/commands/client/client_transports.ts`. */
import { ClientTransports } from "../../../../lib/commands/client/client_transports.ts";
import type { CarrierPorts } from "../../../../lib/host/firewall/kill_switch.ts";
import type { Journal } from "../../../../lib/host/journal/journal.ts";
import { assertEquals } from "../../../support/assert.ts";

const UDP_PORT = 40_000;
const BY_UDP: CarrierPorts = { protocol: "udp", ports: { first: UDP_PORT, last: UDP_PORT } };

/** A client's; nothing is opened before fake TCP is used. */
function transportsFor(
  transport: "udp" | "faketcp" | "auto",
  { hasOthers }: { readonly hasOthers: boolean },
): ClientTransports {
  return new ClientTransports({
    transport,
    interfaceName: "vpn0",
    journal: {} as Journal,
    hasOthers,
  });
}

Deno.test("the firewall admits UDP where the server may be reached by it", () => {
  assertEquals(transportsFor("udp", { hasOthers: false }).ports(UDP_PORT), [BY_UDP]);
  assertEquals(transportsFor("auto", { hasOthers: false }).ports(UDP_PORT), [BY_UDP]);
});

Deno.test("with fake TCP alone, the firewall admits UDP for peers besides the server, while there are any", () => {
  assertEquals(transportsFor("faketcp", { hasOthers: true }).ports(UDP_PORT), [BY_UDP]);
  const transports = transportsFor("faketcp", { hasOthers: false });
  assertEquals(transports.ports(UDP_PORT), []);
  const admitted: (readonly CarrierPorts[])[] = [];
  transports.followedBy({ admit: (ports) => admitted.push(ports) }, UDP_PORT);
  transports.setOthers(false);
  transports.setOthers(true);
  transports.setOthers(true);
  transports.setOthers(false);
  assertEquals(admitted, [[BY_UDP], []]);
});
