/** Gateway: the running one that the console shows, as it is asked and has things changed. */
import type { ApplicationMethods, EventEntry } from "../../control/application/methods.ts";
import type { Status } from "../../control/status.ts";

type Methods = ApplicationMethods & {
  readonly "status": { readonly params: Readonly<Record<never, never>>; readonly result: Status };
};
export type GatewayMethod = Exclude<keyof Methods, "follow-events">;
export type ParamsOf<Name extends GatewayMethod> = Methods[Name]["params"];
export type ResultOf<Name extends GatewayMethod> = Methods[Name]["result"];

export interface ConsoleGateway {
  /** Name of its TUN device. */
  readonly interfaceName: string;

  /**
   * @throws {GatewayRefusal} for what it refuses
   * @throws {GatewayUnreachable} where it does not run or answer
   */
  ask<Name extends GatewayMethod>(method: Name, params: ParamsOf<Name>): Promise<ResultOf<Name>>;

  /**
   * Tells of events from now on, until `signal` is aborted.
   *
   * @throws {GatewayUnreachable} where it does not run, or has ended
   */
  followEvents(onEvent: (event: EventEntry) => void, signal: AbortSignal): Promise<void>;
}

/** What a gateway says of something that it does not do. */
export class GatewayRefusal extends Error {
  override readonly name = "GatewayRefusal";
  /** As `RefusalCode` has them; null for what it did not foresee. */
  readonly code: string | null;

  constructor(message: string, code: string | null) {
    super(message);
    this.code = code;
  }
}

export class GatewayUnreachable extends Error {
  override readonly name = "GatewayUnreachable";
}
