import type { z } from "zod";

import { text, url } from "./config-values.ts";

// The gateway checks the same, but under its own names and without the place in the file.

const TAKEN = /^\/(healthz|readyz|\.well-known(\/.*)?)$/;

export function publicUrl(description: string): z.ZodString {
  return url(description)
    .refine((value) => {
      const { search = "", hash = "", username = "", password = "" } = URL.parse(value) ?? {};
      return search + hash + username + password === "";
    }, "must have neither query, fragment, user nor password")
    .refine(
      (value) => !TAKEN.test(URL.parse(value)?.pathname ?? ""),
      "must have a path of its own, for example /mcp; /healthz, /readyz and /.well-known are served already",
    );
}

export function hostName(description: string): z.ZodString {
  return text(description).refine((value) => {
    const name = value.toLowerCase();
    const hasPort = /:\d{1,5}$/.test(name);
    return name !== "*" && !hasPort && URL.parse(`http://${name}`)?.host === name;
  }, "must be a host name without port, for example gateway.example.com");
}

export function origin(description: string): z.ZodString {
  return text(description).refine(
    (value) => URL.parse(value)?.origin === value,
    "must be an origin, for example https://chat.example.com",
  );
}

export function scope(description: string): z.ZodString {
  // RFC 6749, 3.3
  return text(description).regex(
    /^[\x21\x23-\x5b\x5d-\x7e]+$/,
    "must be one OAuth scope, without blanks, quotes and backslashes; give each its own line",
  );
}
