/**
 * Host's part in a transport that looks like TCP: ports that nobody else gets, and a firewall table that keeps the
 * segments of fake TCP from the host's own TCP, which would answer each with RST.
 *
 * The client's local ports are named as well as the server's address and port: should a web server stand there,
 * browsers on this host still reach it.
 */
import { EACCES, EADDRINUSE, SystemCallError } from "../../../ffi/errno.ts";
import { openLibc } from "../../../ffi/libc.ts";
import type { Nftables } from "../../../ffi/netlink/nftables/nftables.ts";
import type { NftablesTable } from "../../../ffi/netlink/nftables/nftables_objects.ts";
import { ReservedPorts } from "../../../ffi/sockets/reserved_ports.ts";
import type { FakeTcpEndpoints } from "../../core/transport/fake_tcp/endpoints.ts";
import { isIpv6 } from "../../core/wire/host_address.ts";
import { AppError, ExitCode } from "../../process/errors.ts";
import { openFirewall } from "./firewall.ts";
import { readReservedPorts } from "../journal/host_change.ts";
import type { Journal } from "../journal/journal.ts";
import { ephemeralPorts, listenerOn } from "../network/port_safety.ts";
import { lowPort } from "../../process/privileges.ts";
import { randomInt } from "node:crypto";
import { installFakeTcpTable } from "./fake_tcp_table.ts";

/** Ports that a client takes at once, to have fresh ones for its next connections; the fewest that it does with. */
const CLIENT_PORTS = 16;
/** What to do where there is no firewall. */
const WITHOUT_FAKE_TCP = "use UDP alone";
/** Random ranges that are tried. */
const ATTEMPTS = 64;

export interface FakeTcpGuardOptions {
  /** Name of the firewall's tables, of which there is one for each family: another one for each guard on a host. */
  readonly table: string;
  readonly journal: Pick<Journal, "make">;
  /** Ports that a client with many connections would like to have; a busy host may not have as many free in a row. */
  readonly ports?: number;
}

export class FakeTcpGuard implements Disposable {
  readonly #options: FakeTcpGuardOptions;
  readonly #reserved: ReservedPorts;
  readonly #nftables: Nftables;
  /** Of each family that there has been something for. */
  readonly #tables: NftablesTable[] = [];
  #endpoints: FakeTcpEndpoints;

  private constructor(
    options: FakeTcpGuardOptions,
    reserved: ReservedPorts,
    nftables: Nftables,
  ) {
    this.#options = options;
    this.#reserved = reserved;
    this.#nftables = nftables;
    const { first, last } = reserved;
    this.#endpoints = { ports: { first, last }, remote: null };
  }

  /**
   * Takes a TCP port to be reached at, on all of the host's addresses of both families.
   *
   * @throws {AppError} with exit code 2 where a service or a connection has it, 5 without CAP_NET_BIND_SERVICE
   * @throws {SystemCallError} EPERM without CAP_NET_ADMIN
   */
  static forServer(port: number, options: FakeTcpGuardOptions): FakeTcpGuard {
    return FakeTcpGuard.#open(reservePort(port), null, options);
  }

  /**
   * Takes random ports to reach a server from.
   *
   * @param server its address and port
   * @throws {AppError} where there are no free ports
   * @throws {SystemCallError} EPERM without CAP_NET_ADMIN
   */
  static forClient(
    server: NonNullable<FakeTcpEndpoints["remote"]>,
    options: FakeTcpGuardOptions,
  ): FakeTcpGuard {
    return FakeTcpGuard.#open(reserveRandomPorts(options.ports ?? CLIENT_PORTS), server, options);
  }

  static #open(
    reserved: ReservedPorts,
    remote: FakeTcpEndpoints["remote"],
    options: FakeTcpGuardOptions,
  ): FakeTcpGuard {
    using opened = new DisposableStack();
    opened.use(reserved);
    // Not owned by the process: an administrator must be able to see, and to remove, what we put into the firewall.
    const nftables = opened.use(
      openFirewall({ purpose: "use fake TCP", otherwise: WITHOUT_FAKE_TCP, owned: false }),
    );
    const guard = new FakeTcpGuard(options, reserved, nftables);
    guard.setRemote(remote);
    opened.move();
    return guard;
  }

  /** Whose segments are kept from the host's TCP, and so are the transport's. */
  get endpoints(): FakeTcpEndpoints {
    return this.#endpoints;
  }

  /** Follows the server to another address, without a moment in between. */
  setRemote(remote: FakeTcpEndpoints["remote"]): void {
    this.#endpoints = { ...this.#endpoints, remote };
    this.#makeTables();
    // That of the family in use first: what comes by the other one is none of the tunnel's any more.
    const families = remote !== null && !isIpv6(remote.address) ? ["ip", "ip6"] : ["ip6", "ip"];
    for (const family of families) {
      const table = this.#tables.find((other) => other.family === family);
      if (table !== undefined) installFakeTcpTable(this.#nftables, table, this.#endpoints);
    }
  }

  /** Makes the tables of the families that the other end may have. A kernel without IPv6 has none of that family. */
  #makeTables(): void {
    const { remote } = this.#endpoints;
    if (remote === null || !isIpv6(remote.address)) this.#makeTable("ip");
    if (remote === null ? this.#nftables.supports("ip6") : isIpv6(remote.address)) {
      this.#makeTable("ip6");
    }
  }

  #makeTable(family: NftablesTable["family"]): void {
    if (this.#tables.some((table) => table.family === family)) return;
    const { table: name, journal } = this.#options;
    const table: NftablesTable = { family, name };
    journal.make({ kind: "nftables-table", table }, this.#nftables);
    this.#tables.push(table);
  }

  /**
   * Lets the host's TCP have its segments again, then the ports. What is in the journal does no harm when it is undone.
   */
  [Symbol.dispose](): void {
    for (const table of this.#tables) this.#nftables.deleteTable(table);
    this.#nftables[Symbol.dispose]();
    this.#reserved[Symbol.dispose]();
  }
}

function reservePort(port: number): ReservedPorts {
  try {
    return ReservedPorts.bind(openLibc(), { first: port, last: port });
  } catch (error) {
    if (error instanceof SystemCallError && error.errno === EACCES) throw lowPort("TCP", port);
    if (!(error instanceof SystemCallError) || error.errno !== EADDRINUSE) throw error;
    const listener = listenerOn("tcp", port);
    throw new AppError(
      listener === null
        ? `Cannot use TCP port ${port}: connections use it, or used it until a minute ago: ` +
          "wait until they have ended, or choose another port"
        : `Cannot use TCP port ${port}: ${listener} listens on it: stop it, or choose another port`,
      { exitCode: ExitCode.usage, cause: error },
    );
  }
}

function reserveRandomPorts(wanted: number): ReservedPorts {
  for (let count = wanted; count >= CLIENT_PORTS; count >>= 1) {
    const reserved = tryRandomPorts(count);
    if (reserved !== null) return reserved;
  }
  const { first, last } = ephemeralPorts();
  throw new AppError(
    `Cannot find ${CLIENT_PORTS} free TCP ports in a row between ${first} and ${last}: ` +
      "widen net.ipv4.ip_local_port_range",
    { exitCode: ExitCode.unexpected },
  );
}

function tryRandomPorts(count: number): ReservedPorts | null {
  const { first, last } = ephemeralPorts();
  const kept = readReservedPorts();
  for (let attempt = 0; attempt < ATTEMPTS && last - first >= count; attempt++) {
    const start = randomInt(first, last - count + 2);
    const range = { first: start, last: start + count - 1 };
    // Reserved ports are somebody's: of a NAT, for example.
    if (Array.from({ length: count }, (_, i) => start + i).some((port) => kept.has(port))) continue;
    try {
      return ReservedPorts.bind(openLibc(), range);
    } catch (error) {
      if (!(error instanceof SystemCallError) || error.errno !== EADDRINUSE) throw error;
    }
  }
  return null;
}
