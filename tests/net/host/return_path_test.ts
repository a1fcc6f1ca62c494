/**
 * Tests of `lib/host/firewall/return_path.ts`: a full tunnel on a host whose reverse-path filter is strict (RFC 3704
 * section 2.2).
 */
import { assertEquals, assertMatch } from "../../support/assert.ts";
import { netTest, type TestNamespace, type Topology } from "../../support/net.ts";
import { buildIcmp, buildUdp, fragment } from "../../support/packets/packet_builder.ts";
import { eventually } from "../../support/time/patience.ts";
import { HOST_STATE_PROGRAMS, hostState } from "../support/host_state.ts";
import { Injector } from "../support/outside.ts";
import { endWell, simpleTunnel } from "../support/simple_tunnel.ts";
import { ping } from "../support/traffic/traffic.ts";
import { startVpn } from "../support/programs/vpn.ts";
import {
  CABLE,
  CLIENT_OUTSIDE,
  FAR_SERVER,
  layWire,
  SERVER_INSIDE,
  SERVER_OUTSIDE,
  SERVER_PORT,
  type Wire,
} from "../support/wire.ts";

/** Where the server answers from when it has moved. */
const MOVED_SERVER = "203.0.113.5";
/** A router on the path, which is only reached by the default route as well. */
const ROUTER = "203.0.113.77";
const PROGRAMS = [...HOST_STATE_PROGRAMS, "nft", "ping", "ss"];

/** A wire on which only the default route leads to the server, and the client's filter is strict. */
async function layStrictWire(topology: Topology): Promise<Wire> {
  const wire = await layWire(topology);
  await wire.server.output(["ip", "-batch", "-"], {
    stdin: `address add ${FAR_SERVER}/32 dev lo\naddress add ${MOVED_SERVER}/32 dev lo\n`,
  });
  await wire.client.output(["ip", "route", "add", "default", "via", SERVER_OUTSIDE]);
  const names = ["all", "default", CABLE].map((name) => `net.ipv4.conf.${name}.rp_filter=1`);
  await wire.client.output(["sysctl", "-q", "-w", ...names]);
  return wire;
}

/** A counter of a namespace's IP, as in `Ip ReasmOKs`; 0 where it has not been counted yet. */
async function counter(namespace: TestNamespace, group: string, name: string): Promise<number> {
  const text = await namespace.output(["cat", "/proc/net/snmp", "/proc/net/netstat"]);
  const [names, values] = text.split("\n").filter((line) => line.startsWith(`${group}: `))
    .map((line) => line.split(" "));
  return Number(values?.[names?.indexOf(name) ?? -1] ?? 0);
}

/** Waits until the counter is above what it was. */
async function counted(
  namespace: TestNamespace,
  [group, name]: readonly [string, string],
  call: () => unknown,
): Promise<void> {
  const before = await counter(namespace, group, name);
  call();
  await eventually(async () => await counter(namespace, group, name) > before || null, {
    what: `${group} ${name} beyond ${before}`,
  });
}

const RECEIVED_ERRORS = ["IcmpMsg", "InType3"] as const;
const FILTERED = ["TcpExt", "IPReversePathFilter"] as const;
const ASSEMBLED = ["Ip", "ReasmOKs"] as const;

/** What a router says of a packet from this port of the client's. */
function errorAbout(protocol: number, port: number): Uint8Array {
  const packet = buildUdp({
    source: CLIENT_OUTSIDE,
    destination: FAR_SERVER,
    sourcePort: port,
    destinationPort: SERVER_PORT,
    protocol,
  });
  const fields = { source: ROUTER, destination: CLIENT_OUTSIDE, type: 3, code: 1 };
  return buildIcmp({ ...fields, identifier: 0, sequenceNumber: 0, payload: packet });
}

const TRANSPORTS = [
  { transport: "udp", protocol: 17, name: "UDP" },
  { transport: "faketcp", protocol: 6, name: "fake TCP" },
] as const;

for (const { transport, protocol, name } of TRANSPORTS) {
  netTest(
    `a full tunnel by ${name} passes a strict reverse-path filter, with ICMP errors about it, and nothing else does`,
    async (topology) => {
      const { client, server } = await layStrictWire(topology);
      const tunnel = simpleTunnel();
      await startVpn("server", server, tunnel.server({ Transport: "auto" }));
      const before = await hostState(client);
      const process = await startVpn(
        "client",
        client,
        tunnel.client(
          { Transport: transport },
          { AllowedIPs: "0.0.0.0/0", Endpoint: `${FAR_SERVER}:${SERVER_PORT}` },
        ),
      );
      assertEquals((await ping(client, SERVER_INSIDE)).received, 3);
      const sockets = await client.output(["ss", "-Huan"]);
      const table = await client.output(["nft", "list", "ruleset"]);
      const pattern = transport === "udp" ? /:(\d+)\s/ : /tcp dport (\d+)-/;
      const port = Number(pattern.exec(transport === "udp" ? sockets : table)?.[1]);
      using injector = new Injector(server, { device: CABLE });
      await counted(client, RECEIVED_ERRORS, () => injector.send(errorAbout(protocol, port)));
      const errors = await counter(client, ...RECEIVED_ERRORS);
      await counted(client, FILTERED, () => injector.send(errorAbout(protocol, 9)));
      assertEquals(await counter(client, ...RECEIVED_ERRORS), errors);
      if (transport === "udp") {
        // A datagram that comes in fragments, of which the filter sees each by itself.
        const fields = {
          source: FAR_SERVER,
          destination: CLIENT_OUTSIDE,
          payload: new Uint8Array(2_000),
        };
        const ports = { sourcePort: SERVER_PORT, destinationPort: port };
        const parts = fragment(buildUdp({ ...fields, ...ports, identification: 7 }), 1_000);
        await counted(client, ASSEMBLED, () => injector.send(...parts));
        // The server moves, which its datagrams alone tell.
        await server.output(["nft", "-f", "-"], {
          stdin: "table ip moved { chain out { type filter hook postrouting priority 0; " +
            `ip saddr ${FAR_SERVER} udp sport ${SERVER_PORT} ip saddr set ${MOVED_SERVER}; }; }`,
        });
        assertEquals((await ping(client, SERVER_INSIDE)).received, 3);
        // Taken away like everything else of ours.
        await client.output(["nft", "delete", "table", "ip", "vpn_vpn0_return"]);
        await process.waitFor(/restored: nftables table ip vpn_vpn0_return/);
        assertEquals((await ping(client, SERVER_INSIDE)).received, 3);
      }
      await endWell(process);
      assertEquals(await hostState(client), before);
      assertMatch(before, /default via/);
    },
    { programs: PROGRAMS },
  );
}
