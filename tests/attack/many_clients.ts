/**
 * Program for an attack: many clients, as stock as this project's own device without its extensions is, each with a key
 * and a port of its own. Arguments: the file with their secrets, a line each, the gateway's public key, address and
 * port. Each line that it prints says how many of them have completed a handshake, and when, Unix ms; SIGUSR2 has it
 * count from the beginning.
 */
import { createSocket } from "node:dgram";
import { Arena } from "../../ffi/arena.ts";
import { openTools } from "../bench/load/bench_client.ts";
import { decodeKey } from "../../lib/core/config/values/key_text.ts";
import { SendQueue } from "../../lib/core/transport/send_queue.ts";
import { Transport } from "../../lib/core/transport/transport.ts";
import { DropCounters } from "../../lib/core/wire/drop_reason.ts";
import { parseIpv4 } from "../../lib/core/wire/ipv4_text.ts";
import { Device } from "../../lib/core/wireguard/device.ts";
import { writeText } from "../../lib/process/output.ts";

const ARENA_SIZE = 4 * 1024 * 1024;
const MTU = 1420;
const SLOTS = 64;
const SLOT_SIZE = SendQueue.slotSize(MTU + 64);
const RECEIVED_SIZE = 2_048;
/** ms between two looks at timers; and of clients that begin at once, so that no gateway is under load. */
const LOOK_INTERVAL = 50;
const BEGUN_AT_ONCE = 5;

function main([path = "", serverKey = "", address = "", port = ""]: readonly string[]): void {
  const arena = new Arena(ARENA_SIZE);
  const { aead, x25519 } = openTools(arena);
  const sendQueue = new SendQueue({
    offset: arena.allocate(SLOTS * SLOT_SIZE),
    slots: SLOTS,
    slotSize: SLOT_SIZE,
  });
  const received = arena.allocate(RECEIVED_SIZE);
  const endpoint = { address: parseIpv4(address)!, port: Number(port) };
  const { paths } = sendQueue;
  const connected = new Set<Device>();
  const clients = Deno.readTextFileSync(path).trim().split("\n").map((secret) => {
    const device = new Device({
      memory: arena,
      sendQueue,
      identity: x25519.keyPair(decodeKey(secret)!),
      x25519,
      aead,
      drops: new DropCounters(),
      mtu: MTU,
      random: (length) => crypto.getRandomValues(new Uint8Array(length)),
      wallClock: Date.now,
    });
    const peer = device.addPeer(
      { publicKey: decodeKey(serverKey)!, presharedKey: null, allowedIps: [], endpoint },
      performance.now(),
    );
    const socket = createSocket("udp4");
    /** Sends what this device has for the network: the queue is everybody's, one after the other. */
    const flush = () => {
      if (device.events.some(({ kind }) => kind === "handshake-completed")) connected.add(device);
      device.events.length = 0;
      for (let i = sendQueue.head; i < sendQueue.tail; i++) {
        const offset = sendQueue.offsets[i]!;
        const message = arena.bytes.slice(offset, offset + sendQueue.lengths[i]!);
        socket.send(message, endpoint.port, address);
      }
      sendQueue.sentUpTo(sendQueue.tail);
    };
    socket.on("message", (message) => {
      arena.bytes.set(message, received);
      const from = paths.intern(endpoint.address | 0, endpoint.port, 0, Transport.udp);
      device.receive(received, message.length, from, performance.now());
      flush();
    });
    socket.bind();
    return { device, peer, flush };
  });
  Deno.addSignalListener("SIGUSR2", () => connected.clear());
  let told = 0;
  const waiting = [...clients];
  setInterval(() => {
    const now = performance.now();
    for (const { device, peer, flush } of waiting.splice(0, BEGUN_AT_ONCE)) {
      device.initiate(peer, now);
      flush();
    }
    for (const { device, flush } of clients) {
      if (device.pollAt() > now) continue;
      device.poll(now);
      flush();
    }
    if (connected.size === told) return;
    told = connected.size;
    writeText(Deno.stdout, `${told} clients at ${Date.now()}\n`);
  }, LOOK_INTERVAL);
}

if (import.meta.main) main(Deno.args);
