/** Shows what adding and removing a client does to the files of a gateway, and what it does not. */
import { AppError, ExitCode, exitCodeOf } from "../../../../lib/process/errors.ts";
import type { Config } from "../../../../lib/core/config/config.ts";
import { encodeKey } from "../../../../lib/core/config/values/key_text.ts";
import { parseConfig } from "../../../../lib/core/config/parse_config.ts";
import { validateClient } from "../../../../lib/core/config/roles.ts";
import { formatCidr, formatIpv4 } from "../../../../lib/core/wire/ipv4_text.ts";
import { sampleKeys } from "../../../support/config/sample_keys.ts";
import { assert, assertEquals, assertRejects } from "../../../support/assert.ts";
import { temporaryFolder } from "../../../support/folder.ts";
import { output } from "../../../support/process.ts";
import { addToFile, removeFromFile } from "../../../support/peer/file_place.ts";
import { hostTest } from "../../../support/permissions.ts";

const ADDER = new URL("../../../support/peer/peer_adder_program.ts", import.meta.url).pathname;
const PUBLIC_ENDPOINT = "PublicEndpoint = vpn.example.org:51820";

/** A gateway's file, with further lines in its first section. */
function serverFile(...lines: string[]): string {
  const section = [`PrivateKey = ${sampleKeys(1).privateKey}`, "Address = 10.66.77.1/24", ...lines];
  return `# mine\n[Interface]\n${section.join("\n")}\n`;
}

/** A test with a folder of its own that holds `server.conf`. */
function folderTest(
  name: string,
  text: string,
  test: (folder: string, configPath: string) => Promise<void>,
): void {
  hostTest(name, async () => {
    const folder = temporaryFolder();
    await Deno.writeTextFile(`${folder}/server.conf`, text, { mode: 0o600 });
    await test(folder, `${folder}/server.conf`);
  });
}

function read(path: string): Config {
  return parseConfig(Deno.readTextFileSync(path), path);
}

/** All paths below a folder. */
function filesIn(folder: string): string[] {
  return Array.from(Deno.readDirSync(folder))
    .flatMap(({ name, isDirectory }) =>
      isDirectory ? filesIn(`${folder}/${name}`).map((path) => `${name}/${path}`) : [name]
    ).sort();
}

function modeOf(path: string): number {
  return Deno.statSync(path).mode! & 0o777;
}

folderTest(
  "addPeer() writes both ends, which fit each other, and nothing that others can read",
  serverFile(PUBLIC_ENDPOINT, "DnsProxy = 9.9.9.9"),
  async (folder, configPath) => {
    const { path, text } = await addToFile(configPath, { name: "laptop" });
    assertEquals(path, `${folder}/server.peers/laptop.conf`);
    assertEquals(filesIn(folder), ["server.conf", "server.peers/laptop.conf"]);
    assertEquals(Deno.readTextFileSync(path!), text);
    assertEquals([modeOf(configPath), modeOf(path!), modeOf(`${folder}/server.peers`)], [
      0o600,
      0o600,
      0o700,
    ]);
    const server = read(configPath);
    const client = validateClient(read(path!));
    const [peer] = server.peers;
    assertEquals(peer?.name, "laptop");
    assertEquals(peer?.publicKey, client.interface.publicKey);
    assertEquals(peer?.presharedKey, client.server.presharedKey);
    assertEquals(peer?.allowedIps, client.interface.addresses);
    assertEquals(client.server.publicKey, server.interface.publicKey);
    assertEquals(client.server.endpoint, server.interface.publicEndpoint);
    // The gateway by its own address as well: whatever LAN the client comes into, that stays the tunnel's.
    assertEquals(client.server.allowedIps.map(formatCidr), ["10.66.77.1/32", "0.0.0.0/0"]);
    assertEquals(client.interface.dns.map(formatIpv4), ["10.66.77.1"]);
  },
);

folderTest("addPeer() takes what it is told instead", serverFile(), async (folder, configPath) => {
  const endpoints = [
    { host: "192.0.2.7", address: 0xc0000207, port: 443 },
    { host: "2001:db8::7", address: "2001:db8::7", port: 443 },
  ];
  const request = {
    name: "x",
    out: `${folder}/new/x.conf`,
    endpoints,
    allowedIps: "10.0.0.0/8",
    dns: "9.9.9.9",
  };
  const { path } = await addToFile(configPath, request);
  assertEquals(filesIn(folder), ["new/x.conf", "server.conf"]);
  const client = validateClient(read(path!));
  assertEquals(client.endpoints, endpoints);
  assertEquals(client.server.allowedIps, [{ address: 0x0a000000, prefixLength: 8 }]);
  assertEquals(client.interface.dns.map(formatIpv4), ["9.9.9.9"]);
});

folderTest(
  "addPeer() keeps the client's file nowhere when it goes to standard output",
  serverFile(PUBLIC_ENDPOINT),
  async (folder, configPath) => {
    const { path, text } = await addToFile(configPath, { name: "x", out: "-" });
    assertEquals(path, null);
    assert(text.includes("PrivateKey"));
    assertEquals(filesIn(folder), ["server.conf"]);
  },
);

folderTest(
  "addPeer() sends only the gateway's network through the tunnel where it leads nowhere else",
  serverFile(PUBLIC_ENDPOINT, "Egress = off", "DnsProxy = 9.9.9.9"),
  async (_, configPath) => {
    const { text } = await addToFile(configPath, { name: "x" });
    assert(text.includes("AllowedIPs = 10.66.77.0/24\n"), text);
    assert(!text.includes("DNS"), text);
  },
);

folderTest(
  "addPeer() gives no DNS where the gateway answers no questions",
  serverFile(PUBLIC_ENDPOINT),
  async (_, configPath) => {
    const { text } = await addToFile(configPath, { name: "x" });
    assert(!text.includes("DNS"), text);
  },
);

folderTest(
  "addPeer() and removePeer() together leave the file as it was, byte for byte",
  serverFile(PUBLIC_ENDPOINT),
  async (folder, configPath) => {
    const before = Deno.readTextFileSync(configPath);
    await addToFile(configPath, { name: "a" });
    await addToFile(configPath, { name: "b" });
    assertEquals(await removeFromFile(configPath, "a"), true);
    const { publicKey } = read(configPath).peers[0]!;
    assertEquals(await removeFromFile(configPath, encodeKey(publicKey)), true);
    assertEquals(Deno.readTextFileSync(configPath), before);
    assertEquals(filesIn(folder), ["server.conf"]);
    assertEquals(modeOf(configPath), 0o600);
  },
);

folderTest(
  "addPeer() follows a symbolic link, which stays, and keeps the owner",
  serverFile(PUBLIC_ENDPOINT),
  async (folder, configPath) => {
    Deno.mkdirSync(`${folder}/real`);
    Deno.renameSync(configPath, `${folder}/real/gateway.conf`);
    Deno.symlinkSync("real/gateway.conf", configPath);
    const owner = Deno.uid() === 0 ? 12 : Deno.uid();
    if (Deno.uid() === 0) Deno.chownSync(`${folder}/real/gateway.conf`, owner, 34);
    await addToFile(configPath, { name: "x" });
    assert(Deno.lstatSync(configPath).isSymlink);
    assertEquals(filesIn(folder), [
      "real/gateway.conf",
      "real/gateway.peers/x.conf",
      "server.conf",
    ]);
    assertEquals(Deno.statSync(configPath).uid, owner);
    assertEquals(await removeFromFile(configPath, "x"), true);
  },
);

const REFUSALS: readonly [why: string, text: string, name: string, message: string][] = [
  [
    "the name is taken",
    `${serverFile(PUBLIC_ENDPOINT)}[Peer]\nName = x\nPublicKey = ${sampleKeys(2).publicKey}\n`,
    "x",
    "the peer on line 6 of FILE has this name",
  ],
  [
    "the client's file is there already",
    serverFile(PUBLIC_ENDPOINT),
    "there",
    "Cannot write FOLDER/server.peers/there.conf: it exists already and contains keys",
  ],
  ["nobody knows where the gateway is", serverFile(), "x", "PublicEndpoint is missing"],
  [
    "the pool is empty",
    serverFile(PUBLIC_ENDPOINT).replace("/24", "/32"),
    "x",
    "FILE:4: Address: no address is free in 10.66.77.1/32",
  ],
  ["the file has a mistake", serverFile("ListenPort = 70000"), "x", "FILE:5: ListenPort"],
];

for (const [why, text, name, message] of REFUSALS) {
  folderTest(`addPeer() changes nothing when ${why}`, text, async (folder, configPath) => {
    Deno.mkdirSync(`${folder}/server.peers`);
    Deno.writeTextFileSync(`${folder}/server.peers/there.conf`, "precious");
    const expected = message.replace("FILE", configPath).replace("FOLDER", folder);
    const error = await assertRejects(() => addToFile(configPath, { name }), Error, expected);
    assertEquals(exitCodeOf(error), ExitCode.usage);
    assertEquals(Deno.readTextFileSync(configPath), text);
    assertEquals(filesIn(folder), ["server.conf", "server.peers/there.conf"]);
    assertEquals(Deno.readTextFileSync(`${folder}/server.peers/there.conf`), "precious");
  });
}

folderTest(
  "removePeer() names the peer that may have been meant when there is none of this name",
  serverFile(PUBLIC_ENDPOINT),
  async (_, configPath) => {
    await addToFile(configPath, { name: "laptop" });
    const before = Deno.readTextFileSync(configPath);
    await assertRejects(() => removeFromFile(configPath, "laptpo"), AppError, 'mean "laptop"?');
    await assertRejects(
      () => removeFromFile(configPath, "zebra"),
      AppError,
      "`vpn peer list` shows",
    );
    assertEquals(Deno.readTextFileSync(configPath), before);
  },
);

folderTest(
  "addPeer() of two processes at once loses no peer and gives no address twice",
  serverFile(PUBLIC_ENDPOINT),
  async (folder, configPath) => {
    const command = [Deno.execPath(), "run", "--quiet", "--no-check", "--allow-all", ADDER];
    await Promise.all(
      ["a", "b"].map((prefix) => output(null, [...command, configPath, prefix, "20"])),
    );
    const { peers } = read(configPath);
    assertEquals(peers.length, 40);
    const addresses = peers.map(({ allowedIps }) => allowedIps[0]!.address & 0xff);
    assertEquals(addresses, Array.from({ length: 40 }, (_, index) => index + 2));
    assertEquals(filesIn(`${folder}/server.peers`).length, 40);
    assertEquals(filesIn(folder).filter((name) => name.startsWith(".")), []);
  },
);
