/** UDP port: the socket of UDP as the engine's loop sees it. */
import { EAGAIN, EINTR } from "../../../ffi/errno.ts";
import type { UdpSocket } from "../../../ffi/sockets/udp_socket.ts";
import type { DatagramPort, Datagrams, ReceivedMessages } from "../../core/engine/ports.ts";
import type { Paths } from "../../core/transport/paths.ts";
import { Transport } from "../../core/transport/transport.ts";
import { type DropCounters, DropReason } from "../../core/wire/drop_reason.ts";

export interface UdpPortOptions {
  /** What the socket receives into. */
  readonly memory: { readonly view: DataView };
  /** Where paths have their numbers from. */
  readonly paths: Paths;
  readonly drops: DropCounters;
  /**
   * Whether answers leave from the address that was written to, as a gateway's do; a client goes where its routes lead
   * by now.
   */
  readonly keepsSource: boolean;
  /** Takes the digest of a source address that the kernel refuses: the host no longer has it. */
  readonly onSourceRefused: (source: number) => void;
  /** Takes the number of an error for which datagrams were refused. */
  readonly onRefused?: (errno: number) => void;
  /** Has the loop woken, or no more, when there is room again. */
  readonly onRoomAwaited: (isAwaited: boolean) => void;
}

export class UdpPort implements DatagramPort {
  readonly transport: Transport = Transport.udp;
  readonly batch: number;
  readonly messages: ReceivedMessages;
  readonly #socket: UdpSocket;
  readonly #options: UdpPortOptions;
  readonly #guesses: Int32Array;
  #isRoomAwaited = false;

  constructor(socket: UdpSocket, options: UdpPortOptions) {
    this.#socket = socket;
    this.#options = options;
    this.batch = socket.receivedOffsets.length;
    this.#guesses = new Int32Array(this.batch);
    this.messages = {
      offsets: socket.receivedOffsets,
      lengths: socket.receivedLengths,
      segmentSizes: socket.receivedSegmentSizes,
      pathIds: new Int32Array(this.batch),
      guesses: this.#guesses,
      ecns: socket.receivedEcns,
    };
  }

  receive(): number {
    const count = this.#socket.receive();
    if (count >= 0) return count;
    // Else ICMP's answer to an earlier datagram, of a socket that is connected: nothing listens there.
    if (count !== -EAGAIN && count !== -EINTR) {
      this.#options.drops.add(DropReason.sendError);
      this.#options.onRefused?.(-count);
    }
    return 0;
  }

  take(index: number): boolean {
    const socket = this.#socket;
    const { paths, keepsSource } = this.#options;
    const name6 = socket.receivedNames6[index];
    const path = name6 >= 0 ? this.#path6(name6, index) : paths.intern(
      socket.receivedAddresses[index],
      socket.receivedPorts[index],
      keepsSource ? socket.receivedSources[index] : 0,
      Transport.udp,
      this.#guesses[index],
    );
    // The next guess too, unless a better one is known.
    this.messages.pathIds[index] = this.#guesses[index] = path;
    return true;
  }

  #path6(name: number, index: number): number {
    const { paths, memory, keepsSource } = this.#options;
    const source = keepsSource ? this.#socket.receivedSources6[index] : -1;
    return paths.internName6(memory.view, name, source, Transport.udp, this.#guesses[index]);
  }

  authenticated(): void {}

  send(datagrams: Datagrams, from: number, to: number): number {
    const socket = this.#socket;
    const { drops } = this.#options;
    const errors = socket.sendErrors;
    const next = socket.send(datagrams, from, to);
    for (let i = errors; i < socket.sendErrors; i++) drops.add(DropReason.sendError);
    if (socket.sendErrors > errors) this.#options.onRefused?.(socket.lastSendError);
    if (socket.refusedSource !== 0) {
      this.#options.onSourceRefused(socket.refusedSource);
      socket.refusedSource = 0;
    }
    return next;
  }

  probe(datagrams: Datagrams, index: number): boolean {
    this.#socket.probe(datagrams, index);
    return true;
  }

  flush(): boolean {
    return true;
  }

  awaitRoom(isAwaited: boolean): void {
    if (isAwaited === this.#isRoomAwaited) return;
    this.#isRoomAwaited = isAwaited;
    this.#options.onRoomAwaited(isAwaited);
  }
}
