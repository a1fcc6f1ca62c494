/** The application's methods about peers and groups, as a control socket offers them. */
import { parseAllowedIps, parseDns, parseEndpoints } from "../../core/config/values/addresses.ts";
import type { Entry } from "../../core/config/text/config_document.ts";
import { ConfigError } from "../../core/config/config_error.ts";
import { PEER_SETTING_KEYS } from "../../core/config/values/keys.ts";
import { entryOf, withoutPlace } from "../../core/peers/peer_settings.ts";
import { RefusalError } from "../../core/config/refusal_error.ts";
import type { Caller, Handler, Params } from "../protocol.ts";
import type { ClientWishes } from "./client_needs.ts";
import type { ApplicationMethods, PeerKeyChanges } from "./methods.ts";
import { actorOf, keysParam, optionalText, switchParam, textParam, textsParam } from "./params.ts";
import type { ChangeTerms, PeerApplication } from "./peer_application.ts";

/** Keys that a change may name: the last is for taking it out. */
const KEYS: readonly string[] = [...PEER_SETTING_KEYS, "NextPublicKey"];

type Name =
  | "peers"
  | "create-peer"
  | "rotate-peer"
  | "change-peers"
  | "delete-peers"
  | "put-group"
  | "delete-group";

/** A handler whose result has the form that is written down. */
type TypedHandler<Method extends keyof ApplicationMethods> = (
  ...args: Parameters<Handler>
) => Promise<ApplicationMethods[Method]["result"]>;

export function methodsOfPeers(
  application: PeerApplication,
): { readonly [Method in Name]: TypedHandler<Method> } {
  return {
    "peers": () => application.list(),
    "create-peer": (params, _emit, _signal, caller) =>
      Promise.try(() => {
        const request = {
          name: textParam(params, "name"),
          publicKey: textParam(params, "publicKey"),
          set: keyChanges(params),
          ...wishes(params),
        };
        return application.create(request, terms(params, caller));
      }),
    "rotate-peer": (params, _emit, _signal, caller) =>
      Promise.try(() => {
        const request = {
          name: textParam(params, "peer"),
          publicKey: textParam(params, "publicKey"),
          keyExpires: optionalText(params, "keyExpires"),
          ...wishes(params),
        };
        return application.rotate(request, terms(params, caller));
      }),
    "change-peers": async (params, _emit, _signal, caller) => {
      const [names, set] = [textsParam(params, "peers"), keyChanges(params)];
      return { peers: await application.change(names, set, terms(params, caller)) };
    },
    "delete-peers": async (params, _emit, _signal, caller) => {
      const names = textsParam(params, "peers");
      return { peers: await application.remove(names, terms(params, caller)) };
    },
    "put-group": (params, _emit, _signal, caller) =>
      Promise.try(() => {
        const [allow, deny] = [textParam(params, "allow"), textParam(params, "deny")];
        const name = textParam(params, "name");
        return application.putGroup(name, { allow, deny }, terms(params, caller));
      }),
    "delete-group": async (params, _emit, _signal, caller) => {
      await application.removeGroup(textParam(params, "name"), terms(params, caller));
      return null;
    },
  };
}

/** What the client is to have. */
function wishes(params: Params): ClientWishes & { readonly hasPresharedKey: boolean } {
  return {
    hasPresharedKey: switchParam(params, "presharedKey", true),
    endpoints: checked(params, "endpoint", parseEndpoints),
    allowedIps: asGiven(params, "allowedIps", parseAllowedIps),
    dns: asGiven(params, "dns", parseDns),
  };
}

/** Who asks, and what must not have changed. */
export function terms(params: Params, caller: Caller): ChangeTerms {
  return { by: actorOf(caller, params), revision: optionalText(params, "revision") };
}

function keyChanges(params: Params): PeerKeyChanges {
  return keysParam(params, "set", KEYS);
}

function checked<T>(params: Params, name: string, parse: (entry: Entry) => T): T | undefined {
  const value = optionalText(params, name);
  if (value === undefined) return undefined;
  // It goes into the client's file, where another line would be another key.
  if (/[\r\n#]/.test(value)) throw new RefusalError("invalid", `${name}: a value is one line`);
  try {
    return parse(entryOf(name, value.trim()));
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    throw new RefusalError("invalid", withoutPlace(error.message));
  }
}

/** A value that is right, as it was given. */
function asGiven(
  params: Params,
  name: string,
  parse: (entry: Entry) => unknown,
): string | undefined {
  return checked(params, name, parse) === undefined ? undefined : textParam(params, name).trim();
}
