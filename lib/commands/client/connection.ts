/**
 * Client connection: performs the actions of the client machine (lib/core/client/client_machine.ts) and tells it what
 * happens: I/O, one timer, and promises for its callers; it decides nothing. An action that fails is told to the
 * machine, which alone knows what depends on it.
 *
 * The data plane judges whether the server is there (lib/core/wireguard/liveness/liveness.ts). While it is not, the
 * TUN, the routes and the protection from leaks stay as they are, so that nothing that the host sends takes another
 * path.
 */
import type { ClientAction } from "../../core/client/client_action.ts";
import type { ClientEvent, ClientSettings } from "../../core/client/client_event.ts";
import { ClientMachine } from "../../core/client/client_machine.ts";
import type { ClientConfig, Endpoint } from "../../core/config/config.ts";
import { encodeKey } from "../../core/config/values/key_text.ts";
import type { ServerPlace } from "../../core/client/server_places.ts";
import { formatSocketAddress, type HostAddress } from "../../core/wire/host_address.ts";
import type { SocketAddress } from "../../core/wire/socket_address.ts";
import type { DataPlaneHandle } from "../../dataplane/data_plane_handle.ts";
import type { Report } from "../../dataplane/data_plane_protocol.ts";
import type { AgainOptions } from "../../host/dns/resolve.ts";
import { lookUpServerAgain } from "./server_lookup.ts";
import { guarded } from "../../process/guard.ts";
import type { ClientTransports } from "./client_transports.ts";
import type { SilenceWatch } from "./silence_watch.ts";
import { type Listeners, routeText, tell } from "./connection_words.ts";

/** ms that one timer waits at most: the runtime takes longer ones for none. */
const LONGEST_TIMER = 3_600_000;

type PeerReport = Extract<Report, { kind: "peer" }>;

export interface ConnectionOptions extends Listeners {
  readonly config: ClientConfig;
  /** Where the server is first looked for, one after the other. */
  readonly places: readonly ServerPlace[];
  readonly mark: number;
  readonly transports: Pick<ClientTransports, "use" | "follow">;
  /** Resolvers that may be asked outside the tunnel while it is down, as they are now. */
  readonly nameServers: (config: ClientConfig) => readonly string[];
  readonly whileAsking: AgainOptions["whileAsking"];
  /** The path to an address, as a text that differs when packets take another one. Empty for none. */
  readonly pathTo: (address: HostAddress) => string;
}

export class Connection {
  readonly #options: ConnectionOptions;
  readonly #machine: ClientMachine;
  #config: ClientConfig;
  #dataPlane: DataPlaneHandle | null = null;
  #silence: Pick<SilenceWatch, "begin" | "explain"> | null = null;
  /** How often the server has shown that it is there. */
  #answers = 0;
  /** What has happened and is not told yet: an action may answer at once. */
  readonly #events: ClientEvent[] = [];
  #isTelling = false;
  #timer: ReturnType<typeof setTimeout> | undefined;
  readonly #connected = Promise.withResolvers<boolean>();
  readonly #lost = Promise.withResolvers<void>();
  #moving = Promise.withResolvers<boolean>();

  constructor(options: ConnectionOptions) {
    const { config, places } = options;
    this.#options = options;
    this.#config = config;
    this.#machine = new ClientMachine({
      places,
      transport: config.interface.transport,
      settings: settingsOf(config),
      random: Math.random,
    });
  }

  /** As in `198.51.100.1:51820 by UDP`. */
  get route(): string {
    return routeText(this.#machine.route);
  }

  /** As in `198.51.100.1:51820`. */
  get server(): string {
    return formatSocketAddress(this.place);
  }

  /** All that are tried, as in `198.51.100.1:51820 and 198.51.100.2:51820`. */
  get servers(): string {
    return this.#machine.places.map(formatSocketAddress).join(" and ");
  }

  /** Where the server is, or is looked for. */
  get place(): SocketAddress {
    const { address, port } = this.#machine.route;
    return { address, port };
  }

  /** All that are tried. */
  get places(): readonly ServerPlace[] {
    return this.#machine.places;
  }

  /** What the configuration calls the place where the server is, or is looked for. */
  get endpoint(): Endpoint {
    return this.#config.endpoints[this.#machine.rank] ?? this.#config.server.endpoint;
  }

  /** Whether what is reported is of the server. */
  isServer({ publicKey }: { readonly publicKey: Uint8Array }): boolean {
    return encodeKey(publicKey) === encodeKey(this.#config.server.publicKey);
  }

  /**
   * Connects for the first time.
   *
   * @param options `lookUpFirst`: the addresses at hand may be old; `silence`: is asked why nobody answers
   * @returns whether the server has answered, within `ConnectTimeout` for each endpoint
   */
  connect(
    dataPlane: DataPlaneHandle,
    { lookUpFirst, silence }: {
      readonly lookUpFirst: boolean;
      readonly silence: Pick<SilenceWatch, "begin" | "explain">;
    },
  ): Promise<boolean> {
    this.#dataPlane = dataPlane;
    this.#silence = silence;
    this.#tell({ kind: "start", lookUpFirst });
    return this.#connected.promise;
  }

  /**
   * Keeps the connection, by connecting again as often as it takes: the host is set up.
   *
   * @returns when the server is lost and `OnPeerTimeout = exit`; else never
   */
  keep(): Promise<void> {
    this.#tell({ kind: "host-ready" });
    return this.#lost.promise;
  }

  /** Keeps the connection by this configuration from now on, whose server is the same. */
  reconfigure(config: ClientConfig): void {
    this.#config = config;
    this.#tell({ kind: "reconfigured", settings: settingsOf(config) });
  }

  /**
   * Leaves for another server, or for the same one elsewhere.
   *
   * @param places where it may be, the first one tried first
   * @returns whether it has answered, within `ConnectTimeout` for each endpoint; where not, it is tried on as one that
   * was lost
   */
  moveTo(config: ClientConfig, places: readonly ServerPlace[]): Promise<boolean> {
    this.#config = config;
    // One before it that still waits has been overtaken.
    this.#moving.resolve(false);
    this.#moving = Promise.withResolvers();
    this.#tell({ kind: "server-moved", settings: settingsOf(config), places });
    return this.#moving.promise;
  }

  /** Takes note of what the data plane reports of the server; other peers are nobody's to connect to. */
  onPeer(report: PeerReport): void {
    if (!this.isServer(report)) return;
    const { event, endpoint } = report;
    if (event === "handshake-completed" || event === "up") this.#answers++;
    if (event === "handshake-completed") this.#tell({ kind: "peer-up", from: endpoint });
    if (event === "up") this.#tell({ kind: "peer-up", from: null });
    if (event === "down") this.#tell({ kind: "peer-down" });
    if (event === "transport-works") this.#tell({ kind: "udp-works" });
  }

  /** The host's network has changed. */
  onNetworkChange(): void {
    this.#tell({ kind: "network-changed" });
  }

  /** The machine has slept. */
  onResume(): void {
    this.#tell({ kind: "woke" });
  }

  /** Does nothing from now on. */
  close(): void {
    this.#tell({ kind: "stop" });
    this.#dataPlane = null;
  }

  #tell(event: ClientEvent): void {
    this.#events.push(event);
    if (this.#isTelling) return;
    this.#isTelling = true;
    try {
      for (let next = this.#events.shift(); next !== undefined; next = this.#events.shift()) {
        for (const action of this.#machine.take(next, performance.now())) this.#perform(action);
      }
    } finally {
      this.#isTelling = false;
    }
    this.#setTimer();
  }

  #setTimer(): void {
    clearTimeout(this.#timer);
    const { dueAt } = this.#machine;
    if (dueAt === Infinity) return;
    const pause = Math.min(LONGEST_TIMER, Math.max(0, Math.ceil(dueAt - performance.now())));
    const passed = guarded("client", "keeping the connection", () => this.#tell({ kind: "time" }));
    this.#timer = setTimeout(passed, pause);
  }

  #perform(action: ClientAction): void {
    const fail = (error: unknown) => this.#tell({ kind: "action-failed", action, error });
    try {
      this.#begin(action)?.catch(fail);
    } catch (error) {
      fail(error);
    }
  }

  /** @returns a promise where it goes on for a while; its rejection is the action's failure */
  #begin(action: ClientAction): Promise<void> | undefined {
    const { pathTo } = this.#options;
    const dataPlane = this.#dataPlane;
    switch (action.kind) {
      case "say":
        tell(action.message, this.#options);
        return action.message.about === "lost" ? this.#silence?.begin(this.place) : undefined;
      case "explain-silence":
        return this.#explainSilence();
      case "connected":
        this.#connected.resolve(true);
        break;
      case "no-answer":
        this.#connected.resolve(false);
        break;
      case "start-failed":
        this.#connected.reject(action.error);
        break;
      case "peer-lost":
        this.#lost.resolve();
        break;
      case "moved":
        this.#moving.resolve(action.isConnected);
        break;
      case "move-failed":
        this.#moving.reject(action.error);
        break;
      case "look-up":
        return this.#lookUp(action.id);
      case "read-path": {
        const { address } = action;
        this.#tell({ kind: "path-read", address, path: pathTo(address) });
        break;
      }
      case "set-server":
        dataPlane?.setServer(this.#config.server.publicKey);
        break;
      case "set-endpoint":
        this.#setEndpoint(action.place);
        break;
      case "use-transport":
        return this.#useTransport(action);
      case "initiate":
        dataPlane?.connect(action.interval);
        break;
      case "stop-repeating":
        dataPlane?.connected();
        break;
      case "re-handshake":
        dataPlane?.renew();
        break;
      case "try-udp":
        dataPlane?.tryUdp();
    }
    return undefined;
  }

  async #explainSilence(): Promise<void> {
    const answers = this.#answers;
    const reason = await this.#silence?.explain(this.place, this.#config);
    if (reason === undefined || this.#dataPlane === null || this.#answers !== answers) return;
    const { server } = this;
    this.#options.logger.warn("no valid answer from {server} yet: {reason}", { server, reason });
  }

  #setEndpoint(place: SocketAddress): void {
    this.#options.transports.follow(place);
    this.#dataPlane?.setEndpoint(place);
  }

  /** Looks up the addresses of the server's endpoints: it may have moved. The tunnel need not be up. */
  async #lookUp(id: number): Promise<void> {
    const { mark, nameServers, pathTo, whileAsking } = this.#options;
    const places = await lookUpServerAgain(this.#config.endpoints, {
      last: this.#machine.places,
      nameServers: nameServers(this.#config),
      mark,
      timeout: this.#config.interface.connectTimeout,
      hasRoute: (address) => pathTo(address) !== "",
      whileAsking,
    });
    this.#tell({ kind: "looked-up", id, places });
  }

  async #useTransport(
    { id, transport, address, port }: Extract<ClientAction, { kind: "use-transport" }>,
  ): Promise<void> {
    if (this.#dataPlane === null) return;
    await this.#options.transports.use(transport, this.#dataPlane, { address, port });
    this.#tell({ kind: "transport-ready", id, transport });
  }
}

function settingsOf(
  { interface: { connectTimeout, onPeerTimeout } }: ClientConfig,
): ClientSettings {
  return { connectTimeout, onPeerTimeout };
}
