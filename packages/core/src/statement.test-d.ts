import type { SqlAdapter } from "./adapter.ts";
import type { Delegation } from "./delegation.ts";
import { isStatement, sql, type Statement } from "./statement.ts";
import { trustedStatement } from "./trusted-text.ts";

// The assertion of this file is that it compiles.
declare const adapter: SqlAdapter;
declare const delegation: Delegation;
declare const untrusted: unknown;

// Both kinds of input are taken, and they are two.
void adapter.query(delegation, "select 1");
void adapter.query(delegation, sql`select ${1}`);

// @ts-expect-error a string is not trusted
export const text: Statement = "select 1";

// @ts-expect-error neither is an object that looks like a statement
export const literal: Statement = { text: "select 1", values: [] };

// @ts-expect-error nor a copy of one with another text
export const changed: Statement = { text: "drop table x", values: sql`select 1`.values };

// @ts-expect-error a text that was built at run time is not a template
void sql("select 1");

// @ts-expect-error values are values: an object is none
void sql`select ${{ text: "1" }}`;

// @ts-expect-error what is no text is not made trusted
void trustedStatement({ text: "select 1" });

// @ts-expect-error an object that looks like a statement is no input
void adapter.query(delegation, { text: "select 1", values: [] });

export const narrowed: Statement | undefined = isStatement(untrusted) ? untrusted : undefined;
