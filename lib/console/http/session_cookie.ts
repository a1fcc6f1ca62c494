/**
 * Session cookie: where a browser keeps its session's secret, and the one by which it is known at the next login. No
 * script sees them, no other site's page sends them, and with TLS nobody but this host can have set them (`__Host-`,
 * RFC 6265bis).
 *
 * Cookies are a host's, whatever its port: two consoles that are reached as localhost, by ports of their own, would put
 * each other's sessions out. So the port is in the name.
 */

/** By which address the console is reached. */
export interface CookiePlace {
  /** The console's own origin, as the browser knows it. */
  readonly origin: string;
  /** Whether cookies are for TLS alone. */
  readonly isSecure: boolean;
}

export type CookieKind = "session" | "device";

function nameOf(kind: CookieKind, { origin, isSecure }: CookiePlace): string {
  const { port } = new URL(origin);
  return `${isSecure ? "__Host-" : ""}vpn_${kind}${port === "" ? "" : `_${port}`}`;
}

/** The secret; null where there is none, or several: then somebody else may have set one of them. */
export function cookieSecret(
  request: Request,
  kind: CookieKind,
  place: CookiePlace,
): string | null {
  const prefix = `${nameOf(kind, place)}=`;
  const values = (request.headers.get("cookie") ?? "").split(/;\s*/)
    .filter((each) => each.startsWith(prefix))
    .map((each) => each.slice(prefix.length));
  return values.length === 1 && values[0] !== "" ? values[0]! : null;
}

/**
 * Has the browser keep a secret, or, with null, forget it.
 *
 * @param lifetime ms; left out: until the browser is closed
 */
export function cookieText(
  kind: CookieKind,
  secret: string | null,
  { lifetime, ...place }: CookiePlace & { readonly lifetime?: number },
): string {
  const attributes = `Path=/; HttpOnly; SameSite=Strict${place.isSecure ? "; Secure" : ""}`;
  const age = secret === null ? 0 : lifetime === undefined ? null : Math.floor(lifetime / 1000);
  return `${nameOf(kind, place)}=${secret ?? ""}; ${attributes}${
    age === null ? "" : `; Max-Age=${age}`
  }`;
}
