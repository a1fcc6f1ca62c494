/** Shows that a change of a client is made in the file and in gateways that are told, or in neither. */
import { AppError, ExitCode } from "../../../../lib/process/errors.ts";
import { findPeer } from "../../../../lib/commands/peer/peer_names.ts";
import { loadToChange } from "../../../../lib/host/files/config_store.ts";
import { FilePlace } from "../../../../lib/commands/peer/peer_place.ts";
import type { PeerKeyEdit } from "../../../../lib/commands/peer/peer_settings.ts";
import { RefusalError } from "../../../../lib/core/config/refusal_error.ts";
import { parseConfig } from "../../../../lib/core/config/parse_config.ts";
import { encodeKey } from "../../../../lib/core/config/values/key_text.ts";
import type { PeerSettings } from "../../../../lib/core/peers/peer_settings.ts";
import type { StoreOutcome } from "../../../../lib/core/peers/peer_store.ts";
import { assertEquals, assertRejects } from "../../../support/assert.ts";
import { sampleKeys } from "../../../support/config/sample_keys.ts";
import { temporaryFolder } from "../../../support/folder.ts";
import { hostTest } from "../../../support/permissions.ts";

const FILE = `# mine
[Interface]
PrivateKey = ${sampleKeys(1).privateKey}
Address = 10.66.77.1/24

# laptops: one
[Peer]
Name = laptop # the grey one
PublicKey = ${sampleKeys(2).publicKey}
AllowedIPs = 10.66.77.2/32

[Peer]
Name = phone
PublicKey = ${sampleKeys(3).publicKey}
AllowedIPs = 10.66.77.3/32, fd00::3/128
`;

/** A file, with the client's beside it, and gateways that note what they are told. */
class Stage implements Disposable {
  readonly folder = temporaryFolder();
  readonly path = `${this.folder}/server.conf`;
  readonly told: PeerSettings[] = [];
  readonly appliedOn = ["vpn0"];
  /** What the gateways say to the next change. */
  refusal: Error | null = null;
  /** Is run when they have applied one. */
  onApplied = () => {};

  constructor() {
    Deno.writeTextFileSync(this.path, FILE, { mode: 0o600 });
    Deno.mkdirSync(`${this.folder}/server.peers`, { mode: 0o700 });
    Deno.writeTextFileSync(`${this.folder}/server.peers/laptop.conf`, "its own", { mode: 0o600 });
  }

  readonly peers = () => new Map();

  apply({ before, after }: StoreOutcome): Promise<void> {
    if (this.refusal !== null) return Promise.reject(this.refusal);
    for (const [key, peer] of after.peers) {
      if (JSON.stringify(peer) !== JSON.stringify(before.peers.get(key))) this.told.push(peer);
    }
    this.onApplied();
    return Promise.resolve();
  }

  async update(name: string, { key, value }: PeerKeyEdit) {
    const server = loadToChange(this.path);
    const place = new FilePlace(this.path, server, this);
    const publicKey = encodeKey(findPeer(server, name).publicKey);
    const [changed] = await place.change([publicKey], { [key]: value });
    return { changed: changed!, appliedOn: place.appliedOn };
  }

  get text(): string {
    return Deno.readTextFileSync(this.path);
  }

  get clientFiles(): string[] {
    return Array.from(Deno.readDirSync(`${this.folder}/server.peers`), ({ name }) => name).sort();
  }

  [Symbol.dispose](): void {
    Deno.removeSync(this.folder, { recursive: true });
  }
}

hostTest(
  "a change of a client changes one line, keeps its comment, and tells what runs",
  async () => {
    using stage = new Stage();
    const { changed, appliedOn } = await stage.update("laptop", { key: "Enabled", value: "no" });
    assertEquals([changed.admission, appliedOn], ["disabled", ["vpn0"]]);
    assertEquals(stage.told.map(({ Name, Enabled }) => [Name, Enabled]), [["laptop", "no"]]);
    const line = "AllowedIPs = 10.66.77.2/32\n";
    assertEquals(stage.text, FILE.replace(line, `${line}Enabled = no\n`));
    await stage.update("laptop", { key: "Enabled", value: null });
    assertEquals(stage.text, FILE);
    assertEquals(Deno.statSync(stage.path).mode! & 0o777, 0o600);
  },
);

hostTest("a change of a client renames the client's own file with the client", async () => {
  using stage = new Stage();
  await stage.update("laptop", { key: "Name", value: "Tim's laptop" });
  assertEquals(stage.text, FILE.replace("Name = laptop #", "Name = Tim's laptop #"));
  assertEquals(stage.clientFiles, ["Tim's laptop.conf"]);
  await stage.update("phone", { key: "Name", value: "mobile" });
  assertEquals(stage.clientFiles, ["Tim's laptop.conf"]);
  // Without a name there is none that the file could have.
  await stage.update("Tim's laptop", { key: "Name", value: null });
  assertEquals(stage.clientFiles, ["Tim's laptop.conf"]);
});

hostTest(
  "a change of a client leaves file and client's file as they were where what runs refuses",
  async () => {
    using stage = new Stage();
    stage.refusal = new AppError("no", { exitCode: ExitCode.unexpected });
    for (const [key, value] of [["Name", "tablet"], ["RateLimit", "1M"]] as const) {
      await assertRejects(() => stage.update("laptop", { key, value }), Error, "no");
      assertEquals([stage.text, stage.clientFiles], [FILE, ["laptop.conf"]]);
    }
  },
);

hostTest(
  "a change of a client takes back what runs has applied where the file cannot be written",
  async () => {
    using stage = new Stage();
    // The name of what is written at first is in a folder that is no more.
    stage.onApplied = () => {
      stage.onApplied = () => {};
      Deno.renameSync(stage.path, `${stage.folder}/away.conf`);
      Deno.mkdirSync(stage.path);
      Deno.writeTextFileSync(`${stage.path}/x`, "");
    };
    await assertRejects(
      () => stage.update("laptop", { key: "Name", value: "tablet" }),
      RefusalError,
      "Cannot write",
    );
    assertEquals(stage.told.map(({ Name }) => Name), ["tablet", "laptop"]);
    assertEquals(Deno.readTextFileSync(`${stage.folder}/away.conf`), FILE);
    assertEquals(stage.clientFiles, ["laptop.conf"]);
  },
);

hostTest(
  "a change of a client takes no name and no network from another client, and no other client's file",
  async () => {
    using stage = new Stage();
    Deno.writeTextFileSync(`${stage.folder}/server.peers/there.conf`, "precious");
    for (
      const [key, value, problem] of [
        ["Name", "phone", "another peer has this name"],
        ["Name", "there", "it exists already and contains keys"],
        ["AllowedIPs", "10.66.77.2/32, 10.66.77.3/32", "10.66.77.3/32 belongs to phone"],
        ["AllowedIPs", "fd00::3/128", "fd00::3/128 belongs to phone"],
      ] as const
    ) {
      await assertRejects(() => stage.update("laptop", { key, value }), RefusalError, problem);
    }
    assertEquals([stage.text, stage.told], [FILE, []]);
    assertEquals(Deno.readTextFileSync(`${stage.folder}/server.peers/there.conf`), "precious");
  },
);

hostTest(
  "changes of one client after the other are all there",
  async () => {
    using stage = new Stage();
    await Promise.all([
      stage.update("laptop", { key: "RateLimit", value: "1M" }),
      stage.update("phone", { key: "RateLimit", value: "2M" }),
      stage.update("laptop", { key: "Enabled", value: "no" }),
    ]);
    const { peers } = parseConfig(stage.text, "server.conf");
    assertEquals(peers.map(({ rateLimit, isEnabled }) => [rateLimit, isEnabled]), [
      [1_000_000, false],
      [2_000_000, true],
    ]);
  },
);
