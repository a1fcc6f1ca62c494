/**
 * Kernel forwarding: what the host's own stack may forward to and from the tunnel; where it cannot, people are told.
 */
import { SystemCallError } from "../../../ffi/errno.ts";
import { ipv4FromNumber } from "../../../ffi/netlink/ip_address.ts";
import { NoNftablesError } from "../../../ffi/netlink/nftables/nfnetlink.ts";
import { inputDeviceIs, sourceIsIn } from "../../../ffi/netlink/nftables/nftables_expressions.ts";
import type { Rtnetlink } from "../../../ffi/netlink/rtnetlink.ts";
import type { ServerConfig } from "../../core/config/config.ts";
import { isNat66 } from "../../core/config/egress6.ts";
import { ipv6Bytes } from "../../core/wire/host_address.ts";
import { PROTOCOL_TCP, PROTOCOL_UDP } from "../../core/wire/ipv4.ts";
import { Forwarding } from "../../host/firewall/forwarding.ts";
import type { Journal } from "../../host/journal/journal.ts";
import { listenerAmong } from "../../host/network/port_safety.ts";
import { SysctlError } from "../../host/network/sysctl.ts";
import { AppError, errorMessage, ExitCode } from "../../process/errors.ts";
import { guarded } from "../../process/guard.ts";
import type { Logger } from "../../process/logging.ts";

/** ms between two looks whether the host tracks connections: what TCP waits before its second try (RFC 6298). */
const TRACKING_PERIOD = 1_000;

export interface KernelForwardingOptions {
  readonly config: ServerConfig;
  readonly interfaceName: string;
  readonly netlink: Rtnetlink;
  readonly journal: Journal;
  readonly logger: Logger;
}

/** Names of the interfaces that the kernel may forward to. */
export interface Exits {
  readonly exits: readonly string[];
  /** The same of IPv6. */
  readonly exits6: readonly string[];
  /** That of them by which the internet is reached; null for none. */
  readonly uplink6: string | null;
}

export class KernelForwarding implements Disposable {
  readonly #options: KernelForwardingOptions;
  readonly #ipv4: Forwarding;
  /** Null where the tunnel carries no IPv6. */
  readonly #ipv6: Forwarding | null;
  #cannot6: string | null = null;
  #timer: ReturnType<typeof setInterval> | undefined;

  constructor(options: KernelForwardingOptions) {
    this.#options = options;
    const { interfaceName, journal, config, netlink: host } = options;
    const { addresses, addresses6, egress6, forwards6 } = config.interface;
    this.#ipv4 = new Forwarding({
      family: "ip",
      interfaceName,
      masqueraded: addresses.map(({ address, prefixLength }) =>
        sourceIsIn({ address: ipv4FromNumber(address), length: prefixLength })
      ),
      inlets: [],
      host,
      journal,
    });
    this.#ipv6 = addresses6.length === 0 ? null : new Forwarding({
      family: "ip6",
      interfaceName,
      // Clients may have addresses of other networks than the gateway's own, which is often a single one.
      masqueraded: egress6 === "nat" ? [inputDeviceIs(interfaceName)] : [],
      inlets: (isNat66(config.interface) ? [] : forwards6).map((
        { protocol, externalPort, address, port },
      ) => ({
        protocol: protocol === "tcp" ? PROTOCOL_TCP : PROTOCOL_UDP,
        externalPort,
        address: ipv6Bytes(address),
        port,
        isDirect: egress6 === "routed",
      })),
      host,
      journal,
    });
  }

  /** Why IPv6 cannot be forwarded; null where it can, as far as is known. */
  get cannot6(): string | null {
    return this.#cannot6;
  }

  /**
   * Keeps the kernel from forwarding to and from the tunnel.
   *
   * @throws {AppError} where a service has a forwarded port, or the kernel no nftables
   * @param leadsOutside whether there is an interface outside: a gateway without one needs netfilter for nothing else
   */
  close(leadsOutside: boolean): void {
    this.#requireFreePorts();
    try {
      this.#ipv4.close();
      this.#ipv6?.close();
      const follow = guarded("server", "following what the host tracks", () => {
        this.#ipv4.followTracking();
        this.#ipv6?.followTracking();
      });
      this.#timer = setInterval(follow, TRACKING_PERIOD);
    } catch (error) {
      this.#cannot6 = errorMessage(error);
      if (!(error instanceof SystemCallError) || error.isShortage) throw error;
      if (leadsOutside) throw withoutFirewall(error);
      this.#options.logger.warn(
        "cannot stop the kernel from forwarding to clients, as it has no nftables: {reason}: " +
          "set net.ipv4.ip_forward = 0 unless this host is a router",
        { reason: error.message },
      );
    }
  }

  /** A service that listens on a forwarded port would receive nothing there any more. */
  #requireFreePorts(): void {
    const { config: { interface: { forwards6 } } } = this.#options;
    const portsOf = (protocol: "tcp" | "udp") =>
      forwards6.filter((forward) => forward.protocol === protocol)
        .map(({ externalPort }) => ({ first: externalPort, last: externalPort }));
    const found = listenerAmong({ tcp: portsOf("tcp"), udp: portsOf("udp") }, { onlyIpv6: true });
    if (this.#ipv6 === null || found === null) return;
    throw new AppError(
      `Cannot forward ${found.protocol} port ${found.port}: ${found.owner} listens on it: ` +
        "stop it, or choose another port with Forward6",
      { exitCode: ExitCode.usage },
    );
  }

  /** Puts the rules of `close()` back where something has removed them. */
  install(): void {
    this.#ipv4.install();
    this.#ipv6?.install();
  }

  /**
   * Has the host forward to the networks behind other interfaces, or, with `Egress = kernel`, to all; of IPv6, to all,
   * too, unless the gateway translates it itself.
   *
   * @throws {AppError} where it may not; of IPv6, where the file has a key that asks for it, else `cannot6` says why
   */
  open({ exits, exits6, uplink6 }: Exits): void {
    const { config: { interface: { egress, lines } } } = this.#options;
    try {
      this.#ipv4.open(exits);
    } catch (error) {
      throw refused(error, exits, egress === "kernel" ? "Egress = kernel" : "EgressAllow");
    }
    if (this.#ipv6 === null || this.#cannot6 !== null) return;
    try {
      this.#ipv6.open(exits6, uplink6);
    } catch (error) {
      const isNat = isNat66(this.#options.config.interface);
      const refusal = refused(error, exits6, isNat ? "EgressAllow" : "Egress6");
      if (isNat || lines.has("Egress6") || !(refusal instanceof AppError)) throw refusal;
      this.#cannot6 = refusal.message;
      this.#ipv6.open([]);
    }
  }

  /** Follows the host no more: a table that was made again after the undoing would stay there. */
  end(): void {
    clearInterval(this.#timer);
  }

  [Symbol.dispose](): void {
    this.end();
    this.#ipv4[Symbol.dispose]();
    this.#ipv6?.[Symbol.dispose]();
  }
}

/** What to say where forwarding may not be switched on; any other error as it is. */
function refused(error: unknown, exits: readonly string[], reason: string): unknown {
  if (!(error instanceof SysctlError)) return error;
  return new AppError(
    `Cannot forward to ${exits.join(", ")}, as ${reason} asks: ${error.reason}`,
    { exitCode: ExitCode.privilege, cause: error },
  );
}

/** What to say of a kernel that has no nftables; any other error as it is. */
function withoutFirewall(error: SystemCallError): Error {
  if (!(error instanceof NoNftablesError)) return error;
  return new AppError(
    `${error.message.replace("use the firewall", "forward to the internet")}, or set Egress = off`,
    { exitCode: ExitCode.privilege, cause: error },
  );
}
