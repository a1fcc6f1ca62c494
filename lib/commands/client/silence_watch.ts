/**
 * Silence watch: notes what is seen while a server does not answer, since it was last looked for, and says why that may
 * be.
 *
 * The counts of the data plane only grow: an answer that did not decrypt, or a datagram that the kernel refused, counts
 * where it came since the loss.
 */
import type { ClientConfig } from "../../core/config/config.ts";
import { DROP_REASON_NAMES, DropReason } from "../../core/wire/drop_reason.ts";
import { isIpv6 } from "../../core/wire/host_address.ts";
import type { SocketAddress } from "../../core/wire/socket_address.ts";
import type { Refusal } from "../../core/wireguard/liveness/refusal.ts";
import type { Statistics } from "../../dataplane/data_plane_protocol.ts";
import type { Refusals } from "../../dataplane/refusals.ts";
import type { refusesOtherPorts, refusesPort } from "../refused_ports.ts";
import { explainSilence, triedProtocols } from "./unanswered.ts";

export interface SilenceWatchOptions {
  readonly dataPlane: { statistics(): Promise<Pick<Statistics, "sendError" | "drops">> };
  /** Null where ICMP cannot be received. */
  readonly refusals: Pick<Refusals, "latest"> | null;
  /** SO_MARK of the tunnel's datagrams. */
  readonly mark: number;
  readonly refusesOtherPorts: typeof refusesOtherPorts;
  readonly refusesPort: typeof refusesPort;
}

export class SilenceWatch {
  readonly #options: SilenceWatchOptions;
  #unfitting = 0;
  #sendErrors = 0;

  /** Begins with what the data plane has counted from its start. */
  constructor(options: SilenceWatchOptions) {
    this.#options = options;
  }

  /** What was seen up to now explains nothing: the server was there. */
  async begin(place: SocketAddress): Promise<void> {
    this.#options.refusals?.latest(place);
    const { drops } = await this.#options.dataPlane.statistics();
    this.#unfitting = countOf(drops, DropReason.badHandshake);
    this.#sendErrors = countOf(drops, DropReason.sendError);
  }

  /** In words, with what to do about it. */
  async explain(
    place: SocketAddress,
    { interface: { transport } }: Pick<ClientConfig, "interface">,
  ): Promise<string> {
    const { dataPlane, refusals, mark } = this.#options;
    const { sendError, drops } = await dataPlane.statistics();
    const refusal = refusals?.latest(place) ?? await this.#refusalByIpv6(place, transport);
    const unfitting = countOf(drops, DropReason.badHandshake) - this.#unfitting;
    const refused = countOf(drops, DropReason.sendError) - this.#sendErrors;
    const seen = { refusal, unfitting, sendError: refused > 0 ? sendError : null };
    const isExplained = refusal !== null || unfitting > 0 || seen.sendError !== null;
    const refusesOthers = !isExplained && transport !== "faketcp" &&
      await this.#options.refusesOtherPorts(place.address, { port: place.port, mark });
    const protocols = triedProtocols(transport);
    return explainSilence({ ...seen, refusesOthers, protocols, port: place.port });
  }

  /** ICMPv6 is not received here: the server's host is asked once more, by a socket that is told of it. */
  async #refusalByIpv6(
    { address, port }: SocketAddress,
    transport: ClientConfig["interface"]["transport"],
  ): Promise<Refusal | null> {
    if (!isIpv6(address) || transport === "faketcp") return null;
    const { mark } = this.#options;
    const isRefused = await this.#options.refusesPort(address, { port, mark });
    return isRefused ? { ...PORT_UNREACHABLE, from: address } : null;
  }
}

/** As ICMPv6 has it (RFC 4443 section 3.1). */
const PORT_UNREACHABLE = { kind: "refused", words: "port unreachable" } as const;

function countOf(drops: Statistics["drops"], reason: DropReason): number {
  return drops[DROP_REASON_NAMES[reason]!] ?? 0;
}
