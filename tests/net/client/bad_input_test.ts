/** What a server or a client says when it cannot run: one line, the documented exit code, and the host as it was. */
import { assert, assertEquals, assertMatch } from "../../support/assert.ts";
import { netTest, type RunResult, type TestNamespace } from "../../support/net.ts";
import { configText, newIdentity, type Section, temporaryFile } from "../support/config.ts";
import { HOST_STATE_PROGRAMS, hostState } from "../support/host_state.ts";
import { occupyPort } from "../support/traffic/sockets.ts";
import { vpnCommand } from "../support/programs/vpn.ts";
import {
  CABLE,
  CLIENT_INSIDE,
  layWire,
  SERVER_ENDPOINT,
  SERVER_INSIDE,
  SERVER_PORT,
  SUBNET,
} from "../support/wire.ts";

const ROLES = ["server", "client"] as const;
type Role = (typeof ROLES)[number];

const own = newIdentity();
const other = newIdentity();
const third = newIdentity();

/** A configuration that either role can run from; what is given replaces keys or, as `undefined`, removes them. */
function configFor(
  role: Role,
  { interface: changed = {}, peer = {} }: { interface?: Section; peer?: Section } = {},
): string {
  const server = role === "server";
  return configText(
    {
      PrivateKey: own.privateKey,
      ListenPort: SERVER_PORT,
      Address: `${server ? SERVER_INSIDE : CLIENT_INSIDE}/24`,
      ...changed,
    },
    {
      PublicKey: other.publicKey,
      AllowedIPs: server ? `${CLIENT_INSIDE}/32` : SUBNET,
      ...server ? {} : { Endpoint: SERVER_ENDPOINT },
      ...peer,
    },
  );
}

/** A command line and what is to come of it. */
interface Case {
  readonly role: Role;
  readonly config: string;
  readonly args?: readonly string[];
  /** Put before the command line, to run it with less than root has. */
  readonly wrapper?: readonly string[];
  readonly code: number;
  /** The whole line on standard error behind `vpn: `; FILE stands for the configuration's path. */
  readonly line: RegExp;
}

async function runCase(namespace: TestNamespace, { role, ...rest }: Case): Promise<void> {
  using file = temporaryFile(rest.config);
  const { wrapper = [], args = [] } = rest;
  const command = vpnCommand(role, "--config", file.path, ...args);
  const result = await namespace.run([...wrapper, ...command]);
  assertRefused(result, rest.code, rest.line, file.path);
}

function assertRefused(result: RunResult, code: number, line: RegExp, path: string): void {
  const { stdout, stderr } = result;
  assertMatch(stderr.replaceAll(path, "FILE"), new RegExp(`^vpn: ${line.source}\n$`));
  assertEquals(stderr.split("\n").length, 2, `more than one line: ${stderr}`);
  assertEquals([result.code, stdout], [code, ""]);
  for (const { privateKey, publicKey } of [own, other, third]) {
    for (const key of [privateKey, publicKey]) {
      assert(!stderr.includes(key.slice(0, 20)), `a key is shown: ${stderr}`);
    }
  }
}

/** Registers a test of cases, which run side by side; the host must be the same afterwards. */
function refusalTest(
  title: string,
  cases: readonly Case[],
  programs: readonly string[] = [],
): void {
  netTest(title, async (topology) => {
    const { client } = await layWire(topology);
    const before = await hostState(client);
    const results = await Promise.allSettled(cases.map((each) => runCase(client, each)));
    for (const result of results) if (result.status === "rejected") throw result.reason;
    assertEquals(await hostState(client), before);
  }, { programs: [...HOST_STATE_PROGRAMS, ...programs] });
}

/** The same case for both roles. */
function forBoth(make: (role: Role) => Omit<Case, "role">): Case[] {
  return ROLES.map((role) => ({ role, ...make(role) }));
}

const WITHOUT_PRIVILEGES = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"];
/** In a mount namespace of its own, where the directory of the device is empty. */
const WITHOUT_TUN = [
  "unshare",
  "-m",
  "sh",
  "-c",
  'mount -t tmpfs none /dev/net && exec "$@"',
  "sh",
];

refusalTest("main refuses a key that is none", [
  ...forBoth((role) => ({
    config: configFor(role, { interface: { PrivateKey: own.privateKey.slice(0, 20) } }),
    code: 2,
    line:
      /FILE:2: PrivateKey: cannot use this value: a key is 44 characters of base64, this one has 20/,
  })),
  {
    role: "client",
    config: configFor("client", { peer: { PublicKey: `${other.publicKey.slice(0, 43)}*` } }),
    code: 2,
    line: /FILE:7: PublicKey: cannot use this value: a key is 44 characters of base64, [^\n]+/,
  },
]);

refusalTest("main refuses a port beyond 65535 and a network that is none", [
  ...forBoth((role) => ({
    config: configFor(role, { interface: { ListenPort: 70000 } }),
    code: 2,
    line: /FILE:3: ListenPort: cannot use "70000": a port is 1 to 65535/,
  })),
  ...forBoth((role) => ({
    config: configFor(role, { peer: { AllowedIPs: "10.66.77.0/33" } }),
    code: 2,
    line:
      /FILE:8: AllowedIPs: cannot use "10\.66\.77\.0\/33": a network is ADDRESS\/LENGTH, [^\n]+/,
  })),
]);

refusalTest("main refuses an unknown key and suggests the nearest", [
  {
    role: "client",
    config: configFor("client", { interface: { Adress: "10.0.0.1/8" } }),
    code: 2,
    line: /FILE:5: unknown key "Adress": did you mean "Address"\?/,
  },
  {
    role: "server",
    config: configFor("server", { peer: { PresharedKeys: third.privateKey } }),
    code: 2,
    line: /FILE:9: unknown key "PresharedKeys": did you mean "PresharedKey"\?/,
  },
]);

refusalTest("main refuses a client's networks that contain the server's own address", [
  {
    role: "client",
    config: configFor("client", { peer: { AllowedIPs: `${SUBNET}, 192.0.2.0/24` } }),
    code: 2,
    line:
      /FILE:6: AllowedIPs: cannot use "192\.0\.2\.0\/24": it contains the server's own address 192\.0\.2\.1; [^\n]+/,
  },
]);

refusalTest("main refuses a client's networks that overlap the one to the server", [
  {
    role: "client",
    config: configFor("client", { peer: { AllowedIPs: `${SUBNET}, 192.0.2.128/25` } }),
    code: 2,
    line:
      /FILE:6: AllowedIPs: cannot use "192\.0\.2\.128\/25": it overlaps 192\.0\.2\.0\/24 on eth0, the network by which the server 192\.0\.2\.1 is reached; [^\n]+/,
  },
  {
    role: "client",
    config: configFor("client", { interface: { Address: "192.0.2.200/25" } }),
    code: 2,
    line: /FILE:4: Address: cannot use "192\.0\.2\.200\/25": it overlaps 192\.0\.2\.0\/24 [^\n]+/,
  },
]);

refusalTest("main refuses to run without privileges", [
  ...forBoth((role) => ({
    config: configFor(role),
    wrapper: WITHOUT_PRIVILEGES,
    code: 5,
    line: /Cannot create a tunnel: CAP_NET_ADMIN is missing: [^\n]+`--cap-add NET_ADMIN`[^\n]+/,
  })),
], ["setpriv"]);

refusalTest("main refuses to run without /dev/net/tun", [
  ...forBoth((role) => ({
    config: configFor(role),
    wrapper: WITHOUT_TUN,
    code: 5,
    line: /Cannot open \/dev\/net\/tun: it does not exist: [^\n]+ mknod [^\n]+/,
  })),
], ["unshare", "mount"]);

refusalTest("main refuses the name of an interface that is there", [
  ...forBoth((role) => ({
    config: configFor(role),
    args: ["--interface", CABLE],
    code: 2,
    line: /Cannot create interface "eth0": the name is taken: [^\n]+ --interface/,
  })),
]);

refusalTest("main refuses the name of a namespace that is not there", [
  ...forBoth((role) => ({
    config: configFor(role),
    args: ["--netns", "vpn-test-nowhere"],
    code: 2,
    line: /Cannot enter network namespace "vpn-test-nowhere": it does not exist: [^\n]+/,
  })),
]);

refusalTest("main cannot connect where the server's name is not known", [
  {
    role: "client",
    config: configFor("client", { peer: { Endpoint: `nowhere.invalid:${SERVER_PORT}` } }),
    code: 3,
    line: /Cannot find the server's address: looking up "nowhere\.invalid" failed: [^\n]+/,
  },
]);

netTest("main refuses a port that is in use", async (topology) => {
  const { client } = await layWire(topology);
  using _socket = occupyPort(client, SERVER_PORT);
  const before = await hostState(client);
  for (const role of ROLES) {
    await runCase(client, {
      role,
      // Without a default route, a gateway that is to reach the internet would say so first.
      config: configFor(role, { interface: role === "server" ? { Egress: "off" } : {} }),
      code: 2,
      line: /Cannot listen on UDP port 51820: it is in use: [^\n]+ ListenPort/,
    });
  }
  assertEquals(await hostState(client), before);
}, { programs: HOST_STATE_PROGRAMS });

netTest("main refuses a configuration that cannot be read", async (topology) => {
  const { client } = await layWire(topology);
  const before = await hostState(client);
  using file = temporaryFile(configFor("server"));
  // Root reads everything; without its privileges, it is a user like others.
  Deno.chownSync(file.path, 65534, 65534);
  Deno.chmodSync(file.path, 0o600);
  const attempts: readonly (readonly [string[], string, RegExp])[] = [
    [[], "/nowhere/vpn.conf", /no such file: give one with --config FILE/],
    [[], "/", /it is a directory/],
    [WITHOUT_PRIVILEGES, file.path, /permission denied: run as its owner or as root/],
  ];
  for (const role of ROLES) {
    for (const [wrapper, path, why] of attempts) {
      const result = await client.run([...wrapper, ...vpnCommand(role, "--config", path)]);
      const line = new RegExp(`Cannot read configuration "FILE": ${why.source}`);
      assertRefused(
        { ...result, stderr: result.stderr.replace(`"${path}"`, '"FILE"') },
        2,
        line,
        path,
      );
    }
  }
  assertEquals(await hostState(client), before);
}, { programs: [...HOST_STATE_PROGRAMS, "setpriv"] });
