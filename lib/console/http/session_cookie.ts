/**
 * Session cookie: where a browser keeps its session's secret. No script sees it, no other site's page sends it, and
 * with TLS nobody but this host can have set it (`__Host-`, RFC 6265bis).
 */

function nameOf(isSecure: boolean): string {
  return isSecure ? "__Host-vpn_session" : "vpn_session";
}

/** The secret; null where there is none, or several: then somebody else may have set one of them. */
export function sessionSecret(request: Request, isSecure: boolean): string | null {
  const prefix = `${nameOf(isSecure)}=`;
  const values = (request.headers.get("cookie") ?? "").split(/;\s*/)
    .filter((each) => each.startsWith(prefix))
    .map((each) => each.slice(prefix.length));
  return values.length === 1 && values[0] !== "" ? values[0]! : null;
}

/** Has the browser keep a secret until it is closed; or, with null, forget it. */
export function cookieText(secret: string | null, isSecure: boolean): string {
  const attributes = `Path=/; HttpOnly; SameSite=Strict${isSecure ? "; Secure" : ""}`;
  return secret === null
    ? `${nameOf(isSecure)}=; ${attributes}; Max-Age=0`
    : `${nameOf(isSecure)}=${secret}; ${attributes}`;
}
