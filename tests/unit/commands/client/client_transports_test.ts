/** Tests of `lib/commands/client/client_transports.ts`. */
import {
  ClientTransports,
  type ClientTransportsOptions,
} from "../../../../lib/commands/client/client_transports.ts";
import { Transport } from "../../../../lib/core/transport/transport.ts";
import type { DataPlaneHandle } from "../../../../lib/dataplane/data_plane_handle.ts";
import { DataPlaneError } from "../../../../lib/dataplane/thread/data_plane_error.ts";
import type { OuterPorts } from "../../../../lib/host/firewall/kill_switch.ts";
import type { Journal } from "../../../../lib/host/journal/journal.ts";
import { assertEquals, assertRejects } from "../../../support/assert.ts";

const UDP_PORT = 40_000;
const BY_UDP: OuterPorts = { protocol: "udp", ports: { first: UDP_PORT, last: UDP_PORT } };

/** A client's; nothing is opened before fake TCP is used. */
function transportsFor(
  transport: "udp" | "faketcp" | "auto",
  options: Pick<ClientTransportsOptions, "hasOthers" | "openGuard">,
): ClientTransports {
  return new ClientTransports({
    transport,
    interfaceName: "vpn0",
    journal: {} as Journal,
    ...options,
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
  const admitted: (readonly OuterPorts[])[] = [];
  transports.followedBy({ admit: (ports) => admitted.push(ports) }, UDP_PORT);
  transports.setOthers(false);
  transports.setOthers(true);
  transports.setOthers(true);
  transports.setOthers(false);
  assertEquals(admitted, [[BY_UDP], []]);
});

Deno.test("fake TCP whose sockets cannot be opened is not used, and asks for them again the next time", async () => {
  const openGuard = (() => ({
    endpoints: { ports: { first: 50_000, last: 50_001 } },
  })) as unknown as NonNullable<ClientTransportsOptions["openGuard"]>;
  let failure: Error | null = new DataPlaneError({ message: "no sockets", errno: 24 });
  const asked: string[] = [];
  const dataPlane = {
    openFakeTcp() {
      asked.push("open");
      return failure === null ? Promise.resolve() : Promise.reject(failure);
    },
    setTransport: () => asked.push("use"),
  } as unknown as DataPlaneHandle;
  const transports = transportsFor("auto", { hasOthers: false, openGuard });
  const use = () => transports.use(Transport.fakeTcp, dataPlane, { address: 1, port: 51_820 });
  await assertRejects(use, DataPlaneError, "no sockets");
  assertEquals(asked, ["open"]);
  failure = null;
  await use();
  await use();
  assertEquals(asked, ["open", "open", "use", "use"]);
});
