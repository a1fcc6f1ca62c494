/**
 * Kernel forwarding: what the host's own stack may forward to and from the tunnel; where it cannot, people are told.
 */
import { SystemCallError } from "../../../ffi/errno.ts";
import { NoNftablesError } from "../../../ffi/netlink/nftables/nfnetlink.ts";
import type { Rtnetlink } from "../../../ffi/netlink/rtnetlink.ts";
import type { ServerConfig } from "../../core/config/config.ts";
import { Forwarding } from "../../host/firewall/forwarding.ts";
import type { Journal } from "../../host/journal/journal.ts";
import { guestBridges } from "../../host/network/guest_bridges.ts";
import { SysctlError } from "../../host/network/sysctl.ts";
import { AppError, ExitCode } from "../../process/errors.ts";
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

export class KernelForwarding implements Disposable {
  readonly #options: KernelForwardingOptions;
  readonly #forwarding: Forwarding;
  #timer: ReturnType<typeof setInterval> | undefined;

  constructor(options: KernelForwardingOptions) {
    this.#options = options;
    this.#forwarding = new Forwarding({
      interfaceName: options.interfaceName,
      sources: options.config.interface.addresses,
      carriesIpv6: options.config.interface.addresses6.length > 0,
      journal: options.journal,
    });
  }

  /**
   * Keeps the kernel from forwarding to and from the tunnel.
   *
   * @param leadsOutside whether there is an interface outside: a gateway without one needs netfilter for nothing else
   */
  close(leadsOutside: boolean): void {
    try {
      this.#forwarding.close();
      this.#timer = setInterval(
        guarded(
          "server",
          "following what the host tracks",
          () => this.#forwarding.followTracking(),
        ),
        TRACKING_PERIOD,
      );
    } catch (error) {
      if (!(error instanceof SystemCallError) || error.isShortage) throw error;
      if (leadsOutside) throw withoutFirewall(error);
      this.#options.logger.warn(
        "cannot stop the kernel from forwarding to clients, as it has no nftables: {reason}: " +
          "set net.ipv4.ip_forward = 0 unless this host is a router",
        { reason: error.message },
      );
    }
  }

  /** Puts the rules of `close()` back where something has removed them. */
  install(): void {
    this.#forwarding.install();
  }

  /** Has the host forward to the networks behind other interfaces, or, with `Egress = kernel`, to all. */
  open(exits: readonly string[]): void {
    const { config, netlink } = this.#options;
    try {
      this.#forwarding.open(exits, guestBridges(netlink));
    } catch (error) {
      if (!(error instanceof SysctlError)) throw error;
      const reason = config.interface.egress === "kernel" ? "Egress = kernel" : "EgressAllow";
      throw new AppError(
        `Cannot forward to ${exits.join(", ")}, as ${reason} asks: ${error.reason}`,
        { exitCode: ExitCode.privilege, cause: error },
      );
    }
  }

  /** Follows the host no more: a table that was made again after the undoing would stay there. */
  end(): void {
    clearInterval(this.#timer);
  }

  [Symbol.dispose](): void {
    this.end();
    this.#forwarding[Symbol.dispose]();
  }
}

/** What to say of a kernel that has no nftables; any other error as it is. */
function withoutFirewall(error: SystemCallError): Error {
  if (!(error instanceof NoNftablesError)) return error;
  return new AppError(
    `${error.message.replace("use the firewall", "forward to the internet")}, or set Egress = off`,
    { exitCode: ExitCode.privilege, cause: error },
  );
}
