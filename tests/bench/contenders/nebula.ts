/**
 * Nebula as a contender: certificates of an authority made for the run, data by ChaCha20-Poly1305 over UDP as the
 * others have it (its own choice is AES), the others' MTU, and nothing tuned.
 */
import { temporaryFolder } from "../../support/folder.ts";
import type { BackgroundProcess, TestNamespace } from "../../support/net.ts";
import { output } from "../../support/process.ts";
import { CLIENT_INSIDE, delay, SERVER_INSIDE, SERVER_OUTSIDE } from "../../net/support/wire.ts";
import { ContenderName } from "../figures.ts";
import { type Contender, noWireguard, tunnelOf } from "./contender.ts";
import type { Program } from "./vpn.ts";

const PORT = 4242;
const READY = /Nebula interface is active/;
const START_TIMEOUT_MS = 15_000;

/** How its two programs are run. */
export interface NebulaPrograms {
  readonly nebula: Program;
  readonly nebulaCert: Program;
}

/** A contender whose keys lie in a directory of their own, which disposal removes. */
export async function nebula(
  programs: NebulaPrograms,
  behind: string,
): Promise<Contender & Disposable> {
  const directory = temporaryFolder();
  const dispose = () => Deno.removeSync(directory, { recursive: true });
  try {
    await makeCertificates(programs.nebulaCert, directory, behind);
    return {
      name: ContenderName.nebula,
      unfit: noWireguard("nebula"),
      async start(site) {
        const common = { directory, program: programs.nebula };
        const server = await startNode(site.server, { ...common, name: "server", behind });
        const routes = { name: "client", behind: site.behind } as const;
        const client = await startNode(site.client, { ...common, ...routes });
        await firstAnswer(site.client);
        return tunnelOf(server, client);
      },
      [Symbol.dispose]: dispose,
    };
  } catch (error) {
    dispose();
    throw error;
  }
}

/** An authority, and a certificate for each end; the server's lets it forward to the network behind it. */
async function makeCertificates(
  nebulaCert: Program,
  directory: string,
  behind: string,
): Promise<void> {
  const make = (...args: readonly string[]) =>
    output(null, ["env", "-C", directory, ...nebulaCert, ...args]);
  await make("ca", "-name", "bench", "-duration", "48h");
  const server = ["-name", "server", "-networks", `${SERVER_INSIDE}/24`];
  await make("sign", ...server, "-unsafe-networks", behind);
  await make("sign", "-name", "client", "-networks", `${CLIENT_INSIDE}/24`);
}

interface NodeOptions {
  readonly program: Program;
  readonly directory: string;
  readonly name: "server" | "client";
  /** The network that the server forwards to, and the client has a route to; none for a client without. */
  readonly behind: string | undefined;
}

async function startNode(
  namespace: TestNamespace,
  options: NodeOptions,
): Promise<BackgroundProcess> {
  const path = `${options.directory}/${options.name}.json`;
  Deno.writeTextFileSync(path, JSON.stringify(configOf(options)));
  const process = namespace.spawn([...options.program, "-config", path]);
  await process.waitFor(READY, START_TIMEOUT_MS);
  return process;
}

/** Its configuration; YAML, which JSON is a part of. */
function configOf({ directory, name, behind }: NodeOptions): unknown {
  const isServer = name === "server";
  const anyone = { port: "any", proto: "any", host: "any" };
  return {
    pki: {
      ca: `${directory}/ca.crt`,
      cert: `${directory}/${name}.crt`,
      key: `${directory}/${name}.key`,
    },
    static_host_map: isServer ? {} : { [SERVER_INSIDE]: [`${SERVER_OUTSIDE}:${PORT}`] },
    lighthouse: { am_lighthouse: isServer, hosts: isServer ? [] : [SERVER_INSIDE] },
    listen: { host: "0.0.0.0", port: isServer ? PORT : 0 },
    cipher: "chachapoly",
    tun: {
      dev: "nebula0",
      mtu: 1420,
      unsafe_routes: isServer || behind === undefined
        ? []
        : [{ route: behind, via: SERVER_INSIDE }],
    },
    firewall: {
      outbound: [anyone],
      inbound: [
        anyone,
        ...isServer && behind !== undefined ? [{ ...anyone, local_cidr: behind }] : [],
      ],
    },
  };
}

/** Waits for the first ping that comes back: until the ends have met, packets are kept or dropped. */
async function firstAnswer(client: TestNamespace): Promise<void> {
  const ping = ["ping", "-n", "-c", "1", "-W", "1", SERVER_INSIDE];
  for (const end = performance.now() + START_TIMEOUT_MS;;) {
    const { code, stdout, stderr } = await client.run(ping);
    if (code === 0) return;
    if (performance.now() > end) throw new Error(`nebula has no answer: ${stdout}${stderr}`);
    await delay(50);
  }
}
