/** Gateway application: what a gateway that runs is asked and has changed, put together of its parts. */
import type { Accounts } from "../../control/accounts.ts";
import { watchEdits } from "../../control/application/edit_watch.ts";
import { liveGateway } from "../../control/application/live_gateway.ts";
import { methodsOfAccounts } from "../../control/application/methods_of_accounts.ts";
import {
  type GatewayQuestions,
  methodsOfGateway,
} from "../../control/application/methods_of_gateway.ts";
import { methodsOfPeers } from "../../control/application/methods_of_peers.ts";
import { methodsOfSettings } from "../../control/application/methods_of_settings.ts";
import { PeerApplication } from "../../control/application/peer_application.ts";
import type { StoreFollower } from "../../control/fleet/store_follower.ts";
import type { LivePeers } from "../../control/live_peers.ts";
import type { Handler } from "../../control/protocol.ts";
import type { Reloader } from "../../control/reload.ts";
import type { ServerConfig } from "../../core/config/config.ts";
import { encodeKey } from "../../core/config/values/key_text.ts";
import { FilePeerStore } from "../../host/files/file_peer_store.ts";
import { SettingsFile } from "../../host/files/settings_file.ts";
import { getLogger } from "../../process/logging.ts";
import { newPresharedKey } from "../keys.ts";

export interface GatewayParts extends GatewayQuestions {
  readonly reloader: Pick<Reloader<ServerConfig>, "config" | "pending" | "preview" | "reload">;
  /** Of the configuration, where changes of peers are written. */
  readonly configPath: string;
  readonly peers: LivePeers;
  readonly accounts: Accounts;
  /** Where peers are in place of the configuration, and how changes of them come into effect; null: they are there. */
  readonly fleet: Pick<StoreFollower, "store" | "live"> | null;
}

/** Its methods, by their names, and what it does by itself until it is disposed of. */
export interface GatewayApplication extends Disposable {
  readonly application: PeerApplication;
  readonly methods: Readonly<Record<string, Handler>>;
}

export function gatewayApplication(parts: GatewayParts): GatewayApplication {
  const { configPath, peers, accounts, reloader, fleet } = parts;
  const logger = getLogger("control");
  const file = new FilePeerStore(configPath, {
    onProblem: (problem) => logger.warn("{problem}", { problem }),
  });
  const application = new PeerApplication({
    store: fleet?.store ?? file,
    live: fleet?.live ??
      liveGateway(peers, (detail) => accounts.record("configuration-changed", null, detail)),
    gateway: () => reloader.config,
    now: Date.now,
    newPresharedKey: () => encodeKey(newPresharedKey()),
  });
  const watch = watchEdits(file, reloader, (what) => {
    logger.info("{configPath} was edited, and is not reloaded: {what}", { configPath, what });
    accounts.record("configuration-edited", null, what);
  });
  return {
    application,
    methods: {
      ...methodsOfPeers(application),
      ...methodsOfSettings({ file: new SettingsFile(configPath), reloader }),
      ...methodsOfAccounts(accounts),
      ...methodsOfGateway(parts),
    },
    [Symbol.dispose]: () => watch[Symbol.dispose](),
  };
}
