/** Headers of every answer, by which a browser runs nothing but our own page, and tells nobody else of it. */

const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' data: blob:",
  "font-src 'self'",
  "connect-src 'self'",
  "manifest-src 'self'",
  "form-action 'none'",
  "base-uri 'none'",
  "frame-ancestors 'none'",
  "require-trusted-types-for 'script'",
].join("; ");

const HEADERS: Readonly<Record<string, string>> = {
  "Content-Security-Policy": POLICY,
  "X-Content-Type-Options": "nosniff",
  "X-Frame-Options": "DENY",
  "Referrer-Policy": "no-referrer",
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Resource-Policy": "same-origin",
  "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
  "X-Robots-Tag": "noindex",
};

/** One year, for the browser never to come back by plain HTTP. */
const TRANSPORT_SECURITY = "max-age=31536000";

/** Adds them. What is not said to be kept is kept by nobody: answers are about keys and people. */
export function secured(
  response: Response,
  { isSecure }: { readonly isSecure: boolean },
): Response {
  const { headers } = response;
  for (const [name, value] of Object.entries(HEADERS)) headers.set(name, value);
  if (isSecure) headers.set("Strict-Transport-Security", TRANSPORT_SECURITY);
  if (!headers.has("Cache-Control")) headers.set("Cache-Control", "no-store");
  return response;
}
