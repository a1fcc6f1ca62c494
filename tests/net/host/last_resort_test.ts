/**
 * That a server, a client and a relay take everything back and end with 1 when something in them fails that nothing
 * handles.
 */
import { assertEquals, assertMatch } from "../../support/assert.ts";
import { netTest, type TestNamespace } from "../../support/net.ts";
import { configText, newIdentity, temporaryFile } from "../support/config.ts";
import { HOST_STATE_PROGRAMS, hostState } from "../support/host_state.ts";
import { journalsOf } from "../support/simple_tunnel.ts";
import { startVpn } from "../support/programs/vpn.ts";
import {
  CLIENT_OUTSIDE,
  layWire,
  SERVER_ENDPOINT,
  SERVER_INSIDE,
  SERVER_OUTSIDE,
  SERVER_PORT,
} from "../support/wire.ts";

const PROGRAMS = [...HOST_STATE_PROGRAMS, "nft"];
const FAULTY = new URL("../support/programs/faulty_vpn.ts", import.meta.url).pathname;
const RELAY = ["--listen", "udp://127.0.0.1:4500", "--connect", `faketcp://${SERVER_OUTSIDE}:443`];

const serverIdentity = newIdentity();
const clientIdentity = newIdentity();

const SERVER_CONFIG = configText(
  {
    PrivateKey: serverIdentity.privateKey,
    ListenPort: SERVER_PORT,
    Address: `${SERVER_INSIDE}/24`,
    NatPorts: "40000-40999",
    Transport: "auto",
  },
  { PublicKey: clientIdentity.publicKey, AllowedIPs: "10.66.77.2/32" },
);
const CLIENT_CONFIG = configText(
  { PrivateKey: clientIdentity.privateKey, Address: "10.66.77.2/32", DNS: SERVER_INSIDE },
  {
    PublicKey: serverIdentity.publicKey,
    Endpoint: SERVER_ENDPOINT,
    AllowedIPs: "0.0.0.0/0, ::/0",
  },
);

const LISTENER = /^vpn: Cannot continue after an internal error: fault of a listener: .+$/m;
/** What each fault leads to: the last line. */
const FAULTS: Readonly<Record<string, RegExp>> = {
  "exception": LISTENER,
  "rejection": LISTENER,
  "thread-throw": /^vpn: Cannot continue: the [\w-]+ thread has died: fault of the thread$/m,
  "thread-end": /^vpn: Cannot continue: the [\w-]+ thread has died: .+$/m,
  "thread-hang":
    /^vpn: Cannot continue: the [\w-]+ thread has died: it has not answered for 30 s$/m,
};

/** Runs one to its end, which must leave nothing behind. */
async function assertGoodOrder(
  namespace: TestNamespace,
  fault: string,
  args: readonly string[],
): Promise<void> {
  const before = await hostState(namespace);
  const process = namespace.spawn([
    ...[Deno.execPath(), "run", "--quiet", "--allow-all", FAULTY, fault],
    ...args,
  ]);
  await process.waitFor(/^vpn: /m);
  const { code } = await process.status;
  assertEquals(code, 1, process.stderr);
  assertMatch(process.stderr, FAULTS[fault]!);
  assertEquals(process.stderr.match(/^vpn: /gm)?.length, 1, process.stderr);
  assertEquals(journalsOf(process), [], process.stderr);
  assertEquals(await hostState(namespace), before, process.stderr);
}

/** Who has which fault: all have all in common, so that not each pair is tried. */
const CASES = [
  ["exception", ["server", "client", "relay"]],
  ["rejection", ["server"]],
  ["thread-throw", ["server", "client", "relay"]],
  ["thread-end", ["client"]],
  ["thread-hang", ["server", "relay"]],
] as const;

for (const [fault, roles] of CASES) {
  netTest(
    `${roles.join(", ")}: all is taken back in good order after this fault: ${fault}`,
    async (topology) => {
      const { client, server } = await layWire(topology);
      await server.output(["ip", "route", "add", "default", "via", CLIENT_OUTSIDE]);
      await client.output(["ip", "route", "add", "default", "via", SERVER_OUTSIDE]);
      using serverConfig = temporaryFile(SERVER_CONFIG);
      using clientConfig = temporaryFile(CLIENT_CONFIG);
      for (const role of roles) {
        if (role === "server") {
          await assertGoodOrder(server, fault, [role, "--config", serverConfig.path]);
        } else if (role === "relay") {
          await assertGoodOrder(client, fault, [role, ...RELAY]);
        } else {
          await startVpn("server", server, SERVER_CONFIG);
          await assertGoodOrder(client, fault, [role, "--config", clientConfig.path]);
        }
      }
    },
    { programs: PROGRAMS },
  );
}
