/** A fake TCP client whose connection is open, and the segments that a test gives it. */
import type { Session } from "../../../lib/core/transport/fake_tcp/session.ts";
import type { FakeClock } from "../time/fake_clock.ts";
import {
  ACK,
  build,
  type End,
  fromThere,
  type Segment,
  World,
  type WorldOptions,
} from "./world.ts";
import { stripWindowScale } from "./middleboxes.ts";

export const SCALED = [true, false] as const;

/** Segments in numbers relative to those that the connection began with. */
interface SentSegment {
  readonly flags: number;
  readonly seq: number;
  readonly ack: number;
  readonly size: number;
}

interface Opened {
  readonly world: World;
  readonly client: End;
  readonly clock: FakeClock;
  readonly session: Session;
  /** Gives the client a segment of the server's that is `ahead` of the one it expects. */
  receive(fields: Partial<Segment> & { ahead?: number; acked?: number; size?: number }): number;
  /** Takes what was sent since the last call. */
  sent(): SentSegment[];
  advance(ms: number): void;
}

/** A client whose connection is open. */
export function opened(isScaled = true, options: WorldOptions = {}): Opened {
  const world = new World({
    ...options,
    ...isScaled ? {} : { middleboxes: [stripWindowScale()] },
  });
  const session = world.open();
  const { client, clock } = world;
  const [iss, irs] = [session.sndNxt, session.rcvMax];
  const receive: Opened["receive"] = (fields) => {
    const { ahead = 0, acked = 0, size = 0, ...others } = fields;
    return client.receive(build({
      ...fromThere(session),
      seq: irs + ahead,
      ack: iss + acked,
      payload: new Uint8Array(size),
      ...others,
    }));
  };
  const sent = () =>
    client.drained().map(({ flags, seq, ack, payload }) => ({
      flags,
      seq: (seq - iss) | 0,
      ack: (ack - irs) | 0,
      size: payload.length,
    }));
  const advance = (ms: number) => {
    clock.advance(ms);
    client.poll();
  };
  return { world, client, clock, session, receive, sent, advance };
}

/** What `sent()` says of an acknowledgment without data. */
export function pureAck(ack: number, seq = 0): SentSegment[] {
  return [{ flags: ACK, seq, ack, size: 0 }];
}
