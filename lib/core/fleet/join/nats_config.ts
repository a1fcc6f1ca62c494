/** NATS configuration: what the servers of a fleet's store run with. */
import { bracketed } from "../../wire/host_address.ts";
import type { NatsServer } from "../../config/values/store_keys.ts";

/** Where the files of a server are there. */
const FOLDER = "/etc/nats";
/** Its name in the cluster, of those that are numbered from 1 on. */
export function natsName(number: number): string {
  return `nats-${number}`;
}

export interface NatsConfig {
  /** From 1, of `servers`. */
  readonly number: number;
  readonly servers: readonly NatsServer[];
  /** Public keys of the gateways, by which NATS knows them. */
  readonly gateways: readonly string[];
}

/** The configuration of one of them. */
export function natsConfigText({ number, servers, gateways }: NatsConfig): string {
  const server = servers[number - 1]!;
  const listen = (port: number) => server.host.includes(":") ? `[::]:${port}` : `0.0.0.0:${port}`;
  const users = gateways.map((key) => `    { nkey: ${key}, permissions: $GATEWAY }\n`).join("");
  return `# NATS for a fleet of vpn gateways. This is of ${
    bracketed(server.host)
  }, ${number} of ${servers.length}.
# A change of a peer counts as made when most of the servers that keep it have it: of three, one may fail.

server_name: ${natsName(number)}
listen: "${listen(server.port)}"

# A certificate for the name that Store has, by an authority that StoreCA names, or that the hosts trust.
tls {
  cert_file: "${FOLDER}/server.pem"
  key_file: "${FOLDER}/server-key.pem"
}

# Peers and their preshared keys are in here: it is the server's alone, and so are backups of it.
jetstream {
  store_dir: "/var/lib/nats"
  max_memory_store: 64MB
  max_file_store: 1GB
}
${servers.length === 1 ? "" : clusterText(server, servers, listen(server.routePort))}
authorization {
  # What a gateway may do: read and write its fleet's bucket, and nothing else.
  GATEWAY = {
    publish = [
      "$KV.vpn.>"
      "$JS.API.INFO"
      "$JS.API.STREAM.INFO.KV_vpn"
      "$JS.API.STREAM.CREATE.KV_vpn"
      "$JS.API.STREAM.MSG.GET.KV_vpn"
      "$JS.API.DIRECT.GET.KV_vpn"
      "$JS.API.DIRECT.GET.KV_vpn.>"
      "$JS.API.CONSUMER.CREATE.KV_vpn"
      "$JS.API.CONSUMER.CREATE.KV_vpn.>"
      "$JS.API.CONSUMER.INFO.KV_vpn.>"
      "$JS.API.CONSUMER.DELETE.KV_vpn.>"
      "$JS.FC.KV_vpn.>"
    ]
    subscribe = "_INBOX.>"
  }
  # A key for each gateway, as \`vpn fleet init\` and \`vpn fleet key FILE\` make it. One that is lost is taken out here, on
  # each server, and the servers reload: \`nats-server --signal reload\`.
  users = [
${users}  ]
}
`;
}

function clusterText(own: NatsServer, servers: readonly NatsServer[], listen: string): string {
  const place = (server: NatsServer) => `${bracketed(server.host)}:${server.routePort}`;
  const routes = servers.map((server) => `    "tls://${place(server)}"\n`).join("");
  return `
cluster {
  name: vpn
  listen: "${listen}"
  # By the name that its certificate has, not by an address of the host.
  advertise: "${place(own)}"
  # Servers show each other certificates, which the authority has signed: nobody else joins.
  tls {
    cert_file: "${FOLDER}/server.pem"
    key_file: "${FOLDER}/server-key.pem"
    ca_file: "${FOLDER}/ca.pem"
    verify: true
  }
  routes: [
${routes}  ]
}
`;
}
