/** Shows the parts of the demo that need no privilege: names and folders, configurations, comparison, command line. */
import { validateClient, validateServer } from "../../lib/config/roles.ts";
import { parseConfig } from "../../lib/config/parse_config.ts";
import { createConfigurations } from "../../lib/app/demo/identities.ts";
import { difference } from "../../lib/app/demo/network_state.ts";
import { runtimeArguments } from "../../lib/app/demo/processes.ts";
import { makePrivateFolder, ownerOf, removeFolder } from "../../lib/app/demo/traces.ts";
import { assert, assertEquals, assertNotEquals, assertThrows } from "../support/assert.ts";

Deno.test("runtimeArguments() is what stands between the runtime and the program's arguments", () => {
  const commandLine = "deno\0run\0--quiet\0--allow-all\0main.ts\0demo\0--log-level\0debug\0";
  assertEquals(
    runtimeArguments(commandLine, ["demo", "--log-level", "debug"]),
    ["run", "--quiet", "--allow-all", "main.ts"],
  );
  assertEquals(runtimeArguments("deno\0main.ts\0", []), ["main.ts"]);
  // An empty argument is an argument.
  assertEquals(runtimeArguments("deno\0main.ts\0\0", [""]), ["main.ts"]);
});

Deno.test("createConfigurations() makes files that server and clients run from", () => {
  const texts = createConfigurations();
  const server = validateServer(parseConfig(texts.gateway, "gateway.conf"));
  const clients = (["client-1", "client-2"] as const).map((name) =>
    validateClient(parseConfig(texts[name], `${name}.conf`))
  );
  assertEquals(server.peers.map(({ name }) => name), ["client-1", "client-2"]);
  for (const [i, client] of clients.entries()) {
    assertEquals(client.warnings, []);
    assertEquals(client.server.publicKey, server.interface.publicKey);
    assertEquals(client.server.presharedKey, server.peers[i]!.presharedKey);
    assertEquals(client.interface.publicKey, server.peers[i]!.publicKey);
    assertEquals(client.interface.addresses, server.peers[i]!.allowedIps);
    assertEquals(client.server.endpoint.port, server.listenPort);
  }
  assertEquals(server.warnings, []);
  assertNotEquals(clients[0]!.server.presharedKey, clients[1]!.server.presharedKey);
  assertNotEquals(createConfigurations().gateway, texts.gateway);
});

Deno.test("difference() names what is left and what is lost", () => {
  const before = new Set(["interface lo, up", "interface wan, up"]);
  assertEquals(difference(before, new Set(before)), []);
  assertEquals(difference(before, new Set(["interface lo, up", "interface vpn0, up"])), [
    "left behind: interface vpn0, up",
    "lost: interface wan, up",
  ]);
});

Deno.test("ownerOf() reads the process id from a demo's own names alone", () => {
  assertEquals(ownerOf("vpn-demo-123-gateway"), 123);
  const others = [
    "vpn-demo-123",
    "vpn-demo-123-",
    "vpn-demo-0-x",
    "vpn-demo-x-1",
    "my-vpn-demo-1-x",
  ];
  assertEquals(others.map(ownerOf), others.map(() => null));
});

Deno.test("makePrivateFolder() lets nobody else in, removeFolder() takes its files too, twice if need be", () => {
  const folder = makePrivateFolder();
  try {
    assertEquals(ownerOf(folder.split("/").at(-1)!), Deno.pid);
    assertEquals(Deno.statSync(folder).mode! & 0o777, 0o700);
    Deno.writeTextFileSync(`${folder}/key`, "");
  } finally {
    removeFolder(folder);
  }
  assertThrows(() => Deno.statSync(folder), Deno.errors.NotFound);
  removeFolder(folder);
});

Deno.test("removeFolder() leaves alone what a symbolic link leads to", () => {
  const folder = makePrivateFolder();
  const link = `${folder}-link`;
  try {
    Deno.symlinkSync(folder, link);
    removeFolder(link);
    assert(Deno.statSync(folder).isDirectory);
  } finally {
    Deno.removeSync(link);
    removeFolder(folder);
  }
});
