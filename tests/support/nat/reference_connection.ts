/** TCP connections of the reference NAT: what is known of them by both ends' flags, and how long they are kept. */
import type { Packet } from "./reference_packet.ts";

const SECOND = 1000;

export interface Connection {
  clientSyn: boolean;
  serverSyn: boolean;
  clientFin: boolean;
  serverFin: boolean;
  reset: boolean;
  until: number;
}

/** Follows a segment of the client's. */
export function trackClient(
  connections: Map<string, Connection>,
  packet: Packet,
  now: number,
): void {
  const key = `${packet.destination}:${packet.destinationPort}`;
  const flags = packet.kind;
  let connection = connections.get(key);
  if (connection === undefined) {
    if (isAnswer(flags)) return;
    const isOpen = (flags & 2) === 0 && connections.size > 0;
    connection = {
      clientSyn: isOpen,
      serverSyn: isOpen,
      clientFin: false,
      serverFin: false,
      reset: false,
      until: 0,
    };
    connections.set(key, connection);
  }
  if ((flags & 4) !== 0) {
    connection.reset = true;
    connection.until = Math.min(connection.until, now + 240 * SECOND);
  } else {
    if ((flags & 2) !== 0) {
      if (isOver(connection)) {
        Object.assign(connection, {
          clientSyn: false,
          serverSyn: false,
          clientFin: false,
          serverFin: false,
          reset: false,
        });
      }
      connection.clientSyn = true;
      if ((flags & 16) !== 0) connection.serverSyn = true;
    } else {
      connection.reset = false;
    }
    if ((flags & 1) !== 0) connection.clientFin = true;
    const isEstablished = connection.clientSyn && connection.serverSyn && !isOver(connection);
    connection.until = now + (isEstablished ? 7440 : 240) * SECOND;
  }
}

/** Follows a segment of the server's, by its flags. */
export function trackServer(connection: Connection, flags: number, now: number): void {
  if ((flags & 2) !== 0) connection.serverSyn = true;
  if ((flags & 1) !== 0) connection.serverFin = true;
  if ((flags & 4) !== 0) connection.reset = true;
  if (isOver(connection)) connection.until = Math.min(connection.until, now + 240 * SECOND);
}

/** RST, or SYN/ACK: what opens no connection. */
export function isAnswer(flags: number): boolean {
  return (flags & 4) !== 0 || (flags & 18) === 18;
}

function isOver(connection: Connection): boolean {
  return connection.reset || (connection.clientFin && connection.serverFin);
}
