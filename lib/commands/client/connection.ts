/**
 * Owns a client's connection to its server: how it comes about, how it is kept, and how it comes about again.
 *
 * The data plane judges whether the server is there (lib/core/wireguard/liveness/liveness.ts) and says so. While it is not, the TUN, the routes
 * and the protection from leaks stay as they are, so that nothing of what the host sends takes another way.
 */
import type { ClientConfig } from "../../core/config/config.ts";
import { encodeKey } from "../../core/config/values/key_text.ts";
import { Carrier } from "../../core/transport/endpoint.ts";
import { formatIpv4 } from "../../core/wire/ipv4_text.ts";
import { CARRIER_NAMES, type ClientCarriers } from "./client_carriers.ts";
import type { DataPlaneHandle } from "../../dataplane/data_plane_handle.ts";
import { Swarm } from "../../process/swarm.ts";
import type { Report } from "../../dataplane/data_plane_protocol.ts";
import { background, guarded } from "../../process/guard.ts";
import type { Logger } from "../../process/logging.ts";
import { reconnectPause } from "../../core/client/reconnect_pause.ts";
import { type AgainOptions, resolveAgain } from "../../host/dns/resolve.ts";

/** ms between initiations while connecting: three fit the time-out of 2.5 s, jitter included. */
const CONNECT_INTERVAL = 700;
/** ms after which a client that UDP failed asks whether it works by now; twice as long each time that it then failed again. */
const UDP_TRIAL_PAUSE = 15_000;
const MAX_UDP_TRIAL_PAUSE = 600_000;
/** ms to wait for more of the host's changes to its network: they come in swarms. */
const SETTLE_TIME = 200;

type PeerReport = Extract<Report, { kind: "peer" }>;

export interface ConnectionOptions {
  readonly config: ClientConfig;
  /** Where the server is first looked for, host order, one after the other. */
  readonly addresses: readonly number[];
  readonly mark: number;
  readonly carriers: ClientCarriers;
  /** Resolvers that may be asked outside the tunnel while it is down, as they are now. */
  readonly nameServers: (config: ClientConfig) => readonly string[];
  readonly whileAsking: AgainOptions["whileAsking"];
  /** What stands for the way to an address (host order): it differs when packets take another. Empty for none. */
  readonly traceOf: (address: number) => string;
  /** Is told, in words, what becomes of the connection. */
  readonly onState: (state: string) => void;
  readonly logger: Logger;
}

export class Connection {
  readonly #options: ConnectionOptions;
  #config: ClientConfig;
  /** All that the server may have, the one that worked last first, where it still has it. */
  #addresses: readonly number[];
  #worked: number;
  /** The one in use. */
  #address: number;
  #way: string;
  #connected = Promise.withResolvers<void>();
  #lost = Promise.withResolvers<void>();
  #isEstablished = false;
  #dataPlane: DataPlaneHandle | null = null;
  readonly #changes = new Swarm({
    category: "client",
    entry: "looking for the way to the server",
    call: () => this.#followWay(),
    settleTime: SETTLE_TIME,
    pause: SETTLE_TIME,
  });
  #udpTrial: ReturnType<typeof setTimeout> | undefined;
  #udpTrialPause = UDP_TRIAL_PAUSE;
  /** Whether the server is lost, and is being connected to again. */
  #isLost = false;
  /** Whether the last change of carriers was back to UDP. */
  #cameBack = false;

  constructor(options: ConnectionOptions) {
    this.#options = options;
    this.#config = options.config;
    this.#addresses = options.addresses;
    this.#address = this.#worked = options.addresses[0]!;
    this.#way = options.traceOf(this.#address);
  }

  /** As in `198.51.100.1:51820 by UDP`. */
  get way(): string {
    return `${this.server} by ${CARRIER_NAMES[this.#options.carriers.current]}`;
  }

  /** Where the server is, host order. */
  get address(): number {
    return this.#address;
  }

  /** As in `198.51.100.1:51820`. */
  get server(): string {
    return `${formatIpv4(this.#address)}:${this.#config.server.endpoint.port}`;
  }

  /** All that are tried, as in `198.51.100.1:51820 and 198.51.100.2:51820`. */
  get servers(): string {
    const { port } = this.#config.server.endpoint;
    return this.#addresses.map((address) => `${formatIpv4(address)}:${port}`).join(" and ");
  }

  /** Whether what is reported is of the server. */
  isServer({ publicKey }: { readonly publicKey: Uint8Array }): boolean {
    return encodeKey(publicKey) === encodeKey(this.#config.server.publicKey);
  }

  /** Takes note of what the data plane reports of the server; other peers are nobody's to connect to. */
  onPeer(report: PeerReport): void {
    if (!this.isServer(report)) return;
    const { event, endpoint } = report;
    if (event === "handshake-completed") this.#remember(endpoint.address);
    if (event === "handshake-completed" || event === "up") this.#established();
    if (event === "down") this.#missed();
    if (event === "carrier-works") this.#comeBack();
  }

  /** A session stands: it is this one that can be lost from now on. */
  #established(): void {
    if (this.#isEstablished) return;
    this.#isEstablished = true;
    if (this.#isLost) this.#lost = Promise.withResolvers();
    this.#isLost = false;
    this.#connected.resolve();
  }

  /** The server does not answer. Before a session stands that loses nothing: the next attempt, by another transport, may succeed. */
  #missed(): void {
    if (!this.#isEstablished) return;
    this.#connectAnew();
    this.#lose();
  }

  /** What comes from now on counts as connected, and nothing before it. */
  #connectAnew(): void {
    this.#isEstablished = false;
    this.#connected = Promise.withResolvers();
  }

  #lose(): void {
    this.#isLost = true;
    this.#lost.resolve();
  }

  /** The host's network has changed: shakes hands at once if that concerns the way to the server. */
  onNetworkChange(): void {
    this.#changes.notice();
  }

  /** The machine has slept: what the other end, and the NATs between, know of us may be gone. */
  onResume(): void {
    this.#options.logger.info("awake again: shaking hands");
    this.#dataPlane?.renew();
  }

  /** Stops following the host. */
  close(): void {
    this.#changes[Symbol.dispose]();
    clearTimeout(this.#udpTrial);
    this.#dataPlane = null;
  }

  /** An answer may come late, from an address that was tried before the present one. */
  #remember(address: number): void {
    if (!this.#addresses.includes(address)) return;
    this.#address = this.#worked = address;
    this.#prefer(this.#addresses);
  }

  /** Takes these addresses, with the one that worked last before the others, or as the last resort if it is not among them. */
  #prefer(addresses: readonly number[]): void {
    const others = addresses.filter((address) => address !== this.#worked);
    this.#addresses = others.length < addresses.length
      ? [this.#worked, ...others]
      : [...others, this.#worked];
  }

  /**
   * Shakes hands, by each carrier that there may be in turn, with each address of the server.
   *
   * @param deadline ms, as of `performance.now()`
   * @returns whether the server has answered by then
   */
  async connect(dataPlane: DataPlaneHandle, deadline: number): Promise<boolean> {
    this.#dataPlane = dataPlane;
    const { carriers, logger } = this.#options;
    const tries = carriers.order.flatMap((carrier) =>
      this.#addresses.map((address) => ({ carrier, address }))
    );
    let isConnected = false;
    for (const [index, { carrier, address }] of tries.entries()) {
      const left = (deadline - performance.now()) / (tries.length - index);
      if (index > 0) {
        logger.info("no answer by {last}: trying {next}", {
          last: this.#nameOfTry(tries[index - 1]!),
          next: this.#nameOfTry({ carrier, address }),
        });
      }
      if (address !== this.#address) this.#lookAt(address, dataPlane);
      await carriers.use(carrier, dataPlane, this.place);
      // Of this attempt: it may be lost again before anybody looks.
      const connected = this.#connected.promise;
      dataPlane.connect(CONNECT_INTERVAL);
      isConnected = await isResolvedBy(connected, performance.now() + left);
      if (isConnected) break;
    }
    dataPlane.connected();
    if (isConnected) this.#planUdpTrial();
    return isConnected;
  }

  /** Is kept by this configuration from now on, whose server is the one that there was. */
  reconfigure(config: ClientConfig): void {
    this.#config = config;
  }

  /**
   * Leaves for another server, or for the same one elsewhere.
   *
   * @param addresses where it may be, host order
   * @returns whether it has answered within `ConnectTimeout`; where not, it is tried on as one that was lost
   */
  async moveTo(config: ClientConfig, addresses: readonly number[]): Promise<boolean> {
    this.#config = config;
    this.#addresses = addresses;
    this.#address = this.#worked = addresses[0]!;
    // Where the last one was lost, this one is tried next.
    if (this.#dataPlane === null) return false;
    this.#dataPlane.setServer(config.server.publicKey);
    if (this.#isLost) return false;
    this.#connectAnew();
    if (!await this.#connectThere(this.#dataPlane)) {
      this.#lose();
      return false;
    }
    this.#options.onState(`connected to ${this.way}`);
    return true;
  }

  /** As in `UDP`, or `UDP to 198.51.100.2` where there are several addresses. */
  #nameOfTry({ carrier, address }: { carrier: Carrier; address: number }): string {
    const name = CARRIER_NAMES[carrier];
    return this.#addresses.length > 1 ? `${name} to ${formatIpv4(address)}` : name;
  }

  /** Looks for the server there. */
  #lookAt(address: number, dataPlane: DataPlaneHandle): void {
    this.#address = address;
    this.#way = this.#options.traceOf(address);
    this.#options.carriers.follow(this.place);
    dataPlane.setEndpoint(this.place);
  }

  /** Where the server is looked for, host order. */
  get place(): { address: number; port: number } {
    return { address: this.#address, port: this.#config.server.endpoint.port };
  }

  #followWay(): void {
    const way = this.#options.traceOf(this.#address);
    // Between two ways there may be none: the next notification brings the new one.
    if (way === "" || way === this.#way) return;
    this.#way = way;
    this.#options.logger.info("the way to the server has changed: shaking hands");
    this.#dataPlane?.renew();
    // What broke UDP may have been the other network.
    if (this.#options.carriers.wantsUdp) this.#dataPlane?.tryUdp();
  }

  /** Asks from time to time whether UDP gets through, while something else is in use for want of it. */
  #planUdpTrial(): void {
    clearTimeout(this.#udpTrial);
    if (!this.#options.carriers.wantsUdp) return;
    if (this.#cameBack) {
      this.#udpTrialPause = Math.min(2 * this.#udpTrialPause, MAX_UDP_TRIAL_PAUSE);
      this.#cameBack = false;
    }
    const ask = guarded("client", "asking whether UDP gets through", () => {
      this.#planUdpTrial();
      this.#dataPlane?.tryUdp();
    });
    this.#udpTrial = setTimeout(ask, this.#udpTrialPause);
  }

  /** UDP works again: the tunnel moves there. */
  #comeBack(): void {
    const { carriers, logger } = this.#options;
    if (this.#dataPlane === null || !carriers.wantsUdp) return;
    clearTimeout(this.#udpTrial);
    this.#cameBack = true;
    logger.info("UDP gets through: using it again");
    const dataPlane = this.#dataPlane;
    const change = carriers.use(Carrier.udp, dataPlane, this.place).then(() => dataPlane.renew());
    background("client", "going back to UDP", change);
  }

  /**
   * Keeps the connection, by connecting again as often as it takes.
   *
   * @returns when the server is lost and `OnPeerTimeout = exit`; else never
   */
  async keep(dataPlane: DataPlaneHandle): Promise<void> {
    const { onState, logger } = this.#options;
    for (;;) {
      await this.#lost.promise;
      if (this.#config.interface.onPeerTimeout === "exit") return;
      const lostAt = performance.now();
      logger.warn("{server} is silent: connecting again", { server: this.server });
      onState(`${this.server} is silent: connecting again`);
      await this.#connectAgain(dataPlane);
      onState(`connected to ${this.way}`);
      logger.info("connected again to {server} after {time} s", {
        server: this.way,
        time: ((performance.now() - lostAt) / 1000).toFixed(1),
      });
    }
  }

  async #connectAgain(dataPlane: DataPlaneHandle): Promise<void> {
    const { logger } = this.#options;
    for (let attempt = 0;; attempt++) {
      try {
        if (await this.#tryToConnect(dataPlane)) return;
      } catch (error) {
        // The host's network may be in the midst of a change: that ends one attempt, and not the tunnel.
        logger.warn("cannot connect now: {error}", { error });
      }
      // An answer may come in the pause as well: the protocol's own repetitions go on.
      const pause = reconnectPause(attempt, Math.random());
      if (await isResolvedBy(this.#connected.promise, performance.now() + pause)) return;
    }
  }

  async #tryToConnect(dataPlane: DataPlaneHandle): Promise<boolean> {
    await this.lookUpAgain();
    return await this.#connectThere(dataPlane);
  }

  /** Shakes hands with the server at the places where it is looked for now. */
  async #connectThere(dataPlane: DataPlaneHandle): Promise<boolean> {
    this.#lookAt(this.#addresses[0]!, dataPlane);
    const { connectTimeout } = this.#config.interface;
    return await this.connect(dataPlane, performance.now() + connectTimeout);
  }

  /** Looks up the server's addresses again: it may have moved. The tunnel need not be up. */
  async lookUpAgain(): Promise<void> {
    const { mark, nameServers, whileAsking } = this.#options;
    const { endpoint } = this.#config.server;
    const found = await resolveAgain(endpoint, {
      last: this.#addresses,
      nameServers: nameServers(this.#config),
      mark,
      timeout: this.#config.interface.connectTimeout,
      whileAsking,
    });
    // Meanwhile the configuration may have named another server.
    if (this.#config.server.endpoint === endpoint) this.#prefer(found);
  }
}

/** Whether this happens by then, ms as of `performance.now()`. */
async function isResolvedBy(promise: Promise<void>, deadline: number): Promise<boolean> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const timeout = new Promise<boolean>((resolve) => {
    timer = setTimeout(() => resolve(false), Math.max(0, deadline - performance.now()));
  });
  try {
    return await Promise.race([promise.then(() => true), timeout]);
  } finally {
    clearTimeout(timer);
  }
}
