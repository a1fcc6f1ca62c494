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
  options: Pick<ClientTransportsOptions, "hasOthers" | "openGuard" | "reachesIpv6">,
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

Deno.test("the firewall admits UDP by IPv6 from the time on that a server or a peer has such an address", () => {
  const BY_BOTH = { ...BY_UDP, overIpv6: true };
  const known = transportsFor("udp", { hasOthers: false, reachesIpv6: true });
  assertEquals(known.ports(UDP_PORT), [BY_BOTH]);
  const transports = transportsFor("udp", { hasOthers: false });
  const admitted: (readonly OuterPorts[])[] = [];
  transports.followedBy({ admit: (ports) => admitted.push(ports) }, UDP_PORT);
  transports.follow({ address: 0xc000_0201, port: 7 });
  assertEquals(admitted, []);
  transports.follow({ address: "2001:db8::1", port: 7 });
  transports.follow({ address: 0xc000_0201, port: 7 });
  assertEquals(admitted, [[BY_BOTH]]);
  const other = transportsFor("udp", { hasOthers: false });
  other.setOthers(true, true);
  other.setOthers(true);
  assertEquals(other.ports(UDP_PORT), [BY_BOTH]);
});

Deno.test("fake TCP follows a server from one family to the other, and the firewall with it", async () => {
  const ports = { first: 50_000, last: 50_001 };
  const remotes: unknown[] = [];
  const openGuard = ((remote: unknown) => {
    remotes.push(remote);
    return { endpoints: { ports }, setRemote: (other: unknown) => void remotes.push(other) };
  }) as unknown as NonNullable<ClientTransportsOptions["openGuard"]>;
  const dataPlane = {
    openFakeTcp: () => Promise.resolve(),
    setTransport() {},
  } as unknown as DataPlaneHandle;
  const transports = transportsFor("faketcp", { hasOthers: false, openGuard });
  const ipv4 = { address: 0xc000_0201, port: 7 };
  const ipv6 = { address: "2001:db8::1", port: 7 };
  transports.follow(ipv4);
  await transports.use(Transport.fakeTcp, dataPlane, ipv4);
  assertEquals(transports.ports(UDP_PORT), [{ protocol: "tcp", ports }]);
  transports.follow(ipv6);
  await transports.use(Transport.fakeTcp, dataPlane, ipv6);
  assertEquals(transports.ports(UDP_PORT), [{ protocol: "tcp", ports, overIpv6: true }]);
  assertEquals(remotes, [ipv4, ipv6]);
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
