import { inspect } from "node:util";

import { BehalfError } from "@behalf/core";
import { describe, expect, it } from "vitest";

import {
  afterCommit,
  duringCommit,
  isPreparedMixUp,
  isServerError,
  isStaleTicket,
  mapPostgresError,
} from "./postgres-errors.ts";

function serverError(code: string, more: object = {}): Error {
  return Object.assign(new Error("the server's words"), { code, severity: "ERROR", ...more });
}

function everythingIn(error: Error): string {
  const options = { showHidden: true, depth: Number.POSITIVE_INFINITY };
  return `${inspect(error, options)}\n${JSON.stringify(error)}\n${error.stack}`;
}

describe("mapPostgresError", () => {
  it.each([
    ["42601", "statement.refused"],
    ["42P01", "statement.refused"],
    ["42501", "backend.denied"],
    ["25006", "backend.denied"],
    ["0A000", "statement.refused"],
    ["57014", "timeout"],
    ["57P01", "backend.unavailable"],
    ["57P04", "backend.unavailable"],
    ["22012", "backend.failed"],
    ["53100", "backend.failed"],
    ["XX000", "backend.failed"],
    ["ZB001", "identity.rejected"],
    ["ZB002", "identity.expired"],
    ["ZB004", "identity.revoked"],
    ["ZB005", "backend.denied"],
    ["ZB010", "backend.identity_mismatch"],
  ])("maps SQLSTATE %s to %s and keeps it", (sqlstate, code) => {
    expect(mapPostgresError(serverError(sqlstate), "call")).toMatchObject({
      code,
      nativeCode: sqlstate,
      backend: "postgres",
    });
  });

  it("keeps the message and the hint, and neither DETAIL nor CONTEXT nor the driver's error", () => {
    const error = mapPostgresError(
      serverError("23505", {
        hint: "try another",
        detail: "Key (email)=(bob@example.com) already exists.",
        where: "SQL statement with bob@example.com",
      }),
      "call",
    );
    expect(error.message).toBe("[postgres] the server's words (try another)");
    expect(everythingIn(error)).not.toContain("bob@example.com");
    expect(error.reason).toBeUndefined();
  });

  it("keeps as its cause what the server said, without a value of a row", () => {
    const facts = {
      schema: "public",
      table: "people",
      column: "email",
      constraint: "people_email_key",
      routine: "_bt_check_unique",
    };
    const thrown = serverError("23505", {
      ...facts,
      detail: "Key (email)=(bob@example.com) already exists.",
      hint: "of bob@example.com",
      where: "SQL statement with bob@example.com",
      internalQuery: "insert into people values ('bob@example.com')",
      query: "insert into people values ($1)",
      parameters: ["bob@example.com"],
      client: { password: "hunter2" },
    });
    thrown.name = "DatabaseError";
    const cause = mapPostgresError(thrown, "call").cause as Error;
    expect(cause).toBeInstanceOf(Error);
    expect(cause).not.toBe(thrown);
    expect(cause).toMatchObject({ ...facts, code: "23505", severity: "ERROR" });
    expect([cause.name, cause.message]).toEqual(["DatabaseError", "the server's words"]);
    expect(cause.stack).toContain("postgres-errors.test.ts");
    expect(everythingIn(cause)).not.toMatch(/bob@example|hunter2/);
    // The control: the driver's own error shows all of it.
    expect(everythingIn(thrown)).toMatch(/bob@example[^]*hunter2/);
  });

  it("keeps a socket's words, and nobody else's, which may quote a password or a value", () => {
    const socket = Object.assign(new Error("connect ECONNREFUSED 127.0.0.1:5432"), {
      code: "ECONNREFUSED",
      syscall: "connect",
      options: { password: "hunter2" },
    });
    const url = Object.assign(new TypeError("Invalid URL: postgres://app:hunter2@db"), {
      code: "ERR_INVALID_URL",
      input: "postgres://app:hunter2@db",
    });
    url.stack = `${url.stack}\n    at postgres.test.ts`;
    for (const [error, phase, message, code] of [
      [socket, "connect", socket.message, "ECONNREFUSED"],
      [url, "connect", "", "ERR_INVALID_URL"],
      [url, "call", "", "ERR_INVALID_URL"],
      [new Error("Connection terminated unexpectedly"), "call", undefined, undefined],
      [new SyntaxError('"hunter2" is not valid JSON'), "call", "", undefined],
    ] as const) {
      const mapped = mapPostgresError(error, phase);
      const cause = mapped.cause as Error & { readonly code?: string };
      expect(cause.name).toBe(error.name);
      expect(cause.message).toBe(message ?? error.message);
      expect(cause.code).toBe(code);
      expect(everythingIn(mapped)).not.toContain("hunter2");
    }
    expect(mapPostgresError("hunter2", "call").cause).toBeUndefined();
  });

  it("keeps the cause of a COMMIT whose answer was lost", () => {
    const lost = new Error("Connection terminated unexpectedly");
    expect(duringCommit(lost).cause).toMatchObject({ message: lost.message });
    expect(afterCommit(serverError("22003")).cause).toMatchObject({ code: "22003" });
  });

  it("takes the reason from DETAIL only for the kit's own refusals", () => {
    expect(mapPostgresError(serverError("ZB001", { detail: "audience" }), "call").reason).toBe(
      "audience",
    );
  });

  it("calls every failure to connect unavailable, and says what to check", () => {
    for (const error of [
      serverError("28P01"),
      serverError("53300"),
      Object.assign(new Error("x"), { code: "ECONNREFUSED" }),
    ]) {
      const mapped = mapPostgresError(error, "connect");
      expect(mapped.code).toBe("backend.unavailable");
      expect(mapped.message).toContain("password");
    }
  });

  it("calls a lost connection unavailable, with no effect", () => {
    const mapped = mapPostgresError(
      Object.assign(new Error("reset"), { code: "ECONNRESET" }),
      "call",
    );
    expect(mapped).toMatchObject({
      code: "backend.unavailable",
      nativeCode: "ECONNRESET",
      effect: "none",
    });
  });

  it.each(["40001", "40P01"])("says of %s that the same call may succeed", (sqlstate) => {
    const mapped = mapPostgresError(serverError(sqlstate), "call");
    expect(mapped).toMatchObject({ code: "backend.failed", effect: "none" });
    expect(mapped.message).toMatch(/nothing was changed, so it is safe to try again$/);
  });

  it("leaves our own errors as they are", () => {
    const ours = new BehalfError("cancelled", "stopped");
    expect(mapPostgresError(ours, "call")).toBe(ours);
  });
});

it("knows a pooler's mix-up of names from an author's own PREPARE", () => {
  const answer = (code: string, name: string) =>
    Object.assign(new Error(`prepared statement "${name}" already exists`), {
      code,
      severity: "ERROR",
    });
  expect(isPreparedMixUp(answer("42P05", "behalf_begin"), "behalf_begin")).toBe(true);
  expect(isPreparedMixUp(answer("26000", "behalf_begin"), "behalf_begin")).toBe(true);
  expect(isPreparedMixUp(answer("42P05", "mine"), "behalf:a")).toBe(false);
  expect(isPreparedMixUp(answer("42P05", ""), "")).toBe(false);
  expect(isPreparedMixUp(answer("42601", "behalf_begin"), "behalf_begin")).toBe(false);
});

it("knows a server's answer from a broken connection", () => {
  expect(isServerError(serverError("42601"))).toBe(true);
  expect(isServerError(Object.assign(new Error("x"), { code: "ECONNRESET" }))).toBe(false);
  expect(isServerError("42601")).toBe(false);
  expect(isStaleTicket(serverError("ZB008"))).toBe(true);
  expect(isStaleTicket(serverError("ZB001"))).toBe(false);
});
