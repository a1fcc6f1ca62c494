/** Real servers of NATS, one or a cluster, on loopback or in a network namespace, with a folder for JetStream. */
import { BackgroundProcess, spawn } from "../process.ts";

export interface NatsServersOptions {
  readonly folder: string;
  readonly count: number;
  /** Lines of each server's configuration besides. */
  readonly more?: string;
  /** Network namespace; null for the thread's own. */
  readonly namespace?: string | null;
  readonly address?: string;
  /** Ports for clients and for each other, by server; free ones if left out. */
  readonly ports?: Ports;
  /** A configuration that `vpn fleet init` writes, for a server by its index, in place of one without TLS and users. */
  readonly configOf?: (index: number, ports: Ports) => string;
}

type Ports = readonly (readonly [client: number, route: number])[];

export class NatsServers implements AsyncDisposable {
  readonly #options: NatsServersOptions;
  readonly #ports: readonly (readonly [number, number])[];
  readonly #running = new Map<number, BackgroundProcess>();

  private constructor(options: NatsServersOptions) {
    this.#options = options;
    this.#ports = options.ports ??
      Array.from({ length: options.count }, () => [freePort(), freePort()]);
  }

  /** Starts them, and waits until they serve. */
  static async start(options: NatsServersOptions): Promise<NatsServers> {
    const servers = new NatsServers(options);
    for (let index = 0; index < options.count; index++) servers.start(index);
    await servers.ready();
    return servers;
  }

  /** As `Store` has them. */
  get urls(): readonly string[] {
    const scheme = this.#options.configOf === undefined ? "nats" : "tls";
    return this.#ports.map(([port]) => `${scheme}://${this.#address}:${port}`);
  }

  /** What the servers say they are, as in `2.9.10`: by PATH, another than the host's can be tested. */
  get version(): string {
    const [server] = this.#running.values();
    return /Version: +(\S+)/.exec(server!.stderr)![1]!;
  }

  get #address(): string {
    return this.#options.address ?? "127.0.0.1";
  }

  start(index: number): void {
    const { folder, namespace = null, configOf } = this.#options;
    const path = `${folder}/nats-${index}.conf`;
    Deno.writeTextFileSync(path, configOf?.(index, this.#ports) ?? this.#plainConfig(index));
    this.#running.set(index, spawn(namespace, ["nats-server", "--config", path]));
  }

  #plainConfig(index: number): string {
    const { folder, count, more = "" } = this.#options;
    const [client, route] = this.#ports[index]!;
    const routes = this.#ports.map(([, port]) => `nats://${this.#address}:${port}`).join(", ");
    return `server_name: n${index}
listen: "${this.#address}:${client}"
jetstream { store_dir: "${folder}/data-${index}", max_mem: 64M, max_file: 4G }
${
      count === 1
        ? ""
        : `cluster { name: vpn, listen: "${this.#address}:${route}", routes: [${routes}] }`
    }
${more}
`;
  }

  /** Waits until all that run have said so. */
  async ready(): Promise<void> {
    for (const server of this.#running.values()) {
      await server.waitFor(/Server is ready/);
    }
  }

  async stop(index: number): Promise<void> {
    await this.#running.get(index)!.stop();
    this.#running.delete(index);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(Array.from(this.#running.keys(), (index) => this.stop(index)));
  }
}

function freePort(): number {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  return listener.addr.port;
}
