/** Agent protocol: the messages between the demo and its threads in the namespaces. */
import type { services } from "./services.ts";

export type Services = typeof services;
export type ServiceName = keyof Services;
export type Argument<Name extends ServiceName> = Parameters<Services[Name]>[0];
export type Result<Name extends ServiceName> = Awaited<ReturnType<Services[Name]>>;

/** Calls a service. Calls are numbered, and answered in any order. */
export interface Call {
  readonly id: number;
  readonly service: ServiceName;
  readonly argument: Argument<ServiceName>;
}

export type AgentAnswer =
  | { readonly id: number; readonly ok: true; readonly result: Result<ServiceName> }
  | { readonly id: number; readonly ok: false; readonly message: string };
