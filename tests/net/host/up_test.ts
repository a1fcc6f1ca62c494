/** That `vpn up` and `vpn down` run tunnels by their files, in the background where no systemd runs. */
import { findInstance } from "../../../lib/control/instances.ts";
import { isAlive } from "../../../lib/process/process_identity.ts";
import {
  assert,
  assertEquals,
  assertMatch,
  assertStringIncludes,
  assertThrows,
} from "../../support/assert.ts";
import { temporaryFolder } from "../../support/folder.ts";
import { netTest, randomDigits, type TestNamespace } from "../../support/net.ts";
import { eventually } from "../../support/time/patience.ts";
import { simpleTunnel } from "../support/simple_tunnel.ts";
import { patientClient, vpnCommand } from "../support/programs/vpn.ts";
import { layWire, SERVER_INSIDE } from "../support/wire.ts";
import { expectReached } from "../support/traffic/traffic.ts";

/** A folder with configurations, and the logs of what runs from them. */
class Folder implements Disposable {
  readonly #path = temporaryFolder();
  readonly #names: string[] = [];

  /** Writes a configuration whose device no other test's is called like; its path. */
  write(label: string, config: string): { path: string; device: string } {
    const device = `${label}${randomDigits().slice(-9)}`;
    this.#names.push(device);
    const path = `${this.#path}/${device}.conf`;
    Deno.writeTextFileSync(path, config, { mode: 0o600 });
    return { path, device };
  }

  [Symbol.dispose](): void {
    Deno.removeSync(this.#path, { recursive: true });
    for (const name of this.#names) {
      for (const suffix of ["", ".1"]) {
        try {
          Deno.removeSync(`/var/log/vpn/${name}.log${suffix}`);
        } catch (error) {
          if (!(error instanceof Deno.errors.NotFound)) throw error;
        }
      }
    }
  }
}

/** Ends a tunnel, whatever became of the test. */
async function down(namespace: TestNamespace, path: string): Promise<void> {
  const { code } = await namespace.run(vpnCommand("down", path));
  // 3: it does not run.
  assert(code === 0 || code === 3, `${code}`);
}

netTest(
  "vpn up runs a gateway and a client behind the terminal, and vpn down ends them in good order",
  async (topology) => {
    const { server, client } = await layWire(topology);
    const tunnel = simpleTunnel();
    using folder = new Folder();
    const gateway = folder.write("g", tunnel.server());
    const laptop = folder.write("c", patientClient(tunnel.client()));
    try {
      const up = await server.run(vpnCommand("up", gateway.path));
      assertEquals(up.code, 0, up.stderr);
      assertMatch(
        up.stdout,
        /^g\d+: serving on UDP port \d+; process \d+, log in \/var\/log\/vpn\//,
      );
      const connected = await client.run(vpnCommand("up", laptop.path));
      assertEquals(connected.code, 0, connected.stderr);
      assertMatch(connected.stdout, /^c\d+: connected to \S+ by UDP; process \d+/);
      await expectReached(client, SERVER_INSIDE);

      // It has no terminal and no session of ours, and its log is in the file.
      const { pid } = findInstance(laptop.device).owner;
      const [, session] = /^\d+ \(.*\) . \d+ \d+ (\d+)/.exec(
        Deno.readTextFileSync(`/proc/${pid}/stat`),
      )!;
      assertEquals(Number(session), pid);
      const log = Deno.readTextFileSync(`/var/log/vpn/${laptop.device}.log`);
      assertStringIncludes(log, "connected to");
      const again = await client.run(vpnCommand("up", laptop.path));
      assertEquals(again.code, 2);
      assertStringIncludes(again.stderr, `"${laptop.device}" is up already, as process ${pid}`);

      assertEquals(
        await client.output(vpnCommand("down", laptop.path)),
        `${laptop.device}: down\n`,
      );
      assertEquals((await client.run(["ip", "link", "show", laptop.device])).code, 1);
      assertEquals((await client.run(vpnCommand("down", laptop.path))).code, 3);
    } finally {
      await down(client, laptop.path);
      await down(server, gateway.path);
    }
  },
  { programs: ["ip", "ping", "sh"] },
);

netTest("vpn up fails with the tunnel's own words and exit code", async (topology) => {
  const { client } = await layWire(topology);
  const tunnel = simpleTunnel();
  using folder = new Folder();
  const nobody = folder.write("c", tunnel.client({ ConnectTimeout: "0.5" }));
  const { code, stdout, stderr } = await client.run(vpnCommand("up", nobody.path));
  assertEquals([code, stdout], [3, ""]);
  assertMatch(stderr, /^vpn: Cannot connect: /);
  const broken = folder.write("b", "[Interface]\nMTU = x\n");
  const mistake = await client.run(vpnCommand("up", broken.path));
  assertEquals(mistake.code, 2);
  assertMatch(mistake.stderr, /:2: MTU: cannot use "x"/);

  // What is left of a client keeps the host closed: down is not enough, and says so.
  await client.output(vpnCommand("block", "--interface", nobody.device));
  const closed = await client.run(vpnCommand("down", nobody.path));
  assertEquals(closed.code, 3);
  assertMatch(closed.stderr, /^vpn: "c\d+" is not running: .*`vpn cleanup`/);
  await client.output(vpnCommand("cleanup"));
}, { programs: ["ip", "sh", "nft"] });

netTest(
  "of two vpn up at once one brings the tunnel up, and vpn down undoes what one that was killed has left, not another's",
  async (topology) => {
    const { server, client } = await layWire(topology);
    using folder = new Folder();
    const { path, device } = folder.write("k", simpleTunnel().server());
    try {
      const both = await Promise.all([1, 2].map(() => server.run(vpnCommand("up", path))));
      assertEquals(both.map(({ code }) => code).sort(), [0, 2], both[1]!.stderr);
      assertStringIncludes(both.find(({ code }) => code === 2)!.stderr, "is up already");
      const log = `/var/log/vpn/${device}.log`;
      assertStringIncludes(Deno.readTextFileSync(log), "listening on UDP port");
      assertThrows(() => Deno.statSync(`${log}.lock`), Deno.errors.NotFound);

      const { owner } = findInstance(device);
      // Of the same name, in another network namespace.
      await client.output(vpnCommand("up", path));
      Deno.kill(owner.pid, "SIGKILL");
      await eventually(() => !isAlive(owner), { what: "the end of the process" });
      assertEquals((await server.run(vpnCommand("reload", device))).code, 3);
      const { code, stdout } = await server.run(vpnCommand("down", path));
      assertEquals(code, 0);
      assertMatch(stdout, /^undid for k\d+ .*\nk\d+: down\n$/s);
      assertEquals(await server.output(vpnCommand("cleanup")), "nothing to undo\n");
      assertEquals(
        await server.output(vpnCommand("down", path)),
        `${device}: down, in another network namespace\n`,
      );
    } finally {
      await down(server, path);
      await down(client, path);
    }
  },
  { programs: ["ip", "sh"] },
);
