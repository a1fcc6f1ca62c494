/** Peer routes: the gateway's peers and groups, and one-time links by which somebody else adds a peer. */
import type { StoredLink } from "../../accounts/link_table.ts";
import { includesScope, scopeOf } from "../../accounts/roles.ts";
import type { ConsoleServices } from "../../console_services.ts";
import { sourceKey } from "../../../core/wire/source_key.ts";
import { Problem } from "../../http/problem.ts";
import {
  groupNames,
  keyInput,
  peerNameInput,
  peerSettingsInput,
  secret,
  settingText,
  title,
} from "../inputs.ts";
import { type ApiCall, type ApiRoute, apiRoute, whoAsks } from "../route.ts";
import { arrayOf, flag, record, text, type TypeOf, whole } from "../schema.ts";
import { SHAPES } from "../shapes.ts";
import { rfc3339 } from "../times.ts";
import { actorName, askGateway } from "../gateway_calls.ts";
import { tooMany } from "./login_routes.ts";

/** ms */
const MINUTE = 60_000;
const LINK_MINUTES = 30;
/** Where peers go, and what comes from them, is decided by admins. */
const ADMIN_KEYS = ["AllowedIPs", "Endpoint", "Allow", "Deny"] as const;

const settings = { ...peerSettingsInput, minProperties: 1 };

export function peerRoutes(services: ConsoleServices): readonly ApiRoute[] {
  const { gateway, audit } = services;

  const note: Note = (call, action, ...targets) => {
    const [account, source] = [actorName(call), sourceKey(call.source)];
    audit.addAll(targets.map((target) => ({ account, source, action, target })));
  };

  return [
    apiRoute({
      method: "get",
      path: "/peers",
      access: "read",
      summary: "All peers and groups, with what the configuration says of them",
      status: 200,
      answer: SHAPES.PeerList,
      hasRevision: true,
      handle: async () => {
        const body = await askGateway(gateway, "peers", {});
        return { body, etag: body.revision };
      },
    }),

    apiRoute({
      method: "post",
      path: "/peers",
      access: "peers",
      summary: "Add a peer, whose key pair the caller has made",
      body: record({ name: title, publicKey: keyInput }, {
        set: peerSettingsInput,
        presharedKey: flag(),
        endpoint: settingText,
        allowedIps: settingText,
        dns: settingText,
      }),
      status: 201,
      answer: SHAPES.CreatedPeer,
      problems: ["conflict"],
      handle: async (call) => {
        requireAdminKeys(call, call.body.set ?? {});
        const { body } = call;
        const made = await askGateway(gateway, "create-peer", { ...body, by: actorName(call) });
        note(call, "peer-added", body.name);
        return { body: made };
      },
    }),

    apiRoute({
      method: "get",
      path: "/peers/{id}",
      access: "read",
      summary: "A peer, by its public key in base64url",
      status: 200,
      answer: SHAPES.Peer,
      hasRevision: true,
      problems: ["not-found"],
      handle: async ({ params }) => {
        const key = publicKeyIn(params["id"]!);
        const { peers } = await askGateway(gateway, "peers", {});
        const peer = peers.find((each) => each.publicKey === key);
        if (peer === undefined) throw new Problem("not-found", "There is no such peer.");
        return peer.revision === null ? { body: peer } : { body: peer, etag: peer.revision };
      },
    }),

    apiRoute({
      method: "patch",
      path: "/peers/{id}",
      access: "peers",
      summary: "Change a peer, at once",
      body: record({ set: settings }),
      needsMatch: true,
      status: 200,
      answer: SHAPES.Peer,
      hasRevision: true,
      problems: ["not-found", "conflict"],
      handle: async (call) => {
        const { set } = call.body;
        requireAdminKeys(call, set);
        const key = publicKeyIn(call.params["id"]!);
        const { peers } = await askGateway(gateway, "change-peers", {
          peers: [key],
          set,
          ...changeParams(call),
        });
        const peer = peers[0];
        if (peer === undefined) throw new Problem("not-found", "There is no such peer.");
        note(call, "peer-changed", peer.name ?? key);
        return peer.revision === null ? { body: peer } : { body: peer, etag: peer.revision };
      },
    }),

    apiRoute({
      method: "delete",
      path: "/peers/{id}",
      access: "peers",
      summary: "Remove a peer",
      needsMatch: true,
      status: 204,
      problems: ["not-found"],
      handle: async (call) => {
        const key = publicKeyIn(call.params["id"]!);
        const { peers } = await askGateway(gateway, "delete-peers", {
          peers: [key],
          ...changeParams(call),
        });
        note(call, "peer-removed", peers[0]?.name ?? key);
        return {};
      },
    }),

    apiRoute({
      method: "post",
      path: "/peers/bulk",
      access: "peers",
      summary: "Change several peers, all or none of them; If-Match has the revision of the list",
      body: record({
        peers: arrayOf(peerNameInput, { minItems: 1, maxItems: 1000 }),
        set: settings,
      }),
      needsMatch: true,
      status: 200,
      answer: record({ peers: arrayOf(SHAPES.Peer) }),
      problems: ["not-found", "conflict"],
      handle: async (call) => {
        const { peers, set } = call.body;
        requireAdminKeys(call, set);
        const body = await askGateway(gateway, "change-peers", {
          peers,
          set,
          ...changeParams(call),
        });
        note(call, "peer-changed", ...body.peers.map(({ name, publicKey }) => name ?? publicKey));
        return { body };
      },
    }),

    apiRoute({
      method: "put",
      path: "/groups/{name}",
      access: "admin",
      summary: "Make a group, or change what its members may reach",
      body: record({ allow: settingText, deny: settingText }),
      needsMatch: true,
      status: 200,
      answer: SHAPES.Group,
      hasRevision: true,
      handle: async (call) => {
        const name = call.params["name"]!;
        const { allow, deny } = call.body;
        const params = { name, allow, deny, ...changeParams(call) };
        const group = await askGateway(gateway, "put-group", params);
        note(call, "group-changed", name);
        return group.revision === null ? { body: group } : { body: group, etag: group.revision };
      },
    }),

    apiRoute({
      method: "delete",
      path: "/groups/{name}",
      access: "admin",
      summary: "Remove a group: its members are in it no longer",
      needsMatch: true,
      status: 204,
      problems: ["not-found"],
      handle: async (call) => {
        const name = call.params["name"]!;
        await askGateway(gateway, "delete-group", { name, ...changeParams(call) });
        note(call, "group-removed", name);
        return {};
      },
    }),
    ...linkRoutes(services, note),
  ];
}

type Note = (
  call: Pick<ApiCall<unknown, unknown>, "principal" | "source">,
  action: string,
  ...targets: readonly string[]
) => void;

function linkRoutes(services: ConsoleServices, note: Note): readonly ApiRoute[] {
  const { gateway, links, accounts, audit, limits, now } = services;

  /** Nobody can guess one: only wrong ones are limited, so that nobody keeps others from theirs. */
  const gone = (source: string): Problem => {
    const wait = limits.addGuess(source);
    if (wait > 0) return tooMany(wait / 1000);
    audit.add({ account: null, source, action: "link-refused" });
    return new Problem("gone", "This link was used, or has expired: ask for another.");
  };

  return [
    apiRoute({
      method: "get",
      path: "/links",
      access: "peers",
      summary: "One-time links that can still be used",
      status: 200,
      answer: arrayOf(SHAPES.Link),
      handle: () => ({ body: links.all().map(linkJson) }),
    }),

    apiRoute({
      method: "post",
      path: "/links",
      access: "peers",
      summary: "Make a one-time link, by which somebody else adds one peer; it is shown this once",
      body: record({ name: title }, {
        groups: groupNames,
        minutes: whole({ minimum: 1, maximum: 1440, default: LINK_MINUTES }),
      }),
      status: 201,
      answer: record({ ...SHAPES.Link.properties, url: text() }),
      problems: ["conflict"],
      handle: async (call) => {
        const { name, groups = [], minutes = LINK_MINUTES } = call.body;
        const { peers } = await askGateway(gateway, "peers", {});
        if (
          peers.some((peer) => peer.name === name) || links.all().some((each) => each.name === name)
        ) {
          throw new Problem("conflict", "There is a peer, or a link, of this name.", {
            pointer: "/name",
          });
        }
        call.requireStill();
        const { account } = whoAsks(call);
        const made = links.add({ account, name, groups, expires: now() + minutes * MINUTE });
        if (made === null) throw new Problem("conflict", "There are too many links.");
        note(call, "link-made", name);
        // Behind #, so that it is in no request and in nobody's log.
        return { body: { ...linkJson(made.link), url: `${call.origin}/#/link/${made.secret}` } };
      },
    }),

    apiRoute({
      method: "delete",
      path: "/links/{id}",
      access: "peers",
      summary: "Remove a one-time link",
      status: 204,
      problems: ["not-found"],
      handle: (call) => {
        const link = links.remove(call.params["id"]!);
        if (link === null) throw new Problem("not-found", "There is no such link.");
        note(call, "link-removed", link.name);
        return {};
      },
    }),

    apiRoute({
      method: "post",
      path: "/links/inspect",
      access: "public",
      summary: "What a one-time link is for; it can be used afterwards",
      body: record({ token: secret }),
      status: 200,
      answer: record({ name: text(), expires: text({ format: "date-time" }) }),
      problems: ["gone", "too-many"],
      handle: (call) => {
        const source = sourceKey(call.source);
        const link = links.find(call.body.token);
        if (link === null) throw gone(source);
        return { body: { name: link.name, expires: rfc3339(link.expires) } };
      },
    }),

    apiRoute({
      method: "post",
      path: "/links/redeem",
      access: "public",
      summary: "Add the peer that a one-time link is for, whose key pair the caller has made",
      body: record({ token: secret, publicKey: keyInput }),
      status: 201,
      answer: SHAPES.CreatedPeer,
      problems: ["gone", "conflict", "too-many"],
      handle: async (call) => {
        const source = sourceKey(call.source);
        const { token, publicKey } = call.body;
        const link = links.use(token);
        const owner = link === null ? null : accounts.find(link.account);
        // Who has made it must still be allowed what it does.
        if (link === null || owner === null || !includesScope(scopeOf(owner.role), "peers")) {
          throw gone(source);
        }
        const { name, groups } = link;
        try {
          const body = await askGateway(gateway, "create-peer", {
            name,
            publicKey,
            ...(groups.length === 0 ? {} : { set: { Groups: groups.join(", ") } }),
            by: owner.name,
          });
          audit.add({ account: owner.name, source, action: "link-redeemed", target: name });
          return { body };
        } catch (error) {
          // Nothing has come of it.
          links.putBack(link, token);
          throw error;
        }
      },
    }),
  ];
}

/** What a change is told besides: on which revision it is made, and by whom. */
export function changeParams(
  call: Pick<ApiCall<unknown, unknown>, "match" | "principal">,
): { readonly revision?: string; readonly by: string } {
  const by = actorName(call);
  return call.match === null ? { by } : { revision: call.match, by };
}

/** @throws {Problem} where somebody sets what only admins may */
function requireAdminKeys(
  call: Pick<ApiCall<unknown, unknown>, "principal">,
  set: TypeOf<typeof peerSettingsInput>,
): void {
  if (includesScope(whoAsks(call).scope, "admin")) return;
  const key = ADMIN_KEYS.find((each) => set[each] !== undefined);
  if (key === undefined) return;
  throw new Problem("forbidden", `Only an admin can set ${key}.`, { pointer: `/set/${key}` });
}

/** The public key that stands in a path. @throws {Problem} */
export function publicKeyIn(id: string): string {
  if (!/^[\w-]{43}$/.test(id)) throw new Problem("not-found", "There is no such peer.");
  return `${id.replaceAll("-", "+").replaceAll("_", "/")}=`;
}

function linkJson({ id, name, groups, account, created, expires }: StoredLink) {
  return {
    id,
    name,
    groups,
    createdBy: account,
    created: rfc3339(created),
    expires: rfc3339(expires),
  };
}
