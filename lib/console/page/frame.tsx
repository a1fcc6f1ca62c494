/** The frame around every screen: where one can go, how the gateway is, and who is logged in. */
import { computed } from "@preact/signals";
import type { ComponentChildren, JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import { Button } from "./parts/controls.tsx";
import { Icon, type IconName, Mark } from "./parts/icon.tsx";
import { Notice } from "./parts/parts.tsx";
import { liveConnection, liveTick, model } from "./state/live_feed.ts";
import { dismiss, messages } from "./state/messages.ts";
import { linkTo, route } from "./state/router.ts";
import { logOut, mayAdminister, session } from "./state/session.ts";
import { nextTheme, theme } from "./state/theme.ts";

interface Place {
  readonly path: string;
  readonly title: string;
  readonly icon: IconName;
  readonly isForAdmins?: boolean;
  /** Whether it is about several gateways, and nothing where there is one. */
  readonly isForFleets?: boolean;
}

const PLACES: readonly Place[] = [
  { path: "", title: "Overview", icon: "overview" },
  { path: "peers", title: "Peers", icon: "peers" },
  { path: "access", title: "Access rules", icon: "access" },
  { path: "gateways", title: "Gateways", icon: "gateways", isForFleets: true },
  { path: "dns", title: "DNS", icon: "dns" },
  { path: "events", title: "Events", icon: "events" },
  { path: "accounts", title: "Accounts", icon: "accounts", isForAdmins: true },
  { path: "tokens", title: "API tokens", icon: "key" },
  { path: "settings", title: "Settings", icon: "settings", isForAdmins: true },
];

const isFleet = computed(() => {
  void liveTick.value;
  return (model.status?.store ?? null) !== null;
});

export function Frame({ children }: { children: ComponentChildren }): JSX.Element {
  const [isOpen, setOpen] = useState(false);
  const here = route.value[0] ?? "";
  useEffect(() => setOpen(false), [route.value]);
  useEffect(() => {
    if (!isOpen) return;
    const close = (event: KeyboardEvent) => {
      if (event.key === "Escape") setOpen(false);
    };
    addEventListener("keydown", close);
    return () => removeEventListener("keydown", close);
  }, [isOpen]);
  const places = PLACES.filter(({ isForAdmins, isForFleets }) =>
    (!isForAdmins || mayAdminister.value) && (!isForFleets || isFleet.value)
  );
  return (
    <div class="frame">
      <a class="skip" href="#screen" onClick={skip}>Skip to the content</a>
      <header class="top">
        <Button kind="plain" icon="menu" label="Menu" onClick={() => setOpen(true)} />
        <Brand />
        <div class="end">
          <ThemeButton />
        </div>
      </header>
      {isOpen
        ? (
          <button
            type="button"
            class="shade"
            aria-label="Close the menu"
            onClick={() => setOpen(false)}
          />
        )
        : null}
      <div class={`side${isOpen ? " is-open" : ""}`}>
        <Brand />
        <nav aria-label="Screens">
          <ul class="places">
            {places.map(({ path, title, icon }) => (
              <li key={path}>
                <a
                  class="place"
                  href={linkTo(path)}
                  aria-current={here === path ? "page" : undefined}
                >
                  <Icon name={icon} />
                  {title}
                  {path === "peers" ? <PeerCount /> : null}
                </a>
              </li>
            ))}
          </ul>
        </nav>
        <Who />
      </div>
      <main class="screen" id="screen" tabIndex={-1}>
        <ConnectionNotice />
        {children}
      </main>
    </div>
  );
}

/** The link would lead the router astray, so the focus goes there by hand. */
function skip(event: Event): void {
  event.preventDefault();
  document.getElementById("screen")?.focus();
}

function Brand(): JSX.Element {
  return (
    <a class="brand" href={linkTo()}>
      <Mark />
      <span class="cut">{session.value?.gateway ?? "vpn"}</span>
    </a>
  );
}

function PeerCount(): JSX.Element {
  void liveTick.value;
  let up = 0;
  for (const { state } of model.peers.values()) if (state.isUp) up++;
  return (
    <span class="count">
      {up}/{model.peers.size}
      <span class="out-of-sight">online</span>
    </span>
  );
}

const THEME_TEXTS = {
  system: "Theme: as the system",
  light: "Theme: light",
  dark: "Theme: dark",
} as const;

function ThemeButton(): JSX.Element {
  return (
    <Button
      kind="plain"
      icon={theme.value}
      label={THEME_TEXTS[theme.value]}
      onClick={nextTheme}
    />
  );
}

function Who(): JSX.Element {
  const account = session.value?.account;
  return (
    <div class="side-end">
      <div class="who">
        <a class="cut" href={linkTo("account")} title="Your account">
          <span class="strong">{account?.name}</span>
          <br />
          <span class="muted small">{account?.role}</span>
        </a>
        <ThemeButton />
        <Button kind="plain" icon="leave" label="Log out" onClick={() => void logOut()} />
      </div>
    </div>
  );
}

function ConnectionNotice(): JSX.Element | null {
  const { state, detail } = liveConnection.value;
  if (state !== "lost" && state !== "unreachable") return null;
  return (
    <div class="connection">
      <Notice tone="warn">
        {state === "lost"
          ? "The connection to the console is lost. What is shown is old. Trying again."
          : detail || "The gateway does not answer. What is shown is old."}
      </Notice>
    </div>
  );
}

export function Messages(): JSX.Element {
  return (
    <div class="messages" role="status" aria-live="polite">
      {messages.value.map(({ id, text, isBad }) => (
        <div key={id} class={`message${isBad ? " is-bad" : ""}`}>
          <span>{text}</span>
          <Button
            kind="plain"
            isSmall
            icon="close"
            label="Dismiss"
            onClick={() =>
              dismiss(id)}
          />
        </div>
      ))}
    </div>
  );
}
