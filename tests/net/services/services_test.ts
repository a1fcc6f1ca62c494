/** `Forward` to several back ends: shared out, checked, drained; at an address of its own; and outside the tunnel. */
import { writeText } from "../../../lib/process/output.ts";
import { assert, assertEquals } from "../../support/assert.ts";
import { type BackgroundProcess, netTest, type TestNamespace } from "../../support/net.ts";
import { eventually } from "../../support/time/patience.ts";
import { configText } from "../support/config.ts";
import { examine } from "../support/doctor.ts";
import {
  EXTERNAL,
  GATEWAY_PROGRAMS,
  GatewayNetwork,
  INSIDE,
  INTERNET,
  OTHER_INTERNET,
  ROUTER,
} from "../support/gateway.ts";
import { ask, statusOf } from "../support/programs/instance.ts";
import { startVpn, vpnCommand } from "../support/programs/vpn.ts";
import { journalsOf } from "../support/simple_tunnel.ts";
import { Site } from "../support/site.ts";
import { SERVER_PORT } from "../support/wire.ts";

const PROGRAM = new URL("../support/programs/service_program.ts", import.meta.url).pathname;
const NAMES = ["a", "b", "c"];
const CONNECTIONS = 10_000;
/** An address in the network outside that nobody has. */
const VIRTUAL = "192.0.2.80";
/** Of curl. */
const TIMED_OUT = 28;

/** Figures, for who reads the log. */
function tell(line: string): void {
  writeText(Deno.stdout, `${line}\n`);
}

function program(namespace: TestNamespace, ...args: readonly string[]): BackgroundProcess {
  const runtime = [
    Deno.execPath(),
    "run",
    "--quiet",
    "--no-check",
    "--allow-net",
  ];
  return namespace.spawn([...runtime, PROGRAM, ...args]);
}

/** A gateway's configuration with named peers, one for each client. */
function named(network: GatewayNetwork, forward: string, Allow?: string, Capture?: string): string {
  return configText(
    {
      PrivateKey: network.identity.privateKey,
      ListenPort: SERVER_PORT,
      Address: `${INSIDE}/24`,
      Forward: forward,
      Capture,
      DataPlaneThreads: "2",
    },
    ...network.clients.map(({ identity, inside }, index) => ({
      Name: `web-${NAMES[index]}`,
      PublicKey: identity.publicKey,
      AllowedIPs: `${inside}/32`,
      Allow,
    })),
  );
}

/** Waits until each back end is in this state, in their order. */
async function states(server: BackgroundProcess, expected: readonly string[]): Promise<void> {
  await eventually(async () => {
    const { services: [service] } = await statusOf(server);
    const found = service.backEnds.map(({ state }) => state);
    return JSON.stringify(found) === JSON.stringify(expected) ? found : null;
  }, { what: `back ends that are ${expected.join(", ")}`, interval: 50 });
}

netTest(
  "10,000 connections to clients of two threads are shared out over three back ends; one is killed: only its own break, and new ones avoid it",
  async (topology) => {
    const network = await GatewayNetwork.lay(topology, { clients: 3 });
    const { gateway, internet, clients } = network;
    const forward = "tcp:443 -> web-a:8443, web-b:8443, web-c:8443";
    const server = await startVpn("server", gateway, named(network, forward, "gateway"));
    for (const client of clients) await network.connect(client);
    const backEnds = clients.map(({ namespace }, i) =>
      program(namespace, "serve", "8443", NAMES[i])
    );
    for (const backEnd of backEnds) await backEnd.waitFor(/serving/);
    await states(server, ["up", "up", "up"]);

    const visitor = program(internet, "visit", EXTERNAL, "443", `${CONNECTIONS}`);
    const [line, openedText] = await visitor.waitFor(/opened (\{.*\}).*/);
    tell(line);
    const opened: Record<string, number> = JSON.parse(openedText);
    assertEquals(Object.keys(opened).sort(), NAMES);
    for (const count of Object.values(opened)) {
      assert(Math.abs(count - CONNECTIONS / 3) < CONNECTIONS / 20, line);
    }
    const { services: [service] } = await statusOf(server);
    for (const [i, { connections }] of service.backEnds.entries()) {
      assert(connections >= opened[NAMES[i]], `${connections}`);
    }

    backEnds[1].signal("SIGKILL");
    await states(server, ["up", "down", "up"]);
    tell((await visitor.waitFor(/avoided after (\d+) ms/))[0]);
    const [aliveLine, aliveText, brokenText] = await visitor.waitFor(
      /alive (\{.*\}) broken (\{.*\})/,
    );
    tell(aliveLine);
    const { b, ...others } = opened;
    assertEquals([JSON.parse(aliveText), JSON.parse(brokenText)], [others, { b }]);

    // It is there again, and another is drained.
    await program(clients[1].namespace, "serve", "8443", "b").waitFor(/serving/);
    await states(server, ["up", "up", "up"]);
    const drained = await gateway.output(vpnCommand("service", "drain", "web-a"));
    assertEquals(drained, "web-a gets no new connections of tcp:443\n");
    await states(server, ["drained", "up", "up"]);
    await ask(server, "drain-service", { backEnd: "web-b:8443", drained: true });
    const [before] = (await statusOf(server)).services;
    const again = program(internet, "visit", EXTERNAL, "443", "50");
    await again.waitFor(/opened \{"c":50\}/);
    const [after] = (await statusOf(server)).services;
    assertEquals(
      after.backEnds.slice(0, 2).map(({ totalConnections }) => totalConnections),
      before.backEnds.slice(0, 2).map(({ totalConnections }) => totalConnections),
    );

    // What they answer is theirs to answer, and nothing else.
    const { code } = await clients[2].namespace.run([
      "curl",
      "--max-time",
      "20",
      `http://${INTERNET}/`,
    ]);
    assert(code !== 0);
    // Threads sum up what they have dropped.
    await eventually(async () => (await statusOf(server)).drops["access_denied"] > 0 || null);

    // A peer that is gone has no session, and one that is removed is nowhere.
    await ask(server, "drain-service", { backEnd: "web-a", drained: false });
    await ask(server, "remove-peer", { PublicKey: clients[0].identity.publicKey });
    await states(server, ["absent", "drained", "up"]);
    const shown = await gateway.output(vpnCommand("service", "list"));
    assert(/web-a:8443 +- +absent: there is no such peer/.test(shown), shown);
  },
  { programs: [...GATEWAY_PROGRAMS, "curl"] },
);

for (const Capture of ["packet", "nfqueue"]) {
  netTest(
    `a service has an address of its own, which the host does not answer for, and back ends inside and outside; Capture = ${Capture}`,
    async (topology) => {
      const network = await GatewayNetwork.lay(topology);
      const { gateway, internet, client } = network;
      await using _inside = new Site(client.namespace, 8080);
      await using outside = new Site(internet, 8080, INTERNET);
      await using _other = new Site(internet, 8080, OTHER_INTERNET);
      const forward =
        `tcp:${VIRTUAL}:80 -> web-a:8080, ${INTERNET}:8080, ${OTHER_INTERNET}:8080 (least)`;
      const config = named(network, forward, undefined, Capture);
      const server = await startVpn("server", gateway, config);
      await network.connect();
      await states(server, ["up", "up", "up"]);

      const fetch = async (from: TestNamespace, path = "") => {
        const url = `http://${VIRTUAL}/${path}`;
        return await from.output(["curl", "--silent", "--fail", "--max-time", "30", url]);
      };
      // By turns: one inside sees the visitor, one outside the gateway.
      const seen = new Set<string>();
      // One that a busy machine has kept from answering its checks is back two answers later.
      await eventually(async () => seen.add(await fetch(internet)).size > 1 || null);
      assertEquals(seen, new Set([`hello ${ROUTER}`, `hello ${EXTERNAL}`]));
      // Segments that the kernel has merged, in both directions.
      for (let i = 0; i < 3; i++) assertEquals(await fetchFile(internet), "8000000");
      assertEquals(await fetch(client.namespace).then((text) => text.startsWith("hello ")), true);

      // No RST, no ICMP.
      const silent = await internet.run(["curl", "--max-time", "2", `http://${VIRTUAL}:81/`]);
      assertEquals(silent.code, TIMED_OUT, silent.stderr);
      const question = await internet.run(["dig", "+time=1", "+tries=1", `@${VIRTUAL}`, "x."]);
      assert(/timed out/.test(question.stdout), question.stdout);

      await outside[Symbol.asyncDispose]();
      await states(server, ["up", "down", "up"]);
      for (let i = 0; i < 4; i++) await fetch(internet);
      if (Capture === "packet") {
        const report = await examine(gateway, config);
        report.expect("service-back-ends", {
          status: "warn",
          why: new RegExp(`: 2 of 3 back ends serve: ${INTERNET}:8080 is down \\(`),
        });
        assertEquals(report.finding("service-address").status, "ok");
      }

      await server.stop();
      assertEquals(journalsOf(server), []);
      assertEquals(await gateway.output(["nft", "list", "ruleset"]), "");
    },
    { programs: [...GATEWAY_PROGRAMS, "curl", "dig", "nft"] },
  );
}

/** Fetches 8 MB through the service; the bytes that came. */
async function fetchFile(from: TestNamespace): Promise<string> {
  const url = `http://${VIRTUAL}/file`;
  const write = ["--write-out", "%{size_download}", "--output", "/dev/null"];
  return await from.output(["curl", "--silent", "--fail", "--max-time", "60", ...write, url]);
}
