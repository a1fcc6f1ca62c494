/** Command `vpn fleet`: looks at the store of a fleet's peers, and moves a file's peers there. */
import type { FleetRequest } from "../../cli/fleet_request.ts";
import { tableLines } from "../../cli/table.ts";
import { atOnce } from "../../core/config/at_once.ts";
import { RefusalError } from "../../core/config/refusal_error.ts";
import type { Config } from "../../core/config/config.ts";
import type { StoreChange, StoredPeers } from "../../core/peers/peer_store.ts";
import { loadConfig } from "../../host/files/config_file.ts";
import { editSteps, snapshotSteps } from "../../host/files/config_peers.ts";
import { createKeyFile, LockedConfig } from "../../host/files/config_store.ts";
import { ExitCode } from "../../process/errors.ts";
import type { SharedPeerStore } from "../../host/fleet/shared_peer_store.ts";
import { writeText } from "../../process/output.ts";
import { screenful } from "../status/screen.ts";
import { everySecond } from "../status/watched.ts";
import { changeFleet, gatewayRows } from "./fleet_gateways.ts";
import { joinFleet } from "./fleet_join.ts";
import { leaveFleet } from "./fleet_leave.ts";
import { requireStore } from "./store_config.ts";
import { reachStore } from "../peer/store_peers.ts";

/** Peers in one write: they fit a message to NATS, whatever they have. */
const AT_ONCE = 200;

/** Does what is asked for. @throws {ConfigError | AppError | RefusalError} where it cannot */
export async function runFleet(request: FleetRequest): Promise<number> {
  switch (request.action) {
    case "status":
      return await status(request);
    case "import":
      return await importPeers(request.configPath);
    case "key":
      return await createKey(request.file);
    case "init": {
      // Certificates take memory, which only those pay who make some.
      const { initFleet } = await import("./fleet_init.ts");
      return await initFleet(request);
    }
    case "join":
      return await joinFleet(request);
    case "leave":
      return await leaveFleet(request);
    case "drain":
    case "rebalance":
    case "remove": {
      const config = loadConfig(request.configPath, "leave");
      requireStore(config);
      await using store = await reachStore(config, request.configPath);
      writeText(Deno.stdout, `${await changeFleet(store, request)}\n`);
      return ExitCode.ok;
    }
  }
}

async function status(
  { configPath, watch }: Extract<FleetRequest, { action: "status" }>,
): Promise<number> {
  const config = loadConfig(configPath, "leave");
  requireStore(config);
  await using store = await reachStore(config, configPath);
  if (watch) {
    using screen = screenful(Deno.stdout);
    await everySecond(async () => screen.show(await statusLines(config, store)));
  } else {
    writeText(Deno.stdout, `${(await statusLines(config, store)).join("\n")}\n`);
  }
  return ExitCode.ok;
}

async function statusLines(config: Config, store: SharedPeerStore): Promise<string[]> {
  const { peers, groups, revision } = await store.snapshot();
  const { isConnected, server, replicas, leftOut } = store.state;
  return tableLines([
    ["servers", config.interface.store.join(", ")],
    ["connected to", isConnected ? server ?? "-" : "none of them: what follows is as it was last"],
    ["each entry is on", replicas === 1 ? "1 server" : `${replicas} servers`],
    ["last change", revision],
    ["peers", `${peers.size}`],
    ["groups", `${groups.size}`],
    ["cannot be used", `${leftOut}`],
    ...gatewayRows(store),
  ]);
}

/** Groups first, then peers in parts: all of them are looked at before the first is written. */
async function importPeers(configPath: string): Promise<number> {
  using file = await LockedConfig.open(configPath);
  const { text, config } = file.read();
  requireStore(config);
  const own = atOnce(snapshotSteps(config));
  await using store = await reachStore(config, configPath);
  const there = await store.snapshot();
  const groups = Array.from(own.groups).filter(([name]) => !there.groups.has(name));
  const peers = Array.from(own.peers).filter(([key]) => !there.peers.has(key));
  requireFree(peers, there.peers);
  const changes: StoreChange[] = [
    ...groups.map(([name, settings]): StoreChange => ({
      kind: "put-group",
      name,
      settings,
      expected: null,
    })),
    ...peers.map(([publicKey, settings]): StoreChange => ({
      kind: "put-peer",
      publicKey,
      settings,
      expected: null,
    })),
  ];
  for (let first = 0; first < changes.length; first += AT_ONCE) {
    await store.change(() => changes.slice(first, first + AT_ONCE));
  }
  const after = { peers: new Map(), groups: new Map() };
  const left = atOnce(editSteps(text, { before: own, after }));
  if (left !== text) file.replace(left);
  const kept = own.peers.size - peers.length;
  writeText(
    Deno.stdout,
    `Moved ${peers.length} peers and ${groups.length} groups from ${configPath} to the store` +
      `${kept === 0 ? "" : `; ${kept} peers were there already, and stay as they are there`}.\n` +
      "A gateway that runs uses the store from its next start on.\n",
  );
  return ExitCode.ok;
}

type Peers = StoredPeers["peers"];

function requireFree(
  peers: readonly (readonly [string, { Name?: string; AllowedIPs?: string }])[],
  there: Peers,
) {
  const names = new Set(Array.from(there.values(), ({ Name }) => Name));
  const networks = new Set(
    Array.from(there.values()).flatMap(({ AllowedIPs }) => AllowedIPs?.split(", ") ?? []),
  );
  for (const [key, { Name, AllowedIPs }] of peers) {
    const network = AllowedIPs?.split(", ").find((each) => networks.has(each));
    const taken = Name !== undefined && names.has(Name) ? `the name ${Name}` : network;
    if (taken === undefined) continue;
    throw new RefusalError(
      "conflict",
      `Cannot move ${
        Name ?? key
      }: another peer of the store has ${taken}: change one of the two; nothing is moved`,
    );
  }
}

async function createKey(path: string): Promise<number> {
  const { newUserKey } = await import("../../host/fleet/user_key.ts");
  const { seed, publicKey } = newUserKey();
  const content = new TextEncoder().encode(`${seed}\n`);
  createKeyFile({ path, content, overwrite: false });
  writeText(
    Deno.stdout,
    `${publicKey}\nThat is the public key, for nkey = ... in the configuration of NATS. StoreCredentials = ${path}\n`,
  );
  return ExitCode.ok;
}
