/** Configurations of the bench's WireGuard tunnels: one pair of identities, and peers that never come. */
import { encodeKey } from "../../../lib/core/config/values/key_text.ts";
import { configText, type Identity, newIdentity, type Section } from "../../net/support/config.ts";
import {
  CLIENT_INSIDE,
  SERVER_ENDPOINT,
  SERVER_INSIDE,
  SERVER_PORT,
  SUBNET,
} from "../../net/support/wire.ts";
import { peerAddress } from "../load/peer_address.ts";

export interface SideOptions {
  /** For `vpn`, or for `wg setconf`, which knows none of wg-quick's keys. */
  readonly isOurs: boolean;
  readonly aead?: "boringssl" | "libcrypto" | "builtin" | undefined;
  readonly transport?: "faketcp" | undefined;
  /** Who translates addresses for the server's clients; ours if left out. */
  readonly egress?: "raw" | "kernel" | undefined;
  /** More keys, of `vpn` alone. */
  readonly extra?: Section | undefined;
}

export interface ClientOptions extends SideOptions {
  /** A network behind the server. */
  readonly behind?: string | undefined;
}

export interface ServerOptions extends SideOptions {
  /** Peers besides the client, which have keys and addresses and never say a word. */
  readonly silentPeers?: number;
}

/** The identities of both ends, the same in a whole run. */
export const IDENTITIES: { readonly server: Identity; readonly client: Identity } = {
  server: newIdentity(),
  client: newIdentity(),
};

/** The server's side, with the client as its last peer. */
export function serverConfig({ silentPeers = 0, ...options }: ServerOptions): string {
  const silent = Array.from({ length: silentPeers }, (_, index): Section => ({
    // Any 32 bytes are a public key.
    PublicKey: encodeKey(crypto.getRandomValues(new Uint8Array(32))),
    AllowedIPs: `${peerAddress(index)}/32`,
  }));
  return serverConfigWith(options, [
    ...silent,
    { PublicKey: IDENTITIES.client.publicKey, AllowedIPs: `${CLIENT_INSIDE}/32` },
  ]);
}

/** The server's side with these peers alone. */
export function serverConfigWith(options: SideOptions, peers: readonly Section[]): string {
  return configText({
    PrivateKey: IDENTITIES.server.privateKey,
    ListenPort: SERVER_PORT,
    ...ourKeys(options, `${SERVER_INSIDE}/24`),
    ...options.isOurs ? { Egress: options.egress, ...options.extra } : {},
  }, ...peers);
}

/** The client's side. */
export function clientConfig({ behind, ...options }: ClientOptions): string {
  return configText(
    { PrivateKey: IDENTITIES.client.privateKey, ...ourKeys(options, `${CLIENT_INSIDE}/24`) },
    {
      PublicKey: IDENTITIES.server.publicKey,
      Endpoint: SERVER_ENDPOINT,
      AllowedIPs: behind === undefined ? SUBNET : `${SUBNET}, ${behind}`,
    },
  );
}

function ourKeys({ isOurs, aead, transport }: SideOptions, address: string): Section {
  return isOurs ? { Address: address, Aead: aead, Transport: transport } : {};
}
