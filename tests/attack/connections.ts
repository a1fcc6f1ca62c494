/** Connections: many by TCP, of a client through the NAT of a fleet, with numbered records both ways. */
import type { BackgroundProcess, TestNamespace } from "../support/net.ts";
import { eventually } from "../support/time/patience.ts";
import { type FleetSite, SERVER } from "../net/support/fleet_site.ts";
import type { Outcome } from "./attack.ts";
import type { Count } from "./numbered_connections.ts";

const CONNECTIONS = 50;
const PORT = 9000;
/** Records that each connection still receives behind what has happened. */
const RECORDS_AFTER = 10;

export class Connections implements AsyncDisposable {
  readonly #ends: readonly BackgroundProcess[];

  private constructor(...ends: readonly BackgroundProcess[]) {
    this.#ends = ends;
  }

  static async open(site: FleetSite): Promise<Connections> {
    const spawnEnd = (namespace: TestNamespace, ...args: readonly string[]) =>
      namespace.spawn([
        ...[Deno.execPath(), "run", "--quiet", "--allow-net"],
        new URL("numbered_connections.ts", import.meta.url).pathname,
        ...args,
      ]);
    const at = [SERVER, `${PORT}`];
    const server = spawnEnd(site.hub, "serve", ...at);
    await server.waitFor(/"open":0/);
    const client = spawnEnd(site.elsewhere, "connect", ...at, `${CONNECTIONS}`);
    const opened = new Connections(server, client);
    for (const end of opened.#ends) await end.waitFor(new RegExp(`"open":${CONNECTIONS}`));
    await opened.goOn();
    return opened;
  }

  get areLost(): boolean {
    return this.#counts.some(({ lost }) => lost.length > 0);
  }

  get #counts(): readonly Count[] {
    return this.#ends.map(({ stdout }) =>
      JSON.parse(stdout.slice(0, stdout.lastIndexOf("\n")).split("\n").at(-1)!)
    );
  }

  /** Waits until each connection that is left has received more at both ends. */
  async goOn(): Promise<void> {
    const before = this.#counts.map(({ fewest }) => fewest);
    await eventually(() =>
      this.#counts.every(({ fewest, lost }, i) =>
        lost.length > 0 || fewest >= before[i]! + RECORDS_AFTER
      ) || null
    );
  }

  /** Ends them, and says how they went. */
  async end(): Promise<Outcome> {
    this.#ends[1]!.signal("SIGUSR1");
    await eventually(() => this.#counts.every(({ open }) => open === 0) || null);
    const [atServer, atClient] = this.#counts as [Count, Count];
    const lost = [...atServer.lost, ...atClient.lost];
    const isWhole = atServer.sent === atClient.received && atClient.sent === atServer.received;
    return {
      held: isWhole && [atServer, atClient].every(({ intact }) => intact === CONNECTIONS),
      figure: `${Math.min(atServer.intact, atClient.intact)} of ${CONNECTIONS} connections kept, ` +
        `${atServer.received + atClient.received} of ${atServer.sent + atClient.sent} records ` +
        `arrived intact, longest gap ${Math.max(atServer.longestGap, atClient.longestGap)} ms` +
        (lost.length === 0 ? "" : `; lost: ${lost[0]}`),
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const end of this.#ends) await end[Symbol.asyncDispose]();
  }
}
