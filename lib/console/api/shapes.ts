/** Shapes: what the API answers, by name, as schemas. Times are RFC 3339 in UTC, keys base64, amounts bytes. */
import type {
  ApplicationMethods,
  EventEntry,
  GroupEntry,
  PeerEntry,
  UsageEntry,
} from "../../control/application/methods.ts";
import type { PeerStatus, Status } from "../../control/status.ts";
import type { StatusDifference } from "../gateway/status_difference.ts";
import { ACCOUNT_ROLES, SCOPES } from "../accounts/roles.ts";
import {
  arrayOf,
  choiceOf,
  flag,
  mapOf,
  number,
  orNull,
  record,
  type Schema,
  text,
  whole,
} from "./schema.ts";

const time = text({ format: "date-time" });
const key = text({ pattern: "^[A-Za-z0-9+/]{43}=$" });
const texts = arrayOf(text());
const count = whole({ minimum: 0 });

const account = record({
  name: text(),
  role: choiceOf(ACCOUNT_ROLES),
  hasTotp: flag(),
  recoveryCodes: count,
  created: time,
  lastLogin: orNull(time),
});

const token = record({
  id: text(),
  name: text(),
  scope: choiceOf(SCOPES),
  account: text(),
  created: time,
  expires: orNull(time),
  lastUsed: orNull(time),
});

const link = record({
  id: text(),
  name: text(),
  groups: texts,
  createdBy: text(),
  created: time,
  expires: time,
});

const passkey = record({ id: text(), name: text(), created: time, lastUsed: orNull(time) });

const session = record({
  id: text(),
  created: time,
  lastUsed: time,
  source: text(),
  isCurrent: flag(),
});

const audit = record({
  id: whole(),
  time,
  account: orNull(text()),
  source: text(),
  action: text(),
  target: orNull(text()),
  detail: orNull(text()),
});

const peerStatus = record({
  name: orNull(text()),
  publicKey: key,
  endpoint: orNull(text()),
  otherEndpoint: orNull(text()),
  transport: choiceOf(["udp", "faketcp"]),
  allowedIps: texts,
  latestHandshake: orNull(time),
  silence: orNull(number()),
  presence: choiceOf(["never", "up", "silent", "down"]),
  isUp: flag(),
  admission: choiceOf(["admitted", "disabled", "expired"]),
  expires: orNull(time),
  groups: texts,
  kind: choiceOf(["ours", "stock", "unknown"]),
  roundTrip: orNull(number()),
  hello: orNull(record({
    version: whole(),
    software: text(),
    role: orNull(choiceOf(["client", "server"])),
    seenAt: orNull(text()),
    clockOffset: orNull(number()),
  })),
  mtu: whole(),
  persistentKeepalive: whole(),
  rateLimit: orNull(number()),
  rateLimited: count,
  denied: arrayOf(record({ rule: text(), packets: count })),
  nat: orNull(record({ ports: count, sessions: count, refused: count })),
  quota: orNull(record({
    bytes: count,
    period: choiceOf(["day", "month", "total"]),
    used: count,
    resetsAt: orNull(time),
    rate: orNull(number()),
  })),
  dns: orNull(record({
    queries: count,
    cached: count,
    blocked: count,
    nameErrors: count,
    refused: count,
  })),
  received: count,
  sent: count,
});

const store = record({
  servers: texts,
  connected: flag(),
  server: orNull(text()),
  replicas: orNull(count),
  lastContact: orNull(time),
  problem: orNull(text()),
  revision: orNull(text()),
  leftOut: count,
  admitsNew: flag(),
  virtualAddress: orNull(record({
    address: text(),
    holder: orNull(count),
    isHere: flag(),
    isDraining: flag(),
    gateways: arrayOf(record({
      number: count,
      name: text(),
      endpoint: text(),
      isSelf: flag(),
      isUp: flag(),
      isDraining: flag(),
      clockOffset: orNull(number()),
    })),
  })),
});

const service = record({
  name: text(),
  method: choiceOf(["hash", "least"]),
  backEnds: arrayOf(record({
    name: text(),
    address: orNull(text()),
    isOutside: flag(),
    state: choiceOf(["up", "down", "drained", "absent", "unchecked"]),
    reason: orNull(text()),
    connections: count,
    totalConnections: count,
  })),
});

const statusMembers = {
  interface: text(),
  netns: orNull(text()),
  role: choiceOf(["server", "client"]),
  state: choiceOf(["up", "degraded", "blocked"]),
  missing: texts,
  pid: whole(),
  since: time,
  publicKey: text(),
  listenPort: whole(),
  addresses: texts,
  aead: text(),
  segmentation: flag(),
  workers: arrayOf(record({
    receivedMessages: count,
    receivedBytes: count,
    sentMessages: count,
    sentBytes: count,
  })),
  threads: record({ count: whole(), decidedBy: text() }),
  oneThread: orNull(text()),
  nat: record({ mappings: count, sessions: count, sendErrors: mapOf(count) }),
  store: orNull(store),
  services: arrayOf(service),
  drops: mapOf(count),
};

const status = record({ ...statusMembers, time, peers: arrayOf(peerStatus) });

/** Of `update` events. */
const statusDifference = record({ time }, {
  status: record({}, statusMembers),
  peers: mapOf(record({}, peerStatus.properties)),
  added: arrayOf(peerStatus),
  removed: arrayOf(key),
});

const event = record({
  id: whole(),
  time,
  event: text(),
  name: orNull(text()),
  publicKey: orNull(text()),
  detail: orNull(text()),
});

const liveEvent: Schema = {
  description:
    "By the name of the event: `status` (all), `update` (what has changed), `events`, `gateway` (it does not answer), " +
    "`end` (the session has ended)",
  anyOf: [
    status,
    statusDifference,
    arrayOf(event),
    record({ isReachable: flag(), detail: text() }),
    record({ reason: text() }),
  ],
};

const usage = record({
  period: text(),
  name: orNull(text()),
  publicKey: key,
  received: count,
  sent: count,
});

const peer = record({
  name: orNull(text()),
  publicKey: key,
  allowedIps: texts,
  hasPresharedKey: flag(),
  groups: texts,
  admission: choiceOf(["admitted", "disabled", "expired"]),
  expires: orNull(time),
  quota: orNull(text()),
  quotaRate: orNull(number()),
  nextPublicKey: orNull(key),
  keyExpires: orNull(time),
  settings: mapOf(text()),
  revision: orNull(text()),
});

const group = record({
  name: text(),
  allow: text(),
  deny: text(),
  members: texts,
  revision: text(),
});

const createdPeer = record({
  peer,
  client: record({
    addresses: texts,
    dns: orNull(text()),
    mtu: orNull(whole()),
    publicKey: key,
    presharedKey: orNull(key),
    allowedIps: text(),
    endpoint: text(),
    text: text({
      description: "The configuration file, with {PRIVATE_KEY} where the private key belongs",
    }),
  }),
});

const problem = record({ type: text(), title: text(), status: whole(), detail: text() }, {
  pointer: text(),
});

/** Of what the gateway answers, all is in the document, and nothing else. */
interface GatewayShapes {
  readonly Status: Schema<Status>;
  readonly PeerStatus: Schema<PeerStatus>;
  readonly StatusDifference: Schema<StatusDifference>;
  readonly Event: Schema<EventEntry>;
  readonly Usage: Schema<UsageEntry>;
  readonly Peer: Schema<Omit<PeerEntry, "settings">>;
  readonly Group: Schema<GroupEntry>;
  readonly TrialResult: Schema<Answer<"test-access">>;
  readonly Settings: Schema<Answer<"settings">>;
  readonly SettingsResult: Schema<Answer<"change-settings">>;
  readonly Health: Schema<Answer<"health">>;
  readonly Examination: Schema<Answer<"doctor">>;
  readonly DnsFigures: Schema<Answer<"dns">>;
}

type Answer<Name extends keyof ApplicationMethods> = ApplicationMethods[Name]["result"];

/** By the names that the OpenAPI document has them under. */
export const SHAPES = {
  Account: account,
  Token: token,
  Link: link,
  Passkey: passkey,
  Session: session,
  AuditEntry: audit,
  PeerStatus: peerStatus,
  Status: status,
  StatusDifference: statusDifference,
  LiveEvent: liveEvent,
  Event: event,
  Usage: usage,
  Peer: peer,
  Group: group,
  PeerList: record({ revision: text(), peers: arrayOf(peer), groups: arrayOf(group) }),
  CreatedPeer: createdPeer,
  TrialResult: record({ isAllowed: flag(), rule: orNull(text()), hasRules: flag() }),
  Settings: record({ revision: text(), text: text() }),
  SettingsPreview: record({
    lines: arrayOf(record({ kind: choiceOf(["same", "added", "removed"]), text: text() })),
    live: texts,
    restart: texts,
    warnings: texts,
  }),
  SettingsResult: record({
    revision: text(),
    changes: texts,
    restart: texts,
    problems: texts,
  }),
  Health: record({
    state: choiceOf(["up", "degraded"]),
    missing: texts,
    warnings: texts,
    pending: texts,
    restart: texts,
    problem: orNull(text()),
    deadRules: texts,
  }),
  Examination: record({
    isRunning: flag(),
    time: orNull(time),
    problem: orNull(text()),
    checks: arrayOf(record({
      name: text(),
      status: choiceOf(["ok", "warn", "fail"]),
      why: text(),
      remedy: orNull(text()),
    })),
  }),
  DnsFigures: orNull(mapOf(number())),
  Problem: problem,
} as const satisfies Readonly<Record<string, Schema>> & GatewayShapes;
