/**
 * Passkeys (WebAuthn): registered by an account, and used to log in without name, password and code: the authenticator
 * has verified its user.
 */
import type {
  AuthenticationResponseJSON,
  PublicKeyCredentialCreationOptionsJSON,
  PublicKeyCredentialRequestOptionsJSON,
  RegistrationResponseJSON,
} from "@simplewebauthn/server";
import { FairShares } from "../../core/limits/fair_shares.ts";
import { type Database, type Row, timeColumn } from "./database.ts";
import { newId } from "./secrets.ts";

/** ms for which a challenge may be answered; and challenges at once. */
const CHALLENGE_TIME = 300_000;
const CHALLENGES = 1_000;
/** Of one account. */
const MAX_PASSKEYS = 20;

export interface StoredPasskey {
  readonly id: string;
  readonly account: string;
  readonly name: string;
  readonly publicKey: Uint8Array<ArrayBuffer>;
  /** How often it was used, by its own account. */
  readonly counter: number;
  /** Unix ms. */
  readonly created: number;
  readonly lastUsed: number | null;
}

interface Challenge {
  readonly challenge: string;
  /** For whom a passkey is registered; null for a login. */
  readonly account: string | null;
  /** Unix ms. */
  readonly expires: number;
}

/** Loaded when somebody uses a passkey. */
const webauthn = () => import("@simplewebauthn/server");

/** Whether an origin can have passkeys: what they are bound to is a name, not an address. */
export function canHavePasskeys(origin: string): boolean {
  const { protocol, hostname } = new URL(origin);
  if (hostname === "localhost") return true;
  return protocol === "https:" && !/^[\d.]+$/.test(hostname) && !hostname.startsWith("[");
}

export class PasskeyTable {
  readonly #database: Database;
  readonly #now: () => number;
  readonly #challenges = new Map<string, Challenge>();
  readonly #shares = new FairShares<string, string>({
    capacity: CHALLENGES,
    evict: (id) => {
      this.#challenges.delete(id);
    },
  });

  constructor(database: Database, now: () => number) {
    this.#database = database;
    this.#now = now;
  }

  of(account: string): StoredPasskey[] {
    return this.#database.rows(
      "SELECT * FROM passkey WHERE account = ? ORDER BY created",
      account,
    ).map(passkeyOf);
  }

  /** Returns what was removed; null where the account has none such. */
  remove(account: string, id: string): StoredPasskey | null {
    const row = this.#database.row(
      "DELETE FROM passkey WHERE account = ? AND id = ? RETURNING *",
      account,
      id,
    );
    return row === undefined ? null : passkeyOf(row);
  }

  /** Removes all of an account's. */
  removeAll(account: string): void {
    this.#database.change("DELETE FROM passkey WHERE account = ?", account);
  }

  /** What an authenticator needs to make one, and the number of that; null where the account has enough of them. */
  async registration(
    { account, origin, source }: {
      readonly account: string;
      readonly origin: string;
      /** Who asks: of many, who has most challenges loses the oldest. */
      readonly source: string;
    },
  ): Promise<
    { readonly id: string; readonly options: PublicKeyCredentialCreationOptionsJSON } | null
  > {
    const known = this.of(account);
    if (known.length >= MAX_PASSKEYS) return null;
    const { generateRegistrationOptions } = await webauthn();
    const options = await generateRegistrationOptions({
      rpName: "vpn",
      rpID: new URL(origin).hostname,
      userName: account,
      attestationType: "none",
      excludeCredentials: known.map(({ id }) => ({ id })),
      authenticatorSelection: { residentKey: "required", userVerification: "required" },
    });
    return { id: this.#keep(options.challenge, account, source), options };
  }

  /** Takes the authenticator's answer to that. Returns null where it is none. */
  async register(
    { id, account, name, origin, response, requireStill }: {
      readonly id: string;
      readonly account: string;
      readonly name: string;
      readonly origin: string;
      readonly response: unknown;
      /** Called before it is stored; throws where the account may not do so any more. */
      readonly requireStill: () => void;
    },
  ): Promise<StoredPasskey | null> {
    const challenge = this.#take(id);
    if (challenge?.account !== account) return null;
    const { verifyRegistrationResponse } = await webauthn();
    const { registrationInfo } = await verifyRegistrationResponse({
      // Checked by the call, which throws where it is no such thing.
      response: response as RegistrationResponseJSON,
      expectedChallenge: challenge.challenge,
      expectedOrigin: origin,
      expectedRPID: new URL(origin).hostname,
      requireUserVerification: true,
    }).catch(() => ({ registrationInfo: undefined }));
    if (registrationInfo === undefined) return null;
    requireStill();
    const { credential } = registrationInfo;
    const isNew = this.#database.change(
      "INSERT INTO passkey VALUES (?, ?, ?, ?, ?, ?, NULL) ON CONFLICT DO NOTHING",
      credential.id,
      account,
      name,
      credential.publicKey,
      credential.counter,
      this.#now(),
    ) > 0;
    return isNew ? this.of(account).find((each) => each.id === credential.id) ?? null : null;
  }

  /** What an authenticator needs to log somebody in, and the number of that. */
  async login(
    { origin, source }: { readonly origin: string; readonly source: string },
  ): Promise<{ readonly id: string; readonly options: PublicKeyCredentialRequestOptionsJSON }> {
    const { generateAuthenticationOptions } = await webauthn();
    const options = await generateAuthenticationOptions({
      rpID: new URL(origin).hostname,
      userVerification: "required",
    });
    return { id: this.#keep(options.challenge, null, source), options };
  }

  /** The account whose passkey has answered that; null where none has. */
  async accountOf(
    { id, origin, response }: {
      readonly id: string;
      readonly origin: string;
      readonly response: unknown;
    },
  ): Promise<string | null> {
    const challenge = this.#take(id);
    if (challenge === null || challenge.account !== null) return null;
    // What else is in it is checked by the call below; a stranger's `id` may be an object that is no text.
    const answer = response as AuthenticationResponseJSON;
    if (typeof answer.id !== "string") return null;
    const row = this.#database.row("SELECT * FROM passkey WHERE id = ?", answer.id);
    if (row === undefined) return null;
    const passkey = passkeyOf(row);
    const { verifyAuthenticationResponse } = await webauthn();
    const result = await verifyAuthenticationResponse({
      response: answer,
      expectedChallenge: challenge.challenge,
      expectedOrigin: origin,
      expectedRPID: new URL(origin).hostname,
      credential: passkey,
      requireUserVerification: true,
    }).catch(() => null);
    if (result === null || !result.verified) return null;
    const changed = this.#database.change(
      "UPDATE passkey SET counter = ?, last_used = ? WHERE id = ?",
      result.authenticationInfo.newCounter,
      this.#now(),
      passkey.id,
    );
    return changed > 0 ? passkey.account : null;
  }

  #keep(challenge: string, account: string | null, source: string): string {
    const id = newId();
    this.#challenges.set(id, { challenge, account, expires: this.#now() + CHALLENGE_TIME });
    this.#shares.add(source, id);
    return id;
  }

  /** Each is answered once. */
  #take(id: string): Challenge | null {
    const challenge = this.#challenges.get(id);
    this.#challenges.delete(id);
    return challenge !== undefined && challenge.expires > this.#now() ? challenge : null;
  }
}

function passkeyOf(row: Row): StoredPasskey {
  return {
    id: String(row["id"]),
    account: String(row["account"]),
    name: String(row["name"]),
    publicKey: new Uint8Array(row["public_key"] as Uint8Array<ArrayBuffer>),
    counter: Number(row["counter"]),
    created: Number(row["created"]),
    lastUsed: timeColumn(row["last_used"]),
  };
}
