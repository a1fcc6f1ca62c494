/** Tests of `lib/commands/client/client_carriers.ts`. */
import { ClientCarriers } from "../../../../lib/commands/client/client_carriers.ts";
import type { CarrierPorts } from "../../../../lib/host/firewall/kill_switch.ts";
import type { Journal } from "../../../../lib/host/journal/journal.ts";
import { assertEquals } from "../../../support/assert.ts";

const UDP_PORT = 40_000;
const BY_UDP: CarrierPorts = { protocol: "udp", ports: { first: UDP_PORT, last: UDP_PORT } };

/** A client's; nothing is opened before fake TCP is used. */
function carriersFor(
  transport: "udp" | "faketcp" | "auto",
  { hasOthers }: { readonly hasOthers: boolean },
): ClientCarriers {
  return new ClientCarriers({
    transport,
    interfaceName: "vpn0",
    journal: {} as Journal,
    hasOthers,
  });
}

Deno.test("the firewall admits UDP where the server may be reached by it", () => {
  assertEquals(carriersFor("udp", { hasOthers: false }).ports(UDP_PORT), [BY_UDP]);
  assertEquals(carriersFor("auto", { hasOthers: false }).ports(UDP_PORT), [BY_UDP]);
});

Deno.test("with fake TCP alone, the firewall admits UDP for peers besides the server, while there are any", () => {
  assertEquals(carriersFor("faketcp", { hasOthers: true }).ports(UDP_PORT), [BY_UDP]);
  const carriers = carriersFor("faketcp", { hasOthers: false });
  assertEquals(carriers.ports(UDP_PORT), []);
  const admitted: (readonly CarrierPorts[])[] = [];
  carriers.followedBy({ admit: (ports) => admitted.push(ports) }, UDP_PORT);
  carriers.setOthers(false);
  carriers.setOthers(true);
  carriers.setOthers(true);
  carriers.setOthers(false);
  assertEquals(admitted, [[BY_UDP], []]);
});
