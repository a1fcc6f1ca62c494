/** DNS proxy: answers by UDP and TCP on the gateway's inner addresses, by asking the configured resolvers. */
import { randomBytes } from "node:crypto";
import { openLibc } from "../../../ffi/libc.ts";
import { ReadinessWatcher } from "../../../ffi/sockets/readiness.ts";
import type { BlockList } from "../../core/dns/block_list.ts";
import type { DnsClient } from "../../core/dns/cache.ts";
import { type ClientQueries, ClientTally } from "../../core/dns/client_tally.ts";
import {
  type DnsAsker,
  DnsForwarder,
  type DnsTransport,
  type DomainUpstreams,
  type ForwarderCounts,
} from "../../core/dns/forwarder.ts";
import { isNameError, parse, type Parsed, responseCode } from "../../core/dns/message.ts";
import type { Resolver } from "../../core/dns/upstream.ts";
import { blockedAnswer, questionOf } from "../../core/dns/own_answer.ts";
import { codeText, nameText, typeText } from "../../core/dns/question_text.ts";
import { QueryBudget } from "../../core/dns/query_budget.ts";
import type { Ipv4Prefix } from "../../core/wire/ipv4_text.ts";
import { formatAddress, type HostAddress } from "../../core/wire/host_address.ts";
import { addressOf6, type Ipv6PrefixText } from "../../core/wire/ipv6_prefix.ts";
import { ClientDirectory } from "./clients.ts";
import type { PeerNetworks } from "./followed_peers.ts";
import { closeQuietly } from "./framing.ts";
import { NamedHosts, type NamedHostsOptions } from "./named_hosts.ts";
import { LoopProbe } from "./loop_probe.ts";
import { PeerNames } from "./peer_names.ts";
import { TlsUpstreams } from "./tls_upstreams.ts";
import { TcpService } from "./tcp_service.ts";
import { UdpService } from "./udp_service.ts";
import { UpstreamSockets } from "./upstream_sockets.ts";
import type { RecordLog } from "../kept/record_log.ts";
import type { ClientQuery } from "../../host/accounts/record_kinds.ts";
import { AppError, ExitCode } from "../../process/errors.ts";
import { background, guarded } from "../../process/guard.ts";
import type { Logger } from "../../process/logging.ts";
import { lowPort } from "../../process/privileges.ts";

const PORT = 53;
/** Who asks for the addresses of hosts in access rules. */
const GATEWAY = "gateway";
/**
 * Wrong answers from upstream that are a line of the log: the first one, and then each time they have become tenfold.
 */
const WRONG_ANSWERS_FACTOR = 10;

export interface DnsProxyOptions {
  /** The gateway's inner addresses: on the first of each family it answers. */
  readonly addresses: readonly Ipv4Prefix[];
  readonly addresses6: readonly Ipv6PrefixText[];
  /** Upstream resolvers. */
  readonly upstreams: readonly Resolver[];
  /** Those for some domains. */
  readonly routes: readonly DomainUpstreams[];
  /** Where the peers have names; null for nowhere. */
  readonly domain: string | null;
  /** Names that are not resolved; null for none. */
  readonly blockList: BlockList | null;
  /** By their keys, as they are now: another map when they have changed. */
  readonly peers: () => ReadonlyMap<string, PeerNetworks>;
  /** Takes note of what clients ask for where it is on. */
  readonly queryLog: Pick<RecordLog<ClientQuery>, "isOn" | "add" | "turn">;
  /** Takes the addresses of the hosts that access rules name when they are others; resolves when rules go by them. */
  readonly onHosts: NamedHostsOptions["onChange"];
  readonly logger: Logger;
}

/** What has happened since the start. */
export interface DnsProxyCounts extends Readonly<ForwarderCounts> {
  /** Queries dropped because their client had asked too many in a second. */
  readonly refused: number;
  /** TCP connections that lost their place to another one. */
  readonly evictedConnections: number;
  /** Queries for names that are blocked. */
  readonly blocked: number;
}

export class DnsProxy implements AsyncDisposable {
  readonly #forwarder: DnsForwarder;
  readonly #logger: Logger;
  readonly #budget = new QueryBudget();
  readonly #tally = new ClientTally();
  readonly #loopProbe = new LoopProbe();
  readonly #names: PeerNames;
  readonly #clients: ClientDirectory;
  readonly #hosts: NamedHosts;
  readonly #tcp: TcpService;
  readonly #queryLog: DnsProxyOptions["queryLog"];
  readonly #peers: DnsProxyOptions["peers"];
  #resources: AsyncDisposableStack;
  #blockList: BlockList | null;
  #blockedQueries = 0;
  #toldWrongAnswers = 0;

  private constructor(
    options: DnsProxyOptions,
    { listeners, resources }: {
      listeners: readonly Deno.TcpListener[];
      resources: AsyncDisposableStack;
    },
  ) {
    const { upstreams, routes, logger } = options;
    this.#names = new PeerNames(options);
    this.#clients = new ClientDirectory(options.peers);
    this.#blockList = options.blockList;
    this.#queryLog = options.queryLog;
    this.#peers = options.peers;
    this.#logger = logger;
    this.#resources = resources;
    const libc = openLibc();
    const watcher = resources.use(new ReadinessWatcher(libc));
    const sockets = resources.use(new UpstreamSockets(libc, watcher));
    const secure = resources.use(
      new TlsUpstreams({
        onChange: (resolver, problem) => {
          if (problem === null) {
            logger.info("the resolver {resolver} is reached by TLS again", { resolver });
          } else {
            logger.warn(
              "the resolver {resolver} cannot be asked by TLS: {problem}: check its address, and the name in its certificate",
              { resolver, problem },
            );
          }
        },
      }),
    );
    this.#forwarder = new DnsForwarder({
      upstreams,
      routes,
      local: (query, parsed, limit, asker) => this.#ownAnswer(query, parsed, limit, asker),
      exchange: (upstream, message, transport, verdict) =>
        transport === "tls"
          ? secure.exchange(upstream, { message, verdict })
          : sockets.exchange({ upstream: upstream.address, message, verdict }, transport),
      now: () => performance.now(),
      random: (size) => randomBytes(size),
      onHealth: (upstream, isAlive) => {
        const address = formatAddress(upstream.address);
        if (isAlive) logger.info("the resolver {address} answers again", { address });
        else {
          logger.warn(
            "the resolver {address} does not answer: other resolvers are asked first, and it is retried from time to time",
            { address },
          );
        }
      },
      onError: guarded("dns", "querying a resolver", (error) => {
        throw error;
      }),
    });
    this.#hosts = resources.use(
      new NamedHosts({
        ask: (query) =>
          this.#forwarder.answer(query, { transport: "tcp", client: GATEWAY, source: "resolver" }),
        hasIpv6: options.addresses6.length > 0,
        onChange: options.onHosts,
        now: () => performance.now(),
      }, routes.map(({ domain }) => domain)),
    );
    const clientOf = (at: HostAddress) => this.#clients.at(at);
    const admit = (client: DnsClient) => {
      const isAdmitted = this.#budget.take(client, performance.now());
      if (!isAdmitted) this.#tally.add(client, "refused");
      return isAdmitted;
    };
    const answer = (query: Uint8Array, transport: DnsTransport, client: DnsClient) =>
      this.#answer(query, { transport, client, source: "resolver" });
    for (const address of ownAddresses(options)) {
      resources.use(
        new UdpService(libc, watcher, {
          address,
          port: PORT,
          clientOf,
          admit,
          answer: (query, client) => answer(query, "udp", client),
        }),
      );
    }
    this.#tcp = resources.use(
      new TcpService({
        listeners,
        clientOf,
        admit,
        answer: (query, client) => answer(query, "tcp", client),
        logger,
      }),
    );
  }

  /**
   * Starts to answer. The address must be the host's already.
   *
   * @throws {AppError} with exit code 2 where another service has the port or a resolver leads back to the proxy, 5
   * without CAP_NET_BIND_SERVICE
   */
  static async start(options: DnsProxyOptions): Promise<DnsProxy> {
    const hostnames = ownAddresses(options).map(formatAddress);
    await using resources = new AsyncDisposableStack();
    try {
      const listeners = hostnames.map((hostname) => {
        const listener = Deno.listen({ hostname, port: PORT });
        resources.defer(() => closeQuietly(listener));
        return listener;
      });
      const proxy = new DnsProxy(options, { listeners, resources });
      const asked = [options.upstreams, ...options.routes.map(({ upstreams }) => upstreams)];
      await proxy.#loopProbe.refuseLoops(addressesOf(asked.flat()));
      await Promise.all([proxy.#names.settled(), proxy.#clients.settled()]);
      proxy.#resources = resources.move();
      return proxy;
    } catch (error) {
      if (error instanceof Deno.errors.PermissionDenied) throw lowPort("TCP", PORT);
      if (!isAddressInUse(error)) throw error;
      throw new AppError(
        `Cannot answer DNS on ${hostnames.join(" and ")}: port ${PORT} is in use: ` +
          `stop the other service from using ${
            hostnames.length === 1 ? "that address" : "these addresses"
          }, or remove DnsProxy`,
        { exitCode: ExitCode.usage, cause: error },
      );
    }
  }

  get counts(): DnsProxyCounts {
    return {
      ...this.#forwarder.counts,
      refused: this.#budget.refused,
      evictedConnections: this.#tcp.evicted,
      blocked: this.#blockedQueries,
    };
  }

  /** The same of a peer, by its key; null for one that has asked nothing. */
  countsOf(key: string): Readonly<ClientQueries> | null {
    return this.#tally.find(key);
  }

  /**
   * Asks these resolvers from now on.
   *
   * @throws {AppError} where one of them leads back to the proxy: the former ones are asked on
   */
  async setUpstreams(upstreams: readonly Resolver[]): Promise<void> {
    await this.#loopProbe.refuseLoops(addressesOf(upstreams));
    this.#forwarder.setUpstreams(upstreams);
  }

  /** The same for the domains that others know. */
  async setRoutes(routes: readonly DomainUpstreams[]): Promise<void> {
    await this.#loopProbe.refuseLoops(addressesOf(routes.flatMap(({ upstreams }) => upstreams)));
    this.#forwarder.setRoutes(routes);
    await this.#hosts.setRoutes(routes.map(({ domain }) => domain));
  }

  /** Keeps the addresses of these hosts from now on, and of no others. Resolves when each was asked for. */
  followHosts(names: ReadonlySet<string>): Promise<void> {
    return this.#hosts.follow(names);
  }

  /** Reads who the peers are now, before one of them asks. */
  followPeers(): void {
    const read = Promise.all([this.#names.settled(), this.#clients.settled()]);
    background("dns", "reading who the peers are", read);
  }

  /** Answers for this domain with the peers' names from now on; null for none. */
  setDomain(domain: string | null): void {
    this.#names.setDomain(domain);
  }

  /** Resolves none of these names from now on; null for none. */
  setBlockList(blockList: BlockList | null): void {
    this.#blockList = blockList;
  }

  /** Keeps from now on which names clients ask for; or does not, and removes what was kept. */
  setQueryLog(isOn: boolean): Promise<void> {
    return this.#queryLog.turn(isOn);
  }

  #ownAnswer(
    query: Uint8Array,
    parsed: Parsed,
    limit: number,
    asker: DnsAsker,
  ): Uint8Array | null {
    const named = this.#names.answer(query, parsed, limit);
    if (named !== null) {
      asker.source = "names";
      return named;
    }
    const blocked = this.#blockList?.find(questionOf(parsed).name) ?? null;
    if (blocked === null) return null;
    this.#blockedQueries++;
    asker.source = "block-list";
    return blockedAnswer(query, parsed, blocked.kind === "domain" ? blocked.domain : null, limit);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#resources.disposeAsync();
  }

  async #answer(query: Uint8Array, asker: DnsAsker): Promise<Uint8Array | null> {
    const { client } = asker;
    this.#loopProbe.see(query);
    this.#tally.add(client, "queries");
    const answer = await this.#forwarder.answer(query, asker);
    this.#tellOfWrongAnswers();
    if (asker.source === "cache") this.#tally.add(client, "cached");
    if (asker.source === "block-list") this.#tally.add(client, "blocked");
    if (this.#queryLog.isOn) this.#log(query, answer, asker);
    if (answer === null) return null;
    if (isNameError(answer)) this.#tally.add(client, "nameErrors");
    this.#budget.charge(client, answer.length, performance.now());
    await this.#hosts.learn(answer);
    return answer;
  }

  #log(query: Uint8Array, answer: Uint8Array | null, { client, source }: DnsAsker): void {
    const parsed = parse(query);
    if (parsed === null) return;
    const { name, type } = questionOf(parsed);
    const peer = typeof client === "string" ? this.#peers().get(client) : undefined;
    this.#queryLog.add({
      time: Date.now(),
      client: typeof client === "string" ? client : formatAddress(client),
      name: peer?.name ?? null,
      question: nameText(name),
      type: typeText(type),
      source,
      code: answer && codeText(responseCode(answer[3]!)),
    });
  }

  #tellOfWrongAnswers(): void {
    const { wrongAnswers } = this.#forwarder.counts;
    if (wrongAnswers === 0 || wrongAnswers < this.#toldWrongAnswers * WRONG_ANSWERS_FACTOR) return;
    this.#toldWrongAnswers = wrongAnswers;
    this.#logger.warn(
      "{count} messages from the addresses of the resolvers match no query: " +
        "they are late or forged; none was accepted",
      { count: wrongAnswers },
    );
  }
}

/** Where it answers. */
function ownAddresses({ addresses, addresses6 }: DnsProxyOptions): HostAddress[] {
  return [addresses[0].address, ...addresses6.slice(0, 1).map(addressOf6)];
}

/** Of those that are asked without TLS, which the proxy does not answer by. */
function addressesOf(resolvers: readonly Resolver[]): readonly HostAddress[] {
  const open = resolvers.filter(({ tlsName }) => tlsName === null);
  return [...new Set(open.map(({ address }) => address))];
}

function isAddressInUse(error: unknown): boolean {
  return error instanceof Deno.errors.AddrInUse ||
    (error instanceof Error && "code" in error && error.code === "EADDRINUSE");
}
