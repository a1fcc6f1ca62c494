/**
 * World of simulated devices: one clock, one network between them, events at set times. Time does not pass, it jumps to
 * the next thing that happens: an arrival, a timer of a device, an event of the test.
 */
import { FakeClock } from "../time/fake_clock.ts";
import { type Datagram, type LinkConditions, MemoryLink, PERFECT_LINK } from "./memory_link.ts";
import { Random } from "../random.ts";
import { Schedule } from "../time/schedule.ts";
import { SimulatedDevice, type SimulatedDeviceOptions } from "./simulated_device.ts";

/** Steps at one moment after which the devices must be sending each other messages for ever. */
const MAX_STEPS_AT_ONCE = 10_000;

export interface SimulationOptions {
  readonly seed?: number;
  readonly link?: LinkConditions;
}

export class Simulation {
  readonly random: Random;
  readonly clock: FakeClock = new FakeClock();
  readonly link: MemoryLink;
  readonly devices: SimulatedDevice[] = [];
  /** Sees every datagram that is sent; one for which it returns false never reaches the link. */
  onDatagram: ((datagram: Datagram, sender: SimulatedDevice) => boolean | void) | null = null;
  /** Called after each step, for what must hold at all times. */
  onStep: (() => void) | null = null;

  readonly #events = new Schedule<() => void>();

  constructor({ seed = 1, link = PERFECT_LINK }: SimulationOptions = {}) {
    this.random = new Random(seed);
    this.link = new MemoryLink(new Random(this.random.uint32()), link);
  }

  get now(): number {
    return this.clock.now;
  }

  addDevice(options: Omit<SimulatedDeviceOptions, "clock" | "random">): SimulatedDevice {
    const random = new Random(this.random.uint32());
    const device = new SimulatedDevice({ ...options, clock: this.clock, random });
    device.onDatagram = (datagram) => {
      if (this.onDatagram?.(datagram, device) !== false) this.link.send(datagram, this.now);
    };
    this.devices.push(device);
    return device;
  }

  /** Has `action` run at `time`. */
  at(time: number, action: () => void): void {
    this.#events.add(time, action);
  }

  /** Has `action` run in `ms` from now. */
  after(ms: number, action: () => void): void {
    this.at(this.now + ms, action);
  }

  /** Lets `ms` pass. */
  run(ms: number): void {
    this.runUntil(this.now + ms);
  }

  runUntil(end: number): void {
    let steps = 0;
    for (let next = this.#nextAt(); next <= end; next = this.#nextAt()) {
      if (next > this.now) {
        this.clock.advanceTo(next);
        steps = 0;
      } else if (++steps > MAX_STEPS_AT_ONCE) {
        throw new Error(`Cannot go on: ${steps} steps at time ${this.now}`);
      }
      this.#step();
    }
    this.clock.advanceTo(end);
  }

  #nextAt(): number {
    let next = Math.min(this.link.nextAt, this.#events.nextAt);
    for (const device of this.devices) next = Math.min(next, device.pollAt());
    return next;
  }

  #step(): void {
    for (;;) {
      const datagram = this.link.receive(this.now);
      if (datagram === undefined) break;
      this.#arrive(datagram);
    }
    for (;;) {
      const action = this.#events.take(this.now);
      if (action === undefined) break;
      action();
    }
    for (const device of this.devices) device.poll();
    this.onStep?.();
  }

  /** Hands a datagram to the device at its destination; there may be none, for devices move. */
  #arrive(
    { bytes, sourceAddress, sourcePort, destinationAddress, destinationPort, ...others }: Datagram,
  ): void {
    for (const device of this.devices) {
      if (device.address === destinationAddress && device.port === destinationPort) {
        device.receive(bytes, { address: sourceAddress, port: sourcePort, ...others });
      }
    }
  }
}
