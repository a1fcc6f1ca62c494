/** New client: the key of a client that is added, and what a gateway or a fleet's store is asked to keep of it. */
import type { PeerAddition } from "../../cli/command.ts";
import type { NewPeerRequest } from "../../control/application/peer_application.ts";
import { expiryTime, formatExpires } from "../../core/config/values/expiry.ts";
import { encodeKey } from "../../core/config/values/key_text.ts";
import { publicKey } from "../../core/noise/x25519.ts";
import { newPrivateKey } from "../keys.ts";

export interface NewClient {
  readonly privateKey: Uint8Array;
  readonly request: NewPeerRequest;
}

/** Makes its key, and counts its `--expires` from now on. */
export function newClient(
  { name, expiry, groups = [], endpoints, allowedIps, dns }: Omit<PeerAddition, "action">,
): NewClient {
  const privateKey = newPrivateKey();
  const expires = expiry === undefined ? null : expiryTime(expiry, Date.now());
  return {
    privateKey,
    request: {
      name,
      publicKey: encodeKey(publicKey(privateKey)),
      set: {
        ...(groups.length === 0 ? {} : { Groups: groups.join(", ") }),
        ...(expires === null ? {} : { Expires: formatExpires(expires) }),
      },
      hasPresharedKey: true,
      endpoints,
      allowedIps,
      dns,
    },
  };
}
