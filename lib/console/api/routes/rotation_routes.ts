/** Rotation routes: another key pair for a peer, beside the one it has until the other is used. */
import type { ConsoleServices } from "../../console_services.ts";
import { sourceKey } from "../../../core/wire/source_key.ts";
import { actorName, askGateway } from "../gateway_calls.ts";
import { keyInput, settingText } from "../inputs.ts";
import { type ApiCall, type ApiRoute, apiRoute } from "../route.ts";
import { flag, record } from "../schema.ts";
import { SHAPES } from "../shapes.ts";
import { changeParams, publicKeyIn } from "./peer_routes.ts";

/** Admins alone: who has a peer's key has its address, and all that an admin has opened to it. */
export function rotationRoutes({ gateway, audit }: ConsoleServices): readonly ApiRoute[] {
  const note = (
    call: Pick<ApiCall<unknown, unknown>, "principal" | "source">,
    action: string,
    target: string,
  ) => audit.add({ account: actorName(call), source: sourceKey(call.source), action, target });

  return [
    apiRoute({
      method: "post",
      path: "/peers/{id}/rotation",
      access: "admin",
      summary:
        "Give a peer another key pair, which the caller has made; what it has counts until the first use",
      body: record({ publicKey: keyInput }, {
        keyExpires: settingText,
        presharedKey: flag(),
        endpoint: settingText,
        allowedIps: settingText,
        dns: settingText,
      }),
      needsMatch: true,
      status: 200,
      answer: SHAPES.CreatedPeer,
      problems: ["not-found", "conflict"],
      handle: async (call) => {
        const peer = publicKeyIn(call.params["id"]!);
        const params = { peer, ...call.body, ...changeParams(call) };
        const body = await askGateway(gateway, "rotate-peer", params);
        note(call, "key-rotated", body.peer.name ?? peer);
        return { body };
      },
    }),

    apiRoute({
      method: "delete",
      path: "/peers/{id}/rotation",
      access: "admin",
      summary: "Give up a peer's next key pair: it keeps the one it has",
      needsMatch: true,
      status: 204,
      problems: ["not-found"],
      handle: async (call) => {
        const key = publicKeyIn(call.params["id"]!);
        const set = { NextPublicKey: null };
        const params = { peers: [key], set, ...changeParams(call) };
        const { peers } = await askGateway(gateway, "change-peers", params);
        note(call, "rotation-given-up", peers[0]?.name ?? key);
        return {};
      },
    }),
  ];
}
