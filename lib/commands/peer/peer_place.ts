/**
 * Peer place: where a change of a gateway's clients is made. Where one gateway runs from the file, that gateway writes
 * it; else the same is done here, on the file, and what runs is told.
 */
import type {
  ApplicationMethods,
  CreatedPeer,
  PeerEntry,
  PeerKeyChanges,
} from "../../control/application/methods.ts";
import {
  type LiveGateway,
  type NewPeerRequest,
  PeerApplication,
  type RotationRequest,
} from "../../control/application/peer_application.ts";
import type { ConfigurationPlace } from "../../control/control.ts";
import { ControlClient, ControlRefusal } from "../../control/client.ts";
import type { Instance } from "../../control/instances.ts";
import type { Config } from "../../core/config/config.ts";
import { formatEndpoint } from "../../core/config/text/config_writer.ts";
import { encodeKey } from "../../core/config/values/key_text.ts";
import { FilePeerStore } from "../../host/files/file_peer_store.ts";
import { AppError, ExitCode } from "../../process/errors.ts";
import { writeText } from "../../process/output.ts";
import { newPresharedKey } from "../keys.ts";
import { ToldGateways, visibleGateways } from "./peer_live.ts";

/** ms in which a gateway writes its file, and waits for a lock on it before. */
const ANSWER_TIMEOUT = 20_000;

export interface PeerPlace {
  create(request: NewPeerRequest): Promise<CreatedPeer>;
  rotate(request: RotationRequest): Promise<CreatedPeer>;
  /** @param keys public keys, as text */
  change(keys: readonly string[], set: PeerKeyChanges): Promise<readonly PeerEntry[]>;
  remove(keys: readonly string[]): Promise<void>;
  /** The interfaces of the gateways that have applied the last change. */
  readonly appliedOn: readonly string[];
}

/**
 * The place where clients of this file are changed.
 *
 * @param server what the file says
 */
export async function placeOf(configPath: string, server: Config): Promise<PeerPlace> {
  const gateways = await visibleGateways(server);
  const file = new FilePlace(configPath, server, new ToldGateways(server, gateways));
  const [only, other] = gateways;
  if (only === undefined || other !== undefined) return file;
  return await keeps(only, configPath) ? new GatewayPlace(only, file) : file;
}

/** Whether a gateway runs from this very file, and not from another with the same key. */
async function keeps(gateway: Instance, configPath: string): Promise<boolean> {
  try {
    using client = await ControlClient.connect(gateway);
    const options = { timeout: ANSWER_TIMEOUT };
    const { file } = await client.request("configuration", {}, options) as ConfigurationPlace;
    return file === Deno.realPathSync(configPath);
  } catch (error) {
    // One of an earlier version knows of no such question.
    if (error instanceof ControlRefusal || error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

async function asked<Method extends keyof ApplicationMethods>(
  gateway: Instance,
  method: Method,
  params: ApplicationMethods[Method]["params"],
): Promise<ApplicationMethods[Method]["result"]> {
  using client = await ControlClient.connect(gateway);
  return await client.request(method, { ...params }, { timeout: ANSWER_TIMEOUT }) as never;
}

/** A gateway that writes its file itself; where it cannot, being shut in, that is done here. */
class GatewayPlace implements PeerPlace {
  readonly #gateway: Instance;
  readonly #file: PeerPlace;
  appliedOn: readonly string[] = [];

  constructor(gateway: Instance, file: PeerPlace) {
    this.#gateway = gateway;
    this.#file = file;
  }

  create(request: NewPeerRequest): Promise<CreatedPeer> {
    const { name, publicKey, set } = request;
    return this.#make(
      () => asked(this.#gateway, "create-peer", { name, publicKey, set, ...wishParams(request) }),
      () => this.#file.create(request),
    );
  }

  rotate(request: RotationRequest): Promise<CreatedPeer> {
    const { name: peer, publicKey, keyExpires } = request;
    return this.#make(
      () =>
        asked(this.#gateway, "rotate-peer", {
          peer,
          publicKey,
          ...(keyExpires === undefined ? {} : { keyExpires }),
          ...wishParams(request),
        }),
      () => this.#file.rotate(request),
    );
  }

  change(keys: readonly string[], set: PeerKeyChanges): Promise<readonly PeerEntry[]> {
    return this.#make(
      async () => (await asked(this.#gateway, "change-peers", { peers: keys, set })).peers,
      () => this.#file.change(keys, set),
    );
  }

  remove(keys: readonly string[]): Promise<void> {
    return this.#make(
      async () => void await asked(this.#gateway, "delete-peers", { peers: keys }),
      () => this.#file.remove(keys),
    );
  }

  async #make<T>(byGateway: () => Promise<T>, here: () => Promise<T>): Promise<T> {
    try {
      const made = await byGateway();
      this.appliedOn = [this.#gateway.interfaceName];
      return made;
    } catch (error) {
      if (!(error instanceof ControlRefusal)) throw error;
      if (error.code !== "unavailable") {
        throw new AppError(error.message, { exitCode: ExitCode.usage, cause: error });
      }
    }
    const made = await here();
    this.appliedOn = this.#file.appliedOn;
    return made;
  }
}

function wishParams(
  { hasPresharedKey, endpoints = [], allowedIps, dns }: NewPeerRequest | RotationRequest,
) {
  return {
    presharedKey: hasPresharedKey,
    ...(endpoints.length === 0 ? {} : { endpoint: endpoints.map(formatEndpoint).join(", ") }),
    ...(allowedIps === undefined ? {} : { allowedIps }),
    ...(dns === undefined ? {} : { dns }),
  };
}

/** What runs, and which of it has applied the last change. */
type FollowingGateways = LiveGateway & Pick<PeerPlace, "appliedOn">;

/** The file, and gateways that are told. */
export class FilePlace implements PeerPlace {
  readonly #application: PeerApplication;
  readonly #live: FollowingGateways;

  constructor(configPath: string, server: Config, live: FollowingGateways) {
    this.#live = live;
    this.#application = new PeerApplication({
      store: new FilePeerStore(configPath, {
        onProblem: (problem) => writeText(Deno.stderr, `vpn: warning: ${problem}\n`),
      }),
      live,
      gateway: () => server,
      now: Date.now,
      newPresharedKey: () => encodeKey(newPresharedKey()),
    });
  }

  get appliedOn(): readonly string[] {
    return this.#live.appliedOn;
  }

  create(request: NewPeerRequest): Promise<CreatedPeer> {
    return this.#application.create(request, { by: "" });
  }

  rotate(request: RotationRequest): Promise<CreatedPeer> {
    return this.#application.rotate(request, { by: "" });
  }

  change(keys: readonly string[], set: PeerKeyChanges): Promise<readonly PeerEntry[]> {
    return this.#application.change(keys, set, { by: "" });
  }

  async remove(keys: readonly string[]): Promise<void> {
    await this.#application.remove(keys, { by: "" });
  }
}
