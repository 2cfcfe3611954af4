import type { Human, Observation } from "@behalf/conformance";
import type pg from "pg";

/** The same texts for the server's functions and for whoever reads their names. */
const NOBODY = "nobody";
const SOMEBODY = "somebody else";
const SEPARATOR = "|";

export interface ObservedWorld {
  readonly issuer: string;
  readonly humans: readonly Human[];
  /** Known to the issuer, and to nobody else. */
  readonly strangers: readonly string[];
  readonly agents: readonly string[];
}

/**
 * Makes the database count, for each human, agent and owner, the rows that passed every policy. The counts
 * are the server's own function statistics: they survive the ROLLBACK of the reads, and other connections
 * read them.
 *
 * Only the permissive policies know the end: PostgreSQL tests the quals of one table's policies in the order
 * of their security levels, restrictive ones (the guards) first, the permissive ones last, and moves no
 * function that may leak before a lower level. Within the permissive policy a CASE keeps the order. So a row
 * is counted exactly when no policy hides it.
 */
export function observerSql({ issuer, humans, strangers, agents }: ObservedWorld): string {
  const who = [...humans.map(({ subject }) => subject.subject), ...strangers, SOMEBODY, NOBODY];
  const owners = [
    ...humans.flatMap(({ owner, widerOwner }) => [owner, widerOwner ?? owner]),
    SOMEBODY,
  ];
  const list = (texts: readonly string[]) =>
    `array[${texts.map((text) => `'${text}'`).join(", ")}]`;
  const known = (value: string, texts: readonly string[]) =>
    `case when ${value} = any(${list(texts)}) then ${value} else '${SOMEBODY}' end`;
  const actors = [...agents, SOMEBODY, NOBODY];
  return `
    create schema observer;
    do $$
    declare triple record;
    begin
      for triple in
        select distinct format('%s${SEPARATOR}%s${SEPARATOR}%s', who, actor, owner) as name
        from unnest(${list(who)}) who, unnest(${list(actors)}) actor, unnest(${list(owners)}) owner
      loop
        execute format('create function observer.%I() returns boolean language plpgsql as $f$begin return true; end$f$', triple.name);
      end loop;
    end $$;
    create function observer.saw(claims jsonb, owner text) returns boolean language plpgsql volatile cost 10000
    set search_path = pg_catalog as $$
    declare
      who text := '${NOBODY}';
      actor text := '${NOBODY}';
      act jsonb := claims -> 'act';
      answer boolean;
    begin
      if claims is not null then
        who := case when claims ->> 'iss' = '${issuer}' then ${known("claims ->> 'sub'", who)} else '${SOMEBODY}' end;
        while act is not null loop
          actor := ${known("act ->> 'sub'", agents)};
          act := act -> 'act';
        end loop;
      end if;
      -- Without it a session writes what it counted a second later, or when it ends.
      perform pg_stat_force_next_flush();
      execute format('select observer.%I()', format('%s${SEPARATOR}%s${SEPARATOR}%s', who, actor, ${known("owner", owners)})) into answer;
      return answer;
    end $$;
    grant usage on schema observer to behalf_agents;
  `;
}

/** What a permissive policy that shows the rows for which `condition` holds has to say. */
export function observed(condition: string, owner: string): string {
  return `${condition} and case when ${condition} then observer.saw((select behalf.claims()), ${owner}) else false end`;
}

export const OBSERVED_READS = `select funcname, calls::integer as calls from pg_stat_user_functions
  where schemaname = 'observer' and funcname like '%${SEPARATOR}%' order by 1`;

export function seenOf(issuer: string, rows: readonly pg.QueryResultRow[]): Observation["reads"] {
  return rows.map(({ funcname, calls }) => {
    const [who = "", actor = "", owner = ""] = String(funcname).split(SEPARATOR);
    return {
      subject: who === NOBODY ? null : { issuer, subject: who },
      actors: actor === NOBODY ? [] : [actor],
      owner,
      times: Number(calls),
    };
  });
}
